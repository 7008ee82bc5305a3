use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::LOCATION;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post, put};
use axum::{Json, Router};
use serde_json::{Value, json};

use super::names::{Names, href};
use super::refusal;
use crate::control::handle::VhostInfo;
use crate::control::{Error, Handle};
use crate::model::{ChannelName, WorkerId};

/// Every route; `HEAD` acts as `GET` without a body ([AD-26]).
pub(super) fn router(handle: Handle) -> Router {
    Router::new()
        .route("/", get(list_vhosts).delete(clear_vhosts))
        .route(
            "/{vhost}",
            post(create_vhost).get(show_vhost).delete(delete_vhost),
        )
        .route("/{vhost}/token", put(replace_token))
        .route(
            "/{vhost}/channels",
            get(list_channels).delete(clear_channels),
        )
        .route(
            "/{vhost}/channels/{channel}",
            post(open_channel).get(show_channel).delete(close_channel),
        )
        .route("/{vhost}/workers", get(list_workers))
        // [AD-27..29]: nothing falls through to `/`.
        .fallback(async || refusal(StatusCode::NOT_FOUND, "no such resource"))
        .method_not_allowed_fallback(async || {
            refusal(StatusCode::METHOD_NOT_ALLOWED, "method not allowed")
        })
        .with_state(handle)
}

async fn list_vhosts(State(handle): State<Handle>) -> Result<Json<Value>, Error> {
    let vhosts = handle.vhosts().await?;
    let entry = |vhost: &VhostInfo| {
        json!({
            "path": vhost.path.as_str(),
            "accessToken": vhost.token.to_string(),
            "links": [link("self", &href(&vhost.path))],
        })
    };
    let vhosts: Vec<_> = vhosts.iter().map(entry).collect();
    Ok(Json(json!({ "vhosts": vhosts })))
}

async fn clear_vhosts(State(handle): State<Handle>) -> Result<StatusCode, Error> {
    handle.clear_vhosts().await?;
    Ok(StatusCode::ACCEPTED)
}

async fn create_vhost(State(handle): State<Handle>, names: Names) -> Result<Response, Error> {
    let vhost = handle.create_vhost(names.new_vhost()?).await?;
    Ok(found(href(&vhost.path)))
}

async fn show_vhost(State(handle): State<Handle>, names: Names) -> Result<Json<Value>, Error> {
    let vhost = handle.vhost(names.vhost()?).await?;
    let href = href(&vhost.path);
    Ok(Json(json!({
        "vhost": {
            "path": vhost.path.as_str(),
            "accessToken": vhost.token.to_string(),
            "channels": { "size": vhost.channels },
            "links": [link("channels", &format!("{href}/channels")), link("self", &href)],
        }
    })))
}

async fn delete_vhost(State(handle): State<Handle>, names: Names) -> Result<StatusCode, Error> {
    handle.delete_vhost(names.vhost()?).await?;
    Ok(StatusCode::ACCEPTED)
}

async fn replace_token(State(handle): State<Handle>, names: Names) -> Result<Response, Error> {
    let vhost = names.vhost()?;
    let location = href(&vhost);
    handle.replace_token(vhost).await?;
    Ok(found(location))
}

async fn list_channels(State(handle): State<Handle>, names: Names) -> Result<Json<Value>, Error> {
    let vhost = names.vhost()?;
    let vhost_href = href(&vhost);
    let channels = handle.channels(vhost).await?;
    let entry = |name: &ChannelName| {
        json!({
            "name": name.as_str(),
            "links": [
                link("self", &format!("{vhost_href}/channels/{name}")),
                link("vhost", &vhost_href),
            ],
        })
    };
    let channels: Vec<_> = channels.iter().map(entry).collect();
    Ok(Json(json!({ "channels": channels })))
}

async fn clear_channels(State(handle): State<Handle>, names: Names) -> Result<StatusCode, Error> {
    handle.clear_channels(names.vhost()?).await?;
    Ok(StatusCode::ACCEPTED)
}

async fn open_channel(State(handle): State<Handle>, names: Names) -> Result<Response, Error> {
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

async fn show_channel(State(handle): State<Handle>, names: Names) -> Result<Json<Value>, Error> {
    let vhost = names.vhost()?;
    let vhost_href = href(&vhost);
    let Ok(channel) = names.channel() else {
        handle.vhost(vhost).await?;
        return Err(Error::ChannelNotFound);
    };
    let size = handle.subscribers(vhost, channel.clone()).await?;
    let href = format!("{vhost_href}/channels/{channel}");
    Ok(Json(json!({
        "channel": {
            "name": channel.as_str(),
            "subscribers": { "size": size },
            "links": [
                link("self", &href),
                link("vhost", &vhost_href),
                link("subscribers", &format!("{href}/subscribers")),
            ],
        }
    })))
}

async fn close_channel(State(handle): State<Handle>, names: Names) -> Result<StatusCode, Error> {
    let vhost = names.vhost()?;
    let Ok(channel) = names.channel() else {
        handle.vhost(vhost).await?;
        return Err(Error::ChannelNotFound);
    };
    handle.close_channel(vhost, channel).await?;
    Ok(StatusCode::ACCEPTED)
}

async fn list_workers(State(handle): State<Handle>, names: Names) -> Result<Json<Value>, Error> {
    let vhost = names.vhost()?;
    let vhost_href = href(&vhost);
    let workers = handle.workers(vhost).await?;
    let entry = |id: &WorkerId| {
        json!({
            "id": id.as_str(),
            "links": [
                link("self", &format!("{vhost_href}/workers/{}", id.as_str())),
                link("vhost", &vhost_href),
            ],
        })
    };
    let workers: Vec<_> = workers.iter().map(entry).collect();
    Ok(Json(json!({ "workers": workers })))
}

fn link(rel: &str, href: &str) -> Value {
    json!({ "rel": rel, "href": href })
}

/// 302 without a body.
fn found(location: String) -> Response {
    (StatusCode::FOUND, [(LOCATION, location)]).into_response()
}
