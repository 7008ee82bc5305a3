//! One pinned executor with all its state: completions, envelopes and timers
//! go to sessions and hub, and come out as bytes in outboxes and envelopes in
//! rings. One task per shard, none per connection.

#![forbid(unsafe_code)]

mod backend;
mod close;
mod connection;
mod departure;
mod frontend;
mod io;
mod pump;
mod refusal;
mod timers;

use std::net::TcpListener;
use std::sync::{Arc, mpsc};

use glommio::{LocalExecutorBuilder, Placement};

use crate::limits::EXECUTOR_IO_MEMORY_BYTES;
use crate::mesh::ShardPort;
use crate::meter::{Clock, Occupancy, ShardMeter};
use crate::model::Quotas;
use pump::Pump;

/// Tags of the listeners.
pub(crate) const FRONTEND: u8 = 0;
pub(crate) const BACKEND: u8 = 1;

/// What a shard is started with.
pub struct Seat {
    /// Its rings.
    pub port: ShardPort,
    /// Where browsers connect.
    pub frontends: TcpListener,
    /// Where backends connect.
    pub backends: TcpListener,
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
}

/// Why a shard did not start, or ended before its time. Nobody recovers: the node stops.
#[derive(Debug, thiserror::Error)]
pub enum ShardError {
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
    thread: glommio::ExecutorJoinHandle<Result<(), ShardError>>,
}

impl Shard {
    /// Starts a shard on a thread of its own. `ready` is told once it runs, or
    /// why it can't; it takes connections after [`Delivery::Serve`](crate::hub::envelope::Delivery).
    ///
    /// # Errors
    /// [`ShardError::Executor`] where the thread or its executor can't be had.
    pub fn start(
        seat: Seat,
        ready: mpsc::Sender<Result<(), ShardError>>,
    ) -> Result<Self, ShardError> {
        let shard = seat.port.id();
        let placement = seat.core.map_or(Placement::Unbound, Placement::Fixed);
        let thread = LocalExecutorBuilder::new(placement)
            .name(&format!("shard-{shard}"))
            .io_memory(EXECUTOR_IO_MEMORY_BYTES)
            .ring_depth(8)
            .spawn(move || async move {
                // The pump never awaits: it waits in its own ring, so that
                // glommio's reactor, idle in this thread, is never in its way
                // (docs/decisions/0001).
                match Pump::new(seat) {
                    Ok(pump) => {
                        let _ = ready.send(Ok(()));
                        pump.run()
                    }
                    Err(error) => {
                        let _ = ready.send(Err(error));
                        Ok(())
                    }
                }
            })
            .map_err(|error| ShardError::Executor {
                shard,
                reason: error.to_string(),
            })?;
        Ok(Self { id: shard, thread })
    }

    /// Waits until every shard has drained.
    ///
    /// # Errors
    /// Why it ended before its time.
    pub fn join(self) -> Result<(), ShardError> {
        match self.thread.join() {
            Ok(result) => result,
            Err(error) => Err(ShardError::Executor {
                shard: self.id,
                reason: error.to_string(),
            }),
        }
    }
}
