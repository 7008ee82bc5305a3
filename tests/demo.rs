//! `webrocket demo`: what it prints can be run as it is printed.

#![forbid(unsafe_code)]

mod support;

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use support::program::{forget_settings, webrocket};

/// Killed when dropped: a failed test leaves no process behind.
struct Demo(Child);

impl Drop for Demo {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn the_commands_that_it_prints_show_the_node() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let free = "127.0.0.1:0";
    let mut command = webrocket(&["demo", "--shards", "2", "--log", "warn"]);
    for flag in [
        "--page-addr",
        "--websocket-addr",
        "--backend-addr",
        "--admin-addr",
    ] {
        command.args([flag, free]);
    }
    let command = command.env("TMPDIR", dir.path()).stdout(Stdio::piped());
    let mut demo = Demo(command.spawn().expect("started"));
    let stdout = demo.0.stdout.take().expect("piped");
    let mut printed = Vec::new();
    for line in BufReader::new(stdout).lines() {
        let line = line.expect("text");
        if line.starts_with("Ctrl-C") {
            break;
        }
        printed.push(line);
    }
    for (part, more, shown) in [
        (" monitor ", " --once --interval 0.1", "/demo "),
        (" list-channels ", "", "lobby\t"),
    ] {
        let line = printed.iter().find(|line| line.contains(part));
        let line = line.unwrap_or_else(|| panic!("no {part} in {printed:#?}"));
        let mut shell = Command::new("sh");
        forget_settings(&mut shell);
        let output = shell.args(["-c", &format!("{line}{more}")]).output();
        let output = output.expect("run");
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(
            output.status.success() && text.contains(shown),
            "{output:?}"
        );
    }
    kill_process(Pid::from_child(&demo.0), Signal::TERM).expect("told");
    assert!(demo.0.wait().expect("ended").success());
    let left = std::fs::read_dir(dir.path()).expect("there").count();
    assert_eq!(left, 0, "nothing is kept");
}
