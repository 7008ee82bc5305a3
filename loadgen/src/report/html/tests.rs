use hdrhistogram::Histogram;

use super::*;
use crate::host::HostManifest;
use crate::limits::{CHART_POINTS_MAX, SPANS_MAX};
use crate::report::{Assertions, Distribution, Latency, Warning};

/// A run of a day, with everything that a page can show.
fn full() -> Report {
    let mut histogram = Histogram::new(3).expect("three digits");
    for us in 1..1000 {
        histogram.record(1000 * us).expect("it grows");
    }
    let mut report = Report::example();
    report.latency = Some(Latency {
        corrected: Distribution::new(&histogram),
        raw: Distribution::new(&histogram),
    });
    report.verdict = Verdict::Failed;
    report.deliveries.expected = 1_000_000;
    report.deliveries.lost = 3;
    report.warnings.push(Warning::Inexact);
    let terms: Assertions = "loss=0,p99<1s".parse().expect("terms");
    report.assert(&terms);
    report
        .connections
        .failed_by_cause
        .insert("<script>alert(1)</script>".to_owned(), 7);
    report.errors.insert(503, 9);
    let spans = SPANS_MAX;
    let series = &mut report.series;
    series.span_s = 24.0;
    series.at_s = (0..spans).map(|at| at as f64 * 24.0).collect();
    series.delivered = vec![12_345; spans];
    series.sent = vec![7; spans];
    series.subscribed = vec![100_000; spans];
    series.p50_us = vec![Some(123.4); spans];
    series.p99_us = vec![Some(1234.5); spans];
    series.max_us = vec![Some(12_345.6); spans];
    series.broker_cpu_percent = vec![Some(45.6); spans];
    series.generator_cpu_percent = vec![Some(12.3); spans];
    series.broker_resident_bytes = vec![Some(50_000_000); spans];
    report.host = Some(HostManifest::default());
    report
}

#[test]
fn a_day_stays_a_page() {
    let page = full().to_html();
    assert!(
        page.len() < 12 * 24 * CHART_POINTS_MAX,
        "{} bytes",
        page.len()
    );
    assert!(page.matches("<svg").count() >= 6);
}

#[test]
fn what_comes_from_outside_is_escaped() {
    let page = full().to_html();
    assert!(!page.contains("<script"), "a script");
    assert!(page.contains("&lt;script&gt;alert(1)"));
}

#[test]
fn the_first_screen_says_what_happened() {
    let page = full().to_html();
    for part in [
        "3 of 1,000,000 deliveries never came",
        "99 % within 990 us",
        "does not hold: loss=0 (measured: 3)",
        "holds: p99&lt;1s",
        "Note: too many gaps",
    ] {
        assert!(page.contains(part), "{part}");
    }
}

#[test]
fn nobody_connected_is_a_page_too() {
    let page = Report::example().to_html();
    assert!(page.contains("None of 4 clients could connect."));
    assert!(!page.contains("<svg"));
}

#[test]
fn it_needs_nothing_from_elsewhere() {
    let page = full().to_html();
    for outside in ["http://", "https://", "src=", "href=", "url(", "@import"] {
        assert!(!page.contains(outside), "{outside}");
    }
}

#[test]
fn a_report_that_is_read_back_is_the_same_page() {
    let report = full();
    let json = serde_json::to_string(&report).expect("JSON");
    let read: Report = serde_json::from_str(&json).expect("its own form");
    assert_eq!(read.to_html(), report.to_html());
}
