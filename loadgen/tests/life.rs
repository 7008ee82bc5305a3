//! Clients that leave and come back, and clients that hardly read.

mod fake;

use std::process::{Command, Output};

use fake::{Door, FAITHFUL, Fate, Script, serve};
use serde_json::Value;

fn loadgen(line: &str) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_loadgen"));
    command.args(line.split_ascii_whitespace());
    command.output().expect("loadgen runs")
}

fn report(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&output.stderr)))
}

fn passes(line: &str) -> Value {
    let output = loadgen(line);
    let report = report(&output);
    assert_eq!(output.status.code(), Some(0), "{report:#}");
    report
}

const SHORT: &str = "--warmup 0s --duration 1s --drain 2s --json";

#[test]
fn churn_loses_nothing_and_is_counted() {
    for shards in [1, 2] {
        let report = passes(&format!(
            "--self-host --shards {shards} --threads 2 --clients 60 --channels 3 --publishers 2 \
             --rate 200 --churn 100 {SHORT}"
        ));
        let (comebacks, deliveries) = (&report["comebacks"], &report["deliveries"]);
        let left = comebacks["churned"].as_u64().expect("a count");
        let skipped = comebacks["skipped"].as_u64().expect("a count");
        assert_eq!(left + skipped, 100, "{comebacks:#}");
        assert_eq!(comebacks["back"], left, "{comebacks:#}");
        assert_eq!(comebacks["time"]["count"], left);
        assert_eq!(deliveries["expected"], deliveries["delivered"]);
        assert_eq!(report["connections"]["lost"], 0);
        // Less than without any churn, and more than half of it.
        let expected = deliveries["expected"].as_u64().expect("a count");
        assert!((200 * 10..=200 * 20).contains(&expected), "{expected}");
    }
}

#[test]
fn a_storm_is_over_when_all_are_back() {
    for (percent, hit) in [(100, 38), (50, 19)] {
        let report = passes(&format!(
            "--self-host --clients 40 --publishers 2 --rate 50 --storm 300ms \
             --storm-percent {percent} {SHORT}"
        ));
        let storm = &report["comebacks"]["storm"];
        assert_eq!(storm["hit"], hit, "{storm:#}");
        assert_eq!(storm["back"], hit);
        assert!(storm["recovered_s"].as_f64() > Some(0.0), "{storm:#}");
    }
}

#[test]
fn what_a_client_misses_after_its_return_is_lost() {
    // The 3 that come back are receivers 4 to 6.
    let to = serve(Script {
        fate: |receiver, _| match receiver {
            5 => Fate::Lose,
            _ => Fate::Deliver,
        },
        ..FAITHFUL
    });
    let output = loadgen(&format!(
        "--url ws://{to}/a --clients 4 --rate 50 --storm 300ms {SHORT}"
    ));
    let report = report(&output);
    assert_eq!(output.status.code(), Some(1), "{report:#}");
    assert_eq!(report["comebacks"]["back"], 3);
    let lost = report["deliveries"]["lost"].as_u64();
    assert!(lost > Some(0) && lost < Some(50), "{report:#}");
}

#[test]
fn a_return_that_is_refused_is_tried_again() {
    // The first three attempts after the storm; then all are let in.
    let to = serve(Script {
        door: |client| match client {
            4..7 => Door::Refuse(503),
            _ => Door::Open,
        },
        ..FAITHFUL
    });
    let report = passes(&format!(
        "--url ws://{to}/a --clients 4 --rate 50 --storm 100ms {SHORT}"
    ));
    let comebacks = &report["comebacks"];
    assert_eq!(comebacks["back"], 3);
    let refused = &comebacks["refused_by_cause"]["subscription refused with :error 503"];
    assert_eq!(refused, 3, "{comebacks:#}");
}

#[test]
fn who_never_comes_back_fails_the_run() {
    let to = serve(Script {
        door: |client| match client {
            4.. => Door::Status(503),
            _ => Door::Open,
        },
        ..FAITHFUL
    });
    let output = loadgen(&format!(
        "--url ws://{to}/a --clients 4 --rate 50 --churn 20 {SHORT}"
    ));
    let report = report(&output);
    assert_eq!(output.status.code(), Some(1), "{report:#}");
    assert_eq!(report["comebacks"]["missing"], 3);
    assert_eq!(report["comebacks"]["back"], 0);
    assert_eq!(report["deliveries"]["lost"], 0, "nobody owes them anything");
}

#[test]
fn slow_clients_are_parted_with_and_harm_nobody() {
    // They see a reset once the broker has waited long enough for them to read why.
    let report = passes(
        "--self-host --clients 10 --rate 400 --size 30000 --slow-clients 2 --warmup 0s \
         --duration 2s --drain 18s --json",
    );
    let slow = &report["slow"];
    assert_eq!(slow["subscribed"], 2, "{slow:#}");
    let ended = slow["ended_by_cause"].as_object().expect("causes");
    let count: u64 = ended.values().filter_map(Value::as_u64).sum();
    assert_eq!(count, 2, "{slow:#}");
    let deliveries = &report["deliveries"];
    assert_eq!(deliveries["delivered"], 10 * 800);
    assert_eq!(report["connections"]["subscribed"], 10);
}

#[test]
fn slow_clients_read_as_much_as_they_are_told() {
    let report = passes(
        "--self-host --clients 2 --rate 20 --size 64 --slow-clients 1 --slow-bytes-per-s 1000000 \
         --warmup 0s --duration 1s --json",
    );
    let slow = &report["slow"];
    assert_eq!(
        slow["ended_by_cause"].as_object().map(|it| it.len()),
        Some(0)
    );
    assert_eq!(slow["delivered"], 20, "{slow:#}");
}
