use std::collections::BTreeMap;

use rustc_hash::FxHashMap;

use crate::meter::VhostMeters;
use crate::model::{AccessToken, ChannelId, ChannelName, Peer, VhostPath, WorkerId};

/// A vhost as its single writer knows it.
pub(super) struct Vhost {
    pub(super) path: VhostPath,
    pub(super) token: AccessToken,
    pub(super) channels: BTreeMap<ChannelName, Channel>,
    pub(super) workers: Workers,
    /// Its deletion is decided but not yet durable; nothing new begins in it.
    /// Should the store refuse, it lives on.
    pub(super) deleting: bool,
    /// Where shards count what happens in it.
    pub(super) meters: VhostMeters,
}

#[derive(Clone, Copy)]
pub(super) struct Channel {
    pub(super) id: ChannelId,
    /// The version that opened it.
    pub(super) opened: u64,
}

/// The workers of a vhost.
#[derive(Default)]
pub(super) struct Workers {
    pub(super) by_id: BTreeMap<WorkerId, Worker>,
    ids: FxHashMap<Peer, WorkerId>,
    /// Workers that went while the vhost was about to be deleted. Shards that
    /// forget the vhost need not hear of them; they must if it lives on.
    pub(super) left_unsaid: Vec<Peer>,
    /// Workers that came meanwhile: their shards send them away with the vhost,
    /// or they join it if it lives on.
    pub(super) came_unsaid: Vec<(WorkerId, Peer)>,
}

#[derive(Clone, Copy)]
pub(super) struct Worker {
    pub(super) peer: Peer,
    /// The version with which it joined.
    pub(super) joined: u64,
}

impl Workers {
    /// Puts the worker in, under an id that no other has.
    pub(super) fn insert(&mut self, id: WorkerId, worker: Worker) {
        self.ids.insert(worker.peer, id);
        self.by_id.insert(id, worker);
    }

    /// Takes out the worker of this id.
    pub(super) fn take(&mut self, id: WorkerId) -> Option<Peer> {
        let peer = self.by_id.remove(&id)?.peer;
        self.ids.remove(&peer);
        Some(peer)
    }

    /// Takes out the worker at `peer`; tells whether it was there.
    pub(super) fn remove(&mut self, peer: Peer) -> bool {
        self.ids
            .remove(&peer)
            .is_some_and(|id| self.by_id.remove(&id).is_some())
    }

    /// The worker at `peer`.
    pub(super) fn at(&self, peer: Peer) -> Option<&Worker> {
        self.by_id.get(self.ids.get(&peer)?)
    }
}

impl Vhost {
    pub(super) fn new(path: VhostPath, token: AccessToken, meters: VhostMeters) -> Self {
        Self {
            path,
            token,
            channels: BTreeMap::new(),
            workers: Workers::default(),
            deleting: false,
            meters,
        }
    }
}
