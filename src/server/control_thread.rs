use std::net::TcpListener;
use std::sync::{Arc, mpsc};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use tokio::runtime::{Builder, Runtime};
use tokio::sync::oneshot;

use super::StartError;
use crate::control::{self, Control, Cookie, DiskStore, Handle, Observer};
use crate::limits::LINGER_TIMEOUT;
use crate::mesh::{self, ShardPort, Wakeups};
use crate::model::Quotas;

/// Control with what the store held, before its thread.
pub(super) struct LoadedControl {
    runtime: Runtime,
    control: Control<DiskStore>,
    handle: Handle,
}

/// Control's thread with its runtime: the registry and the admin endpoint.
pub(super) struct ControlThread {
    thread: JoinHandle<bool>,
    handle: Handle,
    stop: oneshot::Sender<Stop>,
}

/// What shards hold parts of and what is open in the process's table: their
/// wake-ups, and those of control's runtime. The last to drop a part closes it in
/// its own table, so this outlives every shard.
pub(super) struct Anchor {
    _wakeups: Wakeups,
    _runtime: tokio::runtime::Handle,
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

impl LoadedControl {
    /// Loads the registry; gives out the ports of the shards that it will lead.
    pub(super) fn load(
        shards: u16,
        store: DiskStore,
        quotas: Arc<Quotas>,
    ) -> Result<(Self, Vec<ShardPort>, Anchor), StartError> {
        // The runtime before the ports, and so before any shard: what wakes it is
        // an eventfd, and a shard's table holds those that were there before.
        let runtime = Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(StartError::Thread)?;
        let (ports, port) = mesh::build(shards).map_err(StartError::Thread)?;
        let anchor = Anchor {
            _wakeups: port.wakeups(),
            _runtime: runtime.handle().clone(),
        };
        let (mut control, handle) = runtime.block_on(Control::load(port, store))?;
        control.set_quotas(quotas);
        let loaded = Self {
            runtime,
            control,
            handle,
        };
        Ok((loaded, ports, anchor))
    }

    /// Starts the thread; returns when every shard knows what the store held
    /// and has been told to take connections.
    pub(super) fn start(
        self,
        admin: TcpListener,
        cookie: Cookie,
        observe: impl FnOnce(Handle) -> Observer,
    ) -> Result<ControlThread, StartError> {
        let Self {
            runtime,
            control,
            handle,
        } = self;
        admin.set_nonblocking(true).map_err(StartError::Thread)?;
        let admin = {
            let _in_runtime = runtime.enter();
            tokio::net::TcpListener::from_std(admin).map_err(StartError::Thread)?
        };
        let (stop, stopped) = oneshot::channel();
        let (serving, served) = mpsc::channel();
        let own = handle.clone();
        let observer = observe(handle.clone());
        let main = async move {
            let registry = tokio::spawn(control.run());
            let started = own.serve().await;
            let failed = started.is_err();
            let _ = serving.send(started);
            if failed {
                return false;
            }
            let (close_admin, admin_closed) = oneshot::channel::<()>();
            tokio::spawn(control::serve_admin(
                admin,
                own.clone(),
                observer,
                cookie,
                async {
                    let _ = admin_closed.await;
                },
            ));
            let stop = stopped.await.unwrap_or(DROPPED);
            // The last to be told needs its time to go, and the store its own.
            let room = stop.timeout.saturating_sub(LINGER_TIMEOUT) / 2;
            let window = stop.drain_window.min(room);
            let drained = tokio::time::timeout(stop.timeout, async {
                // Until then admin tells of the drain.
                own.drain(window).await.is_ok() && {
                    let _ = close_admin.send(());
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
        served
            .recv()
            .unwrap_or(Err(control::Error::Stopped))
            .map_err(StartError::Control)?;
        Ok(ControlThread {
            thread,
            handle,
            stop,
        })
    }
}

impl ControlThread {
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
