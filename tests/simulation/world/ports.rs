//! The effects of one hub over plain memory, with rings so small that they are
//! full all the time.

use std::collections::{HashSet, VecDeque};

use webrocket::hub::envelope::{Delivery, Outcome, Request, ToControl};
use webrocket::hub::label::PublishLabel;
use webrocket::hub::{Effects, bundle};
use webrocket::meter::{Moment, Refused};
use webrocket::model::{ConnId, ShardId, SingleAccessToken, Status, VhostId};

const RING: usize = 3;

/// What a hub did, for the world to look at after the call.
pub(crate) enum Effect {
    /// `shared` bytes are bound by the outbox, others are not.
    Bytes {
        slot: u32,
        bytes: Vec<u8>,
        shared: bool,
    },
    Resume(ConnId),
    Answer(ConnId, Outcome),
    Triggered(Vec<u8>),
    Note(Note),
}

/// What a shard looks at when its hub is done.
pub(crate) enum Note {
    /// A slow consumer, or one that the operator sends away.
    Dismiss(ConnId),
    WorkerReplaced(ConnId),
    VhostDeleted(VhostId),
    Drain,
    Stop,
}

/// A worker's connection.
pub(crate) struct Worker {
    pub(crate) conn: ConnId,
    pub(crate) vhost: VhostId,
    /// Had its first heartbeat.
    pub(crate) ready: bool,
    /// Its outbox is full, or it has been silent for too long.
    pub(crate) deaf: bool,
}

pub(crate) struct Port {
    /// By receiving shard: what is in the ring and, behind it, in the backlog.
    pub(crate) requests: Vec<VecDeque<Request>>,
    pub(crate) deliveries: Vec<VecDeque<Delivery>>,
    pub(crate) to_control: VecDeque<ToControl>,
    pub(crate) effects: Vec<Effect>,
    pub(crate) workers: Vec<Worker>,
    /// Messages past a quota.
    pub(crate) refused: usize,
    /// Frontends whose token is being looked at, whether or not they are still there.
    pub(crate) presenting: HashSet<ConnId>,
    /// Triggers that a worker could not take.
    pub(crate) passed: usize,
    /// Events that went to their channel's home behind others in one bundle.
    pub(crate) joined: usize,
    /// The shard's time.
    pub(crate) now_ms: u64,
    /// Tokens that it said were taken (or whose time was over), and when.
    pub(crate) spent: Vec<(SingleAccessToken, bool, u64)>,
}

impl Port {
    pub(crate) fn new(shards: usize) -> Self {
        Self {
            requests: (0..shards).map(|_| VecDeque::new()).collect(),
            deliveries: (0..shards).map(|_| VecDeque::new()).collect(),
            to_control: VecDeque::new(),
            effects: Vec::new(),
            workers: Vec::new(),
            refused: 0,
            presenting: HashSet::new(),
            passed: 0,
            joined: 0,
            now_ms: 0,
            spent: Vec::new(),
        }
    }

    pub(crate) fn has_room(&self) -> bool {
        self.requests.iter().all(|ring| ring.len() < RING)
            && self.deliveries.iter().all(|ring| ring.len() < RING)
            && self.to_control.len() < RING
    }

    /// Whether deliveries wait for room: no message and no request is taken
    /// that would make further ones.
    pub(crate) fn is_congested(&self) -> bool {
        self.deliveries.iter().any(|ring| ring.len() > RING)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.requests.iter().all(VecDeque::is_empty)
            && self.deliveries.iter().all(VecDeque::is_empty)
            && self.to_control.is_empty()
    }

    pub(crate) fn worker(&mut self, conn: ConnId) -> Option<&mut Worker> {
        self.workers.iter_mut().find(|worker| worker.conn == conn)
    }

    fn note(&mut self, note: Note) {
        self.effects.push(Effect::Note(note));
    }
}

impl Effects for Port {
    fn now(&mut self) -> Moment {
        Moment::from_us(self.now_ms * 1000)
    }

    fn push(&mut self, slot: u32, bytes: &[u8]) {
        self.effects.push(Effect::Bytes {
            slot,
            bytes: bytes.to_vec(),
            shared: false,
        });
    }

    fn deliver(&mut self, slot: u32, batch: &[u8]) {
        self.effects.push(Effect::Bytes {
            slot,
            bytes: batch.to_vec(),
            shared: true,
        });
    }

    fn queue(&mut self, slot: u32, batch: &[u8]) {
        self.deliver(slot, batch);
    }

    fn resume(&mut self, conn: ConnId) {
        self.effects.push(Effect::Resume(conn));
    }

    fn answer(&mut self, client: ConnId, request: u32, outcome: Outcome) {
        assert_eq!(request, 0, "another request is answered");
        self.effects.push(Effect::Answer(client, outcome));
    }

    fn trigger(&mut self, worker: ConnId, packet: &[u8]) -> bool {
        let takes = self.worker(worker).is_some_and(|it| it.ready && !it.deaf);
        if takes {
            self.effects.push(Effect::Triggered(packet.to_vec()));
        } else {
            self.passed += 1;
        }
        takes
    }

    fn worker_ready(&mut self, worker: ConnId) {
        if let Some(worker) = self.worker(worker) {
            assert!(!worker.ready, "a worker is ready twice");
            worker.ready = true;
        }
    }

    fn worker_replaced(&mut self, worker: ConnId) {
        self.note(Note::WorkerReplaced(worker));
    }

    fn disconnect(&mut self, conn: ConnId) {
        self.note(Note::Dismiss(conn));
    }

    fn vhost_deleted(&mut self, vhost: VhostId) {
        self.note(Note::VhostDeleted(vhost));
    }

    fn serve(&mut self) {}

    fn refused(&mut self, _conn: ConnId, cause: Refused, status: Status) {
        assert_eq!((cause, status), (Refused::Subscriptions, Status::Forbidden));
        self.refused += 1;
    }

    /// The world ends turns by the number of their deliveries.
    fn is_spent(&self) -> bool {
        false
    }

    fn try_present(&mut self, conn: ConnId) -> bool {
        assert!(self.presenting.insert(conn), "one token at a time");
        true
    }

    fn withdrawn(&mut self, conn: ConnId) {
        assert!(self.presenting.remove(&conn), "nothing to withdraw");
    }

    fn presented(&mut self, conn: ConnId, _right: bool) {
        assert!(self.presenting.remove(&conn), "answered twice");
    }

    fn quotas_replaced(&mut self) {}

    fn drain(&mut self, _window_ms: u32) {
        self.note(Note::Drain);
    }

    fn stop(&mut self) {
        self.note(Note::Stop);
    }

    fn has_room(&self, to: ShardId) -> bool {
        self.requests[usize::from(to)].len() < RING
    }

    fn try_request(&mut self, to: ShardId, request: Request) -> Result<(), Request> {
        let ring = &mut self.requests[usize::from(to)];
        if ring.len() >= RING {
            return Err(request);
        }
        ring.push_back(request);
        Ok(())
    }

    fn request(&mut self, to: ShardId, request: Request) {
        let ring = &mut self.requests[usize::from(to)];
        if let Request::Bundle { frames } = &request {
            assert!(ring.len() < RING, "a bundle has no place in its ring");
            self.joined += bundle::frames::<PublishLabel>(frames).count() - 1;
        }
        ring.push_back(request);
    }

    fn send(&mut self, to: ShardId, delivery: Delivery) {
        self.deliveries[usize::from(to)].push_back(delivery);
    }

    fn try_control(&mut self, message: ToControl) -> Result<(), ToControl> {
        if self.to_control.len() >= RING {
            return Err(message);
        }
        self.to_control.push_back(message);
        Ok(())
    }

    fn control(&mut self, message: ToControl) {
        if let ToControl::Spent { token, bearer } = &message {
            self.spent.push((**token, bearer.is_some(), self.now_ms));
        }
        self.to_control.push_back(message);
    }
}
