//! What a run leaves behind: assertions, series, logs and their merging,
//! scenarios, shapes, and a stall that nobody can hide.

mod fake;

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::thread;
use std::time::Duration;

use fake::{FAITHFUL, Fate, Script, serve};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

fn loadgen(line: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_loadgen"));
    command.args(line.split_ascii_whitespace());
    command
}

fn output(line: &str) -> Output {
    loadgen(line).output().expect("loadgen runs")
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn report(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", said(output)))
}

const SHORT: &str = "--rate 40 --warmup 0s --duration 500ms --drain 2s --json";

#[test]
fn a_closed_loop_sends_when_its_own_has_come_back() {
    let run = |script| {
        let to = serve(script);
        let options = "--closed-loop 3 --clients 4 --publishers 2 --threads 2 --warmup 0s";
        output(&format!(
            "--url ws://{to}/a {options} --duration 500ms --drain 1s --json"
        ))
    };
    let faithful = run(FAITHFUL);
    assert_eq!(faithful.status.code(), Some(0), "{}", said(&faithful));
    let sent = |output: &Output| report(output)["broadcasts"]["sent"].as_u64();
    assert!(sent(&faithful) > Some(2 * 3));
    // What never comes back is never followed by another.
    let silent = run(Script {
        fate: |_, _| Fate::Lose,
        ..FAITHFUL
    });
    assert_eq!(silent.status.code(), Some(1), "{}", said(&silent));
    assert_eq!(sent(&silent), Some(2 * 3));
    assert_eq!(report(&silent)["deliveries"]["lost"], 4 * 2 * 3);
}

#[test]
fn an_assertion_that_fails_fails_the_run() {
    let to = serve(FAITHFUL);
    let run = |terms: &str| {
        output(&format!(
            "--url ws://{to}/a --clients 4 {SHORT} --assert {terms}"
        ))
    };
    let good = run("loss=0,p99<20s,rate>=0.9,connect.p99<20s");
    assert_eq!(good.status.code(), Some(0), "{}", said(&good));
    assert_eq!(
        report(&good)["assertions"].as_array().map(Vec::len),
        Some(4)
    );
    let bad = run("loss=0,p50<0us");
    assert_eq!(bad.status.code(), Some(1));
    let report = report(&bad);
    assert_eq!(report["verdict"], "failed");
    assert_eq!(report["assertions"][1]["holds"], false);
    let wrong = run("p98<1s");
    assert_eq!(wrong.status.code(), Some(2));
    assert!(
        said(&wrong).contains("nothing is called"),
        "{}",
        said(&wrong)
    );
}

#[test]
fn a_broken_run_is_not_mended_by_its_assertions() {
    let script = Script {
        fate: |receiver, broadcast| match (receiver, broadcast) {
            (0, 3) => Fate::Lose,
            _ => Fate::Deliver,
        },
        ..FAITHFUL
    };
    let to = serve(script);
    let line = format!("--url ws://{to}/a --clients 4 {SHORT} --assert loss<=1");
    let output = output(&line);
    assert_eq!(report(&output)["assertions"][0]["holds"], true);
    assert_eq!(output.status.code(), Some(1));
}

#[test]
fn the_series_holds_what_the_report_counts() {
    let to = serve(FAITHFUL);
    let line = format!("--url ws://{to}/a --clients 6 --threads 2 {SHORT}");
    let report = report(&output(&line));
    assert_eq!(report["schema"], 1);
    let sum = |column: &str| -> u64 {
        let values = report["series"][column].as_array().expect("a column");
        values.iter().filter_map(Value::as_u64).sum()
    };
    assert_eq!(sum("sent"), 20, "{report:#}");
    assert_eq!(sum("delivered"), 120);
    assert_eq!(sum("failed"), 0);
    let subscribed = report["series"]["subscribed"].as_array().expect("a column");
    assert_eq!(subscribed.iter().filter_map(Value::as_u64).max(), Some(6));
    let names: Vec<&str> = report["phases"]
        .as_array()
        .expect("phases")
        .iter()
        .filter_map(|phase| phase["name"].as_str())
        .collect();
    assert_eq!(names, ["ramp", "settle", "measure", "drain"]);
    assert_eq!(report["joining"]["connect"]["count"], 6);
    assert_eq!(report["joining"]["subscribe"]["count"], 6);
}

#[test]
fn logs_of_two_runs_become_one() {
    let folder = tempfile::tempdir().expect("a directory");
    let path = |name: &str| folder.path().join(name).display().to_string();
    let to = serve(FAITHFUL);
    for name in ["a.hlog", "b.hlog"] {
        let line = format!(
            "--url ws://{to}/a --clients 3 {SHORT} --hlog {}",
            path(name)
        );
        let output = output(&line);
        assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    }
    let line = format!(
        "merge {} {} -o {}",
        path("a.hlog"),
        path("b.hlog"),
        path("both.hlog")
    );
    let merged = output(&line);
    assert_eq!(merged.status.code(), Some(0), "{}", said(&merged));
    let text = String::from_utf8_lossy(&merged.stdout).into_owned();
    for tag in ["corrected", "raw", "connect", "subscribe"] {
        assert!(text.contains(tag), "{tag}: {text}");
    }
    let log = fs::read_to_string(folder.path().join("both.hlog")).expect("a log");
    assert!(
        log.starts_with("#[Histogram log format version 1.3"),
        "{log}"
    );
    assert!(log.contains("Tag=corrected,"), "{log}");
    let missing = output(&format!("merge {}", path("none.hlog")));
    assert_eq!(missing.status.code(), Some(2));
    assert!(said(&missing).contains("none.hlog"));
}

#[test]
fn a_log_that_can_not_be_written_is_said() {
    let to = serve(FAITHFUL);
    let output = output(&format!(
        "--url ws://{to}/a --clients 2 {SHORT} --hlog /no/such/place.hlog"
    ));
    assert_eq!(output.status.code(), Some(1));
    assert!(
        said(&output).contains("/no/such/place.hlog"),
        "{}",
        said(&output)
    );
}

#[test]
fn a_scenario_is_run_and_the_command_line_wins() {
    let folder = tempfile::tempdir().expect("a directory");
    let path = folder.path().join("own.toml");
    fs::write(
        &path,
        "clients = 5\nchannels = 5\nrate = 40\nwarmup = \"0s\"",
    )
    .expect("a file");
    let to = serve(FAITHFUL);
    let line = format!(
        "--scenario {} --url ws://{to}/a --channels 1 --duration 500ms --json",
        path.display()
    );
    let report = report(&output(&line));
    assert_eq!(report["load"]["clients"], 5);
    assert_eq!(report["deliveries"]["delivered"], 100, "{report:#}");
}

fn wait_for(child: &mut Child, told: &str) {
    let mut lines = BufReader::new(child.stderr.take().expect("piped")).lines();
    let found = lines.any(|line| line.expect("text").starts_with(told));
    assert!(found, "never told: {told}");
    thread::spawn(move || lines.for_each(drop));
}

fn child_of(pid: u32) -> i32 {
    let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"));
    children.expect("/proc").trim().parse().expect("one child")
}

fn pause(pid: i32, length: Duration) {
    let pid = Pid::from_raw(pid).expect("a process");
    kill_process(pid, Signal::STOP).expect("it runs");
    thread::sleep(length);
    kill_process(pid, Signal::CONT).expect("it is there");
}

/// Runs with a second's pause in the middle, of the broker or of the generator itself.
fn stalled(of_broker: bool) -> Value {
    let line = "--self-host --clients 20 --rate 100 --warmup 0s --duration 4s --drain 5s --json";
    let mut child = loadgen(line)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("loadgen runs");
    wait_for(&mut child, "measure");
    thread::sleep(Duration::from_millis(500));
    let pid = child.id();
    let stopped = if of_broker { child_of(pid) } else { pid as i32 };
    pause(stopped, Duration::from_secs(1));
    report(&child.wait_with_output().expect("an end"))
}

fn us(report: &Value, kind: &str, figure: &str) -> f64 {
    report["latency"][kind][figure].as_f64().expect("a figure")
}

#[test]
fn a_paused_broker_shows_in_the_corrected_latency() {
    let report = stalled(true);
    assert_eq!(report["deliveries"]["lost"], 0, "{report:#}");
    assert_eq!(report["deliveries"]["delivered"], 8000);
    assert!(
        us(&report, "corrected", "max_us") >= 950_000.0,
        "{report:#}"
    );
    // A quarter of the time was the pause; a tenth of all waited for it at the least.
    assert!(
        us(&report, "corrected", "p90_us") >= 200_000.0,
        "{report:#}"
    );
}

#[test]
fn a_paused_generator_shows_in_the_corrected_latency_and_says_so() {
    let report = stalled(false);
    assert_eq!(report["deliveries"]["lost"], 0, "{report:#}");
    assert!(
        us(&report, "corrected", "max_us") >= 950_000.0,
        "{report:#}"
    );
    // What was due in the pause was sent after it: sent late, and fast from then on.
    assert!(us(&report, "raw", "p90_us") < us(&report, "corrected", "p90_us"));
    let missed = report["generator"]["missed_ticks"]
        .as_u64()
        .expect("a count");
    assert!(missed >= 90, "{missed}");
    let warnings = report["warnings"].as_array().expect("warnings");
    assert!(
        warnings.iter().any(|it| it["kind"] == "missed"),
        "{warnings:?}"
    );
}

#[test]
fn a_broker_that_dies_ends_the_run_and_leaves_a_partial_report() {
    let folder = tempfile::tempdir().expect("a directory");
    let page = folder.path().join("report.html");
    let line = format!(
        "--self-host --clients 20 --rate 100 --warmup 0s --duration 1h --drain 1s --json --html {}",
        page.display()
    );
    let mut child = loadgen(&line)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("loadgen runs");
    wait_for(&mut child, "measure");
    thread::sleep(Duration::from_millis(300));
    let broker = Pid::from_raw(child_of(child.id())).expect("a process");
    kill_process(broker, Signal::KILL).expect("it runs");
    let output = child.wait_with_output().expect("an end");
    assert_eq!(output.status.code(), Some(1));
    let report = report(&output);
    assert_eq!(report["connections"]["lost"], 20, "{report:#}");
    assert!(report["broker_gone_s"].as_f64().is_some(), "{report:#}");
    assert!(report["deliveries"]["delivered"].as_u64() > Some(0));
    let page = fs::read_to_string(page).expect("a page");
    assert!(page.contains("the broker went away"), "{page}");
}

#[test]
fn clients_come_from_the_addresses_that_were_given() {
    let to = serve(FAITHFUL);
    let line = format!("--url ws://{to}/a --clients 4 {SHORT} --source-ips");
    let good = output(&format!("{line} 127.0.0.7,127.0.0.8"));
    assert_eq!(good.status.code(), Some(0), "{}", said(&good));
    // An address for documentation, which no machine has.
    let bad = output(&format!("{line} 192.0.2.1"));
    assert_eq!(bad.status.code(), Some(3));
    let causes = &report(&bad)["connections"]["failed_by_cause"];
    let causes = causes.as_object().expect("causes");
    assert!(
        causes
            .keys()
            .any(|it| it.contains("assign requested address")),
        "{causes:?}"
    );
    let wrong = output(&format!("{line} here"));
    assert_eq!(wrong.status.code(), Some(2));
}

#[test]
fn a_shape_is_recorded_and_replayed() {
    let folder = tempfile::tempdir().expect("a directory");
    let shape = folder.path().join("own.shape");
    record(&shape);
    let recorded: Value =
        serde_json::from_slice(&fs::read(&shape).expect("a shape")).expect("JSON");
    let spans = recorded["spans"].as_array().expect("spans");
    assert!(!spans.is_empty(), "{recorded:#}");
    let sum = |column: &str| {
        spans
            .iter()
            .filter_map(|it| it[column].as_u64())
            .sum::<u64>()
    };
    assert!(
        sum("broadcasts") > 0 && sum("deliveries") > sum("broadcasts"),
        "{recorded:#}"
    );
    let line = format!(
        "shape replay {} --self-host --drain 2s --json",
        shape.display()
    );
    let replayed = output(&line);
    let report = report(&replayed);
    assert_eq!(report["load"]["clients"], 20, "{report:#}");
    assert_eq!(report["deliveries"]["lost"], 0);
    let sent = report["broadcasts"]["sent"].as_u64().expect("a count");
    assert!(
        sent.abs_diff(sum("broadcasts")) <= 1,
        "{sent}: {recorded:#}"
    );
}

/// Two seconds of a broker under load.
fn record(shape: &Path) {
    let load = "--self-host --clients 20 --channels 2 --rate 50 --warmup 0s --duration 1h --json";
    let mut child = loadgen(load)
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("loadgen runs");
    wait_for(&mut child, "measure");
    let url = metrics_url(child_of(child.id()));
    let line = format!(
        "shape record --metrics-url {url} --interval 1s --duration 2s -o {}",
        shape.display()
    );
    let recorded = output(&line);
    child.kill().expect("it runs");
    child.wait().expect("an end");
    assert_eq!(recorded.status.code(), Some(0), "{}", said(&recorded));
}

/// The one port of a process that answers with metrics.
fn metrics_url(pid: i32) -> String {
    let mut ports: Vec<u16> = Vec::new();
    let table = fs::read_to_string(format!("/proc/{pid}/net/tcp")).expect("/proc");
    let inodes = sockets_of(pid);
    for line in table.lines().skip(1) {
        let fields: Vec<&str> = line.split_ascii_whitespace().collect();
        let is_listening = fields[3] == "0A" && inodes.iter().any(|inode| inode == fields[9]);
        if is_listening {
            let port = fields[1].rsplit(':').next().expect("a port");
            ports.push(u16::from_str_radix(port, 16).expect("hex"));
        }
    }
    let answers = |port: &u16| {
        let url = format!("http://127.0.0.1:{port}/metrics");
        let line =
            format!("shape record --metrics-url {url} --interval 1s --duration 1s -o /dev/null/no");
        // What is no broker's is told before the file is.
        !said(&output(&line)).contains("cannot read")
    };
    let port = ports
        .iter()
        .find(|port| answers(port))
        .expect("an admin port");
    format!("http://127.0.0.1:{port}/metrics")
}

fn sockets_of(pid: i32) -> Vec<String> {
    let descriptors = fs::read_dir(format!("/proc/{pid}/fd")).expect("/proc");
    descriptors
        .filter_map(|entry| fs::read_link(entry.ok()?.path()).ok())
        .filter_map(|link| {
            let link = link.to_str()?;
            Some(link.strip_prefix("socket:[")?.strip_suffix(']')?.to_owned())
        })
        .collect()
}

#[test]
fn a_plan_is_made_and_its_settings_can_be_read() {
    let folder = tempfile::tempdir().expect("a directory");
    let settings = folder.path().join("settings.toml");
    let line = format!(
        "plan --self-host --slo loss=0,p99<20s --connections 50,100 --clients-per-channel 50 \
         --rate-max 100 --step-duration 200ms --duration 500ms --connect-rate 1000 \
         --target-clients 1000 --target-rate 100 --settings {} --json",
        settings.display()
    );
    let output = output(&line);
    let report = report(&output);
    assert_eq!(output.status.code(), Some(0), "{report:#}");
    let edges = report["edges"].as_array().expect("edges");
    assert_eq!(edges.len(), 2);
    for edge in edges {
        // Nothing fails up to the highest rate that may be tried.
        assert_eq!(edge["rate_per_s"], 100.0, "{report:#}");
        assert_eq!(edge["is_confirmed"], false);
        assert_eq!(edge["binding"], "none");
    }
    assert_eq!(report["target"]["machines"], Value::Null);
    let text = fs::read_to_string(settings).expect("settings");
    assert!(text.contains("[node]"), "{text}");
}

#[test]
fn a_plan_refuses_what_it_would_ignore() {
    for (option, part) in [
        ("--hlog a.hlog", "give --slo"),
        ("--assert loss=0", "give --slo"),
        ("--closed-loop 2", "leave --closed-loop"),
        ("--agents 127.0.0.1:9", "leave --closed-loop and --agents"),
        (
            "--trigger-rate 5 --url ws://127.0.0.1:9/a",
            "needs a backend",
        ),
    ] {
        let place = if option.contains("--url") {
            ""
        } else {
            "--self-host"
        };
        let output = output(&format!("plan {place} {option}"));
        assert_eq!(output.status.code(), Some(2), "{option}");
        assert!(said(&output).contains(part), "{}", said(&output));
    }
}

#[test]
fn a_plan_that_nothing_can_meet_says_so() {
    let line = "plan --self-host --slo p50<0us --connections 20 --rate-max 2 --step-duration 600ms \
                --duration 600ms";
    let output = output(line);
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(text.contains("not even the lowest rate holds"), "{text}");
}
