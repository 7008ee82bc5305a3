//! TLS on the shards: the real node, with rustls and OpenSSL as its peers, and
//! certificates that are made as the tests run.

mod authority;
mod backends;
mod handshakes;
mod openssl;
mod peer;
mod reload;
#[path = "../support/mod.rs"]
mod support;
mod unfinished;
mod wss;

/// Everything holds on one shard and across two.
const SHARDS: [u16; 2] = [1, 2];
