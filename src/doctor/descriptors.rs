//! Descriptors: of the process, of any process, of the machine.

use super::Demand;
use super::figures::grouped;
use super::finding::{Affects, Finding, Fix, Group, Place, Severity};
use super::host::Host;
use crate::limits::CONNECTIONS_PER_SHARD_MAX;

/// Descriptors of a node that are no connections: a fresh one has 17 and 8 for
/// each shard (counted with 1, 2 and 8 shards); the rest is for operators'
/// connections and the store.
const NODE_DESCRIPTORS: u64 = 128;

/// Descriptors of a shard: its rings, listeners and wake-ups, twice over.
const SHARD_DESCRIPTORS: u64 = 16;

/// Standard deviations that a shard's share of the connections may be above the
/// mean: one start in a hundred million is past it.
const SHARE_SIGMAS: f64 = 6.0;

/// What the tuning files set; enough for a million connections.
const NOFILE: u64 = 1_048_576;

/// The same for the whole machine, where others open files too.
const FILE_MAX: u64 = 4_194_304;

pub(super) fn check(host: &Host, demand: &Demand, findings: &mut Vec<Finding>) {
    findings.extend(nofile(host, demand));
    findings.extend(nr_open(host, demand));
    findings.extend(file_max(host, demand));
    findings.push(slots(demand));
}

/// Descriptors that a node takes besides those of its connections.
pub(super) fn reserved(demand: &Demand) -> u64 {
    NODE_DESCRIPTORS + SHARD_DESCRIPTORS * demand.shards
}

fn needed(demand: &Demand) -> u64 {
    demand.connections + reserved(demand)
}

/// Connections that the limit allows; it counts for each shard's table.
pub(super) fn nofile_connections(host: &Host, demand: &Demand) -> Option<u64> {
    let [_, hard] = host.limit("Max open files")?;
    let places = hard.saturating_sub(reserved(demand)) as f64;
    // The root of `share`, solved for the connections.
    let spread = spread(demand.shards);
    let root = (-spread + (spread * spread + 4.0 * places).sqrt()) / 2.0;
    Some((root * root * demand.shards as f64 + 1e-6) as u64)
}

/// Connections of the fullest shard: the kernel picks a listener by a hash, so
/// that a shard's share is binomial.
fn share(connections: u64, shards: u64) -> u64 {
    let mean = connections as f64 / shards as f64;
    (mean + spread(shards) * mean.sqrt() - 1e-6).ceil() as u64
}

/// How far a share may be above the mean, over the mean's root.
fn spread(shards: u64) -> f64 {
    SHARE_SIGMAS * (1.0 - 1.0 / shards as f64).sqrt()
}

/// Descriptors of the fullest table.
fn table(demand: &Demand) -> u64 {
    share(demand.connections, demand.shards) + reserved(demand)
}

/// Connections that the machine has descriptors left for.
pub(super) fn file_max_connections(host: &Host, demand: &Demand) -> Option<u64> {
    let [max] = host.sysctl("fs.file-max")?;
    let [taken, _, _] = host.sysctl("fs.file-nr").unwrap_or([0; 3]);
    Some(max.saturating_sub(taken).saturating_sub(reserved(demand)))
}

/// Connections that the shards have places for.
pub(super) fn slot_connections(demand: &Demand) -> u64 {
    demand.shards * CONNECTIONS_PER_SHARD_MAX as u64
}

fn nofile(host: &Host, demand: &Demand) -> Option<Finding> {
    let [soft, hard] = host.limit("Max open files")?;
    let connections = nofile_connections(host, demand)?;
    let severity = Severity::Failure.unless(connections >= demand.connections);
    let line = NOFILE.max(table(demand).next_power_of_two());
    Some(Finding {
        id: "nofile",
        group: Group::Descriptors,
        severity,
        affects: Affects::Connections,
        found: format!("hard {}, soft {}", grouped(hard), grouped(soft)),
        wanted: format!("hard {} or more", grouped(table(demand))),
        limits: format!(
            "A connection takes a descriptor, and each shard has a table of its own: {} could \
             hold {} connections, and more shards more. The node raises its soft limit to the \
             hard one by itself. A systemd unit has limits of its own.",
            super::figures::counted(demand.shards, "shard"),
            grouped(connections)
        ),
        fixes: match severity {
            Severity::Ok => Vec::new(),
            _ => vec![
                Fix::new(Place::Unit, format!("LimitNOFILE={line}")),
                Fix::new(Place::Limits, format!("*  hard  nofile  {line}")),
            ],
        },
    })
}

fn nr_open(host: &Host, demand: &Demand) -> Option<Finding> {
    let [nr_open] = host.sysctl("fs.nr_open")?;
    let severity = Severity::Failure.unless(nr_open >= table(demand));
    let value = NOFILE.max(table(demand).next_power_of_two());
    Some(Finding {
        id: "nr-open",
        group: Group::Descriptors,
        severity,
        affects: Affects::Connections,
        found: grouped(nr_open),
        wanted: format!("{} or more", grouped(table(demand))),
        limits: "No process's limit of descriptors can be set higher than this.".into(),
        fixes: match severity {
            Severity::Ok => Vec::new(),
            _ => vec![Fix::sysctl("fs.nr_open", value)],
        },
    })
}

fn file_max(host: &Host, demand: &Demand) -> Option<Finding> {
    let [max] = host.sysctl("fs.file-max")?;
    let connections = file_max_connections(host, demand)?;
    let severity = Severity::Failure.unless(connections >= demand.connections);
    let value = FILE_MAX.max((2 * needed(demand)).next_power_of_two());
    Some(Finding {
        id: "file-max",
        group: Group::Descriptors,
        severity,
        affects: Affects::Connections,
        found: grouped(max),
        wanted: format!("{} more than are open", grouped(needed(demand))),
        limits: format!(
            "Open files of the whole machine: what is left is enough for {} connections.",
            grouped(connections)
        ),
        fixes: match severity {
            Severity::Ok => Vec::new(),
            _ => vec![Fix::sysctl("fs.file-max", value)],
        },
    })
}

fn slots(demand: &Demand) -> Finding {
    let connections = slot_connections(demand);
    Finding {
        id: "slots",
        group: Group::Descriptors,
        severity: Severity::Failure.unless(connections >= demand.connections),
        affects: Affects::Connections,
        found: grouped(connections),
        wanted: format!("{} or more", grouped(demand.connections)),
        limits: "Places for connections in the shards; more shards have more.".into(),
        fixes: Vec::new(),
    }
}
