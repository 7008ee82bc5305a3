//! What happened between two looks at a node.

use std::collections::HashMap;

use super::latency::Latency;
use crate::control::stats::{ShardStats, Stats};

/// All rates of one interval; what is a level and no rate stays in [`Stats`].
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Rates {
    /// Summed over all shards.
    pub(super) total: ShardRates,
    /// One for each of the later look's shards, in its order.
    pub(super) shards: Vec<ShardRates>,
    /// One for each of the later look's vhosts, in its order; `None` for one
    /// that the earlier look did not know.
    pub(super) vhosts: Vec<Option<VhostRates>>,
    /// Broadcasts a second of each of the later look's top channels, likewise.
    pub(super) channels: Vec<Option<f64>>,
    /// Of the broadcasts whose last subscriber was written in the interval.
    pub(super) latency: Latency,
}

/// Of one shard, or of all.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct ShardRates {
    /// Broadcasts accepted a second.
    pub(super) broadcasts: f64,
    /// Triggers handed to workers a second.
    pub(super) triggers: f64,
    /// Frames delivered a second.
    pub(super) deliveries: f64,
    /// Calls of `send` a second that delivered them.
    pub(super) sends: f64,
    /// Bytes received a second.
    pub(super) received: f64,
    /// Bytes sent a second.
    pub(super) sent: f64,
    /// Slow consumers evicted a second.
    pub(super) evicted: f64,
    /// Share of the time that the core was awake, 1 for one whole core.
    pub(super) busy: f64,
}

/// Of one vhost.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct VhostRates {
    /// Broadcasts accepted a second.
    pub(super) broadcasts: f64,
    /// Frames delivered a second.
    pub(super) deliveries: f64,
    /// Triggers handed to workers a second.
    pub(super) triggers: f64,
}

impl Rates {
    /// The rates between two looks; none when no time passed between them or the
    /// node began anew: its uptime went back, or it is another node.
    pub(super) fn between(earlier: &Stats, later: &Stats) -> Option<Self> {
        let passed_ms = later.uptime_ms.checked_sub(earlier.uptime_ms)?;
        if passed_ms == 0 || earlier.node != later.node {
            return None;
        }
        let per_second = PerSecond(passed_ms as f64 / 1e3);
        let shards = shards(earlier, later, per_second);
        Some(Self {
            total: shards.iter().fold(ShardRates::default(), sum),
            vhosts: vhosts(earlier, later, per_second),
            channels: channels(earlier, later, per_second),
            latency: Latency::between(&earlier.latency, &later.latency),
            shards,
        })
    }
}

impl ShardRates {
    /// Frames that one call of `send` delivered on average; none without deliveries.
    pub(super) fn joined(&self) -> Option<f64> {
        (self.sends > 0.0).then(|| self.deliveries / self.sends)
    }
}

/// What a counter gained. A counter that went past `u64::MAX` began at 0 again
/// and gained little. One that is lower for another reason is no longer the same
/// (its vhost was deleted and created again, or left the sum of the others), so
/// that nothing is known of this interval: it counts as quiet.
pub(super) fn gained(earlier: u64, later: u64) -> u64 {
    let difference = later.wrapping_sub(earlier);
    if later >= earlier || difference < u64::MAX / 2 {
        difference
    } else {
        0
    }
}

/// Seconds between the two looks; never 0.
#[derive(Clone, Copy)]
struct PerSecond(f64);

impl PerSecond {
    fn of(self, earlier: u64, later: u64) -> f64 {
        gained(earlier, later) as f64 / self.0
    }
}

fn shards(earlier: &Stats, later: &Stats, per_second: PerSecond) -> Vec<ShardRates> {
    let before: HashMap<u16, &ShardStats> = earlier
        .shards
        .iter()
        .map(|stats| (stats.shard, stats))
        .collect();
    let rates = |now: &ShardStats| {
        // A node has the same shards all its life.
        let Some(before) = before.get(&now.shard) else {
            return ShardRates::default();
        };
        ShardRates {
            broadcasts: per_second.of(before.broadcasts, now.broadcasts),
            triggers: per_second.of(before.triggers, now.triggers),
            deliveries: per_second.of(before.deliveries, now.deliveries),
            sends: per_second.of(before.sends, now.sends),
            received: per_second.of(before.received_bytes, now.received_bytes),
            sent: per_second.of(before.sent_bytes, now.sent_bytes),
            evicted: per_second.of(before.evicted, now.evicted),
            busy: per_second.of(before.busy_us, now.busy_us) / 1e6,
        }
    };
    later.shards.iter().map(rates).collect()
}

fn vhosts(earlier: &Stats, later: &Stats, per_second: PerSecond) -> Vec<Option<VhostRates>> {
    let before: HashMap<_, _> = earlier
        .vhosts
        .iter()
        .map(|stats| (&stats.path, stats))
        .collect();
    let rates = |now: &crate::control::stats::VhostStats| {
        let before = before.get(&now.path)?;
        Some(VhostRates {
            broadcasts: per_second.of(before.broadcasts, now.broadcasts),
            deliveries: per_second.of(before.deliveries, now.deliveries),
            triggers: per_second.of(before.triggers, now.triggers),
        })
    };
    later.vhosts.iter().map(rates).collect()
}

fn channels(earlier: &Stats, later: &Stats, per_second: PerSecond) -> Vec<Option<f64>> {
    let before: HashMap<_, _> = earlier
        .top_channels
        .iter()
        .map(|stats| ((&stats.vhost, &stats.channel), stats.broadcasts))
        .collect();
    later
        .top_channels
        .iter()
        .map(|now| {
            let before = before.get(&(&now.vhost, &now.channel))?;
            Some(per_second.of(*before, now.broadcasts))
        })
        .collect()
}

fn sum(total: ShardRates, shard: &ShardRates) -> ShardRates {
    ShardRates {
        broadcasts: total.broadcasts + shard.broadcasts,
        triggers: total.triggers + shard.triggers,
        deliveries: total.deliveries + shard.deliveries,
        sends: total.sends + shard.sends,
        received: total.received + shard.received,
        sent: total.sent + shard.sent,
        evicted: total.evicted + shard.evicted,
        busy: total.busy + shard.busy,
    }
}
