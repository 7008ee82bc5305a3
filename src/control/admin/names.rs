use std::convert::Infallible;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use percent_encoding::percent_decode_str;
use utoipa::IntoParams;

use crate::control::Error;
use crate::model::{ChannelName, Sid, VhostPath};

/// What a route names in its path, percent-decoded ([AD-07, AD-17]) and not yet
/// checked: a vhost, and a channel, session or user.
pub(super) struct Names {
    vhost: String,
    item: String,
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
        ChannelName::parse(&self.item).ok_or(Error::InvalidChannelName)
    }

    /// The channel's name; what can't be one is not found.
    pub(super) fn channel(&self) -> Result<ChannelName, Error> {
        self.new_channel().map_err(|_| Error::ChannelNotFound)
    }

    /// The session's name; what can't be one is not found.
    pub(super) fn sid(&self) -> Result<Sid, Error> {
        Sid::parse(&self.item).ok_or(Error::SessionNotFound)
    }

    /// The user's identifier, which is free text.
    pub(super) fn uid(self) -> String {
        self.item
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Names {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Infallible> {
        // All routes are `/vhost/...` and `/vhost/kind/item/...`. Each segment
        // is decoded for itself: what is wrong with one says nothing of the other.
        let mut segments = parts.uri.path().split('/').skip(1);
        Ok(Self {
            vhost: decode(segments.next()),
            item: decode(segments.nth(1)),
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

/// A vhost in a route's path.
#[derive(IntoParams)]
#[into_params(parameter_in = Path)]
#[expect(dead_code, reason = "describes what `Names` reads")]
pub(super) struct OfVhost {
    /// The vhost's path without its first slash; inner slashes are escaped as `%2F`.
    #[param(example = "shop")]
    vhost: String,
}

/// A channel in a route's path.
#[derive(IntoParams)]
#[into_params(parameter_in = Path)]
#[expect(dead_code, reason = "describes what `Names` reads")]
pub(super) struct OfChannel {
    /// The channel's name: `[A-Za-z0-9_][A-Za-z0-9_.-]*`.
    #[param(example = "news")]
    channel: String,
}

/// A session in a route's path.
#[derive(IntoParams)]
#[into_params(parameter_in = Path)]
#[expect(dead_code, reason = "describes what `Names` reads")]
pub(super) struct OfSession {
    /// The session's name, as its frontend got it with `:connected`.
    #[param(example = "6f0b2c1e-3c8a-4d0f-9f5e-0a1b2c3d4e5f")]
    sid: String,
}

/// A user in a route's path.
#[derive(IntoParams)]
#[into_params(parameter_in = Path)]
#[expect(dead_code, reason = "describes what `Names` reads")]
pub(super) struct OfUser {
    /// The identifier that the backend gave with the user's single access token.
    #[param(example = "joe")]
    uid: String,
}
