use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use axum::extract::{ConnectInfo, Request, State};
use axum::middleware::Next;
use axum::response::Response;

use crate::limits::{ACCESS_PATH_BYTES_MAX, ADMIN_ACCESS_LINES_PER_SECOND_MAX};
use crate::meter::LineLimit;

/// Keeps failed requests from filling the log.
pub(super) struct Access {
    begun: Instant,
    lines: Mutex<LineLimit>,
}

impl Access {
    pub(super) fn new() -> Self {
        Self {
            begun: Instant::now(),
            lines: Mutex::new(LineLimit::new(ADMIN_ACCESS_LINES_PER_SECOND_MAX)),
        }
    }

    /// Whether one more line may be written, and how many were left out in an
    /// earlier second: nobody wakes up to tell of them before.
    fn take(&self) -> (bool, Option<u64>) {
        let now_ms = self.begun.elapsed().as_millis() as u64;
        let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        let untold = lines.take_untold(now_ms);
        (lines.try_line(now_ms), untold)
    }
}

/// Logs one line for each request that was refused or failed.
pub(super) async fn note_failed(
    State(access): State<Arc<Access>>,
    request: Request,
    next: Next,
) -> Response {
    let peer = request.extensions().get::<ConnectInfo<SocketAddr>>();
    let peer = peer.map(|ConnectInfo(peer)| *peer);
    let (method, uri) = (request.method().clone(), request.uri().clone());
    let response = next.run(request).await;
    let status = response.status();
    if status.is_client_error() || status.is_server_error() {
        let (may_tell, untold) = access.take();
        if let Some(untold) = untold {
            tracing::warn!(target: "access", untold, "more admin requests failed");
        }
        if may_tell {
            let peer = peer.map_or_else(|| "-".into(), |peer| peer.to_string());
            // A path is ASCII, whatever the peer sent.
            let path = uri.path();
            let path = path.get(..ACCESS_PATH_BYTES_MAX).unwrap_or(path);
            let status = status.as_u16();
            tracing::warn!(target: "access", peer, %method, path, status, "admin request failed");
        }
    }
    response
}
