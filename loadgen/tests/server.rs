//! What a broker spends is seen from its process and its metrics, whoever
//! started it; and what the machine can't give is said before the run.

use std::net::{SocketAddr, TcpListener};
use std::process::{Command, Output};
use std::time::Duration;

use serde_json::Value;
use webrocket::model::{Quotas, VhostPath};
use webrocket::server::{Config, Node};

const LOAD: &str = "--clients 20 --rate 100 --warmup 100ms --duration 500ms --drain 2s --json";

fn command(options: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_loadgen"));
    command.args(options.split_ascii_whitespace());
    command
}

fn run(mut command: Command) -> (Output, Value) {
    let output = command.output().expect("loadgen runs");
    let report = serde_json::from_slice(&output.stdout).unwrap_or_else(|error| {
        let said = String::from_utf8_lossy(&output.stderr);
        panic!("no report: {error}; {said}")
    });
    (output, report)
}

fn text(output: &Output) -> String {
    let told = [&output.stdout[..], &output.stderr[..]].concat();
    String::from_utf8(told).expect("text")
}

#[test]
fn a_self_hosted_broker_counts_what_its_clients_receive() {
    let (output, report) = run(command(&format!("--self-host --shards 2 {LOAD}")));
    let spent = &report["broker"]["spent"];
    let counters = &spent["counters"];
    // 60 broadcasts, those of the warm-up too.
    assert_eq!(counters["deliveries"], 20 * 60, "{report:#}");
    assert_eq!(counters["received"], 20 * 60, "{report:#}");
    let shards = spent["shards"].as_array().expect("shards");
    assert_eq!(shards.len(), 2, "{report:#}");
    let connections = shards
        .iter()
        .map(|it| it["connections"].as_u64().unwrap_or(0));
    assert!(connections.sum::<u64>() >= 20, "{report:#}");
    assert!(spent["balance"]["connections"].as_f64() >= Some(1.0));
    assert!(spent["switches"]["voluntary_per_s"].as_f64() > Some(0.0));
    assert_eq!(spent["kernel"]["both_ends"], true);
    assert!(report["host"]["groups"][0]["rows"].is_array(), "{report:#}");
    assert!(output.status.success());
}

#[test]
fn another_ones_broker_is_seen_and_its_token_is_not_told() {
    let storage = tempfile::tempdir().expect("a directory");
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    let node = Node::start(Config {
        websocket_addr: any,
        backend_addr: any,
        admin_addr: any,
        storage_dir: storage.path().into(),
        node_name: "test-node".into(),
        shards: 1,
        quotas: Quotas::default(),
        drain_window: Duration::ZERO,
        tls: None,
    })
    .expect("a node");
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .expect("a runtime");
    let path = VhostPath::parse("/test").expect("a path");
    let vhost = runtime.block_on(node.handle().create_vhost(path));
    let token = vhost.expect("a vhost").token.to_string();
    let (websocket, backend) = (node.websocket_addr(), node.backend_addr());
    let (output, report) = run(command(&format!(
        "--url ws://{websocket}/test --backend wr://{token}@{backend}/test --server-pid {} \
         --metrics-url http://{}/metrics {LOAD}",
        std::process::id(),
        node.admin_addr(),
    )));
    let broker = &report["broker"];
    assert!(broker["resident_bytes"].as_u64() > Some(0), "{report:#}");
    assert_eq!(
        broker["spent"]["counters"]["deliveries"],
        20 * 60,
        "{report:#}"
    );
    assert!(!text(&output).contains(&token));
    assert!(text(&output).contains("wr://***@"));
    let (_, report) = run(command(&format!(
        "--url ws://{websocket}/test --metrics-url http://{}/metrics {LOAD}",
        node.admin_addr(),
    )));
    let broker = &report["broker"];
    assert!(broker["resident_bytes"].as_u64() > Some(0), "{report:#}");
    assert_eq!(broker["spent"]["system_us_per_delivery"], Value::Null);
    assert_eq!(broker["spent"]["kernel"], Value::Null);
    assert!(node.stop(Duration::from_secs(20)));
}

#[test]
fn what_cannot_be_looked_at_is_refused_before_the_run() {
    let closed = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = closed.local_addr().expect("bound");
    drop(closed);
    for (option, told) in [
        (
            format!("--metrics-url http://{address}/metrics"),
            "--metrics-url",
        ),
        (format!("--server-pid {}", i32::MAX), "--server-pid"),
    ] {
        let output = command(&option).output().expect("loadgen runs");
        assert_eq!(output.status.code(), Some(2), "{}", text(&output));
        assert!(text(&output).contains(told), "{}", text(&output));
    }
}

#[test]
fn a_preflight_says_what_would_help_and_starts_nothing() {
    let asked = "--self-host --clients 1000 --threads 1 --shards 1 --preflight";
    let refused = limited(asked).output().expect("loadgen runs");
    let told = text(&refused);
    assert_eq!(refused.status.code(), Some(2), "{told}");
    for help in ["--threads", "--shards", "ulimit -Hn"] {
        assert!(told.contains(help), "{told}");
    }
    let granted = limited("--self-host --clients 100 --preflight").output();
    let granted = granted.expect("loadgen runs");
    assert_eq!(granted.status.code(), Some(0), "{}", text(&granted));
}

#[test]
fn tables_of_threads_and_shards_hold_more_than_one_limit() {
    let options = "--self-host --clients 600 --rate 10 --warmup 0s --duration 500ms --drain 2s \
                   --json";
    let (output, report) = run(limited(options));
    assert_eq!(report["connections"]["subscribed"], 600, "{report:#}");
    assert_eq!(report["verdict"], "passed", "{report:#}");
    assert!(report["load"]["threads"].as_u64() > Some(1), "{report:#}");
    assert!(output.status.success());
}

/// With 300 descriptors in each table.
fn limited(options: &str) -> Command {
    let mut shell = Command::new("sh");
    let program = env!("CARGO_BIN_EXE_loadgen");
    shell.args(["-c", &format!("ulimit -n 300 && exec {program} {options}")]);
    shell
}
