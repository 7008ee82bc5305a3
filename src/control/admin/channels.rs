use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use serde_json::value::RawValue;

use super::answers::{
    Channel, ChannelAnswer, ChannelList, Everywhere, Refusal, Size, SubscriberEntry,
    SubscriberList, link,
};
use super::found;
use super::limit::Limit;
use super::names::{Names, OfChannel, OfVhost, href};
use crate::control::{Error, Handle, Subscriber};
use crate::limits::ADMIN_LIST_MAX;
use crate::model::{ChannelName, VhostPath};

/// Lists a vhost's channels
#[utoipa::path(
    get, path = "/{vhost}/channels", tag = "channels", params(OfVhost),
    responses(
        (status = 200, description = "The channels", body = ChannelList),
        (status = 404, description = "No such vhost", body = Refusal),
        Everywhere
    )
)]
pub(super) async fn list_channels(
    State(handle): State<Handle>,
    names: Names,
) -> Result<Json<ChannelList>, Error> {
    let vhost = names.vhost()?;
    let vhost_href = href(&vhost);
    let channels = handle.channel_sizes(vhost).await?;
    let entry = |(name, size): &(ChannelName, u32)| Channel {
        name: name.to_string(),
        subscribers: Size {
            size: u64::from(*size),
        },
        links: vec![
            link("self", &format!("{vhost_href}/channels/{name}")),
            link("vhost", &vhost_href),
        ],
    };
    let channels = channels.iter().map(entry).collect();
    Ok(Json(ChannelList { channels }))
}

/// Closes all channels of a vhost
///
/// As `DELETE /{vhost}/channels/{channel}` for each.
#[utoipa::path(
    delete, path = "/{vhost}/channels", tag = "channels", params(OfVhost),
    responses(
        (status = 202, description = "They are closed"),
        (status = 404, description = "No such vhost", body = Refusal),
        Everywhere
    )
)]
pub(super) async fn clear_channels(
    State(handle): State<Handle>,
    names: Names,
) -> Result<StatusCode, Error> {
    handle.clear_channels(names.vhost()?).await?;
    Ok(StatusCode::ACCEPTED)
}

/// Opens a channel
///
/// Browsers can subscribe to it once this is answered.
#[utoipa::path(
    post, path = "/{vhost}/channels/{channel}", tag = "channels", params(OfVhost, OfChannel),
    responses(
        (status = 302, description = "Opened", headers(("Location" = String, description = "The channel"))),
        (status = 400, description = "It exists, or no channel can have this name", body = Refusal),
        (status = 404, description = "No such vhost", body = Refusal),
        Everywhere
    )
)]
pub(super) async fn open_channel(
    State(handle): State<Handle>,
    names: Names,
) -> Result<Response, Error> {
    let vhost = names.vhost()?;
    let Ok(channel) = names.new_channel() else {
        // A missing vhost is told before a wrong name.
        handle.vhost(vhost).await?;
        return Err(Error::InvalidChannelName);
    };
    let location = format!("{}/channels/{channel}", href(&vhost));
    handle.open_channel(vhost, channel).await?;
    Ok(found(location))
}

/// Shows a channel
#[utoipa::path(
    get, path = "/{vhost}/channels/{channel}", tag = "channels", params(OfVhost, OfChannel),
    responses(
        (status = 200, description = "The channel", body = ChannelAnswer),
        (status = 404, description = "No such vhost or channel", body = Refusal),
        Everywhere
    )
)]
pub(super) async fn show_channel(
    State(handle): State<Handle>,
    names: Names,
) -> Result<Json<ChannelAnswer>, Error> {
    let (vhost, channel) = open(&handle, &names).await?;
    let vhost_href = href(&vhost);
    let size = handle.subscribers(vhost, channel.clone()).await?;
    let href = format!("{vhost_href}/channels/{channel}");
    Ok(Json(ChannelAnswer {
        channel: Channel {
            name: channel.to_string(),
            subscribers: Size {
                size: u64::from(size),
            },
            links: vec![
                link("self", &href),
                link("vhost", &vhost_href),
                link("subscribers", &format!("{href}/subscribers")),
            ],
        },
    }))
}

/// Closes a channel
///
/// Its subscribers get `:unsubscribed` and stay connected.
#[utoipa::path(
    delete, path = "/{vhost}/channels/{channel}", tag = "channels", params(OfVhost, OfChannel),
    responses(
        (status = 202, description = "It is closed"),
        (status = 404, description = "No such vhost or channel", body = Refusal),
        Everywhere
    )
)]
pub(super) async fn close_channel(
    State(handle): State<Handle>,
    names: Names,
) -> Result<StatusCode, Error> {
    let (vhost, channel) = open(&handle, &names).await?;
    handle.close_channel(vhost, channel).await?;
    Ok(StatusCode::ACCEPTED)
}

/// Lists a channel's subscribers
///
/// Hidden ones too. Without `limit` up to 10,000 are listed.
#[utoipa::path(
    get, path = "/{vhost}/channels/{channel}/subscribers", tag = "channels",
    params(OfVhost, OfChannel, Limit),
    responses(
        (status = 200, description = "The subscribers", body = SubscriberList),
        (status = 400, description = "No such limit", body = Refusal),
        (status = 404, description = "No such vhost or channel", body = Refusal),
        Everywhere
    )
)]
pub(super) async fn list_subscribers(
    State(handle): State<Handle>,
    names: Names,
    limit: Limit,
) -> Result<Json<SubscriberList>, Error> {
    let (vhost, channel) = open(&handle, &names).await?;
    let vhost_href = href(&vhost);
    let limit = limit.or(ADMIN_LIST_MAX);
    let subscribers = handle.list_subscribers(vhost, channel, limit).await?;
    let entry = |subscriber: Subscriber| SubscriberEntry {
        sid: subscriber.sid.to_string(),
        uid: subscriber.uid,
        hidden: subscriber.hidden,
        data: subscriber
            .record
            .and_then(|record| RawValue::from_string(record).ok()),
        links: vec![link(
            "session",
            &format!("{vhost_href}/sessions/{}", subscriber.sid),
        )],
    };
    let subscribers = subscribers.into_iter().map(entry).collect();
    Ok(Json(SubscriberList { subscribers }))
}

/// The names of a vhost and of a channel that may be open; of two that are
/// missing the vhost is told first.
pub(super) async fn open(
    handle: &Handle,
    names: &Names,
) -> Result<(VhostPath, ChannelName), Error> {
    let vhost = names.vhost()?;
    let Ok(channel) = names.channel() else {
        handle.vhost(vhost).await?;
        return Err(Error::ChannelNotFound);
    };
    Ok((vhost, channel))
}
