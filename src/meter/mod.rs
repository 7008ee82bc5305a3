//! What one shard counts and control reads. A number has one writer, its shard,
//! so counting is a plain load and store; a reader may see one number of a turn
//! before another. Only [`Occupancy`] is counted by all shards together.

#![forbid(unsafe_code)]

mod occupancy;

pub use occupancy::Occupancy;

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

    /// The latest value, from any thread.
    pub fn value(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// All that one shard counts.
#[derive(Debug, Default)]
pub struct ShardMeter {
    /// Refusals by cause.
    refused: [Counter; Refused::ALL.len()],
}

impl ShardMeter {
    /// One more was refused.
    pub fn refuse(&self, cause: Refused) {
        self.refused[cause as usize].add(1);
    }

    /// How many were refused for this cause.
    pub fn refused(&self, cause: Refused) -> u64 {
        self.refused[cause as usize].count()
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
}

impl Refused {
    /// Every cause, in the order of their declaration.
    pub const ALL: [Self; 12] = [
        Self::NodeConnections,
        Self::AddressConnections,
        Self::VhostConnections,
        Self::Origin,
        Self::Upgrade,
        Self::Timeout,
        Self::Backend,
        Self::Protocol,
        Self::MessageBytes,
        Self::MessageRate,
        Self::Subscriptions,
        Self::OutboxBytes,
    ];

    /// The cause as metrics and logs name it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NodeConnections => "node_connections",
            Self::AddressConnections => "address_connections",
            Self::VhostConnections => "vhost_connections",
            Self::Origin => "origin",
            Self::Upgrade => "upgrade",
            Self::Timeout => "timeout",
            Self::Backend => "backend",
            Self::Protocol => "protocol",
            Self::MessageBytes => "message_bytes",
            Self::MessageRate => "message_rate",
            Self::Subscriptions => "subscriptions",
            Self::OutboxBytes => "outbox_bytes",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
