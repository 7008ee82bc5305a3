//! A report put together from what the threads brought home.

use std::collections::BTreeMap;
use std::ops::Range;
use std::thread::available_parallelism;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::distribution::microseconds;
use super::series::series;
use super::{
    BackendReport, Broadcasts, Broker, Comebacks, Connections, DeliveryCounts, Distribution,
    Generator, Joining, Latency, Load, PhaseSpan, Presence, Report, SCHEMA, SlowReport, Spent,
    Tick, TriggerReport, Verdict, Warning,
};
use hdrhistogram::Histogram;

use crate::backend::CrewOutcome;
use crate::client::Fault;
use crate::limits::{
    CLIENTS_FOR_MEMORY_MIN, LATENESS_P99_MAX, MISSED_TICKS_PERCENT_MAX, RECEIVE_LAG_P99_MAX,
    THREAD_CPU_PERCENT_MAX,
};
use crate::plan::Plan;
use crate::process::Usage;
use crate::pump::{Deliveries, Faults, Histograms, Leaves, Outcome, Publisher, Recorded, Slowness};
use crate::server::Observations;
use crate::timeline::{Timeline, nanoseconds};

/// The phases' borders as the coordinator saw them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Marks {
    /// How long the ramp took.
    pub(crate) ramp_ns: u64,
    /// How long it lasted.
    pub(crate) measured: Duration,
    pub(crate) interrupted: bool,
    /// When nobody was connected any more.
    pub(crate) deserted_ns: Option<u64>,
    /// Of our own broker; 0 where it is another's.
    pub(crate) shards: u16,
    /// Before the first connection.
    pub(crate) before: Sample,
    /// After the last.
    pub(crate) settled: Sample,
    pub(crate) measured_from: Sample,
    pub(crate) measured_to: Sample,
    /// What was seen of the broker at the same borders.
    pub(crate) looks: Observations,
    /// The clients are on the broker's machine.
    pub(crate) is_shared: bool,
    /// When its clock began, of which all times of the run are.
    pub(crate) began: Option<SystemTime>,
    /// Once a second.
    pub(crate) ticks: Vec<Tick>,
    /// How long the requests for access tokens took; none where none was needed.
    pub(crate) tokens: Option<Histogram<u64>>,
    /// None where the ramp was the end.
    pub(crate) timeline: Option<Timeline>,
    /// When the last thread was done with its drain.
    pub(crate) drained_ns: u64,
}

/// What the processes had used at one time.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Sample {
    pub(crate) own: Usage,
    /// Where it is our own.
    pub(crate) broker: Option<Usage>,
}

impl Marks {
    pub(crate) fn new(before: Sample, shards: u16) -> Self {
        Self {
            before,
            shards,
            ..Self::default()
        }
    }

    fn phases(&self) -> Vec<PhaseSpan> {
        let mut borders = vec![("ramp", self.ramp_ns)];
        if let Some(timeline) = &self.timeline {
            let end_ns = timeline.measure_ns + nanoseconds(self.measured);
            borders.extend([
                ("settle", timeline.start_ns),
                ("warm-up", timeline.measure_ns.min(end_ns)),
                ("measure", end_ns),
                ("drain", self.drained_ns),
            ]);
        }
        let mut start_ns = 0;
        let mut spans = Vec::new();
        for (name, border_ns) in borders {
            let length_ns = border_ns.saturating_sub(start_ns);
            if length_ns > 0 {
                spans.push(PhaseSpan {
                    name: name.to_owned(),
                    start_s: start_ns as f64 / 1e9,
                    length_s: length_ns as f64 / 1e9,
                });
            }
            start_ns = start_ns.max(border_ns);
        }
        spans
    }
}

impl Report {
    /// For tests: a run in which nothing happened. Its members can be set.
    #[cfg(test)]
    pub(crate) fn example() -> Self {
        Self::new(&Plan::example(4), &Marks::default(), &[], None)
    }

    /// Puts together what the threads brought home.
    pub(crate) fn new(
        plan: &Plan,
        marks: &Marks,
        outcomes: &[Outcome],
        crew: Option<&CrewOutcome>,
    ) -> Self {
        let mut deliveries = Deliveries::default();
        let mut faults = Faults::default();
        let mut histograms = Histograms::new();
        let mut leaves = Leaves::default();
        let mut slowness = Slowness::default();
        let mut received = 0;
        for Outcome {
            tally, recorded, ..
        } in outcomes
        {
            deliveries.add(&tally.deliveries);
            received += tally.received;
            leaves.add(&tally.leaves);
            slowness.add(&tally.slowness);
            faults.add(&tally.faults);
            histograms.add(&recorded.whole);
        }
        if let Some(crew) = crew {
            histograms.add(&crew.recorded.whole);
        }
        let (expected, lost) = expected_and_lost(plan, outcomes, crew);
        let publishers = || outcomes.iter().flat_map(|outcome| &outcome.publishers);
        let sent = publishers().map(|one| one.measured.len() as u64).sum();
        let unsent = publishers().map(|one| one.unsent).sum();
        let seconds = marks.measured.as_secs_f64();
        let subscribed = outcomes.iter().map(|one| one.subscribed.len() as u64).sum();
        let generator = Generator::new(marks, outcomes, crew, &histograms, subscribed);
        let recorded = outcomes.iter().map(|it| &it.recorded);
        let recorded: Vec<&Recorded> = recorded.chain(crew.map(|it| &it.recorded)).collect();
        let (series, intervals) = series(&recorded, &marks.ticks);
        let mut report = Self {
            schema: SCHEMA,
            verdict: Verdict::Passed,
            began: marks.began.unwrap_or(UNIX_EPOCH),
            interrupted: marks.interrupted,
            broker_gone_s: marks.deserted_ns.map(|ns| ns as f64 / 1e9),
            warnings: warnings(plan, marks, outcomes, &histograms, &generator),
            parts: Vec::new(),
            lost_parts: BTreeMap::new(),
            assertions: Vec::new(),
            load: Load {
                clients: plan.clients,
                channels: plan.channels,
                publishers_per_channel: plan.publishers_per_channel,
                threads: plan.threads,
                rate_per_s: plan.rate,
                in_flight: plan.in_flight,
                data_bytes: plan.data_bytes,
                measured_s: seconds,
            },
            connections: Connections::new(plan, marks, &faults, subscribed, slowness.subscribed),
            broadcasts: Broadcasts {
                sent,
                unsent,
                per_s: per_second(sent, seconds),
            },
            deliveries: DeliveryCounts {
                expected,
                delivered: deliveries.delivered,
                per_s: per_second(deliveries.delivered, seconds),
                lost,
                duplicated: deliveries.duplicated,
                reordered: deliveries.reordered,
                strange: deliveries.strange,
                foreign: deliveries.foreign,
            },
            latency: (deliveries.delivered > 0).then(|| Latency {
                corrected: Distribution::new(&histograms.corrected),
                raw: Distribution::new(&histograms.raw),
            }),
            joining: (subscribed > 0).then(|| Joining {
                connect: Distribution::new(&histograms.connect),
                subscribe: Distribution::new(&histograms.subscribe),
                token: marks.tokens.as_ref().map(Distribution::new),
                authenticate: (!histograms.authenticate.is_empty())
                    .then(|| Distribution::new(&histograms.authenticate)),
            }),
            triggers: TriggerReport::new(plan, outcomes, crew, &histograms),
            backend: BackendReport::new(crew, seconds),
            presence: Presence::new(plan, outcomes, faults.lost.is_empty()),
            comebacks: Comebacks::new(plan, &leaves, &faults, &histograms.comeback),
            slow: SlowReport::new(plan, &slowness, &faults),
            errors: faults.errors,
            closes: faults.closes,
            broker: Broker::new(marks, deliveries.delivered, received, subscribed),
            generator,
            host: None,
            phases: marks.phases(),
            series,
            intervals,
        };
        let spent = report.broker.as_mut().and_then(|it| it.spent.as_mut());
        if let Some(spent) = spent.filter(|_| report.presence.is_some()) {
            // The broker also counts what members are told of each other.
            spent.counters = None;
        }
        report.verdict = report.judge();
        report
    }

    /// What a broker spent that was looked at from elsewhere than by its clients.
    pub(crate) fn look_at_broker(&mut self, marks: &Marks) {
        let (delivered, clients) = (self.deliveries.delivered, self.connections.subscribed);
        self.broker = Broker::new(marks, delivered, delivered, clients);
        let spent = self.broker.as_mut().and_then(|it| it.spent.as_mut());
        if let Some(spent) = spent {
            // What came in the warm-up is not known here.
            spent.counters = None;
        }
    }

    pub(super) fn judge(&self) -> Verdict {
        if self.connections.subscribed == 0 && !self.interrupted {
            return Verdict::NotConnected;
        }
        let Connections {
            failed,
            lost,
            not_tried,
            ..
        } = self.connections;
        let deliveries = &self.deliveries;
        let faults = [
            failed,
            lost,
            not_tried,
            self.broadcasts.unsent,
            deliveries.lost,
            deliveries.duplicated,
            deliveries.reordered,
            deliveries.strange,
            self.errors.values().sum(),
            self.closes.values().sum(),
        ];
        let is_away = self.comebacks.as_ref().is_some_and(Comebacks::has_failed);
        let is_untriggered = self
            .triggers
            .as_ref()
            .is_some_and(TriggerReport::has_failed);
        let is_refused = self.backend.as_ref().is_some_and(BackendReport::has_failed);
        let is_unseen = self.presence.as_ref().is_some_and(Presence::has_failed);
        if self.interrupted
            || is_away
            || is_unseen
            || is_untriggered
            || is_refused
            || faults != [0; 10]
            || self.warnings.contains(&Warning::Inexact)
        {
            Verdict::Failed
        } else {
            Verdict::Passed
        }
    }
}

/// Each broadcast that counts is expected once at every client that was
/// subscribed to its channel when the ramp was over, connected or not, but for
/// the time in which it was away on purpose.
fn expected_and_lost(plan: &Plan, outcomes: &[Outcome], crew: Option<&CrewOutcome>) -> (u64, u64) {
    let mut spans: Vec<Range<u32>> = vec![0..0; plan.senders() as usize];
    let publishers = outcomes.iter().flat_map(|outcome| &outcome.publishers);
    for Publisher {
        number, measured, ..
    } in publishers.chain(crew.into_iter().flat_map(|crew| &crew.publishers))
    {
        spans[*number as usize] = measured.clone();
    }
    let (mut expected, mut lost) = (0, 0);
    for outcome in outcomes {
        for &(number, slot) in &outcome.subscribed {
            let channel = number % plan.channels;
            let spans = spans
                .iter()
                .skip(channel as usize)
                .step_by(plan.channels as usize);
            for (rank, span) in spans.enumerate() {
                let tracker = &outcome.tally.tracker;
                expected += span.len() as u64 - tracker.missed(slot, rank, span);
                lost += tracker.lost(slot, rank, span);
            }
        }
    }
    (expected, lost)
}

fn warnings(
    plan: &Plan,
    marks: &Marks,
    outcomes: &[Outcome],
    histograms: &Histograms,
    generator: &Generator,
) -> Vec<Warning> {
    let mut warnings = Vec::new();
    if generator.late_p99_us > LATENESS_P99_MAX.as_micros() as f64 {
        warnings.push(Warning::Late {
            p99_ms: generator.late_p99_us / 1000.0,
        });
    }
    if generator.busiest_thread_cpu_percent > THREAD_CPU_PERCENT_MAX {
        warnings.push(Warning::Busy {
            percent: generator.busiest_thread_cpu_percent,
        });
    }
    let sends = histograms.lateness.len();
    let missed = 100.0 * generator.missed_ticks as f64 / sends.max(1) as f64;
    if missed > MISSED_TICKS_PERCENT_MAX {
        warnings.push(Warning::Missed { percent: missed });
    }
    if generator.receive_lag_p99_us > RECEIVE_LAG_P99_MAX.as_micros() as f64 {
        warnings.push(Warning::Lagging {
            p99_ms: generator.receive_lag_p99_us / 1000.0,
        });
    }
    let threads = usize::from(plan.threads) + usize::from(marks.shards);
    let cores = available_parallelism().map_or(1, usize::from);
    if threads > cores {
        warnings.push(Warning::Crowded { threads, cores });
    }
    if !outcomes
        .iter()
        .all(|outcome| outcome.tally.tracker.is_exact())
    {
        warnings.push(Warning::Inexact);
    }
    warnings
}

impl Connections {
    /// `slow` are those of the slow clients that have joined.
    fn new(plan: &Plan, marks: &Marks, faults: &Faults, subscribed: u64, slow: u64) -> Self {
        let failed = faults.failed.values().sum();
        let ramp_s = marks.ramp_ns as f64 / 1e9;
        Self {
            subscribed,
            failed,
            lost: faults.lost.values().sum(),
            not_tried: u64::from(plan.population()).saturating_sub(subscribed + slow + failed),
            ramp_s,
            per_s: per_second(subscribed, ramp_s),
            failed_by_cause: by_cause(&faults.failed),
            lost_by_cause: by_cause(&faults.lost),
        }
    }
}

pub(super) fn by_cause(faults: &BTreeMap<Fault, u64>) -> BTreeMap<String, u64> {
    let texts = faults
        .iter()
        .map(|(fault, &count)| (fault.to_string(), count));
    texts.collect()
}

impl Generator {
    fn new(
        marks: &Marks,
        outcomes: &[Outcome],
        crew: Option<&CrewOutcome>,
        histograms: &Histograms,
        clients: u64,
    ) -> Self {
        let threads = outcomes.iter().map(|outcome| outcome.cpu);
        let shares = threads
            .chain(crew.map(|crew| crew.cpu))
            .map(|cpu| percent(cpu.used, cpu.passed));
        let delivered: u64 = outcomes
            .iter()
            .map(|it| it.tally.deliveries.delivered)
            .sum();
        let (from, to) = (&marks.measured_from.own, &marks.measured_to.own);
        let own_us = to.cpu.saturating_sub(from.cpu).as_secs_f64() * 1e6;
        let late_ns = |percentile| histograms.lateness.value_at_percentile(percentile);
        Self {
            busiest_thread_cpu_percent: shares.fold(0.0, f64::max),
            cpu_percent: cpu_share(marks, |sample| sample.own),
            late_p99_us: microseconds(late_ns(99.0)),
            late_max_us: microseconds(histograms.lateness.max()),
            missed_ticks: outcomes.iter().map(|it| it.tally.missed_ticks).sum(),
            receive_lag_p99_us: microseconds(histograms.receive_lag.value_at_percentile(99.0)),
            receive_lag_max_us: microseconds(histograms.receive_lag.max()),
            cpu_us_per_delivery: (delivered > 0).then(|| own_us / delivered as f64),
            resident_bytes_per_client: grown_per_client(marks, clients, |sample| sample.own),
        }
    }
}

impl Broker {
    fn new(marks: &Marks, delivered: u64, received: u64, clients: u64) -> Option<Self> {
        marks.before.broker?;
        let of = |sample: &Sample| sample.broker.unwrap_or_default();
        let used = of(&marks.measured_to)
            .cpu
            .saturating_sub(of(&marks.measured_from).cpu);
        let us = used.as_secs_f64() * 1e6;
        Some(Self {
            cpu_percent: cpu_share(marks, of),
            cpu_us_per_delivery: (delivered > 0).then(|| us / delivered as f64),
            resident_bytes_per_client: grown_per_client(marks, clients, of),
            resident_bytes: of(&marks.settled).resident_bytes,
            spent: Spent::new(marks, delivered, received, clients),
        })
    }
}

fn cpu_share(marks: &Marks, of: impl Fn(&Sample) -> Usage) -> f64 {
    let used = of(&marks.measured_to)
        .cpu
        .saturating_sub(of(&marks.measured_from).cpu);
    percent(used, marks.measured)
}

/// None where so few have joined that the process itself outweighs them.
fn grown_per_client(marks: &Marks, clients: u64, of: impl Fn(&Sample) -> Usage) -> Option<u64> {
    let grown = of(&marks.settled)
        .resident_bytes
        .checked_sub(of(&marks.before).resident_bytes)?;
    (clients >= CLIENTS_FOR_MEMORY_MIN).then(|| grown / clients)
}

fn percent(used: Duration, passed: Duration) -> f64 {
    if passed.is_zero() {
        return 0.0;
    }
    100.0 * used.as_secs_f64() / passed.as_secs_f64()
}

pub(super) fn per_second(count: u64, seconds: f64) -> f64 {
    if seconds == 0.0 {
        0.0
    } else {
        count as f64 / seconds
    }
}
