//! Clients that left and came back, and clients that hardly read.

use std::collections::BTreeMap;
use std::fmt::{self, Display, Formatter};

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

use super::Distribution;
use super::build::by_cause;
use super::text::{grouped, time, write_causes, write_distribution, write_heads};
use crate::plan::Plan;
use crate::pump::{Faults, Leaves, Slowness};

/// Disconnected on purpose, by churn and storm, and connected anew.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Comebacks {
    /// `--churn`; 0 for none.
    pub(crate) churn_per_s: f64,
    /// Disconnected in their turn.
    pub(crate) churned: u64,
    /// Were still on their way back when it was their turn again.
    pub(crate) skipped: u64,
    /// Subscribed again, those of the storm among them.
    pub(crate) back: u64,
    /// Not so when the run ended.
    pub(crate) missing: u64,
    /// Attempts that came to nothing, and were followed by another.
    pub(crate) refused_by_cause: BTreeMap<String, u64>,
    /// From leaving, or the storm, to being subscribed again; null where nobody was.
    pub(crate) time: Option<Distribution>,
    /// What `--storm` did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) storm: Option<StormReport>,
}

/// Many were reset at one moment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct StormReport {
    /// Into the measuring.
    pub(crate) at_s: f64,
    pub(crate) hit: u64,
    pub(crate) back: u64,
    /// Until the last was subscribed again; null unless all were.
    pub(crate) recovered_s: Option<f64>,
}

/// The clients of `--slow-clients`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SlowReport {
    pub(crate) clients: u32,
    pub(crate) read_bytes_per_s: u32,
    pub(crate) subscribed: u64,
    /// Broadcasts that they have read. What is missing is no loss.
    pub(crate) delivered: u64,
    /// How the broker parted with them.
    pub(crate) ended_by_cause: BTreeMap<String, u64>,
}

impl Comebacks {
    /// None where nobody was to leave.
    pub(super) fn new(
        plan: &Plan,
        leaves: &Leaves,
        faults: &Faults,
        times: &Histogram<u64>,
    ) -> Option<Self> {
        let storm = plan.storm.map(|storm| StormReport {
            at_s: storm.at.as_secs_f64(),
            hit: leaves.stormed,
            back: leaves.back_from_storm,
            recovered_s: (leaves.stormed > 0 && leaves.back_from_storm == leaves.stormed)
                .then(|| leaves.storm_ns as f64 / 1e9),
        });
        (plan.churn > 0.0 || storm.is_some()).then(|| Self {
            churn_per_s: plan.churn,
            churned: leaves.churned,
            skipped: leaves.skipped,
            back: leaves.back,
            missing: leaves.missing,
            refused_by_cause: by_cause(&faults.return_refused),
            time: (!times.is_empty()).then(|| Distribution::new(times)),
            storm,
        })
    }

    /// A storm may meet a busy broker; churn alone should not.
    pub(super) fn has_failed(&self) -> bool {
        let refused = self.storm.is_none() && !self.refused_by_cause.is_empty();
        self.missing > 0 || refused
    }
}

impl SlowReport {
    /// None where there are none.
    pub(super) fn new(plan: &Plan, slowness: &Slowness, faults: &Faults) -> Option<Self> {
        (plan.slow.clients > 0).then(|| Self {
            clients: plan.slow.clients,
            read_bytes_per_s: plan.slow.bytes_per_s,
            subscribed: slowness.subscribed,
            delivered: slowness.delivered,
            ended_by_cause: by_cause(&faults.slow),
        })
    }
}

impl Display for Comebacks {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        if self.churn_per_s > 0.0 {
            writeln!(
                f,
                "churn        {} disconnected ({}/s asked), {} left out",
                grouped(self.churned),
                self.churn_per_s,
                grouped(self.skipped),
            )?;
        }
        if let Some(storm) = &self.storm {
            write!(
                f,
                "storm        {} of {} back",
                grouped(storm.back),
                grouped(storm.hit)
            )?;
            match storm.recovered_s {
                Some(seconds) => writeln!(f, ", all after {}", time(seconds * 1e6))?,
                None => writeln!(f)?,
            }
        }
        writeln!(
            f,
            "  came back  {}, {} still away at the end",
            grouped(self.back),
            grouped(self.missing)
        )?;
        write_causes(f, "refused", &self.refused_by_cause)?;
        let Some(time) = &self.time else {
            return Ok(());
        };
        write_heads(f, "coming back")?;
        write_distribution(f, "time", time)
    }
}

impl Display for SlowReport {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "slow         {} of {} subscribed, each reads {} bytes/s, {} delivered",
            grouped(self.subscribed),
            grouped(self.clients.into()),
            grouped(self.read_bytes_per_s.into()),
            grouped(self.delivered),
        )?;
        write_causes(f, "ended", &self.ended_by_cause)
    }
}
