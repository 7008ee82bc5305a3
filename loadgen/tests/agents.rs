//! Several load generators that run together, on loopback.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Output, Stdio};
use std::thread;
use std::time::Duration;

use serde_json::Value;

/// An agent that ends with the test.
struct Agent {
    child: Child,
    at: String,
}

impl Drop for Agent {
    fn drop(&mut self) {
        // It may be dead already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn loadgen(line: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_loadgen"));
    command.args(line.split_ascii_whitespace());
    command.env_remove("LOADGEN_AGENT_TOKEN");
    command
}

fn agent(options: &str) -> Agent {
    let mut child = loadgen(&format!("agent --listen 127.0.0.1:0 {options}"))
        .stderr(Stdio::piped())
        .spawn()
        .expect("loadgen runs");
    let mut said = BufReader::new(child.stderr.take().expect("piped"));
    let mut line = String::new();
    said.read_line(&mut line).expect("its address");
    let at = line.trim().strip_prefix("agent at ").expect("its address");
    let at = at.to_owned();
    thread::spawn(move || said.read_to_end(&mut Vec::new()));
    Agent { child, at }
}

fn lead(agents: &[&Agent], options: &str) -> Output {
    let at: Vec<&str> = agents.iter().map(|agent| agent.at.as_str()).collect();
    let line = format!("--self-host --agents {} {options}", at.join(","));
    loadgen(&line).output().expect("loadgen runs")
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn report(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", said(output)))
}

const LOAD: &str = "--clients 30 --channels 3 --publishers 2 --rate 60 --warmup 200ms \
                    --duration 1s --drain 2s --json";

#[test]
fn two_agents_are_one_load() {
    let (one, other) = (agent(""), agent(""));
    // The second run shows that an agent is ready for the next.
    for _ in 0..2 {
        let output = lead(&[&one, &other], LOAD);
        let report = report(&output);
        assert_eq!(output.status.code(), Some(0), "{report:#}");
        assert_eq!(report["load"]["clients"], 30);
        assert_eq!(report["load"]["channels"], 3);
        assert_eq!(report["connections"]["subscribed"], 30);
        assert_eq!(report["broadcasts"]["sent"], 60);
        assert_eq!(report["deliveries"]["delivered"], 60 * 10);
        assert_eq!(report["latency"]["corrected"]["count"], 60 * 10);
        let parts = report["parts"].as_array().expect("two");
        let clients: Vec<_> = parts.iter().map(|it| it["clients"].as_u64()).collect();
        assert_eq!(clients, [Some(10), Some(20)]);
        let series = report["series"]["delivered"].as_array().expect("a column");
        let sum: u64 = series.iter().filter_map(Value::as_u64).sum();
        // Those of the warm-up too.
        assert!(sum >= 60 * 10, "{series:?}");
        assert!(report["series"]["p99_us"].to_string().contains('.'));
        // Looked at by the leader, whose child it is.
        assert!(
            report["broker"]["cpu_us_per_delivery"].is_number(),
            "{report:#}"
        );
    }
}

#[test]
fn lives_and_kinds_work_through_agents_too() {
    let (one, other) = (agent(""), agent(""));
    let output = lead(
        &[&one, &other],
        &format!("{LOAD} --channel-kind private --churn 20 --backend-rate 30 --slow-clients 2"),
    );
    let report = report(&output);
    assert_eq!(output.status.code(), Some(0), "{report:#}");
    assert!(report["comebacks"]["back"].as_u64() > Some(0));
    assert_eq!(report["slow"]["subscribed"], 2);
    assert_eq!(report["backend"]["broadcasts"]["done"], 30);
    let deliveries = &report["deliveries"];
    assert_eq!(deliveries["expected"], deliveries["delivered"]);
}

#[test]
fn a_token_opens_what_it_should() {
    let agent = agent("--agent-token open-sesame");
    let wrong = lead(&[&agent], &format!("{LOAD} --agent-token open-barley"));
    assert_eq!(wrong.status.code(), Some(2), "{}", said(&wrong));
    assert!(said(&wrong).contains("does not take this --agent-token"));
    let none = lead(&[&agent], LOAD);
    assert_eq!(none.status.code(), Some(2), "{}", said(&none));
    let right = lead(&[&agent], &format!("{LOAD} --agent-token open-sesame"));
    assert_eq!(right.status.code(), Some(0), "{}", said(&right));
}

#[test]
fn beyond_loopback_an_agent_asks_for_a_token() {
    let output = loadgen("agent --listen 0.0.0.0:0")
        .output()
        .expect("an end");
    assert_eq!(output.status.code(), Some(2));
    assert!(
        said(&output).contains("give --agent-token"),
        "{}",
        said(&output)
    );
}

#[test]
fn one_leader_at_a_time() {
    let agent = agent("");
    let mut first = TcpStream::connect(&agent.at).expect("connected");
    writeln!(first, r#"{{"hello":{{"version":1,"token":""}}}}"#).expect("sent");
    let mut answer = String::new();
    let mut lines = BufReader::new(first.try_clone().expect("a copy"));
    lines.read_line(&mut answer).expect("an answer");
    assert!(answer.contains("hello"), "{answer}");
    let second = lead(&[&agent], LOAD);
    assert_eq!(second.status.code(), Some(2));
    assert!(said(&second).contains("busy"), "{}", said(&second));
    drop((first, lines));
    // Its going away is noticed soon, not at once.
    let freed = (0..100).any(|_| {
        thread::sleep(Duration::from_millis(100));
        lead(&[&agent], LOAD).status.code() == Some(0)
    });
    assert!(freed);
}

#[test]
fn who_breaks_the_protocol_is_hung_up_on() {
    let agent = agent("");
    for wrong in [
        "GET / HTTP/1.1\r\n\r\n".to_owned(),
        "\"stop\"\n".to_owned(),
        r#"{"hello":{"version":2,"token":""}}"#.to_owned() + "\n",
        "a".repeat(65 * 1024),
    ] {
        let mut stream = TcpStream::connect(&agent.at).expect("connected");
        // The agent may close before it has read all.
        let _ = stream.write_all(wrong.as_bytes());
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        let answer = String::from_utf8_lossy(&answer);
        assert!(answer.is_empty() || answer.contains("refused"), "{answer}");
    }
    assert_eq!(lead(&[&agent], LOAD).status.code(), Some(0));
}

#[test]
fn orders_that_make_no_run_are_told() {
    let agent = agent("");
    let mut stream = TcpStream::connect(&agent.at).expect("connected");
    let orders = r#"{"hello":{"version":1,"token":""}}
{"run":{"options":["--html=/tmp/page.html"]}}
"#;
    stream.write_all(orders.as_bytes()).expect("sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("answers");
    assert!(
        answer.contains("failed") && answer.contains("--html"),
        "{answer}"
    );
}

#[test]
fn nobody_to_lead_is_told_by_name() {
    let output = loadgen(&format!("--self-host --agents 127.0.0.1:9 {LOAD}"))
        .output()
        .expect("an end");
    assert_eq!(output.status.code(), Some(2));
    assert!(
        said(&output).contains("agent 127.0.0.1:9: cannot connect"),
        "{}",
        said(&output)
    );
}

#[test]
fn an_agent_that_dies_is_told_and_the_rest_is_kept() {
    let (one, mut other) = (agent(""), agent(""));
    let line = format!(
        "--self-host --agents {},{} --clients 20 --channels 2 --rate 20 --duration 60s --json",
        one.at, other.at
    );
    let mut leader = loadgen(&line)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("loadgen runs");
    let mut told = BufReader::new(leader.stderr.take().expect("piped")).lines();
    assert!(told.any(|line| line.expect("text").starts_with("measure")));
    thread::spawn(move || told.for_each(drop));
    other.child.kill().expect("it still runs");
    let output = leader.wait_with_output().expect("an end");
    let report = report(&output);
    assert_eq!(output.status.code(), Some(1), "{report:#}");
    assert_eq!(report["connections"]["subscribed"], 10);
    assert!(report["lost_parts"][&other.at].is_string(), "{report:#}");
}

#[test]
fn a_leader_that_dies_leaves_agents_ready_for_the_next() {
    let agent = agent("");
    let line = format!(
        "--self-host --agents {} --clients 4 --duration 60s",
        agent.at
    );
    let mut leader = loadgen(&line)
        .stderr(Stdio::piped())
        .spawn()
        .expect("loadgen runs");
    let mut told = BufReader::new(leader.stderr.take().expect("piped")).lines();
    assert!(told.any(|line| line.expect("text").starts_with("measure")));
    leader.kill().expect("it still runs");
    leader.wait().expect("an end");
    let ready = (0..100).any(|_| {
        thread::sleep(Duration::from_millis(200));
        lead(&[&agent], LOAD).status.code() == Some(0)
    });
    assert!(ready);
}
