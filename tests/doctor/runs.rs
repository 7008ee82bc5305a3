//! The program on the host that the tests run on, whatever that host is like.

use std::io::{BufRead, BufReader};
use std::process::{Output, Stdio};

use crate::program::webrocket;

fn doctor(arguments: &[&str]) -> Output {
    let arguments = [&["doctor"], arguments].concat();
    webrocket(&arguments).output().expect("started")
}

fn severity(arguments: &[&str]) -> (String, Option<i32>) {
    let output = doctor(arguments);
    let document: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let severity = document["severity"].as_str().expect("a severity");
    (severity.to_owned(), output.status.code())
}

#[test]
fn the_exit_code_is_that_of_the_worst_finding() {
    for connections in ["1", "4294967295"] {
        let (severity, code) = severity(&["--json", "--connections", connections]);
        assert_eq!(code, Some(i32::from(severity == "failure")), "{severity}");
    }
    // No host has slots for so many on one shard.
    let (severity, _) = severity(&["--json", "--connections", "4294967295", "--shards", "1"]);
    assert_eq!(severity, "failure");
}

#[test]
fn strict_makes_warnings_count() {
    let (severity, code) = severity(&["--json", "--strict", "--connections", "1"]);
    let counts = matches!(severity.as_str(), "failure" | "warning");
    assert_eq!(code, Some(i32::from(counts)), "{severity}");
}

#[test]
fn a_wrong_command_line_is_2() {
    for wrong in [
        &["--connections", "0"][..],
        &["--connections", "4294967296"],
        &["--shards", "0"],
        &["--shards", "257"],
        &["--all", "--json"],
    ] {
        assert_eq!(doctor(wrong).status.code(), Some(2), "{wrong:?}");
    }
}

#[test]
fn where_no_terminal_is_there_is_no_colour() {
    let output = doctor(&["--all"]);
    assert!(!output.stdout.is_empty());
    assert!(!output.stdout.contains(&0x1b));
}

/// It is of interest once a node runs; one that does not start says why, and that alone.
#[test]
fn serve_tells_the_ceiling_of_a_node_that_runs() {
    let serve = |storage: &str| {
        let mut command = webrocket(&["serve", "--node-name", "doctor", "--log", "info"]);
        command
            .args(["--storage-dir", storage])
            .args(["--websocket-addr", "127.0.0.1:0"])
            .args(["--backend-addr", "127.0.0.1:0"])
            .args(["--admin-addr", "127.0.0.1:0"]);
        command
    };
    let output = serve("/dev/null/none").output().expect("started");
    assert_eq!(output.status.code(), Some(1));
    let log = String::from_utf8(output.stderr).expect("text");
    assert!(!log.contains("predicted ceiling"), "{log}");

    let storage = tempfile::tempdir().expect("a directory");
    let mut node = serve(storage.path().to_str().expect("text"))
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("started");
    let log = BufReader::new(node.stderr.take().expect("piped"));
    let told = log
        .lines()
        .map_while(Result::ok)
        .any(|line| line.contains("predicted ceiling of this host"));
    node.kill().expect("killed");
    node.wait().expect("ended");
    assert!(told, "no ceiling");
}
