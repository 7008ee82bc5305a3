//! What is wrong with the settings is told before anything starts: one line a
//! problem, an exit code, and nothing touched.

mod support;

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;

use rustix::process::Signal;
use support::serve::Host;

/// Could not start.
const FAILED: i32 = 1;

/// Settings or command line are wrong.
const INVALID: i32 = 2;

/// The only line of a refusal, whatever the log says before.
fn line(refusal: &(i32, Vec<String>), code: i32) -> String {
    assert_eq!(refusal.0, code, "{refusal:?}");
    let lines = refusal.1.iter();
    let lines: Vec<_> = lines
        .filter(|line| line.starts_with("webrocket: "))
        .collect();
    let [line] = lines[..] else {
        panic!("no line, or more than one: {refusal:?}");
    };
    line.clone()
}

#[test]
fn the_example_is_valid() {
    let host = Host::new();
    let example = concat!(env!("CARGO_MANIFEST_DIR"), "/webrocket.example.toml");
    let output = host.run(&["--check", "--config", example]);
    assert_eq!(output.stdout, b"configuration is valid\n");
    assert!(output.stderr.is_empty() && output.status.success());
    // Looked, not touched.
    assert!(!host.storage().exists());
}

#[test]
fn a_file_that_cannot_be_used() {
    let host = Host::new();
    let path = host.file().display().to_string();
    for check in [&["--check"][..], &[]] {
        for (text, told) in [
            ("[node\n", ":1: no TOML: "),
            (
                "[limits]\nmessage_bytes = 99999999",
                ":2: limits.message_bytes: 99999999 is past 16MiB",
            ),
            (
                "[limits]\noutbox = 1",
                ":2: limits.outbox: unknown key; is it limits.outbox_bytes?",
            ),
        ] {
            host.configure(text);
            let line = line(&host.refusal(check), INVALID);
            let begin = format!("webrocket: {path}{told}");
            assert!(line.starts_with(&begin), "{line}");
        }
        fs::remove_file(host.file()).expect("removed");
        let line = line(&host.refusal(check), INVALID);
        assert!(
            line.starts_with(&format!("webrocket: {path}: No such file")),
            "{line}"
        );
    }
    host.configure("");
    fs::set_permissions(host.file(), fs::Permissions::from_mode(0o000)).expect("set");
    // Who may read everything anyway can't be refused.
    if fs::read(host.file()).is_err() {
        let line = line(&host.refusal(&[]), INVALID);
        assert!(line.contains("denied") && line.contains(&path), "{line}");
    }
    assert!(!host.storage().exists());
}

#[test]
fn variables_and_flags_are_named() {
    let mut host = Host::new();
    let flag = line(&host.refusal(&["--outbox-bytes", "1KiB"]), INVALID);
    assert!(
        flag.starts_with("webrocket: --outbox-bytes: 1KiB is below "),
        "{flag}"
    );
    let format = line(&host.refusal(&["--log-format", "xml"]), INVALID);
    assert_eq!(
        format,
        "webrocket: --log-format: \"xml\" is not \"text\" or \"json\""
    );
    host.set("WEBROCKET_DRAIN_TIMEOUT", "soon");
    let variable = line(&host.refusal(&[]), INVALID);
    assert!(
        variable.starts_with("webrocket: WEBROCKET_DRAIN_TIMEOUT: "),
        "{variable}"
    );
    // A flag no setting has is the command line's own affair.
    assert_eq!(host.refusal(&["--no-such-flag"]).0, INVALID);
}

#[test]
fn every_problem_is_told() {
    let host = Host::new();
    host.configure("[node]\nshards = 0\n[log]\nformat = \"xml\"");
    let (code, lines) = host.refusal(&["--drain-timeout", "1ms"]);
    assert_eq!(code, INVALID);
    let told = ["node.shards", "log.format", "--drain-timeout"];
    assert_eq!(lines.len(), told.len(), "{lines:?}");
    for (line, part) in lines.iter().zip(told) {
        assert!(
            line.starts_with("webrocket: ") && line.contains(part),
            "{line}"
        );
    }
}

#[test]
fn what_the_host_lacks_is_told_by_a_check() {
    let host = Host::new();
    let file = host.dir().join("file");
    fs::write(&file, "").expect("written");
    let below = file.join("storage").display().to_string();
    // TEST-NET-1: no host has it.
    let flags = [
        "--check",
        "--storage-dir",
        &below,
        "--admin-addr",
        "192.0.2.1:80",
    ];
    let (code, lines) = host.refusal(&flags);
    assert_eq!(code, INVALID);
    assert_eq!(lines.len(), 2, "{lines:?}");
    for (line, parts) in lines.iter().zip([
        ["node.storage_dir", file.to_str().expect("text")],
        ["listen.admin", "192.0.2.1:80"],
    ]) {
        assert!(parts.iter().all(|part| line.contains(part)), "{line}");
    }
}

#[test]
fn a_check_leaves_a_running_node_alone() {
    let host = Host::new();
    let node = host.start(&[]);
    let addr = node.websocket_addr().to_string();
    let output = host.run(&["--check", "--websocket-addr", &addr]);
    assert!(output.status.success(), "{output:?}");
    node.signal(Signal::TERM);
    assert_eq!(node.end().0, 0);
}

#[test]
fn a_port_in_use_and_a_directory_that_is_none() {
    let host = Host::new();
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let addr = taken.local_addr().expect("bound").to_string();
    for (flag, what) in [
        ("--websocket-addr", "websocket"),
        ("--backend-addr", "backend"),
        ("--admin-addr", "admin"),
    ] {
        let line = line(&host.refusal(&[flag, &addr]), FAILED);
        let begin = format!("webrocket: {what} address {addr}: Address already in use");
        assert!(line.starts_with(&begin), "{line}");
    }
    let file = host.dir().join("file");
    fs::write(&file, "kept").expect("written");
    let path = file.to_str().expect("text");
    let refused = line(&host.refusal(&["--storage-dir", path]), FAILED);
    assert!(
        refused.starts_with(&format!("webrocket: {path}: ")),
        "{refused}"
    );
    assert_eq!(fs::read(&file).expect("there"), b"kept");
    // The kernel's own: nobody can make a directory there.
    let refused = line(
        &host.refusal(&["--storage-dir", "/proc/1/webrocket"]),
        FAILED,
    );
    assert!(refused.contains("/proc/1/webrocket"), "{refused}");
    // Once the port is free the same host will do.
    drop(taken);
    let node = host.start(&["--websocket-addr", &addr]);
    assert_eq!(node.websocket_addr().to_string(), addr);
    let line = line(&host.refusal(&[]), FAILED);
    assert!(
        line.contains("runs already") && line.contains("test-node.lock"),
        "{line}"
    );
    node.signal(Signal::TERM);
    assert_eq!(node.end().0, 0);
}
