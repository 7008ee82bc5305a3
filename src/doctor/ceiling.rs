//! How many idle connections a host would carry: the least of its bounds.

use serde::Serialize;

use super::figures::{bytes, counted, grouped};
use super::finding::{Affects, Finding, Severity};
use super::host::Host;
use super::{Demand, descriptors, memory, network};
use crate::limits::CONNECTIONS_PER_SHARD_MAX;

/// A prediction, computed and not measured.
#[derive(Debug, Serialize)]
pub struct Ceiling {
    /// Connections, frontends and backends, of which most are idle.
    pub connections: u64,
    /// All bounds, the one that binds first before the others.
    pub bounds: Vec<Bound>,
}

/// One bound on the number of connections.
#[derive(Debug, Serialize)]
pub struct Bound {
    /// The id of the finding that binds.
    pub name: &'static str,
    /// Connections that it allows.
    pub connections: u64,
    /// How that was computed.
    pub how: String,
}

pub(super) fn predict(host: &Host, demand: &Demand, findings: &[Finding]) -> Ceiling {
    let mut bounds = vec![slots(demand)];
    bounds.extend(no_start(findings));
    bounds.extend(nofile(host, demand));
    bounds.extend(file_max(host, demand));
    bounds.extend(memory(host, demand));
    bounds.extend(conntrack(host));
    // Stable: of two that bind alike the one named first comes first.
    bounds.sort_by_key(|bound| bound.connections);
    Ceiling {
        connections: bounds.first().map_or(0, |bound| bound.connections),
        bounds,
    }
}

fn slots(demand: &Demand) -> Bound {
    Bound {
        name: "slots",
        connections: descriptors::slot_connections(demand),
        how: format!(
            "{} of {} each",
            counted(demand.shards, "shard"),
            grouped(CONNECTIONS_PER_SHARD_MAX as u64)
        ),
    }
}

/// A node that does not start carries nothing.
fn no_start(findings: &[Finding]) -> Option<Bound> {
    let stops = |finding: &&Finding| {
        finding.severity == Severity::Failure && finding.affects == Affects::Start
    };
    findings.iter().find(stops).map(|finding| Bound {
        name: finding.id,
        connections: 0,
        how: "no node starts".into(),
    })
}

fn nofile(host: &Host, demand: &Demand) -> Option<Bound> {
    Some(Bound {
        name: "nofile",
        connections: descriptors::nofile_connections(host, demand)?,
        how: format!(
            "the hard limit less {}, in each shard",
            descriptors::reserved(demand)
        ),
    })
}

fn file_max(host: &Host, demand: &Demand) -> Option<Bound> {
    Some(Bound {
        name: "file-max",
        connections: descriptors::file_max_connections(host, demand)?,
        how: "fs.file-max less what is open".into(),
    })
}

fn memory(host: &Host, demand: &Demand) -> Option<Bound> {
    let available = memory::available(host)?;
    Some(Bound {
        name: "memory",
        connections: memory::connections(available, demand),
        how: format!(
            "three quarters of {}, {} each",
            bytes(available),
            bytes(memory::CONNECTION_BYTES)
        ),
    })
}

fn conntrack(host: &Host) -> Option<Bound> {
    let (max, tracks) = network::tracked(host)?;
    tracks.then(|| Bound {
        name: "conntrack",
        connections: max,
        how: "an entry each".into(),
    })
}
