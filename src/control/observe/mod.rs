//! What a node tells of itself: metrics, health, headroom, `GET /stats.json`.
//! Everything is read when somebody asks; nothing runs in between.

mod exposition;
mod headroom;
mod health;
mod looks;
mod page;
mod process;
mod routes;

#[cfg(test)]
mod tests;

pub(super) use routes::{answer_open, routes};

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use tokio::time::timeout;

use self::headroom::{Headroom, Load};
use self::process::Process;
use super::stats::ChannelStats;
use super::{Error, Handle};
use crate::limits::{PROGRESS_TIMEOUT, TOP_CHANNELS_MAX};
use crate::meter::{Clock, ShardMeter, StoreMeter, VhostMeters};
use crate::model::Quotas;

/// Reads all meters of a node. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Observer(Arc<Watched>);

#[derive(Debug)]
struct Watched {
    node: NodeFacts,
    clock: Clock,
    shards: Vec<Arc<ShardMeter>>,
    handle: Handle,
    load: Mutex<Load>,
    /// Resident bytes before the first connection.
    resident_at_start: u64,
}

/// What an observer has to know of its node.
#[derive(Clone, Debug)]
pub struct NodeFacts {
    /// Its name.
    pub name: String,
    /// Where browsers connect.
    pub websocket_addr: SocketAddr,
}

/// What control's registry tells of itself.
#[derive(Debug)]
pub(super) struct Overview {
    /// How many vhosts there are.
    pub(super) vhosts: usize,
    /// Those with meters of their own, by path.
    pub(super) own: Vec<VhostOverview>,
    /// All others.
    pub(super) other: VhostOverview,
    /// Unused single access tokens.
    pub(super) tokens: usize,
    /// Changes decided and not yet applied.
    pub(super) changes_waiting: usize,
    /// Whether every shard knows what the store held at the start.
    pub(super) is_restored: bool,
    /// What the node grants.
    pub(super) quotas: Arc<Quotas>,
    /// Whether shards were told to drain.
    pub(super) is_draining: bool,
}

/// One vhost, or all that share their meters.
#[derive(Debug)]
pub(super) struct VhostOverview {
    pub(super) path: String,
    pub(super) channels: usize,
    pub(super) workers: usize,
    pub(super) meters: VhostMeters,
}

/// A node at one moment.
#[derive(Debug)]
struct Look {
    node: String,
    uptime_us: u64,
    shards: Vec<Arc<ShardMeter>>,
    overview: Overview,
    store: Arc<StoreMeter>,
    process: Option<Process>,
    /// Descriptors open in each shard's table, where that can be seen.
    open: Vec<Option<u64>>,
    /// How far resident memory grew for each connection.
    connection_bytes: Option<u64>,
    headroom: Vec<Headroom>,
}

impl VhostOverview {
    pub(super) fn new(path: &str, meters: &VhostMeters) -> Self {
        Self {
            path: path.to_owned(),
            channels: 0,
            workers: 0,
            meters: meters.clone(),
        }
    }
}

impl Observer {
    /// An observer of the node at `handle`, whose shards count in `shards`.
    pub fn new(
        node: NodeFacts,
        clock: Clock,
        shards: Vec<Arc<ShardMeter>>,
        handle: Handle,
    ) -> Self {
        Self(Arc::new(Watched {
            node,
            clock,
            load: Mutex::new(Load::new(shards.len())),
            shards,
            handle,
            resident_at_start: Process::read().map_or(0, |process| process.resident_bytes),
        }))
    }

    /// Where browsers connect to the node.
    pub(super) fn websocket_addr(&self) -> SocketAddr {
        self.0.node.websocket_addr
    }

    /// Looks at everything.
    ///
    /// # Errors
    /// [`Error::NoAnswer`] and [`Error::Stopped`].
    async fn look(&self) -> Result<Look, Error> {
        let watched = &*self.0;
        let overview = timeout(PROGRESS_TIMEOUT, watched.handle.overview());
        let overview = overview.await.unwrap_or(Err(Error::NoAnswer))?;
        let process = Process::read();
        let threads = watched.shards.iter().map(|meter| meter.thread_id.value());
        let open: Vec<_> = threads.map(process::descriptors_of).collect();
        let uptime_us = watched.clock.now_us();
        Ok(Look {
            node: watched.node.name.clone(),
            uptime_us,
            connection_bytes: process
                .as_ref()
                .and_then(|process| headroom::connection_bytes(watched, process)),
            headroom: headroom::of(
                watched,
                &overview.quotas,
                process.as_ref(),
                &open,
                uptime_us,
            ),
            shards: watched.shards.clone(),
            overview,
            store: watched.handle.store_meter(),
            process,
            open,
        })
    }

    /// The busiest channels; none where a home shard gives no answer: what the
    /// others count is to be seen all the more.
    async fn top_channels(&self) -> Vec<ChannelStats> {
        let found = self.0.handle.top_channels(TOP_CHANNELS_MAX).await;
        found.unwrap_or_default()
    }
}
