use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;

use super::answers::{
    Disconnected, Everywhere, Refusal, Session, SessionAnswer, SessionEntry, SessionList,
    Subscription, link,
};
use super::limit::Limit;
use super::names::{Names, OfSession, OfUser, OfVhost, href};
use crate::control::{Error, Handle, Whom};
use crate::hub::question::{SessionDetail, SessionInfo};
use crate::limits::ADMIN_LIST_DEFAULT;
use crate::model::{ChannelName, Sid, VhostPath};

/// Lists sessions of a vhost
///
/// Without `limit` up to 100 are listed; `GET /{vhost}/stats` tells how many there are.
#[utoipa::path(
    get, path = "/{vhost}/sessions", tag = "sessions", params(OfVhost, Limit),
    responses(
        (status = 200, description = "Sessions", body = SessionList),
        (status = 400, description = "No such limit", body = Refusal),
        (status = 404, description = "No such vhost", body = Refusal),
        Everywhere
    )
)]
pub(super) async fn list_sessions(
    State(handle): State<Handle>,
    names: Names,
    limit: Limit,
) -> Result<Json<SessionList>, Error> {
    let vhost = names.vhost()?;
    let vhost_href = href(&vhost);
    let sessions = handle.sessions(vhost, limit.or(ADMIN_LIST_DEFAULT)).await?;
    let entry = |session: SessionInfo| SessionEntry {
        sid: session.sid.to_string(),
        uid: session.uid,
        subscriptions: session.subscriptions,
        links: vec![
            link("self", &format!("{vhost_href}/sessions/{}", session.sid)),
            link("vhost", &vhost_href),
        ],
    };
    let sessions = sessions.into_iter().map(entry).collect();
    Ok(Json(SessionList { sessions }))
}

/// Shows a session with its channels
#[utoipa::path(
    get, path = "/{vhost}/sessions/{sid}", tag = "sessions", params(OfVhost, OfSession),
    responses(
        (status = 200, description = "The session", body = SessionAnswer),
        (status = 404, description = "No such vhost or session", body = Refusal),
        Everywhere
    )
)]
pub(super) async fn show_session(
    State(handle): State<Handle>,
    names: Names,
) -> Result<Json<SessionAnswer>, Error> {
    let (vhost, sid) = live(&handle, &names).await?;
    let vhost_href = href(&vhost);
    let SessionDetail { sid, uid, channels } = handle.session(vhost, sid).await?;
    let subscription = |(name, hidden): (ChannelName, bool)| Subscription {
        links: vec![link("channel", &format!("{vhost_href}/channels/{name}"))],
        name: name.to_string(),
        hidden,
    };
    Ok(Json(SessionAnswer {
        session: Session {
            sid: sid.to_string(),
            uid,
            channels: channels.into_iter().map(subscription).collect(),
            links: vec![
                link("self", &format!("{vhost_href}/sessions/{sid}")),
                link("vhost", &vhost_href),
            ],
        },
    }))
}

/// Disconnects a session
///
/// Its browser gets close code 1008 with the reason `disconnected by the
/// operator`. Nothing keeps it from connecting again.
#[utoipa::path(
    delete, path = "/{vhost}/sessions/{sid}", tag = "sessions", params(OfVhost, OfSession),
    responses(
        (status = 202, description = "It is on its way out", body = Disconnected),
        (status = 404, description = "No such vhost or session", body = Refusal),
        Everywhere
    )
)]
pub(super) async fn disconnect_session(
    State(handle): State<Handle>,
    names: Names,
) -> Result<(StatusCode, Json<Disconnected>), Error> {
    let (vhost, sid) = live(&handle, &names).await?;
    disconnect(&handle, vhost, Whom::Session(sid)).await
}

/// Disconnects all sessions of a user
///
/// As `DELETE /{vhost}/sessions/{sid}` for each session that is authenticated
/// with this identifier.
#[utoipa::path(
    delete, path = "/{vhost}/users/{uid}", tag = "sessions", params(OfVhost, OfUser),
    responses(
        (status = 202, description = "They are on their way out", body = Disconnected),
        (status = 404, description = "No such vhost, or the user has no session", body = Refusal),
        Everywhere
    )
)]
pub(super) async fn disconnect_user(
    State(handle): State<Handle>,
    names: Names,
) -> Result<(StatusCode, Json<Disconnected>), Error> {
    let vhost = names.vhost()?;
    disconnect(&handle, vhost, Whom::User(names.uid())).await
}

async fn disconnect(
    handle: &Handle,
    vhost: VhostPath,
    whom: Whom,
) -> Result<(StatusCode, Json<Disconnected>), Error> {
    let disconnected = handle.disconnect(vhost, whom).await?;
    Ok((StatusCode::ACCEPTED, Json(Disconnected { disconnected })))
}

/// The names of a vhost and of a session that may live; of two that are missing
/// the vhost is told first.
pub(super) async fn live(handle: &Handle, names: &Names) -> Result<(VhostPath, Sid), Error> {
    let vhost = names.vhost()?;
    let Ok(sid) = names.sid() else {
        handle.vhost(vhost).await?;
        return Err(Error::SessionNotFound);
    };
    Ok((vhost, sid))
}
