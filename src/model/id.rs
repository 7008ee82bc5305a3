/// A shard of this node, counted from 0.
pub type ShardId = u16;

/// A connection on its shard. The slot is reused, the generation tells the
/// present owner from an earlier one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ConnId {
    /// Place in the shard's tables.
    pub slot: u32,
    /// How often the place had been taken before.
    pub generation: u32,
}

/// A connection anywhere on this node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Peer {
    /// The shard that accepted the connection.
    pub shard: ShardId,
    /// The connection on that shard.
    pub conn: ConnId,
}

/// A vhost for as long as it lives; one created anew under the same path is another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct VhostId(pub u32);

/// A channel for as long as it is open; one opened anew under the same name is another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ChannelId(pub u64);
