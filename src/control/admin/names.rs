use std::convert::Infallible;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use percent_encoding::percent_decode_str;

use crate::control::Error;
use crate::model::{ChannelName, VhostPath};

/// The vhost and the channel of a route, percent-decoded ([AD-07, AD-17]) and
/// not yet checked.
pub(super) struct Names {
    vhost: String,
    channel: String,
}

impl Names {
    /// The vhost's path, where it need not exist.
    pub(super) fn new_vhost(&self) -> Result<VhostPath, Error> {
        // A segment has no slash of its own; inner ones come as `%2F` ([AD-30]).
        VhostPath::parse(&format!("/{}", self.vhost)).ok_or(Error::InvalidPath)
    }

    /// The vhost's path; what can't be one is not found.
    pub(super) fn vhost(&self) -> Result<VhostPath, Error> {
        self.new_vhost().map_err(|_| Error::VhostNotFound)
    }

    /// The channel's name, where it need not exist.
    pub(super) fn new_channel(&self) -> Result<ChannelName, Error> {
        ChannelName::parse(&self.channel).ok_or(Error::InvalidChannelName)
    }

    /// The channel's name; what can't be one is not found.
    pub(super) fn channel(&self) -> Result<ChannelName, Error> {
        self.new_channel().map_err(|_| Error::ChannelNotFound)
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Names {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Infallible> {
        // All routes are `/vhost/...` and `/vhost/channels/channel`. Each segment
        // is decoded for itself: what is wrong with one says nothing of the other.
        let mut segments = parts.uri.path().split('/').skip(1);
        Ok(Self {
            vhost: decode(segments.next()),
            channel: decode(segments.nth(1)),
        })
    }
}

/// Bytes that are no UTF-8 give characters that no name has.
fn decode(segment: Option<&str>) -> String {
    percent_decode_str(segment.unwrap_or_default())
        .decode_utf8_lossy()
        .into_owned()
}

/// The path of a vhost's resource: its inner slashes are escaped, so that it
/// leads back to the vhost ([AD-30]).
pub(super) fn href(vhost: &VhostPath) -> String {
    format!("/{}", vhost.as_str()[1..].replace('/', "%2F"))
}
