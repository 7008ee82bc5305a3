//! What `webrocket doctor` says of hosts that are in order, at each threshold
//! and just past it, and that its lines are those of the tuning files. A host is
//! a folder with the files that a kernel shows.

mod ceiling;
mod fixture;
mod program;
mod report;
mod thresholds;
mod tuning;
