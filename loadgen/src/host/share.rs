//! How many threads and shards a run takes, and how many descriptors each needs.
//! Each has a descriptor table of its own, so that the limit counts for each.

use std::thread::available_parallelism;

use rustix::process::{Resource, getrlimit};
use webrocket::limits::SHARDS_MAX;

use crate::limits::{CLIENTS_PER_THREAD_MIN, SHARE_SIGMAS, TABLE_SPARE, THREADS_MAX};

/// Threads of clients where the user leaves it to us: half of the cores, for the
/// broker may have the rest, and more only where descriptors ask for it.
pub(crate) fn threads(clients: u32) -> u16 {
    let wanted = by_cores(clients).max(threads_for(clients, limit()));
    wanted.min(THREADS_MAX.into()).min(clients).max(1) as u16
}

/// Shards of a broker of our own, by the same rule.
pub(crate) fn shards(clients: u32) -> u16 {
    let wanted = by_cores(clients).max(shards_for(clients, limit()));
    wanted.clamp(1, SHARDS_MAX as u32) as u16
}

fn by_cores(clients: u32) -> u32 {
    let cores = available_parallelism().map_or(1, usize::from) as u32;
    (cores / 2).min(clients / CLIENTS_PER_THREAD_MIN)
}

/// What this process may raise its limit to.
fn limit() -> u64 {
    getrlimit(Resource::Nofile).maximum.unwrap_or(u64::MAX)
}

/// The fewest threads whose tables hold all clients.
pub(super) fn threads_for(clients: u32, limit: u64) -> u32 {
    fewest(THREADS_MAX.into(), |threads| {
        thread_descriptors(clients, threads) <= limit
    })
}

/// The fewest shards whose tables hold all clients.
pub(super) fn shards_for(clients: u32, limit: u64) -> u32 {
    fewest(SHARDS_MAX as u32, |shards| {
        shard_descriptors(clients, shards) <= limit
    })
}

/// The most where none is enough: the check says so then.
fn fewest(most: u32, is_enough: impl Fn(u32) -> bool) -> u32 {
    (1..most).find(|count| is_enough(*count)).unwrap_or(most)
}

/// Descriptors of the fullest thread: clients are dealt out in turn.
pub(super) fn thread_descriptors(clients: u32, threads: u32) -> u64 {
    u64::from(clients.div_ceil(threads.max(1))) + TABLE_SPARE
}

/// Descriptors of the fullest shard. The kernel picks a listener by a hash, so
/// that a shard's share is binomial.
pub(super) fn shard_descriptors(clients: u32, shards: u32) -> u64 {
    let part = 1.0 / f64::from(shards.max(1));
    let mean = f64::from(clients) * part;
    let sigma = (mean * (1.0 - part)).sqrt();
    let most = (mean + SHARE_SIGMAS * sigma).ceil() as u64;
    most.min(clients.into()) + TABLE_SPARE
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threads_at_the_bound_and_past_it() {
        let limit = 100 + TABLE_SPARE;
        for (clients, threads) in [(1, 1), (100, 1), (101, 2), (200, 2), (201, 3)] {
            assert_eq!(threads_for(clients, limit), threads, "{clients} clients");
        }
        assert_eq!(threads_for(100, TABLE_SPARE), u32::from(THREADS_MAX));
    }

    #[test]
    fn shards_have_a_margin() {
        assert_eq!(shard_descriptors(1000, 1), 1000 + TABLE_SPARE);
        // 6 sigma of 500 +- 15.8.
        assert_eq!(shard_descriptors(1000, 2), 595 + TABLE_SPARE);
        assert_eq!(shards_for(1000, 1000 + TABLE_SPARE), 1);
        assert_eq!(shards_for(1000, 999 + TABLE_SPARE), 2);
        assert_eq!(shards_for(1000, 595 + TABLE_SPARE), 2);
        assert_eq!(shards_for(1000, 594 + TABLE_SPARE), 3);
        assert_eq!(shards_for(100_000, 20_000), 6);
    }

    #[test]
    fn a_small_run_has_one_of_each() {
        assert_eq!((threads(1), shards(1)), (1, 1));
    }
}
