use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::extract::{ConnectInfo, Request, State};
use axum::middleware::Next;
use axum::response::Response;

use crate::limits::{ACCESS_PATH_BYTES_MAX, ADMIN_ACCESS_LINES_PER_SECOND_MAX};

/// Keeps failed requests from filling the log.
#[derive(Default)]
pub(super) struct Access(Mutex<Lines>);

/// The lines of one second.
#[derive(Default)]
struct Lines {
    since: Option<Instant>,
    written: u32,
    left_out: u64,
}

impl Lines {
    /// Whether one more line may be written; with it, how many were left out
    /// before it.
    fn take(&mut self, now: Instant) -> Option<u64> {
        let over = |since| now.duration_since(since) >= Duration::from_secs(1);
        if self.since.is_none_or(over) {
            self.since = Some(now);
            self.written = 0;
        }
        if self.written >= ADMIN_ACCESS_LINES_PER_SECOND_MAX {
            self.left_out += 1;
            return None;
        }
        self.written += 1;
        Some(std::mem::take(&mut self.left_out))
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
        let mut lines = access.0.lock().unwrap_or_else(PoisonError::into_inner);
        let left_out = lines.take(Instant::now());
        drop(lines);
        if let Some(left_out) = left_out {
            // A path is ASCII, whatever the peer sent.
            let path = uri.path();
            let path = path.get(..ACCESS_PATH_BYTES_MAX).unwrap_or(path);
            let status = status.as_u16();
            tracing::warn!(target: "access", peer = peer.map(tracing::field::display), %method, path, status, left_out, "admin request failed");
        }
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn so_many_lines_a_second_and_no_more() {
        let mut lines = Lines::default();
        let start = Instant::now();
        for _ in 0..ADMIN_ACCESS_LINES_PER_SECOND_MAX {
            assert_eq!(lines.take(start), Some(0));
        }
        let late = start + Duration::from_millis(999);
        assert_eq!((lines.take(start), lines.take(late)), (None, None));
        let next = start + Duration::from_secs(1);
        assert_eq!(lines.take(next), Some(2), "what was left out is told");
        assert_eq!(lines.take(next), Some(0));
    }
}
