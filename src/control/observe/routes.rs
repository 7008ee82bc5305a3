use axum::extract::{Request, State};
use axum::http::header::CONTENT_TYPE;
use axum::http::{Method, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use serde_json::json;

use super::{Observer, exposition, health};
use crate::control::Error;
use crate::control::admin::COOKIE;
use crate::control::stats::Stats;

/// What needs the cookie. A vhost's path has no dot, so this is none.
pub(in crate::control) fn router(observer: Observer) -> Router {
    let not_allowed = Json(json!({ "error": "method not allowed" }));
    Router::new()
        .route("/stats.json", get(stats))
        .method_not_allowed_fallback(async || (StatusCode::METHOD_NOT_ALLOWED, not_allowed))
        .with_state(observer)
}

/// What is open to everyone who reaches the admin address: scrapers and load
/// balancers have no cookie. A request with one is an operator's, for whom
/// `/metrics` may be a vhost, and goes on to the gate.
pub(in crate::control) async fn answer_open(
    State(observer): State<Observer>,
    request: Request,
    next: Next,
) -> Response {
    let reads = matches!(*request.method(), Method::GET | Method::HEAD);
    if !reads || request.headers().contains_key(COOKIE) {
        return next.run(request).await;
    }
    match request.uri().path() {
        "/metrics" => metrics(&observer).await.into_response(),
        "/healthz" => health::progress(&observer).await.into_response(),
        "/readyz" => health::readiness(&observer).await.into_response(),
        _ => next.run(request).await,
    }
}

async fn metrics(observer: &Observer) -> Result<Response, Error> {
    let look = observer.look().await?;
    let kind = [(CONTENT_TYPE, exposition::CONTENT_TYPE)];
    Ok((kind, exposition::render(look)).into_response())
}

async fn stats(State(observer): State<Observer>) -> Result<Json<Stats>, Error> {
    let look = observer.look().await?;
    Ok(Json(look.into_stats(observer.top_channels().await)))
}
