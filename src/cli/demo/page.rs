//! The page, and the endpoint that vouches for its users.

use std::net::SocketAddr;

use axum::Json;
use axum::Router;
use axum::extract::{self, Query};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use kosmonaut::Client;
use serde::Deserialize;
use serde_json::json;

/// What the page's handlers need.
#[derive(Clone)]
pub(super) struct State {
    pub(super) client: Client,
    pub(super) websocket: SocketAddr,
}

/// Everything is in the page; it connects to the broker and to its own origin.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; \
img-src data:; connect-src 'self' ws: wss:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// Characters of a name, as the page's input has them.
const NAME_CHARS_MAX: usize = 24;

/// Serves until aborted.
pub(super) async fn serve(listener: tokio::net::TcpListener, state: State) {
    let router = Router::new()
        .route("/", get(page))
        .route("/config.json", get(config))
        .route("/auth.json", get(authenticate))
        .with_state(state);
    if let Err(error) = axum::serve(listener, router).await {
        tracing::error!(%error, "the page is gone");
    }
}

async fn page() -> impl IntoResponse {
    let headers = [
        (header::CONTENT_TYPE, "text/html; charset=utf-8"),
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::CACHE_CONTROL, "no-store"),
    ];
    (headers, include_str!("page.html"))
}

async fn config(extract::State(state): extract::State<State>) -> Response {
    Json(json!({ "port": state.websocket.port(), "vhost": super::VHOST })).into_response()
}

#[derive(Deserialize)]
struct Who {
    name: String,
}

/// A real application would look at its session here; the demo believes every name.
async fn authenticate(
    extract::State(state): extract::State<State>,
    Query(Who { name }): Query<Who>,
) -> Response {
    let name = name.trim();
    if name.is_empty() || name.chars().count() > NAME_CHARS_MAX || name.contains('\n') {
        return StatusCode::BAD_REQUEST.into_response();
    }
    match state
        .client
        .request_single_access_token(name, super::ROOM)
        .await
    {
        Ok(token) => Json(json!({ "token": token.as_str() })).into_response(),
        Err(error) => {
            tracing::warn!(%error, "no single access token");
            StatusCode::BAD_GATEWAY.into_response()
        }
    }
}
