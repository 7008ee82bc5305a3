use axum::Json;
use axum::extract::{Request, State};
use axum::http::Method;
use axum::http::header::CONTENT_TYPE;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use utoipa::OpenApi;
use utoipa_axum::router::OpenApiRouter;

use super::health::{self, HealthAnswer};
use super::{Observer, exposition};
use crate::control::Error;
use crate::control::admin::{Everywhere, Refusal, is_operators};
use crate::control::stats::Stats;

/// What is answered without a route, described beside what has one.
#[derive(OpenApi)]
#[openapi(paths(show_metrics, check_health, check_readiness))]
struct Open;

/// What needs the cookie, with the description of all. A vhost's path has no
/// dot, so this is none.
pub(in crate::control) fn routes(observer: Observer) -> OpenApiRouter {
    OpenApiRouter::with_openapi(Open::openapi())
        .routes(utoipa_axum::routes!(show_stats))
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
    if !reads || is_operators(request.headers()) {
        return next.run(request).await;
    }
    match request.uri().path() {
        "/metrics" => show_metrics(&observer).await.into_response(),
        "/healthz" => check_health(&observer).await,
        "/readyz" => check_readiness(&observer).await,
        _ => next.run(request).await,
    }
}

/// Shows the metrics
///
/// In the text format of Prometheus. Needs no cookie; with one, this is the vhost
/// of this path.
#[utoipa::path(
    get, path = "/metrics", tag = "node", security(()),
    responses(
        (status = 200, description = "All metrics", body = String, content_type = "text/plain"),
        (status = 503, description = "Control does not answer in time", body = Refusal)
    )
)]
async fn show_metrics(observer: &Observer) -> Result<Response, Error> {
    let look = observer.look().await?;
    let kind = [(CONTENT_TYPE, exposition::CONTENT_TYPE)];
    Ok((kind, exposition::render(look)).into_response())
}

/// Tells whether the node makes progress
///
/// Control and every shard are asked. Needs no cookie; with one, this is the
/// vhost of this path.
#[utoipa::path(
    get, path = "/healthz", tag = "node", security(()),
    responses(
        (status = 200, description = "All answer", body = HealthAnswer),
        (status = 503, description = "One does not", body = HealthAnswer)
    )
)]
async fn check_health(observer: &Observer) -> Response {
    health::progress(observer).await.into_response()
}

/// Tells whether the node wants connections
///
/// Needs no cookie; with one, this is the vhost of this path.
#[utoipa::path(
    get, path = "/readyz", tag = "node", security(()),
    responses(
        (status = 200, description = "It does", body = HealthAnswer),
        (status = 503, description = "It starts, stops or does not answer", body = HealthAnswer)
    )
)]
async fn check_readiness(observer: &Observer) -> Response {
    health::readiness(observer).await.into_response()
}

/// Shows the node's numbers
///
/// What `webrocket monitor` reads.
#[utoipa::path(
    get, path = "/stats.json", tag = "node",
    responses((status = 200, description = "One look at the node", body = Stats), Everywhere)
)]
async fn show_stats(State(observer): State<Observer>) -> Result<Json<Stats>, Error> {
    let look = observer.look().await?;
    Ok(Json(look.into_stats(observer.top_channels().await)))
}
