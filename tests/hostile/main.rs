//! Hostile clients, and vhosts that are bad neighbours. Method: a real node as a
//! process of its own; in each test one attack against it, by turns with quiet,
//! while bystanders on the same node broadcast to themselves and measure how long
//! that takes. What the broker promises (who is closed with which code, counted
//! under which cause, and how much memory it may take) is asserted to the number;
//! how much slower the bystanders got is printed, and asserted only far beyond
//! anything that a busy machine does to it.
//!
//! `cargo test --test hostile -- --nocapture | grep ^attack:` prints the lines of
//! docs/hardening.md.

#![forbid(unsafe_code)]

mod broadcasts;
mod bystanders;
mod frames;
mod json;
mod origins;
mod patterns;
mod raw;
mod silent;
mod slow;
mod smuggling;
mod stage;
mod storms;
mod subscriptions;
#[path = "../support/mod.rs"]
mod support;
mod tokens;
mod unfinished;
mod vhosts;
