//! A look as [`Stats`] give it.

use super::{Look, VhostOverview};
use crate::control::stats::{Bucket, ChannelStats, Memory, ShardStats, Stats, VhostStats};
use crate::meter::{Kind, ShardMeter, Slow};

impl Look {
    pub(super) fn into_stats(self, top_channels: Vec<ChannelStats>) -> Stats {
        let mut vhosts: Vec<_> = self.overview.own.iter().map(vhost).collect();
        if self.overview.vhosts > self.overview.own.len() {
            vhosts.push(vhost(&self.overview.other));
        }
        Stats {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            uptime_ms: self.uptime_us / 1000,
            shards: (0..)
                .zip(self.shards.iter().zip(&self.open))
                .map(|(number, (meter, open))| shard(number, meter, *open))
                .collect(),
            vhosts,
            top_channels,
            latency: latency(&self.shards),
            memory: self.process.map(|process| Memory {
                resident_bytes: process.resident_bytes,
                connection_bytes: self.connection_bytes,
            }),
            headroom: self.headroom,
            node: self.node,
        }
    }
}

fn shard(number: u16, meter: &ShardMeter, descriptors: Option<u64>) -> ShardStats {
    let connected = |kind| meter.connections(kind).value();
    ShardStats {
        shard: number,
        frontends: connected(Kind::Frontend),
        backends: connected(Kind::Client) + connected(Kind::Worker),
        broadcasts: meter.broadcasts.count(),
        triggers: meter.triggers.count(),
        deliveries: meter.deliveries.count(),
        sends: meter.sends.count(),
        received_bytes: meter.received_bytes.count(),
        sent_bytes: meter.sent_bytes.count(),
        outbox_bytes: meter.outbox_bytes.value(),
        ring_envelopes: meter.ring_envelopes.value(),
        busy_us: meter.busy_us.count(),
        evicted: meter.slow(Slow::Evicted).count() + meter.slow(Slow::Crowded).count(),
        dropped: meter.dropped.count(),
        descriptors,
    }
}

fn vhost(vhost: &VhostOverview) -> VhostStats {
    let meters = &vhost.meters;
    VhostStats {
        path: vhost.path.clone(),
        frontends: meters.sum(|meter| meter.frontends.value()),
        channels: vhost.channels as u64,
        workers: vhost.workers as u64,
        broadcasts: meters.sum(|meter| meter.broadcasts.count()),
        deliveries: meters.sum(|meter| meter.deliveries.count()),
        triggers: meters.sum(|meter| meter.triggers.count()),
    }
}

/// All shards' buckets together; empty ones are left out.
fn latency(shards: &[impl AsRef<ShardMeter>]) -> Vec<Bucket> {
    let mut sums: Vec<(Option<u64>, u64)> = Vec::new();
    for meter in shards {
        for (at, (largest, count)) in meter.as_ref().latency.buckets().enumerate() {
            match sums.get_mut(at) {
                Some((_, sum)) => *sum += count,
                None => sums.push((largest, count)),
            }
        }
    }
    sums.retain(|(_, count)| *count > 0);
    let bucket = |(le_us, count)| Bucket { le_us, count };
    sums.into_iter().map(bucket).collect()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[test]
    fn latencies_of_all_shards_are_summed() {
        let shards: Vec<Arc<ShardMeter>> = (0..2).map(|_| Arc::default()).collect();
        shards[0].latency.record(5);
        shards[1].latency.record(5);
        shards[1].latency.record(u64::MAX / 4);
        let buckets = latency(&shards);
        let expected = [(Some(5), 2), (None, 1)].map(|(le_us, count)| Bucket { le_us, count });
        assert_eq!(buckets, expected);
    }
}
