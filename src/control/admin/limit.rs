use axum::extract::{FromRequestParts, Query};
use axum::http::StatusCode;
use axum::http::request::Parts;
use axum::response::Response;
use serde::Deserialize;
use utoipa::IntoParams;

use super::refusal;
use crate::limits::ADMIN_LIST_MAX;

/// How much a list may hold.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct Limit {
    /// How many are listed at the most, up to 10,000.
    #[param(minimum = 1, maximum = 10_000, nullable = false)]
    limit: Option<usize>,
}

impl Limit {
    /// The limit, or this one where none was given.
    pub(super) fn or(&self, default: usize) -> usize {
        self.limit.unwrap_or(default)
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Limit {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Response> {
        let given = Query::<Self>::try_from_uri(&parts.uri).map(|Query(limit)| limit);
        given
            .ok()
            .filter(|it| it.limit.is_none_or(|n| (1..=ADMIN_LIST_MAX).contains(&n)))
            .ok_or_else(|| {
                let text = format!("limit is no number from 1 to {ADMIN_LIST_MAX}");
                refusal(StatusCode::BAD_REQUEST, &text)
            })
    }
}
