mod backend;
mod bearers;
mod bounds;
mod commit;
mod simulation;
mod workers;

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use tokio::sync::oneshot;

use super::{Edit, Registry};
use crate::control::Error;
use crate::control::store::{Record, Snapshot};
use crate::hub::envelope::{Ask, Change, Delivery, Grant, Outcome};
use crate::model::{
    AccessToken, ChannelName, ConnId, Peer, ShardId, SingleAccessToken, VhostId, VhostPath,
    WorkerId,
};

/// A registry between a store and shards that are as slow as a seed has it.
struct Rig {
    registry: Registry,
    rings: Vec<VecDeque<Delivery>>,
    replicas: Vec<Replica>,
    store: Snapshot,
    batch: Option<Vec<Record>>,
    /// Answers to backends and workers, as they arrived.
    answers: Vec<Delivery>,
    random: Seeded,
}

/// What a shard knows by the changes that it has applied.
#[derive(Default)]
struct Replica {
    log: Vec<(u64, Change)>,
    vhosts: BTreeMap<VhostId, (VhostPath, AccessToken, BTreeSet<ChannelName>)>,
    tokens: Vec<(VhostId, SingleAccessToken)>,
    workers: Vec<(VhostId, Peer)>,
}

#[derive(Clone)]
struct Seeded(u64);

impl Seeded {
    fn next(&mut self) -> u64 {
        // splitmix64: any seed serves, zero included.
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }

    fn fill(&mut self, bytes: &mut [u8]) {
        bytes.iter_mut().for_each(|byte| *byte = self.next() as u8);
    }
}

impl Rig {
    fn new(shards: u16, seed: u64) -> Self {
        Self::with_store(shards, seed, Snapshot::default())
    }

    fn with_store(shards: u16, seed: u64, store: Snapshot) -> Self {
        let mut random = Seeded(seed);
        let mut tokens = Seeded(random.next());
        let fill = move |bytes: &mut [u8]| {
            tokens.fill(bytes);
            Ok(())
        };
        let mut registry = Registry::new(shards, Box::new(fill));
        registry.restore(store.clone(), 0);
        Self {
            registry,
            rings: (0..shards).map(|_| VecDeque::new()).collect(),
            replicas: (0..shards).map(|_| Replica::default()).collect(),
            store,
            batch: None,
            answers: Vec::new(),
            random,
        }
    }

    /// With one vhost, known to all.
    fn with_vhost(shards: u16, seed: u64) -> (Self, VhostId) {
        let mut rig = Self::new(shards, seed);
        rig.edit(Edit::CreateVhost(path("/v"))).expect("created");
        let vhost = rig.registry.paths[&path("/v")];
        (rig, vhost)
    }

    fn send(&mut self) {
        let outboxes = self.registry.outboxes();
        for (ring, outbox) in self.rings.iter_mut().zip(outboxes) {
            ring.append(outbox);
        }
    }

    /// Hands the store its next batch; tells whether there was one.
    fn begin_commit(&mut self) -> bool {
        if self.batch.is_none() {
            self.batch = self.registry.take_batch();
        }
        self.batch.is_some()
    }

    fn end_commit(&mut self, durable: bool) {
        let batch = self.batch.take().expect("a batch with the store");
        if durable {
            batch.into_iter().for_each(|it| self.store.apply(it));
        }
        self.registry.handle_commit(durable);
    }

    /// One shard takes one delivery; tells whether there was one.
    fn step_shard(&mut self, shard: ShardId) -> bool {
        match self.rings[usize::from(shard)].pop_front() {
            Some(Delivery::Change { version, change }) => {
                self.replicas[usize::from(shard)].apply(version, *change);
                self.registry.handle_applied(shard, version);
                true
            }
            Some(other) => {
                self.answers.push(other);
                true
            }
            None => false,
        }
    }

    /// Until nothing moves: one store and all shards, in random order.
    fn settle(&mut self) {
        loop {
            let mut moved = false;
            if self.begin_commit() {
                self.end_commit(true);
                moved = true;
            }
            self.send();
            let busy: Vec<usize> = (0..self.rings.len())
                .filter(|&shard| !self.rings[shard].is_empty())
                .collect();
            if !busy.is_empty() {
                let shard = busy[self.random.below(busy.len())];
                moved |= self.step_shard(shard as ShardId);
            }
            if !moved {
                return;
            }
        }
    }

    fn start_edit(&mut self, edit: Edit) -> oneshot::Receiver<Result<(), Error>> {
        let (reply, answer) = oneshot::channel();
        self.registry.handle_edit(edit, reply);
        answer
    }

    /// An admin request, to its end.
    fn edit(&mut self, edit: Edit) -> Result<(), Error> {
        let mut answer = self.start_edit(edit);
        self.settle();
        answer.try_recv().expect("answered")
    }

    fn ask(&mut self, request: u32, vhost: VhostId, ask: Ask) {
        self.registry
            .handle_ask(backend(0), request, vhost, ask, NOW_MS);
    }

    /// How the request of a backend ended, if it has.
    fn outcome(&self, request: u32) -> Option<Outcome> {
        let mut outcomes = self.answers.iter().filter_map(|answer| match answer {
            Delivery::Answer {
                request: r,
                outcome,
                ..
            } if *r == request => Some(outcome.clone()),
            _ => None,
        });
        let outcome = outcomes.next();
        assert_eq!(outcomes.next(), None, "answered twice");
        outcome
    }

    /// A backend's request, to its end.
    fn ask_through(&mut self, request: u32, vhost: VhostId, ask: Ask) -> Outcome {
        self.ask(request, vhost, ask);
        self.settle();
        self.outcome(request).expect("answered")
    }

    /// The kinds of the changes that a shard has applied, from the `from`th on.
    fn log(&self, shard: usize, from: usize) -> Vec<&'static str> {
        let log = &self.replicas[shard].log[from..];
        log.iter().map(|(_, change)| kind(change)).collect()
    }
}

impl Replica {
    fn apply(&mut self, version: u64, change: Change) {
        let last = self.log.last().map_or(0, |(version, _)| *version);
        assert!(version > last, "changes in order: {version} after {last}");
        self.log.push((version, change.clone()));
        match change {
            Change::VhostAdded {
                vhost, path, token, ..
            } => {
                let old = self.vhosts.insert(vhost, (path, token, BTreeSet::new()));
                assert!(old.is_none(), "ids are never reused");
            }
            Change::VhostDeleted { vhost } => {
                self.vhosts.remove(&vhost).expect("known");
                self.tokens.retain(|(of, _)| *of != vhost);
                self.workers.retain(|(of, _)| *of != vhost);
            }
            Change::TokenReplaced { vhost, token } => {
                self.vhosts.get_mut(&vhost).expect("known").1 = token;
            }
            Change::ChannelOpened { vhost, name, .. } => {
                let new = self.vhosts.get_mut(&vhost).expect("known").2.insert(name);
                assert!(new, "opened twice");
            }
            Change::ChannelClosed { vhost, name, .. } => {
                let old = self.vhosts.get_mut(&vhost).expect("known").2.remove(&name);
                assert!(old, "closed twice");
            }
            Change::TokenIssued { vhost, token, .. } => self.tokens.push((vhost, *token)),
            Change::QuotasReplaced { .. } => {}
            Change::WorkerJoined { vhost, peer } => {
                assert!(self.vhosts.contains_key(&vhost), "known");
                self.workers.push((vhost, peer));
            }
            Change::WorkerLeft { vhost, peer, .. } => {
                let at = self.workers.iter().position(|it| *it == (vhost, peer));
                self.workers.remove(at.expect("known"));
            }
        }
    }
}

fn kind(change: &Change) -> &'static str {
    match change {
        Change::VhostAdded { .. } => "vhost added",
        Change::VhostDeleted { .. } => "vhost deleted",
        Change::TokenReplaced { .. } => "token replaced",
        Change::ChannelOpened { .. } => "channel opened",
        Change::ChannelClosed { .. } => "channel closed",
        Change::TokenIssued { .. } => "token issued",
        Change::QuotasReplaced { .. } => "quotas replaced",
        Change::WorkerJoined { .. } => "worker joined",
        Change::WorkerLeft { replaced: true, .. } => "worker replaced",
        Change::WorkerLeft { .. } => "worker left",
    }
}

/// What the rig's clock shows, in milliseconds since the Unix epoch.
const NOW_MS: u64 = 1_000_000;

fn path(path: &str) -> VhostPath {
    VhostPath::parse(path).expect("valid")
}

fn name(name: &str) -> ChannelName {
    ChannelName::parse(name).expect("valid")
}

fn worker_id(number: u8) -> WorkerId {
    WorkerId::parse(format!("{number:036}").as_bytes()).expect("valid")
}

fn peer(shard: ShardId, slot: u32) -> Peer {
    let conn = ConnId {
        slot,
        generation: 0,
    };
    Peer { shard, conn }
}

/// A backend client on this shard.
fn backend(shard: ShardId) -> Peer {
    peer(shard, 1000)
}

fn grant() -> Ask {
    Ask::Token(Box::new(Grant {
        uid: "u".into(),
        pattern: ".*".into(),
    }))
}
