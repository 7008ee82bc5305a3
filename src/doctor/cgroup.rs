//! What a control group grants, version 1 or 2: the least of the group that the
//! process is in and of all above it.

use super::Demand;
use super::figures::{bytes, grouped};
use super::finding::{Affects, Finding, Fix, Group, Place, Severity};
use super::host::{Host, UNLIMITED};

/// Version 1 says "no limit" with the largest number of whole pages.
const UNLIMITED_FROM: u64 = 1 << 62;

/// Threads of a node besides its shards': the main one, control and the store's.
const NODE_THREADS: u64 = 32;

/// Threads of a shard: its own, and one of its executor for calls that block.
const SHARD_THREADS: u64 = 2;

/// What a fix sets: enough for the most shards that a node can have.
const TASKS: u64 = 1024;

pub(super) fn check(host: &Host, demand: &Demand, findings: &mut Vec<Finding>) {
    findings.extend(memory(host));
    findings.extend(cpu(host, demand));
    findings.extend(pids(host, demand));
}

/// Bytes of memory that the group may use, where it is limited.
pub(super) fn memory_max(host: &Host) -> Option<u64> {
    least(host, "memory", &["memory.max", "memory.limit_in_bytes"])
}

/// Bytes of swap that the group may use, where it is limited.
pub(super) fn swap_max(host: &Host) -> Option<u64> {
    least(host, "memory", &["memory.swap.max"])
}

/// The least number in any of the files on the way from the group to the root.
fn least(host: &Host, controller: &str, files: &[&str]) -> Option<u64> {
    let numbers = folders(host, controller).into_iter().flat_map(|folder| {
        let number = move |file: &&str| host.number(&format!("{folder}/{file}"));
        files.iter().filter_map(number)
    });
    numbers.filter(|number| *number < UNLIMITED_FROM).min()
}

/// The group's folder and all above it, of both versions. In a container the path
/// may be one of the host's: then the root is the group.
fn folders(host: &Host, controller: &str) -> Vec<String> {
    let groups = host.text("proc/self/cgroup").unwrap_or_default();
    let mut folders = Vec::new();
    for line in groups.lines() {
        let mut parts = line.splitn(3, ':');
        let (_, Some(controllers), Some(path)) = (parts.next(), parts.next(), parts.next()) else {
            continue;
        };
        let mount = if controllers.is_empty() {
            "sys/fs/cgroup".to_owned()
        } else if controllers.split(',').any(|name| name == controller) {
            format!("sys/fs/cgroup/{controllers}")
        } else {
            continue;
        };
        let mut path = path.trim_end_matches('/');
        loop {
            folders.push(format!("{mount}{path}"));
            let Some((above, _)) = path.rsplit_once('/') else {
                break;
            };
            path = above;
        }
    }
    folders
}

/// Processors' worth of time, in hundredths.
fn cpu_hundredths(host: &Host) -> Option<u64> {
    let of_folder = |folder: String| {
        let text = host.text(&format!("{folder}/cpu.max"));
        let (quota, period) = match &text {
            Some(text) => {
                let (quota, period) = text.split_once(' ')?;
                (quota.parse::<u64>().ok()?, period.parse::<u64>().ok()?)
            }
            None => (
                host.number(&format!("{folder}/cpu.cfs_quota_us"))?,
                host.number(&format!("{folder}/cpu.cfs_period_us"))?,
            ),
        };
        (quota.saturating_mul(100)).checked_div(period)
    };
    folders(host, "cpu").into_iter().filter_map(of_folder).min()
}

fn memory(host: &Host) -> Option<Finding> {
    let max = memory_max(host)?;
    let total = host.memory("MemTotal")?;
    let severity = Severity::Note.unless(max >= total);
    Some(Finding {
        id: "cgroup-memory",
        group: Group::Cgroup,
        severity,
        affects: Affects::Connections,
        found: bytes(max),
        wanted: format!("the host's {}, or no limit", bytes(total)),
        limits: "Sockets, buffers and rings of the node count against its control group; past \
                 the limit the kernel ends the node."
            .into(),
        fixes: match severity {
            Severity::Ok => Vec::new(),
            _ => vec![Fix::new(Place::Unit, "MemoryMax=infinity")],
        },
    })
}

fn cpu(host: &Host, demand: &Demand) -> Option<Finding> {
    let hundredths = cpu_hundredths(host)?;
    let severity = Severity::Warning.unless(hundredths >= demand.shards * 100);
    Some(Finding {
        id: "cgroup-cpu",
        group: Group::Cgroup,
        severity,
        affects: Affects::Latency,
        found: format!("{}.{:02} cores", hundredths / 100, hundredths % 100),
        wanted: format!("{} cores, or no quota", demand.shards),
        limits: "Under load a quota stops every shard for the rest of its period, up to a tenth \
                 of a second. Fewer shards, or a cpuset, give an even pace."
            .into(),
        fixes: match severity {
            Severity::Ok => Vec::new(),
            _ => vec![Fix::new(Place::Unit, "CPUQuota=")],
        },
    })
}

fn pids(host: &Host, demand: &Demand) -> Option<Finding> {
    let max = least(host, "pids", &["pids.max"]).unwrap_or(UNLIMITED);
    let needed = demand.shards * SHARD_THREADS + NODE_THREADS;
    if max == UNLIMITED {
        return None;
    }
    let severity = Severity::Failure.unless(max >= needed);
    Some(Finding {
        id: "cgroup-pids",
        group: Group::Cgroup,
        severity,
        affects: Affects::Start,
        found: grouped(max),
        wanted: format!("{} or more", grouped(needed)),
        limits: "Threads count as processes: a shard without its thread does not start.".into(),
        fixes: match severity {
            Severity::Ok => Vec::new(),
            _ => vec![Fix::new(Place::Unit, format!("TasksMax={TASKS}"))],
        },
    })
}
