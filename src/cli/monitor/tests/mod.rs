mod model;
mod pictures;
mod rates;
mod source;

use std::time::{Duration, Instant};

use super::model::Model;
use crate::control::stats::{Bucket, ChannelStats, Headroom, ShardStats, Stats, VhostStats};

/// What a busy node would give so many seconds after its start. Every counter
/// grows evenly, so that the rates of any two looks are the same.
fn look(seconds: u64) -> Stats {
    Stats {
        node: "test-node".into(),
        version: "0.1.0".into(),
        uptime_ms: seconds * 1_000,
        shards: (0..2).map(|number| shard(number, seconds)).collect(),
        vhosts: vec![
            vhost("/demo", 12_000, 1_000, seconds),
            vhost("/shop/eu", 247, 20, seconds),
            vhost("other", 3, 0, seconds),
        ],
        top_channels: (0..12)
            .map(|number| ChannelStats {
                vhost: "/demo".into(),
                channel: format!("presence-room-{number:02}"),
                subscribers: 1_200 - 100 * number,
                broadcasts: (400 - 20 * number) * seconds,
            })
            .collect(),
        latency: [(64, 100), (128, 600), (256, 200), (1_024, 95), (2_048, 5)]
            .map(|(le_us, each)| Bucket {
                le_us: Some(le_us),
                count: each * seconds,
            })
            .into_iter()
            .chain([Bucket::default()])
            .collect(),
        memory: None,
        headroom: vec![
            headroom("core time", 0.83, 1.0, "cores"),
            headroom("memory", 3.2e9, 8e9, "bytes"),
            headroom("descriptors", 12_345.0, 1_048_576.0, "descriptors"),
            headroom("outboxes", 3.6e6, 1e9, "bytes"),
        ],
    }
}

fn shard(number: u16, seconds: u64) -> ShardStats {
    let more = u64::from(number);
    ShardStats {
        shard: number,
        frontends: 6_123 + more,
        backends: 8 + more,
        broadcasts: 600 * seconds,
        triggers: 12 * seconds,
        deliveries: (600_000 + 100_000 * more) * seconds,
        sends: (150_000 + 25_000 * more) * seconds,
        received_bytes: 1_200_000 * seconds,
        sent_bytes: 170_000_000 * seconds,
        outbox_bytes: 1_200_000 * (1 + more),
        ring_envelopes: 3 * more,
        busy_us: (630_000 + 200_000 * more) * seconds,
        evicted: more * seconds,
        dropped: 0,
        descriptors: Some(6_200 + more),
    }
}

fn vhost(path: &str, frontends: u64, broadcasts: u64, seconds: u64) -> VhostStats {
    VhostStats {
        path: path.into(),
        frontends,
        channels: frontends / 50,
        workers: 3,
        broadcasts: broadcasts * seconds,
        deliveries: 1_000 * broadcasts * seconds,
        triggers: broadcasts / 50 * seconds,
    }
}

fn headroom(limit: &str, used: f64, max: f64, unit: &str) -> Headroom {
    Headroom {
        limit: limit.into(),
        used,
        max,
        unit: unit.into(),
        source: format!("where the node reads its {limit}"),
    }
}

/// A model that has looked at these, a second apart; the time of the last look.
fn looked(looks: &[Stats]) -> (Model, Instant) {
    let mut now = Instant::now();
    let mut model = Model::new("127.0.0.1:8082");
    for stats in looks {
        now += Duration::from_secs(1);
        model.handle_stats(stats.clone(), now);
    }
    (model, now)
}
