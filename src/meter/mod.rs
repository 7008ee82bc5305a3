//! What one shard counts and control reads. A number has one writer, its shard,
//! so counting is a plain load and store; a reader may see one number of a turn
//! before another. Only [`Occupancy`] and [`Guesses`] are counted by all shards
//! together.
//! [`LineLimit`] bounds what is logged of it.

#![forbid(unsafe_code)]

mod clock;
mod guesses;
mod histogram;
mod lines;
mod occupancy;
mod store;
mod striped;
mod vhost;

pub use clock::{Clock, Moment};
pub use guesses::Guesses;
pub use histogram::Histogram;
pub use lines::LineLimit;
pub use occupancy::Occupancy;
pub use store::StoreMeter;
pub use vhost::{VhostMeter, VhostMeters};

use std::sync::atomic::{AtomicU64, Ordering};

/// Counts up, from one thread only.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Counts `count` more.
    pub fn add(&self, count: u64) {
        // No read-modify-write: only one thread ever writes.
        let counted = self.0.load(Ordering::Relaxed);
        self.0.store(counted.wrapping_add(count), Ordering::Relaxed);
    }

    /// The count so far, from any thread.
    pub fn count(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Holds the latest value, set from one thread only.
#[derive(Debug, Default)]
pub struct Gauge(AtomicU64);

impl Gauge {
    /// Replaces the value.
    pub fn set(&self, value: u64) {
        self.0.store(value, Ordering::Relaxed);
    }

    /// One more.
    pub fn raise(&self) {
        self.set(self.value().saturating_add(1));
    }

    /// One less.
    pub fn lower(&self) {
        self.set(self.value().saturating_sub(1));
    }

    /// The latest value, from any thread.
    pub fn value(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// All that one shard counts. Aligned so that no two shards share a cache line,
/// nor the pair of lines that the processor fetches together.
#[derive(Debug, Default)]
#[repr(align(128))]
pub struct ShardMeter {
    /// Broadcasts accepted from its connections.
    pub broadcasts: Counter,
    /// Frames of channels given to its frontends: to the socket, or to the
    /// outbox where the socket was full.
    pub deliveries: Counter,
    /// Deliveries that passed slow consumers by; they are among `deliveries`.
    pub dropped: Counter,
    /// Calls of `send`; deliveries over sends is the joined-frame factor.
    pub sends: Counter,
    /// Bytes received from its connections.
    pub received_bytes: Counter,
    /// Bytes that its sockets took.
    pub sent_bytes: Counter,
    /// Messages compressed, each once for all who share parameters.
    pub compressed: Counter,
    /// Bytes of their frames before.
    pub compressed_from_bytes: Counter,
    /// Bytes of their frames after.
    pub compressed_to_bytes: Counter,
    /// Turns of its pump.
    pub turns: Counter,
    /// Microseconds spent awake.
    pub busy_us: Counter,
    /// Bytes queued in outboxes.
    pub outbox_bytes: Gauge,
    /// Bytes of the fullest outbox of the last second in which one was filled;
    /// zero once all are empty.
    pub outbox_peak_bytes: Gauge,
    /// Bytes kept of what was received and not handled.
    pub unfinished_bytes: Gauge,
    /// Envelopes that wait in its incoming rings.
    pub ring_envelopes: Gauge,
    /// Envelopes that found the outgoing rings full and wait on this side.
    pub backlog_envelopes: Gauge,
    /// Triggers handed to its workers.
    pub triggers: Counter,
    /// Triggers of its frontends that no worker could take.
    pub triggers_refused: Counter,
    /// Workers sent away because their heartbeats stayed out.
    pub heartbeats_expired: Counter,
    /// Connections accepted.
    pub accepted: Counter,
    /// The kernel's number of its thread; zero before there is one.
    pub thread_id: Gauge,
    /// Microseconds from a broadcast's turn, on the shard that accepted it, until
    /// the last subscriber on this shard had been given it.
    pub latency: Histogram,
    /// Microseconds from a trigger's turn, on its frontend's shard, until a
    /// worker of this shard had been given it.
    pub trigger_wait: Histogram,
    /// Microseconds of a turn, from waking to being done.
    pub turn_time: Histogram,
    /// Connections by kind.
    connections: [Gauge; Kind::ALL.len()],
    /// Slow consumers by cause.
    slow: [Counter; Slow::ALL.len()],
    /// Refusals by cause.
    refused: [Counter; Refused::ALL.len()],
}

impl ShardMeter {
    /// Connections of this kind.
    pub fn connections(&self, kind: Kind) -> &Gauge {
        &self.connections[kind as usize]
    }

    /// Consumers that were slow in this way.
    pub fn slow(&self, cause: Slow) -> &Counter {
        &self.slow[cause as usize]
    }

    /// One more was refused.
    pub fn refuse(&self, cause: Refused) {
        self.refused[cause as usize].add(1);
    }

    /// How many were refused for this cause.
    pub fn refused(&self, cause: Refused) -> u64 {
        self.refused[cause as usize].count()
    }
}

/// What a connection is, as it is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// No upgrade, or no first packet, yet.
    Handshake,
    /// A browser.
    Frontend,
    /// A backend that sends requests.
    Client,
    /// A backend that takes triggers.
    Worker,
    /// Its last bytes are on their way.
    Closing,
}

impl Kind {
    /// Every kind, in the order of their declaration.
    pub const ALL: [Self; 5] = [
        Self::Handshake,
        Self::Frontend,
        Self::Client,
        Self::Worker,
        Self::Closing,
    ];

    /// The kind as metrics name it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Handshake => "handshake",
            Self::Frontend => "frontend",
            Self::Client => "client",
            Self::Worker => "worker",
            Self::Closing => "closing",
        }
    }
}

/// How a consumer was too slow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Slow {
    /// A frontend's outbox was over its bound: evicted.
    Evicted,
    /// A frontend's outbox was among the fullest when the node's ran out of
    /// room: evicted.
    Crowded,
    /// A frontend's outbox was over its bound: it began to miss deliveries.
    Dropped,
    /// A worker's outbox was over its bound: the trigger went to the next one.
    TriggerPassed,
    /// A closing connection did not take its last bytes in time: they were dropped.
    Lingered,
}

impl Slow {
    /// Every cause, in the order of their declaration.
    pub const ALL: [Self; 5] = [
        Self::Evicted,
        Self::Crowded,
        Self::Dropped,
        Self::TriggerPassed,
        Self::Lingered,
    ];

    /// The cause as metrics name it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Evicted => "evicted",
            Self::Crowded => "crowded",
            Self::Dropped => "dropped",
            Self::TriggerPassed => "trigger_passed",
            Self::Lingered => "lingered",
        }
    }
}

/// Why the broker said no.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// The node has all the connections it may.
    NodeConnections,
    /// The peer's address has all the connections it may.
    AddressConnections,
    /// The vhost has all the frontends it may.
    VhostConnections,
    /// A page of another origin.
    Origin,
    /// An upgrade that is none, or to no vhost.
    Upgrade,
    /// No TLS where there should be some, or TLS that was refused.
    Tls,
    /// A handshake or a packet that took too long.
    Timeout,
    /// A backend without the right token, or whose packet is none.
    Backend,
    /// Frames that break RFC 6455, or text that is no UTF-8.
    Protocol,
    /// A message beyond its size.
    MessageBytes,
    /// A frontend that sends faster than it may; it was held back, nothing is lost.
    MessageRate,
    /// A session with all the subscriptions it may have.
    Subscriptions,
    /// A slow consumer: its outbox is over its bound.
    OutboxBytes,
    /// A frontend, or an address, that presented too many wrong tokens.
    WrongTokens,
    /// A slow consumer, when all outboxes together have no more room.
    OutboxesBytes,
    /// A peer that had more kept than was free, of what all may have unfinished.
    UnfinishedBytes,
}

impl Refused {
    /// Every cause, in the order of their declaration.
    pub const ALL: [Self; 16] = [
        Self::NodeConnections,
        Self::AddressConnections,
        Self::VhostConnections,
        Self::Origin,
        Self::Upgrade,
        Self::Tls,
        Self::Timeout,
        Self::Backend,
        Self::Protocol,
        Self::MessageBytes,
        Self::MessageRate,
        Self::Subscriptions,
        Self::OutboxBytes,
        Self::WrongTokens,
        Self::OutboxesBytes,
        Self::UnfinishedBytes,
    ];

    /// The cause as metrics and logs name it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NodeConnections => "node_connections",
            Self::AddressConnections => "address_connections",
            Self::VhostConnections => "vhost_connections",
            Self::Origin => "origin",
            Self::Upgrade => "upgrade",
            Self::Tls => "tls",
            Self::Timeout => "timeout",
            Self::Backend => "backend",
            Self::Protocol => "protocol",
            Self::MessageBytes => "message_bytes",
            Self::MessageRate => "message_rate",
            Self::Subscriptions => "subscriptions",
            Self::OutboxBytes => "outbox_bytes",
            Self::WrongTokens => "wrong_tokens",
            Self::OutboxesBytes => "outboxes_bytes",
            Self::UnfinishedBytes => "unfinished_bytes",
        }
    }
}

// Two meters lie on lines of their own.
const _: () = assert!(align_of::<ShardMeter>() >= 128);
const _: () = assert!(align_of::<VhostMeter>() >= 128);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gauge_goes_up_and_down_and_not_below_zero() {
        let gauge = Gauge::default();
        gauge.lower();
        gauge.raise();
        gauge.raise();
        assert_eq!(gauge.value(), 2);
        gauge.lower();
        assert_eq!(gauge.value(), 1);
    }

    #[test]
    fn kinds_and_slow_causes_stand_at_their_own_place() {
        let meter = ShardMeter::default();
        for (times, kind) in (1..).zip(Kind::ALL) {
            (0..times).for_each(|_| meter.connections(kind).raise());
        }
        for (times, cause) in (1..).zip(Slow::ALL) {
            meter.slow(cause).add(times);
        }
        for (times, kind) in (1..).zip(Kind::ALL) {
            assert_eq!(meter.connections(kind).value(), times, "{}", kind.as_str());
        }
        for (times, cause) in (1..).zip(Slow::ALL) {
            assert_eq!(meter.slow(cause).count(), times, "{}", cause.as_str());
        }
    }

    #[test]
    fn causes_are_counted_apart() {
        let meter = ShardMeter::default();
        for (times, cause) in (1..).zip(Refused::ALL) {
            (0..times).for_each(|_| meter.refuse(cause));
        }
        for (times, cause) in (1..).zip(Refused::ALL) {
            assert_eq!(meter.refused(cause), times, "{}", cause.as_str());
        }
    }
}
