use std::sync::{Arc, PoisonError};

use super::Watched;
use super::process::Process;
pub(super) use crate::control::stats::Headroom;
use crate::limits::{CONNECTIONS_PER_SHARD_MAX, LOAD_WINDOW_MIN};
use crate::meter::{Kind, ShardMeter};
use crate::model::Quotas;

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
/// `open`: descriptors of each shard.
pub(super) fn of(
    watched: &Watched,
    quotas: &Quotas,
    process: Option<&Process>,
    open: &[Option<u64>],
    now_us: u64,
) -> Vec<Headroom> {
    let connected = all_connected(&watched.shards);
    let slots = (CONNECTIONS_PER_SHARD_MAX * watched.shards.len()) as u64;
    let mut load = watched.load.lock().unwrap_or_else(PoisonError::into_inner);
    let mut all = vec![
        core_time(load.busiest(&watched.shards, now_us)),
        connections(connected, slots.min(u64::from(quotas.connections_max))),
        outboxes(&watched.shards, quotas.default.outbox_bytes_max),
        outbox_memory(&watched.shards, quotas.outboxes_bytes_max),
        unfinished_memory(&watched.shards, quotas.unfinished_bytes_max),
    ];
    drop(load);
    if let Some(process) = process {
        all.push(descriptors(process, open));
        all.extend(memory(process, connection_bytes(watched, process)));
        // From its own host only, as through a proxy there.
        if watched.node.websocket_addr.ip().is_loopback() {
            all.push(ports(connected, process.ports));
        }
    }
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

/// How far resident memory grew for each connection there is; none without any.
pub(super) fn connection_bytes(watched: &Watched, process: &Process) -> Option<u64> {
    let grown = process
        .resident_bytes
        .saturating_sub(watched.resident_at_start);
    grown.checked_div(all_connected(&watched.shards))
}

fn all_connected(shards: &[Arc<ShardMeter>]) -> u64 {
    shards.iter().map(|meter| connected(meter)).sum()
}

/// Connections of a shard, of whatever kind.
fn connected(meter: &ShardMeter) -> u64 {
    let kinds = Kind::ALL.iter();
    kinds.map(|kind| meter.connections(*kind).value()).sum()
}

fn connections(connected: u64, max: u64) -> Headroom {
    Headroom {
        limit: "connections".into(),
        used: connected as f64,
        max: max as f64,
        unit: "connections".into(),
        source: "the node's quota, or its slots where they are fewer".into(),
    }
}

/// Who connects from this host has one address, the proxy's, and each
/// connection takes a port there.
fn ports(connected: u64, ports: u64) -> Headroom {
    Headroom {
        limit: "ports".into(),
        used: connected as f64,
        max: ports as f64,
        unit: "ports".into(),
        source: "net.ipv4.ip_local_port_range, for peers on this host".into(),
    }
}

fn outboxes(shards: &[Arc<ShardMeter>], bytes_max: u32) -> Headroom {
    let fullest = shards.iter().map(|meter| meter.outbox_peak_bytes.value());
    Headroom {
        limit: "outboxes".into(),
        used: fullest.max().unwrap_or(0) as f64,
        max: f64::from(bytes_max),
        unit: "bytes".into(),
        source: "fullest outbox of late, before its reader is evicted or misses some".into(),
    }
}

/// Each shard has an even share of the node's; the fullest binds.
fn outbox_memory(shards: &[Arc<ShardMeter>], bytes_max: u64) -> Headroom {
    let fullest = shards.iter().map(|meter| meter.outbox_bytes.value());
    Headroom {
        limit: "outbox memory".into(),
        used: fullest.max().unwrap_or(0) as f64,
        max: bytes_max as f64 / shards.len().max(1) as f64,
        unit: "bytes".into(),
        source: "all outboxes of the fullest shard, of its share of the node's".into(),
    }
}

/// As with outboxes.
fn unfinished_memory(shards: &[Arc<ShardMeter>], bytes_max: u64) -> Headroom {
    let fullest = shards.iter().map(|meter| meter.unfinished_bytes.value());
    Headroom {
        limit: "unfinished memory".into(),
        used: fullest.max().unwrap_or(0) as f64,
        max: bytes_max as f64 / shards.len().max(1) as f64,
        unit: "bytes".into(),
        source: "received and not handled on the fullest shard, of its share".into(),
    }
}

/// Each shard has a table of its own, and what is no shard has the process's;
/// the limit counts for each. The fullest one binds.
fn descriptors(process: &Process, open: &[Option<u64>]) -> Headroom {
    let shards = open.iter().enumerate().filter_map(|(shard, open)| {
        let source = format!("fullest table, shard {shard}'s own; soft limit");
        Some(((*open)?, source))
    });
    let own = (
        process.descriptors,
        "fullest table, the process's; soft limit".to_owned(),
    );
    let (used, source) = shards.fold(
        own,
        |fullest, table| {
            if table.0 > fullest.0 { table } else { fullest }
        },
    );
    Headroom {
        limit: "descriptors".into(),
        used: used as f64,
        max: process.descriptors_max as f64,
        unit: "descriptors".into(),
        source,
    }
}

/// Of the host's memory and the control group's, the one that binds first;
/// `each` is how far resident memory grew for each connection.
fn memory(process: &Process, each: Option<u64>) -> Option<Headroom> {
    let all = process.memory.iter().map(|memory| Headroom {
        limit: "memory".into(),
        used: memory.used_bytes as f64,
        max: memory.max_bytes as f64,
        unit: "bytes".into(),
        source: match each {
            Some(each) => format!(
                "{}; grew by {each} bytes a connection, beside the kernel's",
                memory.source
            ),
            None => memory.source.into(),
        },
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
    use super::super::process::Memory;
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
    fn connections_of_every_kind_count() {
        let shards = shards(1);
        for (count, kind) in (1..).zip(Kind::ALL) {
            shards[0].connections(kind).set(count);
        }
        let all = Kind::ALL.len() as u64;
        assert_eq!(connected(&shards[0]), all * (all + 1) / 2);
    }

    #[test]
    fn the_fullest_table_binds() {
        let mut process = Process::read().expect("/proc");
        (process.descriptors, process.descriptors_max) = (40, 100);
        let of = |open: &[Option<u64>]| {
            let found = descriptors(&process, open);
            (found.used, found.max, found.source)
        };
        let (used, max, source) = of(&[Some(39), None, Some(40)]);
        assert_eq!((used, max), (40.0, 100.0));
        assert!(source.contains("the process's"), "{source}");
        let (used, max, source) = of(&[Some(7), None, Some(90), Some(41)]);
        assert_eq!((used, max), (90.0, 100.0));
        assert!(source.contains("shard 2's"), "{source}");
    }

    #[test]
    fn of_two_memories_the_fuller_one_binds() {
        let memory_of = |used_bytes, max_bytes, source| Memory {
            used_bytes,
            max_bytes,
            source,
        };
        let mut process = Process::read().expect("/proc");
        process.memory = vec![memory_of(10, 100, "host"), memory_of(9, 10, "group")];
        let fuller = memory(&process, None).expect("a limit");
        assert_eq!(
            (fuller.used, fuller.max, fuller.source.as_str()),
            (9.0, 10.0, "group")
        );
        let grown = memory(&process, Some(512)).expect("a limit");
        assert!(grown.source.contains("512 bytes"), "{grown:?}");
        process.memory.clear();
        assert_eq!(memory(&process, None), None);
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
        let fullest = outboxes(&shards, 100);
        assert_eq!((fullest.used, fullest.max), (77.0, 100.0));
    }
}
