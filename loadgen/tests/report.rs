//! The report says exactly what a server has done to its clients.

mod fake;

use std::net::SocketAddr;
use std::process::{Command, Output};

use fake::{Door, FAITHFUL, Fate, Script, nobody, serve};
use serde_json::{Value, json};

/// 20 broadcasts: half a second at 40 a second. What is late has time to come.
const LOAD: &str = "--rate 40 --warmup 0s --duration 500ms --drain 2s";

fn loadgen(to: SocketAddr, options: &str) -> Output {
    Command::new(env!("CARGO_BIN_EXE_loadgen"))
        .args(["--url", &format!("ws://{to}/test")])
        .args(options.split_ascii_whitespace())
        .output()
        .expect("loadgen runs")
}

fn run(script: Script, options: &str) -> (Option<i32>, Value) {
    report(&loadgen(serve(script), &format!("{LOAD} --json {options}")))
}

fn report(output: &Output) -> (Option<i32>, Value) {
    let report = serde_json::from_slice(&output.stdout);
    let report = report.unwrap_or_else(|error| {
        let said = String::from_utf8_lossy(&output.stderr);
        panic!("no report: {error}; {said}")
    });
    (output.status.code(), report)
}

/// Expected, delivered, lost, duplicated, reordered, strange.
fn deliveries(report: &Value) -> [u64; 6] {
    [
        "expected",
        "delivered",
        "lost",
        "duplicated",
        "reordered",
        "strange",
    ]
    .map(|name| report["deliveries"][name].as_u64().expect("a count"))
}

#[test]
fn a_faithful_server_passes() {
    let (status, report) = run(FAITHFUL, "--clients 6");
    assert_eq!(deliveries(&report), [120, 120, 0, 0, 0, 0], "{report:#}");
    assert_eq!(report["verdict"], "passed");
    assert_eq!(report["connections"]["subscribed"], 6);
    assert_eq!(report["broadcasts"]["sent"], 20);
    assert_eq!(report["errors"], json!({}));
    assert_eq!(report["closes"], json!({}));
    assert_eq!(report["broker"], Value::Null);
    assert_eq!(status, Some(0));
}

#[test]
fn channels_publishers_and_threads_are_all_counted() {
    let options = "--clients 9 --channels 2 --publishers 2 --threads 3";
    let (status, report) = run(FAITHFUL, options);
    // Ten broadcasts on a channel of five clients, ten on one of four.
    assert_eq!(deliveries(&report), [90, 90, 0, 0, 0, 0], "{report:#}");
    assert_eq!(report["broadcasts"]["sent"], 20);
    assert_eq!(status, Some(0));
}

#[test]
fn lost_ones_are_counted_wherever_they_are() {
    let script = Script {
        fate: |receiver, broadcast| match (receiver, broadcast) {
            (0, 0) | (1, 7..10) | (2, 19) => Fate::Lose,
            (3, _) => Fate::Lose,
            _ => Fate::Deliver,
        },
        ..FAITHFUL
    };
    let (status, report) = run(script, "--clients 5");
    assert_eq!(deliveries(&report), [100, 75, 25, 0, 0, 0], "{report:#}");
    assert_eq!(report["verdict"], "failed");
    assert_eq!(status, Some(1));
}

#[test]
fn duplicates_are_counted() {
    let script = Script {
        fate: |receiver, broadcast| match (receiver, broadcast) {
            (0, 0) | (1, 3 | 4) | (2, 19) => Fate::Twice,
            _ => Fate::Deliver,
        },
        ..FAITHFUL
    };
    let (status, report) = run(script, "--clients 3");
    assert_eq!(deliveries(&report), [60, 60, 0, 4, 0, 0], "{report:#}");
    assert_eq!(status, Some(1));
}

#[test]
fn swapped_ones_are_reordered_and_not_lost() {
    let script = Script {
        fate: |receiver, broadcast| match (receiver, broadcast) {
            (0, 0 | 2) | (1, 18) => Fate::AfterNext,
            _ => Fate::Deliver,
        },
        ..FAITHFUL
    };
    let (status, report) = run(script, "--clients 3");
    assert_eq!(deliveries(&report), [60, 60, 0, 0, 3, 0], "{report:#}");
    assert_eq!(status, Some(1));
}

#[test]
fn damaged_ones_are_lost_and_told_apart() {
    let script = Script {
        fate: |receiver, broadcast| match (receiver, broadcast) {
            (1, 5 | 6) => Fate::Damage,
            _ => Fate::Deliver,
        },
        ..FAITHFUL
    };
    let (status, report) = run(script, "--clients 2");
    assert_eq!(deliveries(&report), [40, 38, 2, 0, 0, 2], "{report:#}");
    assert_eq!(status, Some(1));
}

#[test]
fn errors_are_shown_by_code() {
    let script = Script {
        fate: |receiver, broadcast| match (receiver, broadcast) {
            (0, 3 | 4) => Fate::AfterError(453),
            (1, 5) => Fate::AfterError(400),
            _ => Fate::Deliver,
        },
        ..FAITHFUL
    };
    let (status, report) = run(script, "--clients 2");
    assert_eq!(report["errors"], json!({"400": 1, "453": 2}), "{report:#}");
    assert_eq!(deliveries(&report), [40, 40, 0, 0, 0, 0]);
    assert_eq!(status, Some(1));
}

#[test]
fn closed_connections_are_lost_with_what_they_miss() {
    let script = Script {
        fate: |receiver, broadcast| match (receiver, broadcast) {
            // Neither is the publisher, which was the first to subscribe.
            (1, 10..) => Fate::Close(1013),
            (2, 15..) => Fate::Vanish,
            _ => Fate::Deliver,
        },
        ..FAITHFUL
    };
    let (status, report) = run(script, "--clients 4 --connect-rate 20");
    assert_eq!(deliveries(&report), [80, 65, 15, 0, 0, 0], "{report:#}");
    assert_eq!(report["closes"], json!({"1013": 1}));
    assert_eq!(report["connections"]["lost"], 2);
    let causes = json!({
        "closed by the broker with code 1013": 1,
        "ended by the broker without a close frame": 1,
    });
    assert_eq!(report["connections"]["lost_by_cause"], causes);
    assert_eq!(status, Some(1));
}

#[test]
fn a_server_that_dies_leaves_broadcasts_unsent() {
    let script = Script {
        fate: |_, broadcast| match broadcast {
            0..4 => Fate::Deliver,
            _ => Fate::Vanish,
        },
        ..FAITHFUL
    };
    let (status, report) = run(script, "--clients 3");
    let sent = report["broadcasts"]["sent"].as_u64().expect("a count");
    let unsent = report["broadcasts"]["unsent"].as_u64().expect("a count");
    // Some may be on their way when the connection ends.
    assert!(sent >= 5, "{report:#}");
    assert_eq!(sent + unsent, 20);
    let expected = 3 * sent;
    assert_eq!(deliveries(&report), [expected, 12, expected - 12, 0, 0, 0]);
    assert_eq!(report["connections"]["lost"], 3);
    assert_eq!(status, Some(1));
}

#[test]
fn some_who_can_not_join_fail_the_run_and_do_not_stop_it() {
    let script = Script {
        door: |client| match client {
            1 => Door::Status(503),
            2 => Door::Babble,
            3 => Door::Refuse(403),
            4 => Door::Close(1013),
            _ => Door::Open,
        },
        ..FAITHFUL
    };
    let (status, report) = run(script, "--clients 8 --connect-rate 20");
    assert_eq!(report["connections"]["subscribed"], 4, "{report:#}");
    assert_eq!(report["connections"]["failed"], 4);
    let causes = json!({
        "upgrade refused with HTTP status 503": 1,
        "the answer is no WebSocket upgrade": 1,
        "subscription refused with :error 403": 1,
        "closed by the broker with code 1013": 1,
    });
    assert_eq!(report["connections"]["failed_by_cause"], causes);
    assert_eq!(deliveries(&report), [80, 80, 0, 0, 0, 0]);
    assert_eq!(status, Some(1));
}

#[test]
fn nobody_listens() {
    let (status, report) = report(&loadgen(nobody(), &format!("{LOAD} --json --clients 1000")));
    assert_eq!(report["verdict"], "not_connected");
    assert_eq!(report["connections"]["subscribed"], 0);
    assert!(report["connections"]["failed"].as_u64() >= Some(16));
    assert_eq!(status, Some(3));
}

#[test]
fn a_missing_channel_says_what_to_do() {
    let script = Script {
        door: |_| Door::Refuse(454),
        ..FAITHFUL
    };
    let output = loadgen(serve(script), &format!("{LOAD} --clients 2"));
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(
        text.contains("subscription refused with :error 454"),
        "{text}"
    );
    assert!(
        text.contains("--backend wr://TOKEN@host:port/vhost"),
        "{text}"
    );
    assert_eq!(output.status.code(), Some(3));
}

#[test]
fn what_is_sent_while_warming_up_does_not_count() {
    let script = Script {
        fate: |_, broadcast| match broadcast {
            // 250 ms at 40 a second are ten.
            0..10 => Fate::Lose,
            _ => Fate::Deliver,
        },
        ..FAITHFUL
    };
    let (status, report) = run(script, "--clients 2 --warmup 250ms");
    assert_eq!(deliveries(&report), [40, 40, 0, 0, 0, 0], "{report:#}");
    assert_eq!(status, Some(0));
}

#[test]
fn the_idle_send_nothing_and_stay() {
    let (status, report) = run(FAITHFUL, "--clients 4 --idle");
    assert_eq!(report["connections"]["subscribed"], 4, "{report:#}");
    assert_eq!(report["broadcasts"]["sent"], 0);
    assert_eq!(report["latency"], Value::Null);
    assert_eq!(status, Some(0));
}

#[test]
fn wrong_arguments_are_explained() {
    let output = loadgen(nobody(), "--clients 2 --channels 3");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("--clients 3 or more"), "{said}");
    assert_eq!(output.status.code(), Some(2));
}

#[test]
fn the_summary_fits_80_columns() {
    let script = Script {
        fate: |receiver, broadcast| match (receiver, broadcast) {
            (0, 1) => Fate::Lose,
            (1, 2) => Fate::AfterNext,
            (1, 4) => Fate::Damage,
            (2, 4) => Fate::AfterError(453),
            (3, 9..) => Fate::Close(1013),
            _ => Fate::Deliver,
        },
        ..FAITHFUL
    };
    let output = loadgen(serve(script), &format!("{LOAD} --clients 10"));
    let text = String::from_utf8_lossy(&output.stdout);
    for part in ["deliveries", "corrected", ":error", "closed", "FAILED"] {
        assert!(text.contains(part), "{part}: {text}");
    }
    for line in text.lines().filter(|line| !line.starts_with("WARNING")) {
        assert!(line.chars().count() <= 80, "{line}");
    }
}
