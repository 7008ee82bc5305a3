//! One report of several: of machines that ran together, or of runs.

use std::collections::BTreeMap;

use hdrhistogram::AdditionError;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::build::per_second;
use super::{
    BackendReport, Broadcasts, Comebacks, Connections, DeliveryCounts, Distribution, Generator,
    Interval, Joining, Latency, Load, Presence, Report, Requests, Series, SlowReport,
    TriggerReport, Verdict, Warning,
};
use crate::host::HostManifest;

/// One of the reports that were merged.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Part {
    /// An agent's address, or a file's name.
    pub(crate) name: String,
    pub(crate) verdict: Verdict,
    pub(crate) clients: u32,
    pub(crate) warnings: Vec<Warning>,
    pub(crate) generator: Generator,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) host: Option<HostManifest>,
}

/// Why reports can't be merged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub(crate) enum Incompatible {
    /// Not one report.
    #[error("nothing to merge")]
    Nothing,
    /// Histograms of other bounds than ours.
    #[error("a histogram does not fit: it was not written by this program")]
    Histogram,
    /// Seconds don't meet.
    #[error("the spans of the series are of different lengths: the runs were not as long")]
    Spans,
}

impl From<AdditionError> for Incompatible {
    fn from(_: AdditionError) -> Self {
        Self::Histogram
    }
}

impl Report {
    /// All of them as one, by their names. `begins_s` tells when each run's clock
    /// began on a clock that they share.
    ///
    /// # Errors
    /// They don't fit.
    pub(crate) fn merge(
        named: Vec<(String, Self)>,
        begins_s: &[f64],
    ) -> Result<Self, Incompatible> {
        let parts: Vec<Part> = named
            .iter()
            .map(|(name, report)| Part {
                name: name.clone(),
                verdict: report.verdict,
                clients: report.load.clients,
                warnings: report.warnings.clone(),
                generator: report.generator.clone(),
                host: report.host.clone(),
            })
            .collect();
        let first_s = begins_s.iter().copied().fold(f64::INFINITY, f64::min);
        let mut reports = named.into_iter().map(|(_, report)| report).zip(begins_s);
        let (mut whole, begin_s) = reports.next().ok_or(Incompatible::Nothing)?;
        whole.series.shift(begin_s - first_s);
        for (report, begin_s) in reports {
            whole.add(report, begin_s - first_s)?;
        }
        whole.host = None;
        whole.parts = parts;
        whole.verdict = match whole.judge() {
            // Each has seen more than its sums tell.
            Verdict::Passed if whole.parts.iter().any(|it| it.verdict != Verdict::Passed) => {
                Verdict::Failed
            }
            verdict => verdict,
        };
        Ok(whole)
    }

    fn add(&mut self, other: Self, begin_s: f64) -> Result<(), Incompatible> {
        let delivered = self.deliveries.delivered;
        self.began = self.began.min(other.began);
        self.interrupted |= other.interrupted;
        self.broker_gone_s = self.broker_gone_s.or(other.broker_gone_s);
        self.warnings.clear();
        self.assertions.extend(other.assertions);
        self.generator.add(
            &other.generator,
            [delivered, other.deliveries.delivered],
            [self.connections.subscribed, other.connections.subscribed],
        );
        self.load.add(&other.load);
        self.connections.add(&other.connections);
        self.broadcasts.add(&other.broadcasts);
        self.deliveries.add(&other.deliveries);
        add_option(&mut self.latency, other.latency.as_ref(), Latency::add)?;
        add_option(&mut self.joining, other.joining.as_ref(), Joining::add)?;
        add_option(
            &mut self.backend,
            other.backend.as_ref(),
            BackendReport::add,
        )?;
        add_option(
            &mut self.comebacks,
            other.comebacks.as_ref(),
            Comebacks::add,
        )?;
        add_option(&mut self.presence, other.presence.as_ref(), Presence::add)?;
        add_option(&mut self.slow, other.slow.as_ref(), SlowReport::add)?;
        add_option(
            &mut self.triggers,
            other.triggers.as_ref(),
            TriggerReport::add,
        )?;
        add_counts(&mut self.errors, &other.errors);
        add_counts(&mut self.closes, &other.closes);
        // Two looks at brokers may be two brokers.
        self.broker = match (self.broker.take(), other.broker) {
            (Some(one), None) | (None, Some(one)) => Some(one),
            (Some(_), Some(_)) | (None, None) => None,
        };
        if let Some(broker) = &mut self.broker {
            // Of one part's deliveries alone.
            broker.cpu_us_per_delivery = None;
            broker.resident_bytes_per_client = None;
            broker.spent = None;
        }
        self.series.add(other.series, begin_s)?;
        self.intervals.clear();
        Ok(())
    }

    /// Takes the series' percentiles from the histograms of all parts, each with
    /// when its clock began.
    pub(crate) fn take_intervals(&mut self, parts: Vec<(f64, Vec<Interval>)>) {
        let span_s = self.series.span_s;
        if span_s <= 0.0 {
            return;
        }
        let mut merged: BTreeMap<(usize, super::Tag), Interval> = BTreeMap::new();
        for (begin_s, intervals) in parts {
            for mut interval in intervals {
                let start_s = interval.start.as_secs_f64() + begin_s;
                let at = (start_s / span_s).round() as usize;
                interval.start = std::time::Duration::from_secs_f64(at as f64 * span_s);
                match merged.get_mut(&(at, interval.tag)) {
                    // All have the same bounds, so every value fits.
                    Some(whole) => drop(whole.histogram.add(&interval.histogram)),
                    None => drop(merged.insert((at, interval.tag), interval)),
                }
            }
        }
        for ((at, tag), interval) in &merged {
            if *tag == super::Tag::Corrected {
                self.series.tell(*at, &interval.histogram);
            }
        }
        self.intervals = merged.into_values().collect();
    }
}

pub(super) fn add_option<T: Clone>(
    mine: &mut Option<T>,
    theirs: Option<&T>,
    add: impl FnOnce(&mut T, &T) -> Result<(), Incompatible>,
) -> Result<(), Incompatible> {
    match (mine.as_mut(), theirs) {
        (Some(mine), Some(theirs)) => add(mine, theirs),
        (None, theirs) => {
            *mine = theirs.cloned();
            Ok(())
        }
        (Some(_), None) => Ok(()),
    }
}

pub(super) fn add_times(
    mine: &mut Option<Distribution>,
    theirs: Option<&Distribution>,
) -> Result<(), Incompatible> {
    add_option(mine, theirs, Distribution::add)
}

pub(super) fn add_counts<K: Ord + Clone>(into: &mut BTreeMap<K, u64>, from: &BTreeMap<K, u64>) {
    for (key, count) in from {
        *into.entry(key.clone()).or_default() += count;
    }
}

impl Load {
    fn add(&mut self, other: &Self) {
        self.clients += other.clients;
        self.channels += other.channels;
        self.publishers_per_channel = self
            .publishers_per_channel
            .max(other.publishers_per_channel);
        self.threads += other.threads;
        self.rate_per_s += other.rate_per_s;
        self.in_flight = self.in_flight.max(other.in_flight);
        self.data_bytes = self.data_bytes.max(other.data_bytes);
        self.measured_s = self.measured_s.max(other.measured_s);
    }
}

impl Connections {
    fn add(&mut self, other: &Self) {
        self.subscribed += other.subscribed;
        self.failed += other.failed;
        self.lost += other.lost;
        self.not_tried += other.not_tried;
        self.ramp_s = self.ramp_s.max(other.ramp_s);
        self.per_s = per_second(self.subscribed, self.ramp_s);
        add_counts(&mut self.failed_by_cause, &other.failed_by_cause);
        add_counts(&mut self.lost_by_cause, &other.lost_by_cause);
    }
}

impl Broadcasts {
    fn add(&mut self, other: &Self) {
        self.sent += other.sent;
        self.unsent += other.unsent;
        self.per_s += other.per_s;
    }
}

impl DeliveryCounts {
    fn add(&mut self, other: &Self) {
        self.expected += other.expected;
        self.delivered += other.delivered;
        self.per_s += other.per_s;
        self.lost += other.lost;
        self.duplicated += other.duplicated;
        self.reordered += other.reordered;
        self.strange += other.strange;
        self.foreign += other.foreign;
    }
}

impl Latency {
    fn add(&mut self, other: &Self) -> Result<(), Incompatible> {
        self.corrected.add(&other.corrected)?;
        self.raw.add(&other.raw)
    }
}

impl Joining {
    fn add(&mut self, other: &Self) -> Result<(), Incompatible> {
        self.connect.add(&other.connect)?;
        self.subscribe.add(&other.subscribe)?;
        add_times(&mut self.token, other.token.as_ref())?;
        add_times(&mut self.authenticate, other.authenticate.as_ref())
    }
}

impl BackendReport {
    fn add(&mut self, other: &Self) -> Result<(), Incompatible> {
        add_option(
            &mut self.broadcasts,
            other.broadcasts.as_ref(),
            Requests::add,
        )?;
        add_option(&mut self.channels, other.channels.as_ref(), Requests::add)?;
        add_option(&mut self.tokens, other.tokens.as_ref(), Requests::add)
    }
}

impl Comebacks {
    fn add(&mut self, other: &Self) -> Result<(), Incompatible> {
        self.churn_per_s += other.churn_per_s;
        self.churned += other.churned;
        self.skipped += other.skipped;
        self.back += other.back;
        self.missing += other.missing;
        add_counts(&mut self.refused_by_cause, &other.refused_by_cause);
        add_option(&mut self.storm, other.storm.as_ref(), |mine, theirs| {
            mine.hit += theirs.hit;
            mine.back += theirs.back;
            // All are back when the last part's are.
            let both = mine.recovered_s.zip(theirs.recovered_s);
            mine.recovered_s = both.map(|(mine, theirs)| mine.max(theirs));
            Ok(())
        })?;
        add_times(&mut self.time, other.time.as_ref())
    }
}

impl Presence {
    fn add(&mut self, other: &Self) -> Result<(), Incompatible> {
        let sum = |pair: Option<(u64, u64)>| pair.map(|(mine, theirs)| mine + theirs);
        self.expected = sum(self.expected.zip(other.expected));
        self.missing = sum(self.missing.zip(other.missing));
        self.seen += other.seen;
        self.doubled += other.doubled;
        self.left += other.left;
        self.strange += other.strange;
        Ok(())
    }
}

impl SlowReport {
    fn add(&mut self, other: &Self) -> Result<(), Incompatible> {
        self.clients += other.clients;
        self.read_bytes_per_s = self.read_bytes_per_s.max(other.read_bytes_per_s);
        self.subscribed += other.subscribed;
        self.delivered += other.delivered;
        add_counts(&mut self.ended_by_cause, &other.ended_by_cause);
        Ok(())
    }
}

impl Generator {
    /// The worst of what shows a limit, the sum of what is used.
    fn add(&mut self, other: &Self, delivered: [u64; 2], clients: [u64; 2]) {
        let mean = |mine: Option<f64>, theirs: Option<f64>, [of_mine, of_theirs]: [u64; 2]| {
            let (mine, theirs) = mine.zip(theirs)?;
            let (of_mine, of_theirs) = (of_mine as f64, of_theirs as f64);
            Some((mine * of_mine + theirs * of_theirs) / (of_mine + of_theirs))
        };
        self.busiest_thread_cpu_percent = self
            .busiest_thread_cpu_percent
            .max(other.busiest_thread_cpu_percent);
        self.cpu_percent += other.cpu_percent;
        self.late_p99_us = self.late_p99_us.max(other.late_p99_us);
        self.late_max_us = self.late_max_us.max(other.late_max_us);
        self.missed_ticks += other.missed_ticks;
        self.receive_lag_p99_us = self.receive_lag_p99_us.max(other.receive_lag_p99_us);
        self.receive_lag_max_us = self.receive_lag_max_us.max(other.receive_lag_max_us);
        let (mine, theirs) = (self.cpu_us_per_delivery, other.cpu_us_per_delivery);
        self.cpu_us_per_delivery = mean(mine, theirs, delivered);
        let (mine, theirs) = (
            self.resident_bytes_per_client,
            other.resident_bytes_per_client,
        );
        let bytes = |it: Option<u64>| it.map(|it| it as f64);
        self.resident_bytes_per_client =
            mean(bytes(mine), bytes(theirs), clients).map(|it| it as u64);
    }
}

impl Series {
    /// Its clock began so much later.
    fn shift(&mut self, begin_s: f64) {
        let spans = match self.span_s > 0.0 {
            true => (begin_s / self.span_s).round() as usize,
            false => 0,
        };
        let mut shifted = Self {
            span_s: self.span_s,
            ..Self::default()
        };
        shifted.grow(spans);
        shifted.append(std::mem::take(self));
        *self = shifted;
        for (at, at_s) in self.at_s.iter_mut().enumerate() {
            *at_s = at as f64 * self.span_s;
        }
    }

    fn add(&mut self, mut other: Self, begin_s: f64) -> Result<(), Incompatible> {
        if other.at_s.is_empty() {
            return Ok(());
        }
        if (self.span_s - other.span_s).abs() > f64::EPSILON {
            return Err(Incompatible::Spans);
        }
        other.shift(begin_s);
        let spans = self.at_s.len().max(other.at_s.len());
        self.grow(spans - self.at_s.len());
        other.grow(spans - other.at_s.len());
        for (mine, theirs) in [
            (&mut self.subscribed, &other.subscribed),
            (&mut self.failed, &other.failed),
            (&mut self.sent, &other.sent),
            (&mut self.delivered, &other.delivered),
            (&mut self.received_bytes, &other.received_bytes),
            (&mut self.missed_ticks, &other.missed_ticks),
        ] {
            mine.iter_mut()
                .zip(theirs)
                .for_each(|(mine, theirs)| *mine += theirs);
        }
        let add = |mine: &mut Vec<Option<f64>>, theirs: &[Option<f64>]| {
            for (mine, theirs) in mine.iter_mut().zip(theirs) {
                *mine = mine.zip(*theirs).map(|(a, b)| a + b).or(*mine).or(*theirs);
            }
        };
        add(
            &mut self.generator_cpu_percent,
            &other.generator_cpu_percent,
        );
        // What both have seen of a broker may be the same one.
        let most = |mine: &mut Vec<Option<f64>>, theirs: &[Option<f64>]| {
            for (mine, theirs) in mine.iter_mut().zip(theirs) {
                *mine = mine
                    .zip(*theirs)
                    .map(|(a, b)| a.max(b))
                    .or(*mine)
                    .or(*theirs);
            }
        };
        most(&mut self.broker_cpu_percent, &other.broker_cpu_percent);
        most(&mut self.max_us, &other.max_us);
        for (mine, theirs) in [
            (&mut self.p50_us, &other.p50_us),
            (&mut self.p99_us, &other.p99_us),
            (&mut self.p99_9_us, &other.p99_9_us),
        ] {
            for (mine, theirs) in mine.iter_mut().zip(theirs) {
                // Percentiles of two can't be added.
                *mine = match (*mine, *theirs) {
                    (Some(_), Some(_)) => None,
                    (one, other) => one.or(other),
                };
            }
        }
        for (mine, theirs) in self
            .broker_resident_bytes
            .iter_mut()
            .zip(&other.broker_resident_bytes)
        {
            *mine = (*mine).max(*theirs);
        }
        for (at, at_s) in self.at_s.iter_mut().enumerate() {
            *at_s = at as f64 * self.span_s;
        }
        Ok(())
    }
}

#[cfg(test)]
#[path = "merge/tests.rs"]
mod tests;
