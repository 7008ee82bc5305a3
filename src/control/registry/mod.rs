//! The registry's single writer, without sockets, clocks and runtime.
//!
//! The order of calls: `handle_*` takes what shards and admin want and what
//! shards have applied; then [`Registry::take_batch`] gives what the store is
//! to commit, answered with [`Registry::handle_commit`]; then
//! [`Registry::outboxes`] gives what each shard's ring is to take.
//!
//! Invariant: an acknowledged change is in the store and applied by every shard
//! it is for.

mod ask;
mod edit;
mod meters;
mod pipeline;
mod tokens;
mod vhost;

#[cfg(test)]
mod tests;

pub(super) use edit::Edit;
pub(super) use pipeline::Reply;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use rustc_hash::FxHashMap;

use self::meters::Meters;
use self::pipeline::{Audience, Pipeline, Refused, Undo};
use self::tokens::Tokens;
use self::vhost::{Channel, Vhost};
use super::Error;
use super::handle::VhostInfo;
use super::observe::{Overview, VhostOverview};
use super::store::{Record, Snapshot, StoredToken};
use crate::hub::envelope::{Change, Delivery};
use crate::hub::home_of_channel;
use crate::hub::question::Question;
use crate::limits::VHOSTS_MAX;
use crate::meter::VhostMeters;
use crate::model::{
    ChannelId, ChannelName, Quotas, ShardId, SingleAccessToken, VhostId, VhostPath, WorkerId,
};

/// Fills a buffer with random bytes; the system's in production, seeded in tests.
pub(super) type Random = Box<dyn FnMut(&mut [u8]) -> Result<(), getrandom::Error> + Send>;

/// What control knows: vhosts, access tokens, channels, unused single access
/// tokens, workers, and how far each change has come.
pub(super) struct Registry {
    shards: u16,
    random: Random,
    pipeline: Pipeline,
    /// Vhosts that admin and backends see.
    paths: BTreeMap<VhostPath, VhostId>,
    /// These, and the ones whose deletion is not yet durable.
    vhosts: FxHashMap<VhostId, Vhost>,
    tokens: Tokens,
    meters: Meters,
    /// The last change that the store's content needed.
    restored: u64,
    /// Whether shards were told to drain.
    draining: bool,
    /// Never handed out before.
    next_vhost: u32,
    next_channel: u64,
    /// [`VHOSTS_MAX`] outside of tests.
    vhosts_max: usize,
    pub(super) quotas: Arc<Quotas>,
}

/// A channel as shards know it.
#[derive(Debug)]
pub(super) struct Homed {
    pub(super) name: ChannelName,
    pub(super) id: ChannelId,
    pub(super) home: ShardId,
}

/// What control itself counts of a vhost.
#[derive(Debug)]
pub(super) struct Numbers {
    pub(super) vhost: VhostId,
    pub(super) channels: usize,
    pub(super) workers: usize,
    pub(super) tokens: usize,
    /// Its meters, where they are its own.
    pub(super) meters: Option<VhostMeters>,
}

impl Registry {
    pub(super) fn new(shards: u16, random: Random) -> Self {
        Self {
            shards,
            random,
            pipeline: Pipeline::new(shards),
            paths: BTreeMap::new(),
            vhosts: FxHashMap::default(),
            tokens: Tokens::new(shards),
            meters: Meters::new(shards),
            restored: 0,
            draining: false,
            next_vhost: 0,
            next_channel: 0,
            vhosts_max: VHOSTS_MAX,
            quotas: Arc::new(Quotas::default()),
        }
    }

    /// Takes in what the store holds and tells it to the shards.
    pub(super) fn restore(&mut self, snapshot: Snapshot, now_ms: u64) {
        self.next_vhost = snapshot.next_vhost;
        self.next_channel = snapshot.next_channel;
        for (id, stored) in snapshot.vhosts {
            let meters = self.meters.assign();
            self.restore_change(Change::VhostAdded {
                vhost: id,
                path: stored.path.clone(),
                token: stored.token,
                meters: meters.clone(),
            });
            let mut vhost = Vhost::new(stored.path, stored.token, meters);
            for (name, channel) in stored.channels {
                let opened = self.pipeline.next_version();
                let known = Channel {
                    id: channel,
                    opened,
                };
                vhost.channels.insert(name.clone(), known);
                self.restore_change(Change::ChannelOpened {
                    vhost: id,
                    channel,
                    name,
                });
            }
            self.paths.insert(vhost.path.clone(), id);
            self.vhosts.insert(id, vhost);
        }
        for (token, stored) in snapshot.tokens {
            if stored.expires_at_ms <= now_ms || !self.vhosts.contains_key(&stored.vhost) {
                self.pipeline.forget(stored.vhost, token, None);
            } else {
                self.push_token(token, stored, None);
            }
        }
        self.restored = self.pipeline.next_version() - 1;
    }

    fn restore_change(&mut self, change: Change) {
        self.pipeline
            .push(change, Audience::All, None, Undo::Nothing);
    }

    fn push_token(
        &mut self,
        token: SingleAccessToken,
        stored: StoredToken,
        record: Option<Record>,
    ) -> u64 {
        self.tokens
            .insert(token, stored.vhost, stored.expires_at_ms);
        let home = Audience::Home(self.tokens.home(&token));
        let change = Change::TokenIssued {
            vhost: stored.vhost,
            token: Box::new(token),
            grant: stored.grant,
            expires_at_ms: stored.expires_at_ms,
        };
        self.pipeline.push(change, home, record, Undo::Nothing)
    }

    /// Forgets what has expired by `now_ms`, counted from the Unix epoch.
    pub(super) fn handle_sweep(&mut self, now_ms: u64) {
        let pipeline = &mut self.pipeline;
        self.tokens
            .expire(now_ms, |vhost, token| pipeline.forget(vhost, token, None));
    }

    /// A shard has applied a change.
    pub(super) fn handle_applied(&mut self, shard: ShardId, version: u64) {
        self.pipeline.applied(shard, version);
    }

    /// What the store is to commit next; answered with [`Self::handle_commit`].
    /// One batch at a time.
    pub(super) fn take_batch(&mut self) -> Option<Vec<Record>> {
        self.pipeline.take_batch()
    }

    /// Whether a batch is with the store.
    pub(super) fn is_committing(&self) -> bool {
        self.pipeline.is_committing()
    }

    /// The batch is durable, or it is not and never happened.
    pub(super) fn handle_commit(&mut self, durable: bool) {
        if durable {
            let Self {
                pipeline,
                vhosts,
                tokens,
                meters,
                ..
            } = self;
            pipeline.committed(|vhost| {
                if let Some(known) = vhosts.remove(&vhost) {
                    meters.release(&known.meters);
                }
                tokens.remove_vhost(vhost);
            });
        } else {
            for refused in self.pipeline.refused() {
                self.take_back(refused);
            }
        }
    }

    /// Undoes one change; called for the newest first, so each finds what it left.
    fn take_back(&mut self, Refused { change, undo }: Refused) {
        match (change, undo) {
            (Change::VhostAdded { vhost, path, .. }, _) => {
                self.paths.remove(&path);
                if let Some(known) = self.vhosts.remove(&vhost) {
                    self.meters.release(&known.meters);
                }
            }
            (Change::VhostDeleted { vhost }, _) => self.revive(vhost),
            (Change::TokenReplaced { vhost, .. }, Undo::AccessToken(old)) => {
                if let Some(known) = self.vhosts.get_mut(&vhost) {
                    known.token = old;
                }
            }
            (Change::ChannelOpened { vhost, name, .. }, _) => {
                if let Some(known) = self.vhosts.get_mut(&vhost) {
                    known.channels.remove(&name);
                }
            }
            (
                Change::ChannelClosed {
                    vhost,
                    channel,
                    name,
                },
                Undo::Opened(opened),
            ) => {
                if let Some(known) = self.vhosts.get_mut(&vhost) {
                    let channel = Channel {
                        id: channel,
                        opened,
                    };
                    known.channels.insert(name, channel);
                }
            }
            (Change::TokenIssued { token, .. }, _) => {
                self.tokens.remove(&token);
            }
            // Workers are not durable; the others come with their undo.
            _ => {}
        }
    }

    fn revive(&mut self, vhost: VhostId) {
        let Some(known) = self.vhosts.get_mut(&vhost) else {
            return;
        };
        known.deleting = false;
        self.paths.insert(known.path.clone(), vhost);
        let came = std::mem::take(&mut known.workers.came_unsaid);
        for peer in std::mem::take(&mut known.workers.left_unsaid) {
            self.push_worker_left(vhost, peer, false);
        }
        for (id, peer) in came {
            self.handle_worker_ready(vhost, id, peer);
        }
    }

    /// What each shard's ring is to take, in order.
    pub(super) fn outboxes(&mut self) -> &mut [VecDeque<Delivery>] {
        self.pipeline.send();
        self.pipeline.outboxes()
    }

    /// Asks a shard.
    pub(super) fn query(
        &mut self,
        shard: ShardId,
        query: u64,
        question: Box<Question>,
    ) -> Result<(), Error> {
        let asked = self.pipeline.try_query(shard, query, question);
        asked.then_some(()).ok_or(Error::NoAnswer)
    }

    /// The vhost as shards know it.
    pub(super) fn vhost_id(&self, path: &VhostPath) -> Result<VhostId, Error> {
        self.at(path)
    }

    /// The paths of these vhosts; none for one that is gone.
    pub(super) fn paths_of(&self, vhosts: &[VhostId]) -> Vec<Option<VhostPath>> {
        let path = |&vhost| Some(self.live(vhost)?.path.clone());
        vhosts.iter().map(path).collect()
    }

    /// The channel as shards know it.
    pub(super) fn home(&self, path: &VhostPath, name: &ChannelName) -> Result<Homed, Error> {
        let vhost = self.at(path)?;
        let channel = self.channel_of(vhost, name).ok_or(Error::ChannelNotFound)?;
        Ok(self.homed(vhost, name, channel.id))
    }

    /// All channels of a vhost as shards know them, by name.
    pub(super) fn homes(&self, path: &VhostPath) -> Result<Vec<Homed>, Error> {
        let vhost = self.at(path)?;
        let known = self.live(vhost).ok_or(Error::VhostNotFound)?;
        let channels = known.channels.iter();
        let homed = |(name, channel): (&ChannelName, &Channel)| self.homed(vhost, name, channel.id);
        Ok(channels.map(homed).collect())
    }

    fn homed(&self, vhost: VhostId, name: &ChannelName, id: ChannelId) -> Homed {
        Homed {
            name: name.clone(),
            id,
            home: home_of_channel(vhost, name.as_str(), self.shards),
        }
    }

    /// What is known here of the vhost's numbers.
    pub(super) fn numbers(&self, path: &VhostPath) -> Result<Numbers, Error> {
        let vhost = self.at(path)?;
        let known = self.live(vhost).ok_or(Error::VhostNotFound)?;
        let is_shared = known.meters.is(self.meters.other());
        Ok(Numbers {
            vhost,
            channels: known.channels.len(),
            workers: known.workers.by_id.len(),
            tokens: self.tokens.count(vhost),
            meters: (!is_shared).then(|| known.meters.clone()),
        })
    }

    /// Asks a shard whether it makes progress.
    pub(super) fn probe(&mut self, shard: ShardId) {
        self.pipeline.probe(shard);
    }

    /// What metrics tell of the registry; its store is the caller's business.
    pub(super) fn overview(&self) -> Overview {
        let mut other = VhostOverview::new("other", self.meters.other());
        let mut own = Vec::new();
        let mut vhosts = 0;
        let live = |id| self.vhosts.get(id).filter(|known| !known.deleting);
        for known in self.paths.values().filter_map(live) {
            vhosts += 1;
            let counted = if known.meters.is(self.meters.other()) {
                &mut other
            } else {
                own.push(VhostOverview::new(known.path.as_str(), &known.meters));
                let last = own.len() - 1;
                &mut own[last]
            };
            counted.channels += known.channels.len();
            counted.workers += known.workers.by_id.len();
        }
        Overview {
            vhosts,
            own,
            other,
            tokens: self.tokens.len(),
            changes_waiting: self.pipeline.waiting(),
            is_restored: self.pipeline.has_applied(self.restored),
            quotas: Arc::clone(&self.quotas),
            is_draining: self.draining,
        }
    }

    /// Tells every shard to take connections.
    pub(super) fn serve(&mut self) {
        self.pipeline.serve();
    }

    /// Tells every shard to drain, frontends over so many milliseconds.
    pub(super) fn drain(&mut self, window_ms: u32) {
        self.draining = true;
        self.pipeline.drain(window_ms);
    }

    /// Tells every shard that all have drained.
    pub(super) fn stop(&mut self) {
        self.pipeline.stop();
    }

    /// All vhosts, by path.
    pub(super) fn vhosts(&self) -> Vec<VhostInfo> {
        let known = |id| self.vhosts.get(id).map(info);
        self.paths.values().filter_map(known).collect()
    }

    pub(super) fn vhost(&self, path: &VhostPath) -> Result<VhostInfo, Error> {
        self.known_at(path).map(info)
    }

    /// The vhost's channels, by name.
    pub(super) fn channels(&self, path: &VhostPath) -> Result<Vec<ChannelName>, Error> {
        Ok(self.known_at(path)?.channels.keys().cloned().collect())
    }

    /// The vhost's workers, by id.
    pub(super) fn workers(&self, path: &VhostPath) -> Result<Vec<WorkerId>, Error> {
        Ok(self.known_at(path)?.workers.by_id.keys().copied().collect())
    }

    fn at(&self, path: &VhostPath) -> Result<VhostId, Error> {
        self.paths.get(path).copied().ok_or(Error::VhostNotFound)
    }

    fn known_at(&self, path: &VhostPath) -> Result<&Vhost, Error> {
        self.live(self.at(path)?).ok_or(Error::VhostNotFound)
    }

    fn live(&self, vhost: VhostId) -> Option<&Vhost> {
        self.vhosts.get(&vhost).filter(|known| !known.deleting)
    }

    fn channel_of(&self, vhost: VhostId, name: &ChannelName) -> Option<Channel> {
        self.live(vhost)?.channels.get(name).copied()
    }
}

fn info(vhost: &Vhost) -> VhostInfo {
    VhostInfo {
        path: vhost.path.clone(),
        token: vhost.token,
        channels: vhost.channels.len(),
    }
}
