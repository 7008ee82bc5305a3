use axum::body::Bytes;
use axum::extract::{FromRequest, Request};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::de::DeserializeOwned;

use super::refusal;

/// A body as JSON, whatever the `Content-Type` says: nothing else can be meant.
/// One that is none is refused with this text and why.
pub(super) async fn read_json<T: DeserializeOwned, S: Send + Sync>(
    request: Request,
    state: &S,
    text: &str,
) -> Result<T, Response> {
    let body = Bytes::from_request(request, state)
        .await
        .map_err(IntoResponse::into_response)?;
    serde_json::from_slice(&body)
        .map_err(|error| refusal(StatusCode::BAD_REQUEST, &format!("{text}: {error}")))
}
