//! Control: the single writer of the registry, its store, and the admin REST
//! endpoint, on a runtime and a thread of their own.
//!
//! Shards meet control in `mesh` alone. Nothing on a shard waits for control
//! except an acknowledgement that it owes a backend.

#![forbid(unsafe_code)]

mod admin;
mod cookie;
mod error;
mod handle;
mod inquiry;
mod observe;
mod registry;
mod run;
pub mod stats;
mod store;

#[cfg(test)]
mod tests;

pub use admin::{DASHBOARD, host_of, serve_admin};
pub use cookie::{Cookie, NodeLock};
pub use error::Error;
pub use handle::{Handle, VhostInfo};
pub use inquiry::{Subscriber, Traffic, VhostCounts, Whom};
pub use observe::{NodeFacts, Observer};
pub use run::Control;
#[cfg(test)]
use store::MemoryStore;
pub use store::{Damage, DiskStore, Record, Snapshot, Store, StoredToken, StoredVhost};
