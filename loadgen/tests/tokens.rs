//! Clients with access tokens: private and presence channels.

use std::process::{Command, Output};

use serde_json::Value;
use webrocket::model::{Quotas, VhostPath};
use webrocket::server::{Config, Node};

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
fn private_channels_take_a_token_for_each_client() {
    let report = passes(&format!(
        "--self-host --clients 50 --channels 2 --threads 2 --channel-kind private --rate 40 {SHORT}"
    ));
    let joining = &report["joining"];
    assert_eq!(joining["token"]["count"], 50, "{joining:#}");
    assert_eq!(joining["authenticate"]["count"], 50);
    assert_eq!(report["deliveries"]["delivered"], 20 * 25);
    assert!(report.get("presence").is_none());
}

#[test]
fn members_see_each_other_exactly_once() {
    for shards in [1, 2] {
        let report = passes(&format!(
            "--self-host --shards {shards} --clients 45 --channels 2 --threads 2 \
             --channel-kind presence --rate 40 {SHORT}"
        ));
        let presence = &report["presence"];
        assert_eq!(presence["expected"], 23 * 23 + 22 * 22);
        assert_eq!(presence["seen"], presence["expected"]);
        for none in ["missing", "doubled", "left", "strange"] {
            assert_eq!(presence[none], 0, "{presence:#}");
        }
    }
}

#[test]
fn who_comes_back_brings_another_token() {
    let report = passes(&format!(
        "--self-host --clients 20 --channel-kind presence --rate 40 --churn 40 {SHORT}"
    ));
    let back = report["comebacks"]["back"].as_u64().expect("a count");
    assert!(back > 0);
    assert_eq!(report["joining"]["token"]["count"], 20 + back);
    let presence = &report["presence"];
    assert!(
        presence["expected"].is_null(),
        "nobody can know: {presence:#}"
    );
    assert!(presence["left"].as_u64() >= Some(back));
}

#[test]
fn without_a_backend_nothing_is_begun() {
    let output = loadgen("--url ws://127.0.0.1:9/a --channel-kind private --clients 2");
    assert_eq!(output.status.code(), Some(2));
    assert!(said(&output).contains("--channel-kind needs a backend"));
}

#[test]
fn a_backend_that_hands_out_none_is_told() {
    // Tokens of another vhost's broker: channels can't even be opened.
    let storage = tempfile::tempdir().expect("a directory");
    let any = "127.0.0.1:0".parse().expect("an address");
    let node = Node::start(Config {
        websocket_addr: any,
        backend_addr: any,
        admin_addr: any,
        storage_dir: storage.path().into(),
        node_name: "tokens".into(),
        shards: 1,
        quotas: Quotas::default(),
        drain_window: std::time::Duration::ZERO,
        tls: None,
    })
    .expect("a node");
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .expect("a runtime");
    let path = VhostPath::parse("/a").expect("valid");
    runtime
        .block_on(node.handle().create_vhost(path))
        .expect("a vhost");
    let (to, backend) = (node.websocket_addr(), node.backend_addr());
    let wrong = "0".repeat(40);
    let output = loadgen(&format!(
        "--url ws://{to}/a --backend wr://{wrong}@{backend}/a --channel-kind private {SHORT}"
    ));
    assert_eq!(output.status.code(), Some(3), "{}", said(&output));
    assert!(
        said(&output).contains("private-load-0"),
        "{}",
        said(&output)
    );
    node.stop(std::time::Duration::from_secs(20));
}
