use std::sync::Arc;

use axum::body::{self, Body};
use axum::extract::{Request, State};
use axum::http::header::{CONTENT_TYPE, HeaderValue};
use axum::http::{HeaderName, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use tokio::time::timeout;

use super::refusal;
use crate::control::Cookie;
use crate::limits::{ADMIN_BODY_BYTES_MAX, ADMIN_TIMEOUT};

pub(in crate::control) const COOKIE: HeaderName = HeaderName::from_static("x-webrocket-cookie");

/// Lets in who shows the cookie; all others get 403 without a body, whatever
/// they ask for ([AD-01, AD-02]). The cookie goes back with the answer ([AD-03]).
pub(super) async fn admit(
    State(cookie): State<Arc<Cookie>>,
    request: Request,
    next: Next,
) -> Response {
    let given = request.headers().get(COOKIE);
    let Some(given) = given.filter(|given| cookie.matches(given.as_bytes())) else {
        return StatusCode::FORBIDDEN.into_response();
    };
    let echo = given.clone();
    let mut response = timeout(ADMIN_TIMEOUT, serve(request, next))
        .await
        .unwrap_or_else(|_| refusal(StatusCode::SERVICE_UNAVAILABLE, "no answer in time"));
    let headers = response.headers_mut();
    headers.insert(COOKIE, echo);
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// A body may come on any route ([AD-32]), also where none is wanted; read here
/// it is bounded, and the connection can go on.
async fn serve(request: Request, next: Next) -> Response {
    let (head, body) = request.into_parts();
    let Ok(body) = body::to_bytes(body, ADMIN_BODY_BYTES_MAX).await else {
        return refusal(StatusCode::PAYLOAD_TOO_LARGE, "body too large");
    };
    next.run(Request::from_parts(head, Body::from(body))).await
}
