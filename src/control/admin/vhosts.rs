use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;

use super::answers::{
    Everywhere, Refusal, Size, Vhost, VhostAnswer, VhostEntry, VhostList, VhostStats,
    VhostStatsAnswer, Worker, WorkerList, link,
};
use super::found;
use super::names::{Names, OfVhost, href};
use crate::control::handle::VhostInfo;
use crate::control::{Error, Handle};
use crate::model::WorkerId;

/// Lists all vhosts
#[utoipa::path(
    get, path = "/", tag = "vhosts",
    responses((status = 200, description = "The vhosts", body = VhostList), Everywhere)
)]
pub(super) async fn list_vhosts(State(handle): State<Handle>) -> Result<Json<VhostList>, Error> {
    let vhosts = handle.vhosts().await?;
    let entry = |vhost: &VhostInfo| VhostEntry {
        path: vhost.path.to_string(),
        access_token: vhost.token.to_string(),
        links: vec![link("self", &href(&vhost.path))],
    };
    let vhosts = vhosts.iter().map(entry).collect();
    Ok(Json(VhostList { vhosts }))
}

/// Deletes all vhosts
///
/// As `DELETE /{vhost}` for each.
#[utoipa::path(
    delete, path = "/", tag = "vhosts",
    responses((status = 202, description = "They are gone"), Everywhere)
)]
pub(super) async fn clear_vhosts(State(handle): State<Handle>) -> Result<StatusCode, Error> {
    handle.clear_vhosts().await?;
    Ok(StatusCode::ACCEPTED)
}

/// Creates a vhost
///
/// It gets a new access token and can be used once this is answered.
#[utoipa::path(
    post, path = "/{vhost}", tag = "vhosts", params(OfVhost),
    responses(
        (status = 302, description = "Created", headers(("Location" = String, description = "The vhost"))),
        (status = 400, description = "It exists, or no vhost can have this path", body = Refusal),
        Everywhere
    )
)]
pub(super) async fn create_vhost(
    State(handle): State<Handle>,
    names: Names,
) -> Result<Response, Error> {
    let vhost = handle.create_vhost(names.new_vhost()?).await?;
    Ok(found(href(&vhost.path)))
}

/// Shows a vhost
#[utoipa::path(
    get, path = "/{vhost}", tag = "vhosts", params(OfVhost),
    responses(
        (status = 200, description = "The vhost", body = VhostAnswer),
        (status = 404, description = "No such vhost", body = Refusal),
        Everywhere
    )
)]
pub(super) async fn show_vhost(
    State(handle): State<Handle>,
    names: Names,
) -> Result<Json<VhostAnswer>, Error> {
    let vhost = handle.vhost(names.vhost()?).await?;
    let href = href(&vhost.path);
    Ok(Json(VhostAnswer {
        vhost: Vhost {
            path: vhost.path.to_string(),
            access_token: vhost.token.to_string(),
            channels: Size {
                size: vhost.channels as u64,
            },
            links: vec![
                link("channels", &format!("{href}/channels")),
                link("self", &href),
            ],
        },
    }))
}

/// Deletes a vhost
///
/// Its channels and tokens are forgotten, its connections closed.
#[utoipa::path(
    delete, path = "/{vhost}", tag = "vhosts", params(OfVhost),
    responses(
        (status = 202, description = "It is gone"),
        (status = 404, description = "No such vhost", body = Refusal),
        Everywhere
    )
)]
pub(super) async fn delete_vhost(
    State(handle): State<Handle>,
    names: Names,
) -> Result<StatusCode, Error> {
    handle.delete_vhost(names.vhost()?).await?;
    Ok(StatusCode::ACCEPTED)
}

/// Replaces a vhost's access token
///
/// Backends that are connected stay; the next ones need the new token.
#[utoipa::path(
    put, path = "/{vhost}/token", tag = "vhosts", params(OfVhost),
    responses(
        (status = 302, description = "Replaced", headers(("Location" = String, description = "The vhost"))),
        (status = 404, description = "No such vhost", body = Refusal),
        Everywhere
    )
)]
pub(super) async fn regenerate_vhost_token(
    State(handle): State<Handle>,
    names: Names,
) -> Result<Response, Error> {
    let vhost = names.vhost()?;
    let location = href(&vhost);
    handle.replace_token(vhost).await?;
    Ok(found(location))
}

/// Shows a vhost's numbers
#[utoipa::path(
    get, path = "/{vhost}/stats", tag = "vhosts", params(OfVhost),
    responses(
        (status = 200, description = "What it has, and what it has done", body = VhostStatsAnswer),
        (status = 404, description = "No such vhost", body = Refusal),
        Everywhere
    )
)]
pub(super) async fn show_vhost_stats(
    State(handle): State<Handle>,
    names: Names,
) -> Result<Json<VhostStatsAnswer>, Error> {
    let vhost = names.vhost()?;
    let counts = handle.vhost_counts(vhost.clone()).await?;
    let traffic = counts.traffic;
    Ok(Json(VhostStatsAnswer {
        stats: VhostStats {
            path: vhost.to_string(),
            sessions: counts.sessions,
            subscriptions: counts.subscriptions,
            channels: counts.channels,
            workers: counts.workers,
            unused_tokens: counts.unused_tokens,
            broadcasts: traffic.map(|it| it.broadcasts),
            deliveries: traffic.map(|it| it.deliveries),
            triggers: traffic.map(|it| it.triggers),
        },
    }))
}

/// Lists a vhost's ready workers
#[utoipa::path(
    get, path = "/{vhost}/workers", tag = "vhosts", params(OfVhost),
    responses(
        (status = 200, description = "The workers", body = WorkerList),
        (status = 404, description = "No such vhost", body = Refusal),
        Everywhere
    )
)]
pub(super) async fn list_workers(
    State(handle): State<Handle>,
    names: Names,
) -> Result<Json<WorkerList>, Error> {
    let vhost = names.vhost()?;
    let vhost_href = href(&vhost);
    let workers = handle.workers(vhost).await?;
    let entry = |id: &WorkerId| Worker {
        id: id.as_str().to_owned(),
        links: vec![
            link("self", &format!("{vhost_href}/workers/{}", id.as_str())),
            link("vhost", &vhost_href),
        ],
    };
    let workers = workers.iter().map(entry).collect();
    Ok(Json(WorkerList { workers }))
}
