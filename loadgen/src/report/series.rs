//! The run over time: what each span of it held, and what the processes used.

use std::collections::BTreeMap;
use std::time::Duration;

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

use super::distribution::microseconds;
use super::{Interval, Tag};
use crate::pump::{Counts, Recorded};

/// Columns of equal length, one value for each span.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Series {
    /// Of a span.
    pub(crate) span_s: f64,
    /// When each span began, from the start of the run.
    pub(crate) at_s: Vec<f64>,
    /// Clients that were subscribed at its end.
    pub(crate) subscribed: Vec<u64>,
    /// Clients that could not connect in it.
    pub(crate) failed: Vec<u64>,
    /// Broadcasts that left in it, those of the warm-up among them.
    pub(crate) sent: Vec<u64>,
    /// Deliveries that came in it, of any broadcast.
    pub(crate) delivered: Vec<u64>,
    pub(crate) received_bytes: Vec<u64>,
    pub(crate) missed_ticks: Vec<u64>,
    /// Corrected latency of what came in it and counts; null where nothing did.
    pub(crate) p50_us: Vec<Option<f64>>,
    pub(crate) p99_us: Vec<Option<f64>>,
    pub(crate) p99_9_us: Vec<Option<f64>>,
    pub(crate) max_us: Vec<Option<f64>>,
    /// Of one core; null where nobody looked.
    pub(crate) generator_cpu_percent: Vec<Option<f64>>,
    pub(crate) broker_cpu_percent: Vec<Option<f64>>,
    pub(crate) broker_resident_bytes: Vec<Option<u64>>,
}

/// A part of the run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct PhaseSpan {
    /// `ramp`, `settle`, `warm-up`, `measure` or `drain`.
    pub(crate) name: String,
    /// From the start of the run.
    pub(crate) start_s: f64,
    pub(crate) length_s: f64,
}

/// What the processes had used at one time of the run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tick {
    pub(crate) at_ns: u64,
    pub(crate) own_cpu: Duration,
    /// None where the broker's process is not known.
    pub(crate) broker_cpu: Option<Duration>,
    pub(crate) broker_resident_bytes: Option<u64>,
}

/// The series of all threads together, and the histograms it is made of.
pub(super) fn series(threads: &[&Recorded], ticks: &[Tick]) -> (Series, Vec<Interval>) {
    let Some(span_ns) = threads.first().map(|it| it.span_ns) else {
        return (Series::default(), Vec::new());
    };
    let spans = threads.iter().map(|it| it.spans.len()).max().unwrap_or(0);
    let mut series = Series {
        span_s: span_ns as f64 / 1e9,
        ..Series::default()
    };
    let mut intervals = Vec::new();
    let mut subscribed = 0;
    for at in 0..spans {
        let mut counts = Counts::default();
        let mut histograms: BTreeMap<Tag, Histogram<u64>> = BTreeMap::new();
        for span in threads.iter().filter_map(|it| it.spans.get(at)) {
            counts.add(&span.counts);
            for (tag, histogram) in span.histograms() {
                match histograms.get_mut(&tag) {
                    // All have the same bounds, so every value fits.
                    Some(sum) => drop(sum.add(&histogram)),
                    None => drop(histograms.insert(tag, histogram)),
                }
            }
        }
        subscribed = (subscribed + counts.subscribed).saturating_sub(counts.ended);
        let start_ns = at as u64 * span_ns;
        series.push(
            start_ns,
            subscribed,
            &counts,
            histograms.get(&Tag::Corrected),
        );
        series.push_usage(&Usage::of(ticks, start_ns, start_ns + span_ns));
        intervals.extend(histograms.into_iter().map(|(tag, histogram)| Interval {
            start: Duration::from_nanos(start_ns),
            length: Duration::from_nanos(span_ns),
            tag,
            histogram,
        }));
    }
    (series, intervals)
}

impl Series {
    fn push(
        &mut self,
        start_ns: u64,
        subscribed: u64,
        counts: &Counts,
        corrected: Option<&Histogram<u64>>,
    ) {
        self.at_s.push(start_ns as f64 / 1e9);
        self.subscribed.push(subscribed);
        self.failed.push(counts.failed);
        self.sent.push(counts.sent);
        self.delivered.push(counts.delivered);
        self.received_bytes.push(counts.received_bytes);
        self.missed_ticks.push(counts.missed_ticks);
        let at = |percentile| corrected.map(|it| microseconds(it.value_at_percentile(percentile)));
        self.p50_us.push(at(50.0));
        self.p99_us.push(at(99.0));
        self.p99_9_us.push(at(99.9));
        self.max_us.push(corrected.map(|it| microseconds(it.max())));
    }

    /// So many more spans, in which nothing happened.
    pub(crate) fn grow(&mut self, spans: usize) {
        for _ in 0..spans {
            let start_ns = (self.at_s.len() as f64 * self.span_s * 1e9) as u64;
            let subscribed = self.subscribed.last().copied().unwrap_or(0);
            self.push(start_ns, subscribed, &Counts::default(), None);
            self.push_usage(&Usage::default());
        }
    }

    /// What follows.
    pub(super) fn append(&mut self, mut next: Self) {
        self.at_s.append(&mut next.at_s);
        for (mine, theirs) in [
            (&mut self.subscribed, &mut next.subscribed),
            (&mut self.failed, &mut next.failed),
            (&mut self.sent, &mut next.sent),
            (&mut self.delivered, &mut next.delivered),
            (&mut self.received_bytes, &mut next.received_bytes),
            (&mut self.missed_ticks, &mut next.missed_ticks),
        ] {
            mine.append(theirs);
        }
        for (mine, theirs) in [
            (&mut self.p50_us, &mut next.p50_us),
            (&mut self.p99_us, &mut next.p99_us),
            (&mut self.p99_9_us, &mut next.p99_9_us),
            (&mut self.max_us, &mut next.max_us),
            (
                &mut self.generator_cpu_percent,
                &mut next.generator_cpu_percent,
            ),
            (&mut self.broker_cpu_percent, &mut next.broker_cpu_percent),
        ] {
            mine.append(theirs);
        }
        self.broker_resident_bytes
            .append(&mut next.broker_resident_bytes);
    }

    /// The corrected latency of one span, from the histograms of all.
    pub(super) fn tell(&mut self, at: usize, corrected: &Histogram<u64>) {
        for (column, percentile) in [
            (&mut self.p50_us, 50.0),
            (&mut self.p99_us, 99.0),
            (&mut self.p99_9_us, 99.9),
            (&mut self.max_us, 100.0),
        ] {
            if let Some(place) = column.get_mut(at) {
                *place = Some(microseconds(corrected.value_at_percentile(percentile)));
            }
        }
    }

    fn push_usage(&mut self, usage: &Usage) {
        self.generator_cpu_percent.push(usage.own_percent);
        self.broker_cpu_percent.push(usage.broker_percent);
        self.broker_resident_bytes.push(usage.resident_bytes);
    }
}

/// What was used in one span.
#[derive(Default)]
struct Usage {
    own_percent: Option<f64>,
    broker_percent: Option<f64>,
    resident_bytes: Option<u64>,
}

impl Usage {
    /// From the last look before the span's start, or the first of all, to the
    /// last one before its end.
    fn of(ticks: &[Tick], start_ns: u64, end_ns: u64) -> Self {
        let before = ticks.partition_point(|tick| tick.at_ns <= start_ns);
        let until = ticks.partition_point(|tick| tick.at_ns < end_ns);
        let (Some(from), Some(to)) = (
            ticks.get(before.saturating_sub(1)),
            until.checked_sub(1).and_then(|at| ticks.get(at)),
        ) else {
            return Self::default();
        };
        let passed_ns = to.at_ns.saturating_sub(from.at_ns);
        if passed_ns == 0 {
            return Self::default();
        }
        let percent = |from: Duration, to: Duration| {
            1e11 * to.saturating_sub(from).as_secs_f64() / passed_ns as f64
        };
        Self {
            own_percent: Some(percent(from.own_cpu, to.own_cpu)),
            broker_percent: from
                .broker_cpu
                .zip(to.broker_cpu)
                .map(|(from, to)| percent(from, to)),
            resident_bytes: to.broker_resident_bytes,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pump::Recorder;

    const SECOND: u64 = 1_000_000_000;

    fn thread(times: &[(u64, u64)]) -> Recorded {
        let mut recorder = Recorder::new(SECOND);
        for &(second, latency_us) in times {
            recorder.handle_time(second * SECOND);
            recorder.counts().delivered += 1;
            let corrected = &mut recorder.histograms().corrected;
            corrected.saturating_record(1000 * latency_us);
        }
        recorder.finish()
    }

    #[test]
    fn threads_are_added_second_by_second() {
        let one = thread(&[(0, 10), (2, 30)]);
        let other = thread(&[(0, 20)]);
        let (series, intervals) = series(&[&one, &other], &[]);
        assert_eq!(series.at_s, [0.0, 1.0, 2.0]);
        assert_eq!(series.delivered, [2, 0, 1]);
        let max: Vec<_> = series.max_us.iter().map(|us| us.map(f64::round)).collect();
        assert_eq!(max, [Some(20.0), None, Some(30.0)]);
        let spans: Vec<_> = intervals
            .iter()
            .map(|it| (it.start.as_secs(), it.histogram.len()))
            .collect();
        assert_eq!(spans, [(0, 2), (2, 1)]);
        assert!(intervals.iter().all(|it| it.tag == Tag::Corrected));
    }

    #[test]
    fn who_leaves_is_no_longer_subscribed() {
        let mut recorder = Recorder::new(SECOND);
        recorder.counts().subscribed = 5;
        recorder.handle_time(SECOND);
        recorder.counts().ended = 2;
        let recorded = recorder.finish();
        assert_eq!(series(&[&recorded], &[]).0.subscribed, [5, 3]);
    }

    #[test]
    fn use_of_processors_is_between_two_looks() {
        let tick = |at_ms: u64, own_ms| Tick {
            at_ns: at_ms * 1_000_000,
            own_cpu: Duration::from_millis(own_ms),
            broker_resident_bytes: Some(at_ms),
            ..Tick::default()
        };
        let ticks = [tick(0, 0), tick(900, 450), tick(1900, 450)];
        let recorded = thread(&[(0, 1), (1, 1), (3, 1)]);
        let (series, _) = series(&[&recorded], &ticks);
        let own: Vec<_> = series
            .generator_cpu_percent
            .iter()
            .map(|percent| percent.map(f64::round))
            .collect();
        assert_eq!(own, [Some(50.0), Some(0.0), None, None]);
        assert!(series.broker_cpu_percent.iter().all(Option::is_none));
        assert_eq!(series.broker_resident_bytes[..2], [Some(900), Some(1900)]);
    }
}
