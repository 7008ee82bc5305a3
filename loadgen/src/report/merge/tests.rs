use std::time::Duration;

use hdrhistogram::Histogram;

use super::super::Tag;
use super::*;
use crate::pump::Histograms;

fn histogram(values_us: &[u64]) -> Histogram<u64> {
    let mut histogram = Histograms::empty();
    for us in values_us {
        histogram.record(us * 1000).expect("in bounds");
    }
    histogram
}

fn report(latencies_us: &[u64], series: &[u64]) -> Report {
    let mut report = Report::example();
    let distribution = Distribution::new(&histogram(latencies_us));
    report.verdict = Verdict::Passed;
    report.connections.subscribed = 4;
    report.connections.not_tried = 0;
    report.deliveries.expected = latencies_us.len() as u64;
    report.deliveries.delivered = latencies_us.len() as u64;
    report.latency = Some(Latency {
        corrected: distribution.clone(),
        raw: distribution,
    });
    report.series = Series {
        span_s: 1.0,
        ..Series::default()
    };
    report.series.grow(series.len());
    report.series.delivered = series.to_vec();
    report
}

fn merge(reports: Vec<(Report, f64)>) -> Result<Report, Incompatible> {
    let begins_s: Vec<f64> = reports.iter().map(|(_, begin_s)| *begin_s).collect();
    let names = ["a", "b", "c"].map(str::to_owned);
    let named = names.into_iter().zip(reports.into_iter().map(|it| it.0));
    Report::merge(named.collect(), &begins_s)
}

#[test]
fn counts_and_histograms_are_added() {
    let whole = merge(vec![
        (report(&[1, 2, 3], &[3]), 0.0),
        (report(&[10, 20], &[2]), 0.0),
    ])
    .expect("they fit");
    assert_eq!(whole.verdict, Verdict::Passed);
    assert_eq!(whole.deliveries.delivered, 5);
    let latency = whole.latency.expect("five");
    assert_eq!(latency.corrected.histogram().len(), 5);
    assert_eq!(latency.corrected.at_us(50.0).round(), 3.0);
    assert_eq!(latency.corrected.max_us().round(), 20.0);
    assert_eq!(whole.load.clients, 8);
    let names: Vec<&str> = whole.parts.iter().map(|it| it.name.as_str()).collect();
    assert_eq!(names, ["a", "b"]);
}

#[test]
fn one_that_failed_fails_the_whole() {
    let mut failed = report(&[1], &[1]);
    failed.verdict = Verdict::Failed;
    let whole = merge(vec![(report(&[1], &[1]), 0.0), (failed, 0.0)]).expect("they fit");
    assert_eq!(whole.verdict, Verdict::Failed);
    let mut lossy = report(&[1], &[1]);
    lossy.deliveries.lost = 1;
    let whole = merge(vec![(lossy, 0.0), (report(&[1], &[1]), 0.0)]).expect("they fit");
    assert_eq!((whole.verdict, whole.deliveries.lost), (Verdict::Failed, 1));
}

#[test]
fn seconds_are_laid_side_by_side() {
    let whole = merge(vec![
        (report(&[1], &[1, 2, 3]), 11.0),
        (report(&[1], &[10, 20, 30]), 10.0),
    ])
    .expect("they fit");
    assert_eq!(whole.series.delivered, [10, 21, 32, 3]);
    assert_eq!(whole.series.at_s, [0.0, 1.0, 2.0, 3.0]);
}

#[test]
fn spans_of_different_lengths_are_refused() {
    let mut long = report(&[1], &[1]);
    long.series.span_s = 2.0;
    let refused = merge(vec![(report(&[1], &[1]), 0.0), (long, 0.0)]);
    assert_eq!(refused.err(), Some(Incompatible::Spans));
    assert_eq!(merge(vec![]).err(), Some(Incompatible::Nothing));
}

#[test]
fn histograms_of_other_bounds_are_refused() {
    let mut foreign = report(&[1], &[1]);
    let mut wide = Histogram::new(3).expect("three digits");
    wide.record(u64::MAX / 4).expect("it grows");
    let distribution = Distribution::new(&wide);
    foreign.latency = Some(Latency {
        corrected: distribution.clone(),
        raw: distribution,
    });
    let refused = merge(vec![(report(&[1], &[1]), 0.0), (foreign, 0.0)]);
    assert_eq!(refused.err(), Some(Incompatible::Histogram));
}

#[test]
fn percentiles_of_a_second_come_from_the_histograms_of_all() {
    let interval = |start_s, values_us: &[u64]| Interval {
        start: Duration::from_secs(start_s),
        length: Duration::from_secs(1),
        tag: Tag::Corrected,
        histogram: histogram(values_us),
    };
    let mut whole = merge(vec![
        (report(&[1], &[1, 1]), 0.0),
        (report(&[1], &[1, 1]), 1.0),
    ])
    .expect("they fit");
    whole.take_intervals(vec![
        (0.0, vec![interval(0, &[5]), interval(1, &[10])]),
        (1.0, vec![interval(0, &[30, 40])]),
    ]);
    let max: Vec<_> = whole
        .series
        .max_us
        .iter()
        .map(|us| us.map(f64::round))
        .collect();
    assert_eq!(max, [Some(5.0), Some(40.0), None]);
    assert_eq!(whole.intervals.len(), 2);
    assert_eq!(whole.intervals[1].histogram.len(), 3);
}
