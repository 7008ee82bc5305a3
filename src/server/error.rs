use std::io;
use std::net::SocketAddr;

use super::TlsFileError;
use crate::control;
use crate::limits::SHARDS_MAX;
use crate::shard::ShardError;

/// Why a node does not start. The operator recovers; nothing is left running
/// but what ends with the process.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// An impossible number of shards.
    #[error("{0} shards asked for: from 1 to {SHARDS_MAX} are possible")]
    Shards(u16),
    /// An address that can't be listened on.
    #[error("{what} address {addr}: {source}")]
    Bind {
        /// Which of the addresses.
        what: &'static str,
        /// The address.
        addr: SocketAddr,
        /// What the kernel says.
        source: io::Error,
    },
    /// A file of TLS.
    #[error(transparent)]
    Tls(#[from] TlsFileError),
    /// The storage directory, cookie or lock.
    #[error(transparent)]
    Control(#[from] control::Error),
    /// A shard.
    #[error(transparent)]
    Shard(#[from] ShardError),
    /// A thread, its runtime or a wake-up.
    #[error("thread or descriptor: {0}")]
    Thread(io::Error),
}
