use std::sync::Arc;

use super::{Counter, Gauge};
use crate::model::ShardId;

/// What one shard counts of one vhost, or of all that have no meter of their own.
#[derive(Debug, Default)]
#[repr(align(128))]
pub struct VhostMeter {
    /// Frontends connected.
    pub frontends: Gauge,
    /// Broadcasts accepted from its connections.
    pub broadcasts: Counter,
    /// Frames of its channels given to its frontends.
    pub deliveries: Counter,
    /// Triggers handed to its workers.
    pub triggers: Counter,
}

/// A vhost's meters, one per shard, so that each has one writer.
#[derive(Clone, Debug)]
pub struct VhostMeters(Arc<[Arc<VhostMeter>]>);

impl VhostMeters {
    /// Meters at zero for this many shards.
    pub fn new(shards: u16) -> Self {
        Self((0..shards).map(|_| Arc::default()).collect())
    }

    /// The one that this shard writes; one that nobody reads past the last shard.
    pub fn of(&self, shard: ShardId) -> Arc<VhostMeter> {
        let known = self.0.get(usize::from(shard));
        known.map(Arc::clone).unwrap_or_default()
    }

    /// Whether both are the very same meters.
    pub fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// A number of all shards.
    pub fn sum(&self, number: impl Fn(&VhostMeter) -> u64) -> u64 {
        self.0.iter().map(|meter| number(meter)).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_shard_writes_its_own_and_all_are_summed() {
        let meters = VhostMeters::new(3);
        for shard in 0..3 {
            meters.of(shard).deliveries.add(10 + u64::from(shard));
        }
        meters.of(3).deliveries.add(1000);
        assert_eq!(meters.sum(|meter| meter.deliveries.count()), 33);
        assert!(meters.is(&meters.clone()));
        assert!(!meters.is(&VhostMeters::new(3)));
    }
}
