use bytes::Bytes;

use super::envelope::{Delivery, Outcome, Request, ToControl};
use crate::meter::{Moment, Refused};
use crate::model::{ConnId, ShardId, Status, VhostId};

/// Where the hub's effects go: the connections of its shard, the other shards,
/// control. The shard's pump implements it over sockets and rings, the
/// simulation over plain memory. No call comes back into the hub.
pub trait Effects {
    /// The node's clock, looked at anew. For each fan-out, not for each delivery.
    fn now(&mut self) -> Moment;

    /// Queues bytes of the connection's own, behind all earlier ones. Exempt
    /// from dropping; sent at the end of the turn.
    fn push(&mut self, slot: u32, bytes: &[u8]);

    /// Gives the connection a batch of whole frames that it shares with others:
    /// behind what is queued, or straight to the socket where nothing is.
    fn deliver(&mut self, slot: u32, batch: &[u8]);

    /// Tells that a delivery to this connection comes shortly, and what is looked at
    /// for it.
    fn foresee<T>(&self, _slot: u32, _looked_at: &T) {}

    /// Whether what was delivered in this turn is enough, for it cost more than its number
    /// tells: the rest goes on in the next turn.
    fn is_spent(&self) -> bool;

    /// As [`Self::deliver`], ahead of bytes of the connection's own that follow:
    /// where it can, it is sent with them, at the end of the turn.
    fn queue(&mut self, slot: u32, batch: &[u8]);

    /// What the connection waited for is here: offer its next message.
    fn resume(&mut self, conn: ConnId);

    /// Answers a backend client's request.
    fn answer(&mut self, client: ConnId, request: u32, outcome: Outcome);

    /// Hands a packet to a worker of this shard; false where it is gone or its outbox is full.
    fn trigger(&mut self, worker: ConnId, packet: &[u8]) -> bool;

    /// Every shard knows the worker: it gets its first heartbeat.
    fn worker_ready(&mut self, worker: ConnId);

    /// A worker of the same id took this one's place: send it away.
    fn worker_replaced(&mut self, worker: ConnId);

    /// The operator wants the frontend gone.
    fn disconnect(&mut self, conn: ConnId);

    /// Every connection of the vhost has to go.
    fn vhost_deleted(&mut self, vhost: VhostId);

    /// What the store held is known: take connections.
    fn serve(&mut self);

    /// A frontend met a quota and is told this; for meter and log.
    fn refused(&mut self, conn: ConnId, cause: Refused, status: Status);

    /// A frontend presents a single access token. False where it, or its
    /// address, has presented too many wrong ones: then the token is not looked
    /// at, and the connection is being closed.
    fn try_present(&mut self, conn: ConnId) -> bool;

    /// The token could not be looked at yet; it is presented again.
    fn withdrawn(&mut self, conn: ConnId);

    /// What the token that the frontend presented was worth; once for each, also
    /// where the frontend has left by now.
    fn presented(&mut self, conn: ConnId, right: bool);

    /// The node grants something else from now on.
    fn quotas_replaced(&mut self);

    /// The node stops: close every connection in order, frontends spread over
    /// so many milliseconds.
    fn drain(&mut self, window_ms: u32);

    /// No shard has a connection left: the pump ends.
    fn stop(&mut self);

    /// Whether a request to another shard would be taken now.
    fn has_room(&self, to: ShardId) -> bool;

    /// Sends a request to another shard.
    ///
    /// # Errors
    /// Gives it back when the ring is full.
    fn try_request(&mut self, to: ShardId, request: Request) -> Result<(), Request>;

    /// Sends a request that must arrive.
    fn request(&mut self, to: ShardId, request: Request);

    /// Sends a delivery to another shard; it must arrive.
    fn send(&mut self, to: ShardId, delivery: Delivery);

    /// A frame has been read; whoever shares its buffer may be on another core.
    fn let_go(&mut self, frame: Bytes) {
        drop(frame);
    }

    /// Asks control for something.
    ///
    /// # Errors
    /// Gives the question back when control's inbox is full.
    fn try_control(&mut self, message: ToControl) -> Result<(), ToControl>;

    /// Tells control something that must arrive.
    fn control(&mut self, message: ToControl);
}

/// What the connection does after a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flow {
    /// Goes on with the next message.
    Next,
    /// The message is taken; the next one waits for [`Effects::resume`].
    Wait,
    /// The message was not taken; the same one is offered again after [`Effects::resume`].
    Retry,
    /// The session has ended; the connection is closed with code 1000.
    Close,
}

/// How a backend client's request is answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// At once.
    Now(Outcome),
    /// Through [`Effects::answer`].
    Later,
    /// Not taken; offer it again after [`Effects::resume`].
    Retry,
}
