//! TLS of one connection, without its socket: records in, plain bytes out, and
//! the other way round. Over rustls with the `ring` provider (docs/decisions/0020).
//!
//! The order of calls, for each connection:
//!
//! 1. [`Acceptor::accept`] makes a [`Transport`]. Nothing can be said on it yet:
//!    what is sealed before the handshake is done comes to nothing.
//! 2. Whatever the socket gives goes to [`Transport::handle_bytes`], in any pieces.
//!    What it opened is appended to one buffer, what the peer is owed to another.
//! 3. Once [`Transport::is_open`], [`Transport::seal`] makes records of what is to be sent.
//! 4. [`Transport::finish`] makes the `close_notify` that goes out last. The end of
//!    the stream is the peer's own end only where [`Transport::has_ended`]; else
//!    somebody may have cut it.

#![forbid(unsafe_code)]

mod accept;
mod error;
mod identity;
mod names;
mod transport;

pub use accept::{Acceptor, Acceptors, Offer};
pub use error::{BadCertificate, TlsError};
pub use identity::{Identity, certificates_of};
pub use transport::Transport;

#[cfg(test)]
mod tests;
