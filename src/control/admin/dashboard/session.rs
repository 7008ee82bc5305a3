use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::{HeaderName, SET_COOKIE};
use axum::response::AppendHeaders;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::control::admin::answers::Everywhere;
use crate::control::admin::gate::Guard;

/// Behind the gate: who shows the cookie may have a session, and who has one may
/// have another.
pub(in crate::control::admin) fn routes(guard: Arc<Guard>) -> OpenApiRouter {
    OpenApiRouter::new()
        .routes(routes!(begin_session, end_session))
        .with_state(guard)
}

type Answer = (StatusCode, AppendHeaders<[(HeaderName, String); 1]>);

/// Begins a session of a browser
///
/// For the dashboard: the browser shows the session instead of the cookie, along
/// with the header `X-WebRocket-Dashboard`, and no script can read it.
#[utoipa::path(
    post, path = "/session.json", tag = "about",
    responses(
        (status = 204, description = "Begun", headers(("Set-Cookie" = String, description = "The session"))),
        Everywhere
    )
)]
async fn begin_session(State(guard): State<Arc<Guard>>) -> Answer {
    let headers = AppendHeaders([(SET_COOKIE, guard.begin_session())]);
    (StatusCode::NO_CONTENT, headers)
}

/// Takes the session from the browser
#[utoipa::path(
    delete, path = "/session.json", tag = "about",
    responses((status = 204, description = "It is gone"), Everywhere)
)]
async fn end_session(State(guard): State<Arc<Guard>>) -> Answer {
    let headers = AppendHeaders([(SET_COOKIE, guard.end_session())]);
    (StatusCode::NO_CONTENT, headers)
}
