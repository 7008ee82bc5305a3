//! What a host lacks to carry many connections: each thing that binds, what it
//! limits, and the line that mends it; and how many connections it would carry.
//!
//! [`examine`] reads and changes nothing. Every threshold is judged for a
//! [`Demand`]; `tuning/README.md` explains each finding under its id.

#![forbid(unsafe_code)]

mod card;
mod ceiling;
mod cgroup;
mod cores;
mod descriptors;
mod figures;
mod finding;
mod host;
mod kernel;
mod memory;
mod network;
mod report;

pub use ceiling::{Bound, Ceiling};
pub use finding::{Affects, Finding, Fix, Group, Place, Severity};
pub use host::Host;
pub use report::{Detail, write_json, write_text};

use std::cmp::Reverse;

use serde::Serialize;

use crate::net::{self, ProbeError};

/// Findings of a brief: more would bury what a node says at its start.
const BRIEF_LINES_MAX: usize = 4;

/// What a host is judged for.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Demand {
    connections: u64,
    shards: u64,
}

impl Demand {
    /// So many connections at once, on so many shards.
    pub fn new(connections: u32, shards: u16) -> Self {
        Self {
            connections: connections.into(),
            shards: shards.into(),
        }
    }
}

/// Everything that was looked at, in the order of its groups, and what follows.
#[derive(Debug)]
pub struct Diagnosis {
    /// What the host was judged for.
    pub demand: Demand,
    /// What was looked at. What this host does not show is left out.
    pub findings: Vec<Finding>,
    /// How many connections this host would carry.
    pub ceiling: Ceiling,
}

/// Looks at this host, and tries a ring on it. Takes a few milliseconds.
pub fn examine_here(demand: Demand) -> Diagnosis {
    examine(&Host::at("/"), demand, &net::probe())
}

/// Looks at everything. `ring` is the outcome of [`net::probe`].
pub fn examine(host: &Host, demand: Demand, ring: &Result<(), ProbeError>) -> Diagnosis {
    let mut findings = Vec::new();
    kernel::check(host, ring, &mut findings);
    descriptors::check(host, &demand, &mut findings);
    network::check(host, &demand, &mut findings);
    memory::check(host, &demand, &mut findings);
    cores::check(host, &demand, &mut findings);
    card::check(host, &demand, &mut findings);
    cgroup::check(host, &demand, &mut findings);
    let ceiling = ceiling::predict(host, &demand, &findings);
    Diagnosis {
        demand,
        findings,
        ceiling,
    }
}

impl Diagnosis {
    /// The worst of all findings.
    pub fn severity(&self) -> Severity {
        let severities = self.findings.iter().map(|finding| finding.severity);
        severities.max().unwrap_or(Severity::Ok)
    }

    /// What to tell before the first packet, a line each: what keeps a node from
    /// starting, or from taking the connections asked for, the worst first.
    pub fn brief(&self) -> Vec<String> {
        let tells = |finding: &&Finding| {
            finding.severity >= Severity::Warning
                && matches!(finding.affects, Affects::Start | Affects::Connections)
        };
        let mut findings: Vec<&Finding> = self.findings.iter().filter(tells).collect();
        findings.sort_by_key(|finding| Reverse(finding.severity));
        let shown = findings.iter().take(BRIEF_LINES_MAX);
        let mut lines: Vec<String> = shown.map(|finding| finding.brief()).collect();
        if let Some(more) = findings.len().checked_sub(BRIEF_LINES_MAX + 1) {
            lines.push(format!("and {} more: see webrocket doctor", more + 1));
        }
        lines
    }

    fn count(&self, severity: Severity) -> usize {
        let all = self.findings.iter();
        all.filter(|finding| finding.severity == severity).count()
    }
}
