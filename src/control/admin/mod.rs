//! Admin REST (section 5 of the wire protocols).

mod access;
mod answers;
mod body;
mod channels;
mod dashboard;
mod events;
mod gate;
mod limit;
mod names;
mod openapi;
mod server;
mod sessions;
mod tokens;
mod vhosts;

#[cfg(test)]
mod tests;

pub use dashboard::{DASHBOARD, host_of};
pub use server::serve_admin;

use std::sync::Arc;

use axum::http::StatusCode;
use axum::http::header::LOCATION;
use axum::response::{IntoResponse, Response};
use axum::{Json, Router, middleware};

use self::access::Access;
use super::{Cookie, Error, Handle, Observer, observe};
pub(super) use answers::{Everywhere, Refusal};
pub(super) use gate::is_operators;

/// Every route; `HEAD` acts as `GET` without a body ([AD-26]).
fn router(handle: Handle, observer: Observer, cookie: Cookie) -> Router {
    let guard = Arc::new(gate::Guard::new(cookie));
    let (gated, open) = openapi::routes(handle, observer.clone(), Arc::clone(&guard));
    let gated = gated
        // [AD-27..29]: nothing falls through to `/`.
        .fallback(async || refusal(StatusCode::NOT_FOUND, "no such resource"))
        .method_not_allowed_fallback(wrong_method)
        // The gate is laid over the routes last, so that it also stands before
        // what has no route ([AD-01, AD-02]).
        .layer(middleware::from_fn_with_state(guard, gate::admit));
    let open = open
        .merge(dashboard::routes(observer.websocket_addr()))
        .method_not_allowed_fallback(wrong_method);
    gated
        .merge(open)
        .layer(middleware::from_fn_with_state(
            observer,
            observe::answer_open,
        ))
        .layer(middleware::from_fn_with_state(
            Arc::new(Access::new()),
            access::note_failed,
        ))
}

async fn wrong_method() -> Response {
    refusal(StatusCode::METHOD_NOT_ALLOWED, "method not allowed")
}

/// The one place that maps errors to their HTTP status.
fn status(error: &Error) -> StatusCode {
    match error {
        Error::InvalidPath
        | Error::VhostExists
        | Error::InvalidChannelName
        | Error::ChannelExists
        | Error::InvalidEventName
        | Error::InvalidEventData
        | Error::InvalidUid
        | Error::InvalidPermission => StatusCode::BAD_REQUEST,
        Error::VhostNotFound
        | Error::ChannelNotFound
        | Error::SessionNotFound
        | Error::UserNotFound => StatusCode::NOT_FOUND,
        Error::Full | Error::NotStored | Error::NoRandom | Error::NoAnswer | Error::Stopped => {
            StatusCode::SERVICE_UNAVAILABLE
        }
        Error::Store { .. }
        | Error::Damaged { .. }
        | Error::UnknownFormat { .. }
        | Error::StoreAhead(_)
        | Error::InvalidNodeName(_)
        | Error::Locked(_)
        | Error::MalformedCookie(_)
        | Error::Storage { .. } => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

impl IntoResponse for Error {
    fn into_response(self) -> Response {
        refusal(status(&self), &self.to_string())
    }
}

/// `{"error":"text"}`.
fn refusal(status: StatusCode, text: &str) -> Response {
    let error = text.to_owned();
    (status, Json(Refusal { error })).into_response()
}

/// 302 without a body.
fn found(location: String) -> Response {
    (StatusCode::FOUND, [(LOCATION, location)]).into_response()
}
