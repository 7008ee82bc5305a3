use super::{Counter, Histogram};

/// What control counts of its store.
#[derive(Debug, Default)]
pub struct StoreMeter {
    /// Batches that became durable.
    pub commits: Counter,
    /// Batches that the store refused.
    pub failures: Counter,
    /// Records in durable batches.
    pub records: Counter,
    /// Microseconds that a commit took, whether it failed or not.
    pub commit_time: Histogram,
}
