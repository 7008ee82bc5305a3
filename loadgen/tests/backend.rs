//! The backend's side of a run, against the real broker.

use std::process::{Command, Output};

use serde_json::Value;

fn loadgen(line: &str) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_loadgen"));
    command.args(line.split_ascii_whitespace());
    command.output().expect("loadgen runs")
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn report(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", said(output)))
}

fn passes(line: &str) -> Value {
    let output = loadgen(line);
    let report = report(&output);
    assert_eq!(output.status.code(), Some(0), "{report:#}");
    report
}

const SHORT: &str = "--warmup 0s --duration 500ms --drain 2s --json";

#[test]
fn each_trigger_reaches_one_worker_once() {
    for workers in [1, 3] {
        let report = passes(&format!(
            "--self-host --shards 2 --threads 2 --clients 20 --channels 2 --idle \
             --workers {workers} --trigger-rate 200 {SHORT} \
             --assert trigger.loss=0,trigger.p99<20s"
        ));
        let triggers = &report["triggers"];
        assert_eq!(triggers["sent"], 100, "{triggers:#}");
        assert_eq!(triggers["taken"], 100);
        assert_eq!(triggers["time"]["count"], 100);
        assert!(triggers.get("replies").is_none());
    }
}

#[test]
fn each_reply_comes_back_to_whoever_triggered() {
    let report = passes(&format!(
        "--self-host --clients 12 --channels 3 --rate 20 --workers 2 --trigger-rate 100 \
         --replies {SHORT} --assert reply.loss=0,reply.max<20s"
    ));
    let replies = &report["triggers"]["replies"];
    assert_eq!(replies["expected"], 50, "{replies:#}");
    assert_eq!(replies["received"], 50);
    assert_eq!(replies["time"]["count"], 50);
    // Those who did not trigger have them too, and they are no broadcasts.
    assert_eq!(report["deliveries"]["strange"], 0);
    assert_eq!(report["deliveries"]["delivered"], 10 * 4);
}

#[test]
fn triggers_without_a_worker_are_refused_and_counted() {
    let output = loadgen(&format!(
        "--self-host --clients 4 --idle --trigger-rate 40 {SHORT}"
    ));
    let report = report(&output);
    assert_eq!(output.status.code(), Some(1), "{report:#}");
    assert_eq!(report["errors"]["503"], 20);
    assert_eq!(report["triggers"]["missing"], 20);
}

#[test]
fn broadcasts_of_the_backend_count_as_those_of_clients() {
    for shards in [1, 2] {
        let report = passes(&format!(
            "--self-host --shards {shards} --clients 12 --channels 3 --publishers 2 --rate 40 \
             --backend-rate 60 --backend-clients 2 --size 300 {SHORT}"
        ));
        let broadcasts = &report["backend"]["broadcasts"];
        assert_eq!(broadcasts["sent"], 30, "{broadcasts:#}");
        assert_eq!(broadcasts["done"], 30);
        // 20 of the clients, 30 of the backend, to 4 each.
        assert_eq!(report["deliveries"]["expected"], 50 * 4);
        assert_eq!(report["deliveries"]["delivered"], 50 * 4);
        assert_eq!(report["broadcasts"]["sent"], 20);
    }
}

#[test]
fn the_backend_alone_keeps_silent_clients_busy_while_others_churn() {
    let report = passes(&format!(
        "--self-host --shards 2 --clients 20 --idle --backend-rate 100 --churn 40 {SHORT}"
    ));
    let deliveries = &report["deliveries"];
    assert_eq!(deliveries["expected"], deliveries["delivered"]);
    assert!(report["comebacks"]["back"].as_u64() > Some(0));
}

#[test]
fn channels_and_tokens_are_asked_for() {
    let report = passes(&format!(
        "--self-host --clients 2 --idle --channel-churn 40 --token-rate 60 {SHORT}"
    ));
    let backend = &report["backend"];
    assert_eq!(backend["channels"]["done"], 20, "{backend:#}");
    assert_eq!(backend["tokens"]["done"], 30);
    assert!(backend.get("broadcasts").is_none());
}

#[test]
fn what_needs_a_backend_is_not_begun_without_one() {
    for option in [
        "--trigger-rate 5",
        "--workers 1",
        "--backend-rate 5",
        "--token-rate 1",
    ] {
        let output = loadgen(&format!("--url ws://127.0.0.1:9/a --clients 2 {option}"));
        assert_eq!(output.status.code(), Some(2), "{option}");
        let said = said(&output);
        let name = option.split(' ').next().expect("a name");
        assert!(
            said.contains(name) && said.contains("needs a backend"),
            "{said}"
        );
    }
}

#[test]
fn terms_of_what_did_not_happen_do_not_hold() {
    let output = loadgen(&format!(
        "--self-host --clients 2 --rate 20 {SHORT} --assert trigger.p99<20s"
    ));
    assert_eq!(output.status.code(), Some(1));
    assert!(report(&output)["assertions"][0]["measured"].is_null());
}
