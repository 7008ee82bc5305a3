use std::sync::{Arc, PoisonError};

use super::Watched;
use super::process::Process;
pub(super) use crate::control::stats::Headroom;
use crate::limits::{CONNECTIONS_PER_SHARD_MAX, LOAD_WINDOW_MIN, OUTBOX_BYTES_MAX};
use crate::meter::{Kind, ShardMeter};

impl Headroom {
    /// The share that is used; past 1 where more is used than there should be.
    pub(super) fn used_share(&self) -> f64 {
        if self.max > 0.0 {
            self.used / self.max
        } else {
            1.0
        }
    }
}

/// How far each limit of the node is, the one that is used most in front.
pub(super) fn of(watched: &Watched, process: Option<&Process>, now_us: u64) -> Vec<Headroom> {
    let mut load = watched.load.lock().unwrap_or_else(PoisonError::into_inner);
    let mut all = vec![
        core_time(load.busiest(&watched.shards, now_us)),
        connections(&watched.shards, watched.connections_max),
        outboxes(&watched.shards),
    ];
    drop(load);
    all.extend(process.map(descriptors));
    all.extend(process.and_then(memory));
    sort(&mut all);
    all
}

fn sort(all: &mut [Headroom]) {
    all.sort_by(|a, b| b.used_share().total_cmp(&a.used_share()));
}

fn core_time(busiest: (usize, f64)) -> Headroom {
    let (shard, share) = busiest;
    Headroom {
        limit: "core time".into(),
        used: share,
        max: 1.0,
        unit: "cores".into(),
        source: format!("busiest shard, {shard}, of one core"),
    }
}

fn connections(shards: &[Arc<ShardMeter>], connections_max: u64) -> Headroom {
    let held = |meter: &Arc<ShardMeter>| {
        let kinds = Kind::ALL.iter();
        kinds
            .map(|kind| meter.connections(*kind).value())
            .sum::<u64>()
    };
    let slots = (CONNECTIONS_PER_SHARD_MAX * shards.len()) as u64;
    Headroom {
        limit: "connections".into(),
        used: shards.iter().map(held).sum::<u64>() as f64,
        max: connections_max.min(slots) as f64,
        unit: "connections".into(),
        source: "the node's quota, or its slots where they are fewer".into(),
    }
}

fn outboxes(shards: &[Arc<ShardMeter>]) -> Headroom {
    let fullest = shards.iter().map(|meter| meter.outbox_peak_bytes.value());
    Headroom {
        limit: "outboxes".into(),
        used: fullest.max().unwrap_or(0) as f64,
        max: OUTBOX_BYTES_MAX as f64,
        unit: "bytes".into(),
        source: "fullest outbox of late, before its reader is evicted".into(),
    }
}

fn descriptors(process: &Process) -> Headroom {
    Headroom {
        limit: "descriptors".into(),
        used: process.descriptors as f64,
        max: process.descriptors_max as f64,
        unit: "descriptors".into(),
        source: "the process's table, soft limit".into(),
    }
}

/// Of the host's memory and the control group's, the one that binds first.
fn memory(process: &Process) -> Option<Headroom> {
    let all = process.memory.iter().map(|memory| Headroom {
        limit: "memory".into(),
        used: memory.used_bytes as f64,
        max: memory.max_bytes as f64,
        unit: "bytes".into(),
        source: memory.source.into(),
    });
    all.max_by(|a, b| a.used_share().total_cmp(&b.used_share()))
}

/// How busy shards are, between two looks that are far enough apart.
#[derive(Debug)]
pub(super) struct Load {
    since_us: u64,
    busy_us: Vec<u64>,
    busiest: (usize, f64),
}

impl Load {
    pub(super) fn new(shards: usize) -> Self {
        Self {
            since_us: 0,
            busy_us: vec![0; shards],
            busiest: (0, 0.0),
        }
    }

    /// The busiest shard and its share of one core.
    fn busiest(&mut self, shards: &[Arc<ShardMeter>], now_us: u64) -> (usize, f64) {
        let window_us = now_us.saturating_sub(self.since_us);
        if window_us < LOAD_WINDOW_MIN.as_micros() as u64 {
            return self.busiest;
        }
        self.busiest = (0, 0.0);
        for (shard, (meter, before)) in shards.iter().zip(&mut self.busy_us).enumerate() {
            let busy_us = meter.busy_us.count();
            let share = busy_us.saturating_sub(*before) as f64 / window_us as f64;
            *before = busy_us;
            // A turn that began before the window counts where it ended.
            let share = share.min(1.0);
            if share > self.busiest.1 {
                self.busiest = (shard, share);
            }
        }
        self.since_us = now_us;
        self.busiest
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shards(count: usize) -> Vec<Arc<ShardMeter>> {
        (0..count).map(|_| Arc::default()).collect()
    }

    #[test]
    fn the_busiest_shard_of_a_window_binds() {
        let (shards, mut load) = (shards(2), Load::new(2));
        let window = LOAD_WINDOW_MIN.as_micros() as u64;
        shards[0].busy_us.add(window / 4);
        assert_eq!(load.busiest(&shards, window - 1), (0, 0.0), "too short");
        assert_eq!(load.busiest(&shards, window), (0, 0.25));
        shards[1].busy_us.add(window / 2);
        assert_eq!(
            load.busiest(&shards, 2 * window - 1),
            (0, 0.25),
            "too short"
        );
        assert_eq!(load.busiest(&shards, 2 * window), (1, 0.5));
        assert_eq!(load.busiest(&shards, 3 * window), (0, 0.0));
        shards[1].busy_us.add(window * 3);
        assert_eq!(load.busiest(&shards, 4 * window), (1, 1.0));
    }

    #[test]
    fn connections_are_bound_by_quota_or_slots() {
        let shards = shards(2);
        shards[0].connections(Kind::Frontend).set(30);
        shards[1].connections(Kind::Worker).set(5);
        let bound = connections(&shards, 70);
        assert_eq!((bound.used, bound.max), (35.0, 70.0));
        let slots = (2 * CONNECTIONS_PER_SHARD_MAX) as f64;
        assert_eq!(connections(&shards, u64::MAX).max, slots);
    }

    #[test]
    fn what_binds_first_stands_in_front() {
        let room = |limit: &str, used, max| Headroom {
            limit: limit.into(),
            used,
            max,
            ..Headroom::default()
        };
        let mut all = [
            room("a", 1.0, 10.0),
            room("b", 0.0, 0.0),
            room("c", 9.0, 10.0),
        ];
        sort(&mut all);
        let order: Vec<_> = all.iter().map(|it| it.limit.as_str()).collect();
        assert_eq!(order, ["b", "c", "a"]);
    }

    #[test]
    fn the_fullest_outbox_counts() {
        let shards = shards(3);
        shards[1].outbox_peak_bytes.set(77);
        shards[2].outbox_peak_bytes.set(5);
        assert_eq!(outboxes(&shards).used, 77.0);
    }
}
