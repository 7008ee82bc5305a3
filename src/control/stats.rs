//! What `GET /stats.json` tells, and `webrocket monitor` shows.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// One look at a node, as `GET /stats.json` gives it. Counters run from the
/// node's start; the rate between two looks is their difference over the
/// difference of `uptime_ms`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[schema(as = NodeStats)]
pub struct Stats {
    /// The node's name.
    pub node: String,
    /// The broker's version.
    pub version: String,
    /// Milliseconds since the node listened.
    pub uptime_ms: u64,
    /// Each shard, by number.
    pub shards: Vec<ShardStats>,
    /// Vhosts, by path; past a bound the rest is summed up under the path `other`.
    pub vhosts: Vec<VhostStats>,
    /// The channels with the most deliveries of late, the busiest first.
    pub top_channels: Vec<ChannelStats>,
    /// From a broadcast accepted to its last subscriber on a shard written.
    pub latency: Vec<Bucket>,
    /// Memory of the process; missing where `/proc` does not tell.
    #[serde(default)]
    pub memory: Option<Memory>,
    /// How far each limit of this node is, the one that binds first in front.
    pub headroom: Vec<Headroom>,
}

/// One shard.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ShardStats {
    /// Its number.
    pub shard: u16,
    /// Frontends connected.
    pub frontends: u64,
    /// Backend clients and workers connected.
    pub backends: u64,
    /// Broadcasts accepted from its connections.
    pub broadcasts: u64,
    /// Triggers handed to its workers.
    pub triggers: u64,
    /// Frames delivered to its frontends.
    pub deliveries: u64,
    /// Calls of `send` that delivered them; deliveries over sends is the joined-frame factor.
    pub sends: u64,
    /// Bytes received from its connections.
    pub received_bytes: u64,
    /// Bytes sent to its connections.
    pub sent_bytes: u64,
    /// Bytes queued in outboxes.
    pub outbox_bytes: u64,
    /// Envelopes that wait in its rings.
    pub ring_envelopes: u64,
    /// Microseconds spent awake: over the uptime this is the core's load.
    pub busy_us: u64,
    /// Slow consumers evicted, for their own bound or the node's.
    pub evicted: u64,
    /// Deliveries that passed slow consumers by.
    #[serde(default)]
    pub dropped: u64,
    /// Descriptors open in its own table; missing where `/proc` does not tell.
    #[serde(default)]
    pub descriptors: Option<u64>,
}

/// One vhost, summed over all shards.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[schema(as = NodeVhostStats)]
pub struct VhostStats {
    /// Its path.
    pub path: String,
    /// Frontends connected.
    pub frontends: u64,
    /// Open channels.
    pub channels: u64,
    /// Ready workers.
    pub workers: u64,
    /// Broadcasts accepted in it.
    pub broadcasts: u64,
    /// Frames delivered to its frontends.
    pub deliveries: u64,
    /// Triggers handed to its workers.
    pub triggers: u64,
}

/// One channel.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[schema(as = NodeChannelStats)]
pub struct ChannelStats {
    /// Its vhost's path.
    pub vhost: String,
    /// Its name.
    pub channel: String,
    /// Subscribers, hidden ones included.
    pub subscribers: u64,
    /// Broadcasts to it since it was opened.
    pub broadcasts: u64,
}

/// One bucket of a histogram; the counts are not cumulative.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[schema(as = LatencyBucket)]
pub struct Bucket {
    /// Upper bound in microseconds, inclusive; the last bucket has none.
    pub le_us: Option<u64>,
    /// How many fell into it.
    pub count: u64,
}

/// Memory of the process.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[schema(as = NodeMemory)]
pub struct Memory {
    /// Resident bytes.
    pub resident_bytes: u64,
    /// How far they grew for each connection there is, beside the kernel's
    /// buffers; missing without connections.
    #[serde(default)]
    pub connection_bytes: Option<u64>,
}

/// How far one limit is.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Headroom {
    /// What is limited: `descriptors` (of the fullest table), `memory`, `core
    /// time`, `outboxes` (the fullest one), `connections` or `ports`.
    pub limit: String,
    /// How much is used.
    pub used: f64,
    /// How much there is.
    pub max: f64,
    /// The unit of both: `bytes`, `descriptors`, `cores` and so on.
    pub unit: String,
    /// What it counts: where the number comes from, in a few words.
    pub source: String,
}
