//! The io_uring socket driver: listeners, sockets and their readiness on one
//! ring per thread. Knows no runtime and no protocol.
//!
//! The ring tells when a socket can be read or written; the reading and the
//! writing are plain non-blocking system calls of the thread that owns it,
//! which measured cheaper than operations through the ring.

mod accept;
mod bind;
mod driver;
mod error;
mod outbox;
mod probe;
mod ring;
mod socket;
mod spare;
mod user_data;

pub use bind::bind_all;
pub use driver::{Driver, Event};
pub use error::DriverError;
pub use outbox::{Flushed, Outbox, OutboxFull};
pub use probe::{ProbeError, probe};
pub use socket::{Recv, Sent, Socket, connect};
pub use spare::Spare;

#[cfg(test)]
mod tests;
