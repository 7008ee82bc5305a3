//! The effects of one hub over plain memory, with rings so small that they are
//! full all the time.

use std::collections::VecDeque;

use webrocket::hub::Effects;
use webrocket::hub::envelope::{Delivery, Outcome, Request, ToControl};
use webrocket::meter::{Moment, Refused};
use webrocket::model::{ConnId, ShardId, Status, VhostId};

const RING: usize = 3;

/// What a hub did, for the world to look at after the call.
pub(crate) enum Effect {
    Bytes(u32, Vec<u8>),
    Resume(ConnId),
    Answer(Outcome),
    Triggered(Vec<u8>),
}

pub(crate) struct Port {
    /// By receiving shard: what is in the ring and, behind it, in the backlog.
    pub(crate) requests: Vec<VecDeque<Request>>,
    pub(crate) deliveries: Vec<VecDeque<Delivery>>,
    pub(crate) to_control: VecDeque<ToControl>,
    pub(crate) effects: Vec<Effect>,
    /// Workers whose outbox is full, or that are gone.
    pub(crate) deaf: Vec<ConnId>,
    pub(crate) workers: Vec<ConnId>,
    /// Messages past a quota.
    pub(crate) refused: usize,
}

impl Port {
    pub(crate) fn new(shards: usize) -> Self {
        Self {
            requests: (0..shards).map(|_| VecDeque::new()).collect(),
            deliveries: (0..shards).map(|_| VecDeque::new()).collect(),
            to_control: VecDeque::new(),
            effects: Vec::new(),
            deaf: Vec::new(),
            workers: Vec::new(),
            refused: 0,
        }
    }

    pub(crate) fn has_room(&self) -> bool {
        self.requests.iter().all(|ring| ring.len() < RING)
            && self.deliveries.iter().all(|ring| ring.len() < RING)
            && self.to_control.len() < RING
    }

    /// No request is taken while deliveries of earlier ones wait for room.
    pub(crate) fn takes_requests(&self) -> bool {
        self.deliveries.iter().all(|ring| ring.len() <= RING)
    }
}

impl Effects for Port {
    /// Time stands still: nothing here depends on it.
    fn now(&mut self) -> Moment {
        Moment::default()
    }

    fn push(&mut self, slot: u32, bytes: &[u8]) {
        self.effects.push(Effect::Bytes(slot, bytes.to_vec()));
    }

    fn deliver(&mut self, slot: u32, batch: &[u8]) {
        self.push(slot, batch);
    }

    fn queue(&mut self, slot: u32, batch: &[u8]) {
        self.push(slot, batch);
    }

    fn resume(&mut self, conn: ConnId) {
        self.effects.push(Effect::Resume(conn));
    }

    fn answer(&mut self, _client: ConnId, _request: u32, outcome: Outcome) {
        self.effects.push(Effect::Answer(outcome));
    }

    fn trigger(&mut self, worker: ConnId, packet: &[u8]) -> bool {
        let takes = self.workers.contains(&worker) && !self.deaf.contains(&worker);
        if takes {
            self.effects.push(Effect::Triggered(packet.to_vec()));
        }
        takes
    }

    fn worker_ready(&mut self, _worker: ConnId) {}

    fn worker_replaced(&mut self, worker: ConnId) {
        self.workers.retain(|&known| known != worker);
    }

    fn disconnect(&mut self, _conn: ConnId) {}

    fn vhost_deleted(&mut self, _vhost: VhostId) {}

    fn serve(&mut self) {}

    fn refused(&mut self, _conn: ConnId, cause: Refused, status: Status) {
        assert_eq!((cause, status), (Refused::Subscriptions, Status::Forbidden));
        self.refused += 1;
    }

    fn quotas_replaced(&mut self) {}

    fn drain(&mut self, _window_ms: u32) {}

    fn stop(&mut self) {}

    fn try_request(&mut self, to: ShardId, request: Request) -> Result<(), Request> {
        let ring = &mut self.requests[usize::from(to)];
        if ring.len() >= RING {
            return Err(request);
        }
        ring.push_back(request);
        Ok(())
    }

    fn request(&mut self, to: ShardId, request: Request) {
        self.requests[usize::from(to)].push_back(request);
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
        self.to_control.push_back(message);
    }
}
