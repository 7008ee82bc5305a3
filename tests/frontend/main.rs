//! Section 3 of the protocol against a running node: every rule as a browser
//! sees it, one module for each behaviour.

#[path = "../support/mod.rs"]
mod support;

mod auth;
mod broadcast;
mod closing;
mod compression;
mod errors;
mod frames;
mod handshake;
mod hidden;
mod lenient;
mod order;
mod presence;
mod raw;
mod scripts;
mod sizes;
mod slow;
mod subscribe;
mod trigger;

/// One shard has every channel at home; two and four make them remote too.
const SHARDS: [u16; 3] = [1, 2, 4];
