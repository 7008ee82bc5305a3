//! Effects that end here: what the pump would give to sockets is only counted.

use std::hint::black_box;

use webrocket::hub::Effects;
use webrocket::hub::envelope::{Delivery, Outcome, Request, ToControl};
use webrocket::meter::{Moment, Refused};
use webrocket::model::{ConnId, ShardId, Status, VhostId};

#[derive(Default)]
pub(crate) struct Sink {
    /// Calls that gave a connection bytes.
    pub(crate) handed: usize,
    outbox: Vec<u8>,
}

impl Sink {
    fn take(&mut self, bytes: &[u8]) {
        self.outbox.clear();
        self.outbox.extend_from_slice(bytes);
        black_box(&self.outbox);
        self.handed += 1;
    }
}

impl Effects for Sink {
    fn is_spent(&self) -> bool {
        false
    }

    fn withdrawn(&mut self, _conn: ConnId) {}

    fn now(&mut self) -> Moment {
        Moment::default()
    }

    fn push(&mut self, _: u32, bytes: &[u8]) {
        self.take(bytes);
    }

    /// Straight to the socket: the kernel copies, not the shard.
    fn deliver(&mut self, slot: u32, batch: &[u8]) {
        black_box((slot, batch));
        self.handed += 1;
    }

    fn queue(&mut self, _: u32, batch: &[u8]) {
        self.take(batch);
    }

    fn trigger(&mut self, _: ConnId, packet: &[u8]) -> bool {
        self.take(packet);
        true
    }

    fn try_present(&mut self, _: ConnId) -> bool {
        true
    }

    // One shard has nobody to ask.
    fn has_room(&self, _: ShardId) -> bool {
        false
    }

    fn try_request(&mut self, _: ShardId, request: Request) -> Result<(), Request> {
        Err(request)
    }

    fn try_control(&mut self, message: ToControl) -> Result<(), ToControl> {
        Err(message)
    }

    fn resume(&mut self, _: ConnId) {}
    fn answer(&mut self, _: ConnId, _: u32, _: Outcome) {}
    fn worker_ready(&mut self, _: ConnId) {}
    fn worker_replaced(&mut self, _: ConnId) {}
    fn disconnect(&mut self, _: ConnId) {}
    fn vhost_deleted(&mut self, _: VhostId) {}
    fn serve(&mut self) {}
    fn refused(&mut self, _: ConnId, _: Refused, _: Status) {}
    fn presented(&mut self, _: ConnId, _: bool) {}
    fn quotas_replaced(&mut self) {}
    fn drain(&mut self, _: u32) {}
    fn stop(&mut self) {}
    fn request(&mut self, _: ShardId, _: Request) {}
    fn send(&mut self, _: ShardId, _: Delivery) {}
    fn control(&mut self, _: ToControl) {}
}
