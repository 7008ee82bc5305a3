//! Latency of one interval, out of the buckets of two looks.

use std::collections::HashMap;

use super::rates::gained;
use crate::control::stats::Bucket;

/// How many broadcasts each bucket gained, by ascending bound.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Latency {
    gained: Vec<(Option<u64>, u64)>,
}

/// What is known of a percentile: the bucket it fell into, not its exact place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Bound {
    /// Microseconds, the bucket's upper bound.
    AtMost(u64),
    /// It fell into the last bucket, which begins after so many microseconds.
    Over(u64),
}

impl Latency {
    pub(super) fn between(earlier: &[Bucket], later: &[Bucket]) -> Self {
        // By bound, not by place: a node may leave empty buckets out.
        let before: HashMap<Option<u64>, u64> = earlier
            .iter()
            .map(|bucket| (bucket.le_us, bucket.count))
            .collect();
        let mut gained: Vec<_> = later
            .iter()
            .map(|bucket| {
                let before = before.get(&bucket.le_us).copied().unwrap_or(0);
                (bucket.le_us, gained(before, bucket.count))
            })
            .collect();
        gained.sort_by_key(|(le_us, _)| le_us.unwrap_or(u64::MAX));
        Self { gained }
    }

    /// Broadcasts measured.
    pub(super) fn count(&self) -> u64 {
        self.gained.iter().map(|(_, count)| count).sum()
    }

    /// Where the given share (0 to 1) of the broadcasts was done; none without any.
    pub(super) fn percentile(&self, share: f64) -> Option<Bound> {
        let count = self.count();
        if count == 0 {
            return None;
        }
        let rank = ((count as f64 * share).ceil() as u64).clamp(1, count);
        let mut counted = 0;
        let mut begins = 0;
        for (le_us, count) in &self.gained {
            counted += count;
            if counted >= rank {
                return Some(le_us.map_or(Bound::Over(begins), Bound::AtMost));
            }
            begins = le_us.unwrap_or(begins);
        }
        None
    }
}
