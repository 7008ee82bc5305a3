//! One pinned executor with all its state: completions, envelopes and timers
//! go to sessions and hub, and come out as bytes in outboxes and envelopes in
//! rings. One task per shard, none per connection.

#![forbid(unsafe_code)]

mod backend;
mod close;
mod connection;
mod departure;
mod frontend;
mod gathering;
mod io;
mod presented;
mod pump;
mod refusal;
mod slow;
mod timers;
mod tls;
mod unfinished;

use std::net::TcpListener;
use std::os::fd::{AsRawFd, RawFd};
use std::sync::{Arc, mpsc};
use std::thread::{self, JoinHandle};

use glommio::{LocalExecutor, LocalExecutorBuilder, Placement, PoolPlacement};

use crate::limits::EXECUTOR_IO_MEMORY_BYTES;
use crate::mesh::ShardPort;
use crate::meter::{Clock, Occupancy, ShardMeter};
use crate::model::Quotas;
use crate::sys;
use crate::tls::Acceptors;
use pump::Pump;

/// Tags of the listeners.
const FRONTEND: u8 = 0;
const BACKEND: u8 = 1;
const TLS_FRONTEND: u8 = 2;
const TLS_BACKEND: u8 = 3;

/// What a shard is started with. All that it will wake is there already: the
/// ports of a mesh are made together, and control's runtime before them.
pub struct Seat {
    /// Its rings.
    pub port: ShardPort,
    /// What it counts; control reads it.
    pub meter: Arc<ShardMeter>,
    /// What the node grants.
    pub quotas: Arc<Quotas>,
    /// Who is connected to any shard.
    pub occupancy: Arc<Occupancy>,
    /// The core to stay on; unpinned where there are more shards than cores.
    pub core: Option<usize>,
    /// The node's clock.
    pub clock: Clock,
    /// What its TLS listeners let connections in with.
    pub acceptors: Option<Arc<Acceptors>>,
}

/// What a shard listens on.
pub struct Listeners {
    /// Browsers.
    pub frontends: TcpListener,
    /// Kosmonaut.
    pub backends: TcpListener,
    /// Browsers over TLS; nobody is let in without [`Seat::acceptors`].
    pub tls_frontends: Option<TcpListener>,
    /// Kosmonaut over TLS, likewise.
    pub tls_backends: Option<TcpListener>,
}

impl Listeners {
    fn tagged(self) -> Vec<(TcpListener, u8)> {
        let more = [
            (self.tls_frontends, TLS_FRONTEND),
            (self.tls_backends, TLS_BACKEND),
        ];
        let more = more.into_iter().filter_map(|(it, tag)| Some((it?, tag)));
        let mut all = vec![(self.frontends, FRONTEND), (self.backends, BACKEND)];
        all.extend(more);
        all
    }
}

/// Why a shard did not start, or ended before its time. Nobody recovers: the node stops.
#[derive(Debug, thiserror::Error)]
pub enum ShardError {
    /// The thread, or its descriptor table, can't be had.
    #[error("shard {shard}: thread: {source}")]
    Thread {
        /// Which shard.
        shard: u16,
        /// What the kernel says.
        source: std::io::Error,
    },
    /// The thread has panicked.
    #[error("shard {shard}: panicked")]
    Panicked {
        /// Which shard.
        shard: u16,
    },
    /// The executor can't be had.
    #[error("shard {shard}: executor: {reason}")]
    Executor {
        /// Which shard.
        shard: u16,
        /// What glommio says.
        reason: String,
    },
    /// The ring can't be had, or is broken.
    #[error("shard {shard}: io_uring: {source}")]
    Ring {
        /// Which shard.
        shard: u16,
        /// What the kernel says.
        source: std::io::Error,
    },
}

/// A running shard.
pub struct Shard {
    id: u16,
    thread: JoinHandle<Result<(), ShardError>>,
}

impl Shard {
    /// Starts a shard on a thread and with a descriptor table of its own
    /// (docs/decisions/0012). `ready` is told once it runs, or why it can't; it takes
    /// connections after [`Delivery::Serve`](crate::hub::envelope::Delivery).
    ///
    /// # Errors
    /// [`ShardError::Thread`] where the thread can't be had.
    pub fn start(
        seat: Seat,
        listeners: Listeners,
        ready: mpsc::Sender<Result<(), ShardError>>,
    ) -> Result<Self, ShardError> {
        let shard = seat.port.id();
        let listeners = listeners.tagged();
        let numbers = listeners.iter().map(|(it, tag)| (it.as_raw_fd(), *tag));
        let numbers: Vec<_> = numbers.collect();
        let (taking, taken) = mpsc::channel();
        let thread = thread::Builder::new()
            .name(format!("shard-{shard}"))
            .spawn(move || match prepare(seat, &numbers, taking) {
                Ok((executor, pump)) => {
                    let _ = ready.send(Ok(()));
                    // The pump never awaits: it waits in its own ring, so that
                    // glommio's reactor, idle in this thread, is never in its
                    // way (docs/decisions/0001).
                    executor.run(async move { pump.run() })
                }
                Err(error) => {
                    let _ = ready.send(Err(error));
                    Ok(())
                }
            })
            .map_err(|source| ShardError::Thread { shard, source })?;
        // Only when the shard has its copies are these closed: from then on a
        // listener ends when the shard closes it.
        let _ = taken.recv();
        drop(listeners);
        Ok(Self { id: shard, thread })
    }

    /// Waits until every shard has drained.
    ///
    /// # Errors
    /// Why it ended before its time.
    pub fn join(self) -> Result<(), ShardError> {
        let panicked = |_| Err(ShardError::Panicked { shard: self.id });
        self.thread.join().unwrap_or_else(panicked)
    }
}

/// Makes everything that a shard opens, in the table that is its own alone.
/// `taking` is dropped as soon as it has the descriptors that it was given.
fn prepare(
    seat: Seat,
    numbers: &[(RawFd, u8)],
    taking: mpsc::Sender<()>,
) -> Result<(LocalExecutor, Pump), ShardError> {
    let shard = seat.port.id();
    let (numbers, tags): (Vec<RawFd>, Vec<u8>) = numbers.iter().copied().unzip();
    let owned = sys::unshare_descriptors(&numbers);
    drop(taking);
    let owned = owned.map_err(|source| ShardError::Thread { shard, source })?;
    seat.meter.thread_id.set(sys::thread_id().into());
    let placement = seat.core.map_or(Placement::Unbound, Placement::Fixed);
    let executor = LocalExecutorBuilder::new(placement)
        .io_memory(EXECUTOR_IO_MEMORY_BYTES)
        .ring_depth(8)
        // Nothing here blocks on files, and a second thread would share the
        // table: each call on a socket would count references to it.
        .blocking_thread_pool_placement(PoolPlacement::Custom(Vec::new()))
        .make()
        .map_err(|error| ShardError::Executor {
            shard,
            reason: error.to_string(),
        })?;
    let listeners = owned.into_iter().map(TcpListener::from).zip(tags).collect();
    Ok((executor, Pump::new(seat, listeners)?))
}
