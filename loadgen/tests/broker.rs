//! Against the real broker: its own child, one in another process, and the ends
//! that a run may come to.

mod fake;

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use fake::{FAITHFUL, serve};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use webrocket::model::{Quotas, VhostPath};
use webrocket::server::{Config, Node};

const LOAD: &str = "--rate 200 --warmup 100ms --duration 500ms --drain 2s";

fn loadgen(options: &str) -> Child {
    Command::new(env!("CARGO_BIN_EXE_loadgen"))
        .args(options.split_ascii_whitespace())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("loadgen runs")
}

fn finish(child: Child) -> (Option<i32>, Value) {
    let output = child.wait_with_output().expect("an end");
    let report = serde_json::from_slice(&output.stdout);
    let report = report.unwrap_or_else(|error| {
        let said = String::from_utf8_lossy(&output.stderr);
        panic!("no report: {error}; {said}")
    });
    (output.status.code(), report)
}

/// Reads what the child tells until it tells this; what follows is thrown away.
fn wait_for(child: &mut Child, told: &str) {
    let mut lines = BufReader::new(child.stderr.take().expect("piped")).lines();
    let found = lines.any(|line| line.expect("text").starts_with(told));
    assert!(found, "never told: {told}");
    thread::spawn(move || lines.for_each(drop));
}

fn signal(child: &Child, signal: Signal) {
    let pid = Pid::from_raw(child.id() as i32).expect("a process");
    kill_process(pid, signal).expect("it still runs");
}

#[test]
fn a_self_hosted_broker_passes_on_one_and_two_shards() {
    for shards in [1, 2] {
        let options = format!(
            "--self-host --shards {shards} --clients 30 --channels 3 --publishers 2 --threads 2 {LOAD} --json"
        );
        let (status, report) = finish(loadgen(&options));
        assert_eq!(report["verdict"], "passed", "{report:#}");
        assert_eq!(report["connections"]["subscribed"], 30);
        assert_eq!(report["broadcasts"]["sent"], 100);
        assert_eq!(report["deliveries"]["delivered"], 1000);
        assert!(report["broker"]["resident_bytes"].as_u64() > Some(0));
        assert_eq!(status, Some(0));
    }
}

#[test]
fn channels_are_opened_through_the_backend() {
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
    let token = vhost.expect("a vhost").token;
    let (websocket, backend) = (node.websocket_addr(), node.backend_addr());
    let options = format!(
        "--url ws://{websocket}/test --backend wr://{token}@{backend}/test \
         --clients 10 --channels 2 {LOAD} --json"
    );
    let (status, report) = finish(loadgen(&options));
    assert_eq!(report["verdict"], "passed", "{report:#}");
    assert_eq!(report["deliveries"]["delivered"], 500);
    assert_eq!(report["broker"], Value::Null);
    assert_eq!(status, Some(0));
    assert!(node.stop(Duration::from_secs(20)));
}

#[test]
fn an_interrupt_gives_a_partial_report() {
    let to = serve(FAITHFUL);
    let options = format!("--url ws://{to}/test --clients 3 --warmup 0s --duration 1h --json");
    let mut child = loadgen(&options);
    wait_for(&mut child, "measure");
    signal(&child, Signal::INT);
    let (status, report) = finish(child);
    assert_eq!(report["interrupted"], true, "{report:#}");
    assert_eq!(report["connections"]["subscribed"], 3);
    assert_eq!(report["deliveries"]["lost"], 0);
    assert_eq!(
        report["deliveries"]["delivered"].as_u64(),
        report["broadcasts"]["sent"].as_u64().map(|sent| 3 * sent)
    );
    assert_eq!(status, Some(1));
}

#[test]
fn a_broker_dies_with_its_load_generator() {
    let mut child = loadgen("--self-host --clients 3 --warmup 0s --duration 1h");
    wait_for(&mut child, "measure");
    let pid = child.id();
    let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"));
    let broker: u32 = children.expect("/proc").trim().parse().expect("one child");
    signal(&child, Signal::KILL);
    let mut rest = Vec::new();
    let mut output = child.stdout.take().expect("piped");
    output.read_to_end(&mut rest).expect("an end");
    child.wait().expect("an end");
    // Ends by itself; only a broken test waits here for ever.
    while is_running(broker) {
        thread::sleep(Duration::from_millis(10));
    }
}

/// A zombie that nobody has waited for yet counts as ended.
fn is_running(pid: u32) -> bool {
    let stat = Path::new("/proc").join(pid.to_string()).join("stat");
    fs::read_to_string(stat).is_ok_and(|stat| !stat.contains(") Z "))
}
