//! Names and values that are valid by construction: what has one of these
//! types has been checked, and is never checked again.

#![forbid(unsafe_code)]

mod address;
mod id;
mod name;
mod permission;
mod quota;
mod status;
mod token;

pub use address::PeerAddress;
pub use id::{ChannelId, ConnId, Peer, ShardId, VhostId};
pub use name::{ChannelKind, ChannelName, VhostPath, WorkerId};
pub use permission::Permission;
pub use quota::{Quotas, SlowConsumers, VhostQuota};
pub use status::Status;
pub use token::{AccessToken, Sid, SingleAccessToken};
