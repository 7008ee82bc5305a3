//! One shard's state, without sockets and clocks: channels, subscriptions,
//! presence, fan-out, lobby, and a replica of the registry.

#![forbid(unsafe_code)]

pub mod envelope;
mod registry;

pub use registry::{Channel, Registry, home_of_channel, home_of_token};
