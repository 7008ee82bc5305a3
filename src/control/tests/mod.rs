mod inquiry;
mod running;
pub(super) mod shard;

use crate::model::{ChannelName, VhostPath};

pub(super) fn path(path: &str) -> VhostPath {
    VhostPath::parse(path).expect("valid")
}

pub(super) fn name(name: &str) -> ChannelName {
    ChannelName::parse(name).expect("valid")
}
