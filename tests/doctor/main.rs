//! What `webrocket doctor` says of hosts that are in order, at each threshold
//! and just past it, that its lines are those of the tuning files, and what
//! `webrocket-card` writes. A host is a folder with the files that a kernel shows.

mod ceiling;
mod fixture;
#[path = "../support/program.rs"]
#[allow(
    unreachable_pub,
    reason = "other tests have it in a module of their own"
)]
mod program;
mod report;
mod runs;
mod script;
mod thresholds;
mod tuning;
