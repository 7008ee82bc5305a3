//! Each shard has a descriptor table of its own: the limit counts for each, a
//! full one pauses alone, nothing is held open in another, and a wake-up never
//! lands in a socket that came to have an eventfd's number.

#![forbid(unsafe_code)]

mod full;
mod numbers;
#[path = "../support/mod.rs"]
mod support;
mod tables;
