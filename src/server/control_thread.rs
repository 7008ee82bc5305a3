use std::net::TcpListener;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use tokio::runtime::Builder;
use tokio::sync::oneshot;

use super::StartError;
use crate::control::{self, Control, Cookie, Handle, MemoryStore};
use crate::limits::LINGER_TIMEOUT;
use crate::mesh::ControlPort;
use crate::model::Quotas;

/// Control's thread with its runtime: the registry and the admin endpoint.
pub(super) struct ControlThread {
    thread: JoinHandle<bool>,
    handle: Handle,
    stop: oneshot::Sender<Stop>,
}

/// How the node is to stop.
struct Stop {
    timeout: Duration,
    drain_window: Duration,
}

/// A node that was dropped instead of stopped drains as well.
const DROPPED: Stop = Stop {
    timeout: Duration::from_secs(2 * LINGER_TIMEOUT.as_secs()),
    drain_window: Duration::ZERO,
};

impl ControlThread {
    pub(super) fn start(
        port: ControlPort,
        admin: TcpListener,
        cookie: Cookie,
        quotas: Arc<Quotas>,
    ) -> Result<Self, StartError> {
        admin.set_nonblocking(true).map_err(StartError::Thread)?;
        let runtime = Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(StartError::Thread)?;
        let (mut control, handle) =
            runtime.block_on(Control::load(port, MemoryStore::default()))?;
        control.set_quotas(quotas);
        let (stop, stopped) = oneshot::channel();
        let own = handle.clone();
        let main = async move {
            let registry = tokio::spawn(control.run());
            let (close_admin, admin_closed) = oneshot::channel::<()>();
            let listener = match tokio::net::TcpListener::from_std(admin) {
                Ok(listener) => listener,
                Err(error) => {
                    tracing::error!(%error, "admin endpoint unusable");
                    return false;
                }
            };
            let admin = tokio::spawn(control::serve_admin(listener, own.clone(), cookie, async {
                let _ = admin_closed.await;
            }));
            let stop = stopped.await.unwrap_or(DROPPED);
            // The last to be told needs its time to go, and the store its own.
            let room = stop.timeout.saturating_sub(LINGER_TIMEOUT) / 2;
            let window = stop.drain_window.min(room);
            let _ = close_admin.send(());
            let drained = tokio::time::timeout(stop.timeout, async {
                own.drain(window).await.is_ok() && {
                    admin.abort();
                    // Ends when the shards have, and has given the store the rest.
                    registry.await.is_ok()
                }
            });
            drained.await.unwrap_or(false)
        };
        let thread = thread::Builder::new()
            .name("control".into())
            .spawn(move || runtime.block_on(main))
            .map_err(StartError::Thread)?;
        Ok(Self {
            thread,
            handle,
            stop,
        })
    }

    pub(super) fn handle(&self) -> Handle {
        self.handle.clone()
    }

    /// Drains; tells whether every shard has closed all its connections in time.
    pub(super) fn stop(self, timeout: Duration, drain_window: Duration) -> bool {
        let _ = self.stop.send(Stop {
            timeout,
            drain_window,
        });
        self.thread.join().unwrap_or(false)
    }
}
