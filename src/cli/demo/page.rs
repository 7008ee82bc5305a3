//! The page, and the endpoint that vouches for its users.

use std::net::SocketAddr;

use axum::Json;
use axum::Router;
use axum::extract::{self, Query};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use kosmonaut::Client;
use serde::Deserialize;
use serde_json::json;

use crate::control::host_of;

/// What the page's handlers need.
#[derive(Clone)]
pub(super) struct State {
    pub(super) client: Client,
    pub(super) websocket: SocketAddr,
}

/// Characters of a name, as the page's input has them.
const NAME_CHARS_MAX: usize = 24;

/// Serves until aborted.
pub(super) async fn serve(listener: tokio::net::TcpListener, state: State) {
    let router = Router::new()
        .route("/", get(page))
        .route("/demo.js", get(script))
        .route("/demo.css", get(style))
        .route("/webrocket/auth.json", get(authenticate))
        .with_state(state);
    if let Err(error) = axum::serve(listener, router).await {
        tracing::error!(%error, "the page is gone");
    }
}

/// The page loads two scripts, its own and the broker's, and connects to both.
async fn page(extract::State(state): extract::State<State>, headers: HeaderMap) -> Response {
    let asked = headers.get(header::HOST).and_then(|it| it.to_str().ok());
    let broker = format!("{}:{}", host_of(asked), state.websocket.port());
    let policy = format!(
        "default-src 'none'; style-src 'self'; script-src 'self' http://{broker}; img-src data:; \
         connect-src 'self' ws://{broker}; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    );
    let page = include_str!("page.html").replace("{broker}", &format!("http://{broker}"));
    let headers = [
        (header::CONTENT_TYPE, "text/html; charset=utf-8"),
        (header::CONTENT_SECURITY_POLICY, &policy),
        (header::CACHE_CONTROL, "no-store"),
    ];
    (headers, page).into_response()
}

async fn script() -> impl IntoResponse {
    asset("text/javascript; charset=utf-8", include_str!("page.js"))
}

async fn style() -> impl IntoResponse {
    asset("text/css; charset=utf-8", include_str!("page.css"))
}

fn asset(content_type: &'static str, text: &'static str) -> impl IntoResponse {
    let headers = [
        (header::CONTENT_TYPE, content_type),
        (header::CACHE_CONTROL, "no-store"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ];
    (headers, text)
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
        .request_single_access_token(name, super::MEMBERS)
        .await
    {
        Ok(token) => Json(json!({ "token": token.as_str() })).into_response(),
        Err(error) => {
            tracing::warn!(%error, "no single access token");
            StatusCode::BAD_GATEWAY.into_response()
        }
    }
}

#[cfg(test)]
mod tests {
    /// The page is also the shortest example of the API.
    const LINES_MAX: usize = 150;

    #[test]
    fn the_script_is_short() {
        let lines = include_str!("page.js").lines();
        let longest = lines.clone().map(str::len).max().unwrap_or_default();
        assert!(lines.count() < LINES_MAX);
        assert!(longest <= 130, "{longest} bytes in a line");
    }
}
