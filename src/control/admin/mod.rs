//! Admin REST (section 5 of the wire protocols).

mod gate;
mod names;
mod routes;

#[cfg(test)]
mod tests;

use std::future::Future;
use std::io;
use std::sync::Arc;

use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::{Json, Router, middleware};
use tokio::net::TcpListener;

use super::{Cookie, Error, Handle, Observer, observe};
pub(super) use gate::COOKIE;

/// Serves admin REST on `listener` until `shutdown` is done and the requests
/// begun before it are answered.
///
/// # Errors
/// None at present; failed accepts are tried again.
pub async fn serve_admin(
    listener: TcpListener,
    handle: Handle,
    observer: Observer,
    cookie: Cookie,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> io::Result<()> {
    axum::serve(listener, router(handle, observer, cookie))
        .with_graceful_shutdown(shutdown)
        .await
}

fn router(handle: Handle, observer: Observer, cookie: Cookie) -> Router {
    // The gate is laid over the routes last, so that it also stands before what
    // has no route ([AD-01, AD-02]).
    routes::router(handle)
        .merge(observe::router(observer.clone()))
        .layer(middleware::from_fn_with_state(
            Arc::new(cookie),
            gate::admit,
        ))
        .layer(middleware::from_fn_with_state(
            observer,
            observe::answer_open,
        ))
}

/// The one place that maps errors to their HTTP status.
fn status(error: &Error) -> StatusCode {
    match error {
        Error::InvalidPath
        | Error::VhostExists
        | Error::InvalidChannelName
        | Error::ChannelExists => StatusCode::BAD_REQUEST,
        Error::VhostNotFound | Error::ChannelNotFound => StatusCode::NOT_FOUND,
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
    (status, Json(serde_json::json!({ "error": text }))).into_response()
}
