use std::net::TcpListener;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use tokio::runtime::Builder;
use tokio::sync::oneshot;

use super::StartError;
use crate::control::{self, Control, Cookie, Handle, MemoryStore, Observer};
use crate::limits::LINGER_TIMEOUT;
use crate::mesh::ControlPort;

/// Control's thread with its runtime: the registry and the admin endpoint.
pub(super) struct ControlThread {
    thread: JoinHandle<bool>,
    handle: Handle,
    stop: oneshot::Sender<Duration>,
}

impl ControlThread {
    pub(super) fn start(
        port: ControlPort,
        admin: TcpListener,
        cookie: Cookie,
        observe: impl FnOnce(Handle) -> Observer,
    ) -> Result<Self, StartError> {
        admin.set_nonblocking(true).map_err(StartError::Thread)?;
        let runtime = Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(StartError::Thread)?;
        let (control, handle) = runtime.block_on(Control::load(port, MemoryStore::default()))?;
        let (stop, stopped) = oneshot::channel();
        let own = handle.clone();
        let observer = observe(handle.clone());
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
            let admin = tokio::spawn(control::serve_admin(
                listener,
                own.clone(),
                observer,
                cookie,
                async {
                    let _ = admin_closed.await;
                },
            ));
            // A node that was dropped instead of stopped drains as well.
            let timeout = stopped.await.unwrap_or(2 * LINGER_TIMEOUT);
            let drained = tokio::time::timeout(timeout, async {
                // Until then admin tells of the drain.
                own.drain().await.is_ok() && {
                    let _ = close_admin.send(());
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
    pub(super) fn stop(self, timeout: Duration) -> bool {
        let _ = self.stop.send(timeout);
        self.thread.join().unwrap_or(false)
    }
}
