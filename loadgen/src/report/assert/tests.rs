use hdrhistogram::Histogram;

use super::*;
use crate::report::Latency;

fn report() -> Report {
    let mut histogram = Histogram::new(3).expect("three digits");
    for ms in 1..=100 {
        histogram.record(ms * 1_000_000).expect("it grows");
    }
    let mut report = Report::example();
    report.latency = Some(Latency {
        corrected: Distribution::new(&histogram),
        raw: Distribution::new(&histogram),
    });
    report.load.rate_per_s = 10.0;
    report.load.measured_s = 10.0;
    report.broadcasts.sent = 99;
    report.deliveries.lost = 3;
    report
}

fn holds(text: &str) -> bool {
    let assertions: Assertions = text.parse().expect(text);
    assertions.check(&report()).iter().all(|it| it.holds)
}

fn complaint(text: &str) -> String {
    text.parse::<Assertions>().expect_err(text).to_string()
}

#[test]
fn each_comparison_at_its_bound_and_beside_it() {
    for (text, expected) in [
        ("loss=3", true),
        ("loss=2", false),
        ("loss<3", false),
        ("loss<4", true),
        ("loss<=3", true),
        ("loss<=2", false),
        ("loss>2", true),
        ("loss>3", false),
        ("loss>=3", true),
        ("loss>=4", false),
        ("rate>=0.99", true),
        ("rate>=99%", true),
        ("rate>=0.991", false),
    ] {
        assert_eq!(holds(text), expected, "{text}");
    }
}

#[test]
fn times_in_every_unit() {
    for text in [
        "p50<51ms",
        "p50>49000us",
        "max<0.101s",
        "mean<51 ms",
        "raw.p99 >= 98ms",
    ] {
        assert!(holds(text), "{text}");
    }
    assert!(!holds("p99<50ms"));
}

#[test]
fn all_terms_must_hold_and_all_are_told() {
    let assertions: Assertions = "p99<1s, loss=0".parse().expect("two terms");
    assert_eq!(assertions.to_string(), "p99<1s,loss=0");
    let told = assertions.check(&report());
    assert_eq!(
        told.iter().map(|it| it.holds).collect::<Vec<_>>(),
        [true, false]
    );
    assert_eq!(told[1].measured, Some(3.0));
    assert_eq!(told[0].unit, "us");
}

#[test]
fn what_was_not_measured_does_not_hold() {
    for text in ["connect.p99<1s", "cpu_per_delivery<1s", "broker_cpu<1000%"] {
        assert!(!holds(text), "{text}");
    }
    let mut silent = report();
    silent.load.rate_per_s = 0.0;
    let rate: Assertions = "rate>=0".parse().expect("a term");
    assert_eq!(rate.check(&silent)[0].measured, None);
}

#[test]
fn mistakes_are_explained() {
    for (text, said) in [
        ("", "compares nothing"),
        ("p99", "compares nothing"),
        ("p99<20ms,", "compares nothing"),
        ("p98<20ms", "nothing is called \"p98\""),
        ("late.p50<1ms", "nothing is called"),
        ("raw.loss=0", "nothing is called"),
        ("p99<20", "a time: 500us, 20ms or 1.5s"),
        ("p99<20m", "a time"),
        ("p99==20ms", "a time"),
        ("p99=20ms", "will never be"),
        ("rate=1", "will never be"),
        ("loss=many", "a number"),
        ("loss=NaN", "a number"),
        ("rate>=fast", "a share"),
    ] {
        let complaint = complaint(text);
        assert!(complaint.contains(said), "{text}: {complaint}");
    }
}
