//! `webrocket admin` as operators and scripts run it: the program itself against a
//! running node, and against servers that answer what no node does. And what is made
//! from its command line: completions and man pages.

#[path = "../support/mod.rs"]
mod support;

mod cookies;
mod fake;
mod live;
mod manual;
mod of_2012;
mod people;
mod refusals;
mod scripts;
mod sessions;

use std::io::Write;
use std::net::SocketAddr;
use std::process::{Command, Output, Stdio};

use support::Broker;
use support::program::webrocket;

/// What a run of the program gave.
#[derive(Debug)]
struct Run {
    code: i32,
    stdout: String,
    stderr: String,
}

impl Run {
    fn of(output: Output) -> Self {
        Self {
            code: output.status.code().expect("an exit code"),
            stdout: String::from_utf8(output.stdout).expect("text"),
            stderr: String::from_utf8(output.stderr).expect("text"),
        }
    }

    /// Done, with exactly this on stdout and nothing on stderr.
    #[track_caller]
    fn prints(&self, stdout: &str) {
        assert_eq!((self.code, self.stderr.as_str()), (0, ""), "{self:?}");
        assert_eq!(self.stdout, stdout);
    }

    /// Failed with this code and exactly this line.
    #[track_caller]
    fn fails(&self, code: i32, line: &str) {
        assert_eq!((self.code, self.stdout.as_str()), (code, ""), "{self:?}");
        assert_eq!(self.stderr, format!("ERR: {line}\n"));
    }

    /// Failed with this code and one line with all of these.
    #[track_caller]
    fn fails_with(&self, code: i32, parts: &[&str]) {
        assert_eq!((self.code, self.stdout.as_str()), (code, ""), "{self:?}");
        assert!(self.stderr.starts_with("ERR: "), "{self:?}");
        assert_eq!(self.stderr.lines().count(), 1, "{self:?}");
        for part in parts {
            assert!(self.stderr.contains(part), "no {part:?} in {self:?}");
        }
    }

    /// The command line is wrong, and this is said of it.
    #[track_caller]
    fn refuses_line(&self, part: &str) {
        assert_eq!((self.code, self.stdout.as_str()), (1, ""), "{self:?}");
        assert!(self.stderr.starts_with("error: "), "{self:?}");
        assert!(self.stderr.contains(part), "{self:?}");
    }

    fn json(&self) -> serde_json::Value {
        assert_eq!((self.code, self.stderr.as_str()), (0, ""), "{self:?}");
        serde_json::from_str(&self.stdout).unwrap_or_else(|_| panic!("no JSON: {self:?}"))
    }
}

fn run(command: &mut Command) -> Run {
    Run::of(command.output().expect("the program runs"))
}

/// `webrocket admin` for the server at `addr`.
fn admin_at(addr: SocketAddr, cookie: &str, arguments: &[&str]) -> Command {
    let mut command = webrocket(&["admin"]);
    command
        .args(arguments)
        .env("WEBROCKET_ADMIN_ADDR", addr.to_string())
        .env("WEBROCKET_COOKIE", cookie);
    command
}

/// `webrocket admin` for a running node.
fn admin(broker: &Broker, arguments: &[&str]) -> Run {
    let node = broker.node();
    run(&mut admin_at(node.admin_addr(), node.cookie(), arguments))
}

/// The same with something on stdin.
fn run_with(command: &mut Command, input: &str) -> Run {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program runs");
    let mut stdin = child.stdin.take().expect("a pipe");
    stdin.write_all(input.as_bytes()).expect("written");
    drop(stdin);
    Run::of(child.wait_with_output().expect("ended"))
}
