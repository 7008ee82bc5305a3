//! The backend's side: triggers and replies, and its own requests.

use std::collections::BTreeMap;
use std::fmt::{self, Display, Formatter};

use serde::{Deserialize, Serialize};

use super::Distribution;
use super::Incompatible;
use super::build::per_second;
use super::merge::{add_counts, add_option, add_times};
use super::text::{grouped, time, write_causes, write_distribution, write_heads};
use crate::backend::{Asked, CrewOutcome, What};
use crate::plan::Plan;
use crate::pump::{Histograms, Outcome, Triggers};

/// What clients triggered while measuring.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct TriggerReport {
    pub(crate) rate_per_s: f64,
    pub(crate) workers: u32,
    pub(crate) sent: u64,
    /// The client had no connection, or its broker did not read.
    pub(crate) unsent: u64,
    /// By workers, each once.
    pub(crate) taken: u64,
    pub(crate) missing: u64,
    pub(crate) duplicated: u64,
    /// That no client of this run has sent.
    pub(crate) strange: u64,
    /// From when it was due to its arrival at a worker; null where none arrived.
    pub(crate) time: Option<Distribution>,
    /// What `--replies` asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) replies: Option<ReplyReport>,
    /// Connections of workers that ended before the run did.
    pub(crate) disconnected_by_cause: BTreeMap<String, u64>,
}

/// What workers answered, as the clients that had triggered saw it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct ReplyReport {
    /// One for each trigger that was sent.
    pub(crate) expected: u64,
    pub(crate) received: u64,
    pub(crate) missing: u64,
    pub(crate) duplicated: u64,
    pub(crate) refused_by_cause: BTreeMap<String, u64>,
    /// From when the trigger was due; null where none arrived.
    pub(crate) time: Option<Distribution>,
}

/// The backend's own requests while measuring; a kind that was not asked for is
/// left out.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct BackendReport {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) broadcasts: Option<Requests>,
    /// Opened and closed by turns.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) channels: Option<Requests>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) tokens: Option<Requests>,
}

/// Requests of one kind.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Requests {
    pub(crate) rate_per_s: f64,
    pub(crate) sent: u64,
    pub(crate) done: u64,
    /// Too many were under way.
    pub(crate) unsent: u64,
    pub(crate) per_s: f64,
    pub(crate) refused_by_cause: BTreeMap<String, u64>,
    /// From when a request was due to its answer; null where none came.
    pub(crate) time: Option<Distribution>,
    pub(crate) late_p99_us: f64,
}

impl TriggerReport {
    /// None where nobody triggers and nobody waits for it.
    pub(super) fn new(
        plan: &Plan,
        outcomes: &[Outcome],
        crew: Option<&CrewOutcome>,
        histograms: &Histograms,
    ) -> Option<Self> {
        let backend = &plan.backend;
        if backend.workers == 0 && backend.trigger_rate == 0.0 {
            return None;
        }
        let of = |count: fn(&Triggers) -> u64| -> u64 {
            outcomes.iter().map(|it| count(&it.tally.triggers)).sum()
        };
        let handled = crew.map(|crew| crew.handled.clone()).unwrap_or_default();
        let sent = of(|it| it.sent);
        let received = of(|it| it.replies);
        let distribution = |histogram: &hdrhistogram::Histogram<u64>| {
            (!histogram.is_empty()).then(|| Distribution::new(histogram))
        };
        Some(Self {
            rate_per_s: backend.trigger_rate,
            workers: backend.workers,
            sent,
            unsent: of(|it| it.unsent),
            taken: handled.taken,
            missing: sent.saturating_sub(handled.taken),
            duplicated: handled.duplicated,
            strange: handled.strange,
            time: distribution(&histograms.trigger),
            replies: backend.replies.then(|| ReplyReport {
                expected: sent,
                received,
                missing: sent.saturating_sub(received),
                duplicated: of(|it| it.doubly_answered),
                refused_by_cause: handled.unanswered,
                time: distribution(&histograms.reply),
            }),
            disconnected_by_cause: handled.disconnects,
        })
    }

    pub(super) fn has_failed(&self) -> bool {
        let replies = self.replies.iter();
        let replies = replies.map(|it| it.missing + it.duplicated).sum::<u64>();
        let faults = self.unsent + self.missing + self.duplicated + self.strange + replies;
        faults > 0 || !self.disconnected_by_cause.is_empty()
    }
}

impl BackendReport {
    /// None where it has asked nothing.
    pub(super) fn new(crew: Option<&CrewOutcome>, seconds: f64) -> Option<Self> {
        let asked = crew.map(|crew| crew.asked.as_slice()).unwrap_or_default();
        let mut report = Self::default();
        for one in asked {
            let place = match one.what {
                What::Broadcast => &mut report.broadcasts,
                What::Channel => &mut report.channels,
                What::Token => &mut report.tokens,
            };
            *place = Some(Requests::new(one, seconds));
        }
        (!asked.is_empty()).then_some(report)
    }

    pub(super) fn has_failed(&self) -> bool {
        self.kinds()
            .any(|(_, it)| it.unsent > 0 || !it.refused_by_cause.is_empty())
    }

    fn kinds(&self) -> impl Iterator<Item = (&'static str, &Requests)> {
        let kinds = [
            ("broadcasts", &self.broadcasts),
            ("channels", &self.channels),
            ("tokens", &self.tokens),
        ];
        kinds
            .into_iter()
            .filter_map(|(name, it)| Some((name, it.as_ref()?)))
    }
}

impl Requests {
    fn new(asked: &Asked, seconds: f64) -> Self {
        Self {
            rate_per_s: asked.per_s,
            sent: asked.sent,
            done: asked.done,
            unsent: asked.unsent,
            per_s: per_second(asked.done, seconds),
            refused_by_cause: asked.refused.clone(),
            time: (!asked.times.is_empty()).then(|| Distribution::new(&asked.times)),
            late_p99_us: super::distribution::microseconds(
                asked.lateness.value_at_percentile(99.0),
            ),
        }
    }
}

impl TriggerReport {
    pub(super) fn add(&mut self, other: &Self) -> Result<(), Incompatible> {
        self.rate_per_s += other.rate_per_s;
        self.workers += other.workers;
        self.sent += other.sent;
        self.unsent += other.unsent;
        self.taken += other.taken;
        self.missing += other.missing;
        self.duplicated += other.duplicated;
        self.strange += other.strange;
        add_counts(
            &mut self.disconnected_by_cause,
            &other.disconnected_by_cause,
        );
        add_times(&mut self.time, other.time.as_ref())?;
        add_option(&mut self.replies, other.replies.as_ref(), ReplyReport::add)
    }
}

impl ReplyReport {
    fn add(&mut self, other: &Self) -> Result<(), Incompatible> {
        self.expected += other.expected;
        self.received += other.received;
        self.missing += other.missing;
        self.duplicated += other.duplicated;
        add_counts(&mut self.refused_by_cause, &other.refused_by_cause);
        add_times(&mut self.time, other.time.as_ref())
    }
}

impl Requests {
    pub(super) fn add(&mut self, other: &Self) -> Result<(), Incompatible> {
        self.rate_per_s += other.rate_per_s;
        self.sent += other.sent;
        self.done += other.done;
        self.unsent += other.unsent;
        self.per_s += other.per_s;
        self.late_p99_us = self.late_p99_us.max(other.late_p99_us);
        add_counts(&mut self.refused_by_cause, &other.refused_by_cause);
        add_times(&mut self.time, other.time.as_ref())
    }
}

impl Display for TriggerReport {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "triggers     {} sent ({}/s asked), {} taken by {} workers",
            grouped(self.sent),
            self.rate_per_s,
            grouped(self.taken),
            grouped(self.workers.into()),
        )?;
        writeln!(
            f,
            "             {} missing, {} duplicated, {} not sent",
            grouped(self.missing),
            grouped(self.duplicated),
            grouped(self.unsent),
        )?;
        if self.strange > 0 {
            let strange = grouped(self.strange);
            writeln!(
                f,
                "             {strange} that no client of this run has sent"
            )?;
        }
        write_causes(f, "ended", &self.disconnected_by_cause)?;
        if let Some(replies) = &self.replies {
            writeln!(
                f,
                "replies      {} of {}, {} missing, {} duplicated",
                grouped(replies.received),
                grouped(replies.expected),
                grouped(replies.missing),
                grouped(replies.duplicated),
            )?;
            write_causes(f, "refused", &replies.refused_by_cause)?;
        }
        let replies = self.replies.as_ref().and_then(|it| it.time.as_ref());
        let times = [("to worker", self.time.as_ref()), ("to reply", replies)];
        if times.iter().any(|(_, time)| time.is_some()) {
            write_heads(f, "trigger")?;
        }
        for (label, time) in times {
            if let Some(time) = time {
                write_distribution(f, label, time)?;
            }
        }
        Ok(())
    }
}

impl Display for BackendReport {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        for (name, requests) in self.kinds() {
            writeln!(
                f,
                "backend      {name}: {} of {} done ({:.1}/s), {} not sent",
                grouped(requests.done),
                grouped(requests.sent),
                requests.per_s,
                grouped(requests.unsent),
            )?;
            writeln!(
                f,
                "             asked late by {} (p99)",
                time(requests.late_p99_us)
            )?;
            write_causes(f, "refused", &requests.refused_by_cause)?;
        }
        write_heads(f, "requests")?;
        for (name, requests) in self.kinds() {
            if let Some(time) = &requests.time {
                write_distribution(f, name, time)?;
            }
        }
        Ok(())
    }
}
