//! Several machines: an agent on each, and one that leads them.

mod lead;
mod protocol;
mod serve;
mod split;

pub(crate) use lead::{FleetError, lead};
pub(crate) use serve::Agent;
