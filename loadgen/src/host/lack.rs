//! What the doctor of the broker finds wanting on the generator's machine.

use std::fmt;

use webrocket::doctor::{Affects, Demand, Diagnosis, Finding, Group, Severity, examine_here};

use crate::plan::Plan;

/// What the run's own checks judge better, for they know both sides.
const OWN_CHECKS: [&str; 4] = ["nofile", "nr-open", "slots", "port-range"];

/// One thing, and what mends it.
#[derive(Debug)]
pub(crate) struct Lack(Finding);

/// What is wanting, the order being the doctor's.
#[derive(Debug, Default)]
pub(super) struct Lacks {
    /// The run can't be.
    pub(super) refusals: Vec<Lack>,
    /// Figures may bend.
    pub(super) warnings: Vec<Lack>,
}

impl Lacks {
    /// `shards` of a broker on this machine: both ends of each connection are
    /// here then, in memory and files; an entry of conntrack is for both.
    pub(super) fn look(plan: &Plan, shards: Option<u16>) -> Self {
        let once = examine_here(Demand::new(
            plan.population(),
            shards.unwrap_or(plan.threads),
        ));
        let Some(shards) = shards else {
            return Self::new(once, |_| true);
        };
        let both = Demand::new(
            plan.population().saturating_mul(2),
            shards.saturating_add(plan.threads),
        );
        let mut lacks = Self::new(examine_here(both), |finding| {
            // No network card has a part in loopback.
            finding.id != "conntrack" && finding.group != Group::Card
        });
        let tracked = Self::new(once, |finding| finding.id == "conntrack");
        lacks.refusals.extend(tracked.refusals);
        lacks.warnings.extend(tracked.warnings);
        lacks
    }

    fn new(diagnosis: Diagnosis, is_wanted: impl Fn(&Finding) -> bool) -> Self {
        let mut lacks = Self::default();
        for finding in diagnosis.findings {
            if OWN_CHECKS.contains(&finding.id) || !is_wanted(&finding) {
                continue;
            }
            match finding.severity {
                Severity::Failure => lacks.refusals.push(Lack(finding)),
                Severity::Warning => lacks.warnings.push(Lack(finding)),
                Severity::Ok | Severity::Note => {}
            }
        }
        lacks
    }
}

impl Lack {
    /// Whether clients may stay out; else it is only slower.
    pub(crate) fn keeps_clients_out(&self) -> bool {
        matches!(self.0.affects, Affects::Start | Affects::Connections)
    }
}

impl fmt::Display for Lack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Finding {
            id, found, wanted, ..
        } = &self.0;
        write!(f, "{id} is {found}, wanted {wanted}")?;
        match self.0.fixes.first() {
            Some(fix) => write!(f, "; mend with {:?}", fix.line),
            None => write!(f, ". {}", self.0.limits),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use webrocket::doctor::{Host, examine};

    use super::*;

    /// Of a machine that has this memory, for so many connections.
    fn lacks(connections: u32, kib: u64) -> Lacks {
        let root = tempfile::tempdir().expect("a directory");
        fs::create_dir(root.path().join("proc")).expect("a folder");
        let info = format!("MemAvailable: {kib} kB\n");
        fs::write(root.path().join("proc/meminfo"), info).expect("written");
        let demand = Demand::new(connections, 1);
        let diagnosis = examine(&Host::at(root.path()), demand, &Ok(()));
        Lacks::new(diagnosis, |_| true)
    }

    #[test]
    fn too_little_memory_is_refused_and_told() {
        assert!(lacks(1000, 1024 * 1024).refusals.is_empty());
        let refused = lacks(1000, 16).refusals;
        let told: Vec<String> = refused.iter().map(Lack::to_string).collect();
        assert!(
            told.iter().any(|it| it.starts_with("memory is ")),
            "{told:?}"
        );
        assert!(refused.iter().any(Lack::keeps_clients_out));
    }

    #[test]
    fn what_is_checked_here_is_not_told_twice() {
        let refused = lacks(u32::MAX, 1024 * 1024).refusals;
        assert!(!refused.iter().any(|it| OWN_CHECKS.contains(&it.0.id)));
    }
}
