//! SIGHUP to the real program: what can change changes, what can't is named,
//! and what is wrong changes nothing.

mod support;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Instant;

use rustix::process::Signal;
use serde_json::{Value, json};
use support::PATIENCE;
use support::serve::{Host, Serve};
use webrocket::limits::CHANGES_LOGGED_MAX;

#[test]
fn limits_and_the_log_filter_change_and_the_rest_is_named() {
    let host = Host::new();
    host.configure("[log]\nfilter = \"info\"\n[limits]\nsubscriptions = 9\n[node]\nshards = 1");
    let mut node = host.start(&["--message-bytes", "64KiB"]);
    host.configure(
        "[log]\nfilter = \"error\"\n[drain]\ntimeout = \"7s\"\nwindow = \"2s\"\n\
         [limits]\nsubscriptions = 10\nmessage_bytes = \"128KiB\"\n\
         [vhosts.\"/a\"]\norigins = [\"https://a\"]\n[node]\nshards = 2",
    );
    node.signal(Signal::HUP);
    for (key, old, new) in [
        ("log.filter", "info", "error"),
        ("drain.timeout", "10s", "7s"),
        ("limits.subscriptions", "9", "10"),
        ("vhosts.\"/a\".origins", "any", "https://a"),
    ] {
        let (key, old) = (format!("key={key}"), format!("old={old}"));
        node.expect_log(&["setting changed", &key, &old, &format!("new={new}")]);
    }
    for key in ["node.shards", "drain.window"] {
        let told = |line: &&String| line.contains(&format!("key={key}"));
        let line = node.logged().iter().find(told).expect("told");
        assert!(
            line.contains("WARN") && line.contains("needs a restart"),
            "{line}"
        );
    }
    // A flag is stronger than the file, also in its new form.
    let logged = node.logged().join("\n");
    assert!(!logged.contains("message_bytes"), "{logged}");

    // Errors only from here on.
    host.configure("[log]\nfilter = \"error\"\n[limits]\nsubscriptions = 0");
    node.signal(Signal::HUP);
    node.expect_log(&["settings refused", "limits.subscriptions: 0 is below 1"]);
    host.configure("[log]\nfilter = \"info\"\n[limits]\nsubscriptions = 11\n[node]\nshards = 1");
    node.signal(Signal::HUP);
    let path = host.file().display().to_string();
    node.expect_log(&["settings reloaded", &path, "changes="]);
    // Neither this change nor the end of the reload before was let through.
    let logged = node.logged().join("\n");
    assert!(!logged.contains("new=11"), "{logged}");
    assert_eq!(logged.matches("settings reloaded").count(), 1, "{logged}");
    // And from here on all of it.
    host.configure("[limits]\nsubscriptions = 12\n[node]\nshards = 1");
    node.signal(Signal::HUP);
    node.expect_log(&[
        "setting changed",
        "key=limits.subscriptions",
        "old=11",
        "new=12",
    ]);
    node.signal(Signal::TERM);
    let (code, _) = node.end();
    assert_eq!(code, 0);
}

#[test]
fn settings_with_a_problem_change_nothing() {
    let host = Host::new();
    host.configure("[limits]\nsubscriptions = 9");
    let mut node = host.start(&[]);
    let path = host.file().display().to_string();
    host.configure("[limits]\nsubscriptions = 10\nmessage_bytes = 3");
    node.signal(Signal::HUP);
    node.expect_log(&[
        "ERROR",
        "settings refused, the old ones stay",
        &format!("{path}:3: limits.message_bytes: 3 is below 1KiB"),
    ]);
    std::fs::remove_file(host.file()).expect("removed");
    node.signal(Signal::HUP);
    node.expect_log(&["settings refused", &path, "No such file"]);
    // It serves on, and nine is still what it comes from.
    node.admin("POST", "/test").expect_found("/test");
    node.browser();
    host.configure("[limits]\nsubscriptions = 11");
    node.signal(Signal::HUP);
    node.expect_log(&["setting changed", "limits.subscriptions", "old=9", "new=11"]);
    node.signal(Signal::TERM);
    assert_eq!(node.end().0, 0);
}

#[test]
fn of_many_changes_some_are_logged_and_all_are_counted() {
    let host = Host::new();
    let mut node = host.start(&[]);
    let vhosts = |count: usize, subscriptions: usize| {
        let of = |n| format!("[vhosts.\"/v{n}\"]\nsubscriptions = {subscriptions}\n");
        (0..count).map(of).collect::<String>()
    };
    let mut before = 0;
    for (count, logged) in [
        (CHANGES_LOGGED_MAX, CHANGES_LOGGED_MAX),
        (CHANGES_LOGGED_MAX + 1, CHANGES_LOGGED_MAX),
    ] {
        host.configure(&vhosts(count, count));
        node.signal(Signal::HUP);
        node.expect_log(&["settings reloaded", &format!("changes={count}")]);
        let told = |line: &&String| line.contains("setting changed");
        let all = node.logged().iter().filter(told).count();
        assert_eq!(all - before, logged);
        before = all;
    }
    node.signal(Signal::TERM);
    assert_eq!(node.end().0, 0);
}

#[test]
fn the_log_can_be_read_by_programs() {
    let host = Host::new();
    let mut node = host.start(&["--log-format", "json"]);
    host.configure("[limits]\nsubscriptions = 9");
    node.signal(Signal::HUP);
    node.expect_log(&["settings reloaded"]);
    node.signal(Signal::TERM);
    let (code, log) = node.end();
    assert_eq!(code, 0);
    let lines: Vec<Value> = log
        .iter()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("no JSON: {line}")))
        .collect();
    let changed = lines
        .iter()
        .find(|line| line["fields"]["message"] == "setting changed")
        .expect("told");
    assert_eq!(changed["level"], "INFO");
    assert_eq!(changed["fields"]["key"], "limits.subscriptions");
    assert_eq!(changed["fields"]["new"], "9");
}

#[test]
fn reloaded_limits_bite_and_let_go() {
    let host = Host::new();
    let limits = |connections: u32, subscriptions: u32, message: &str| {
        host.configure(&format!(
            "[limits]\nconnections = {connections}\nsubscriptions = {subscriptions}\n\
             message_bytes = \"{message}\"\nmessages_per_second = 100000"
        ));
    };
    limits(3, 2, "64KiB");
    let mut node = host.start(&["--shards", "2"]);
    node.admin("POST", "/test").expect_found("/test");
    for channel in ["a", "b", "c"] {
        let path = format!("/test/channels/{channel}");
        node.admin("POST", &path).expect_found(&path);
    }
    let mut browsers = [node.browser(), node.browser()];
    for browser in &mut browsers {
        browser.subscribe("a");
        browser.send_text(&"x".repeat(64 * 1024));
        browser.expect_error(400);
    }

    limits(2, 1, "1KiB");
    node.signal(Signal::HUP);
    node.expect_log(&["settings reloaded", "changes=3"]);
    // Both stay, as far as they are within the bounds.
    for browser in &mut browsers {
        browser.send(json!({"subscribe": {"channel": "b"}}));
        browser.expect_error(403);
        browser.send_text(&"x".repeat(1024));
        browser.expect_error(400);
    }
    assert!(enter(&node).is_none());
    let [mut over, mut kept] = browsers;
    over.send_text(&"x".repeat(1025));
    assert_eq!(over.expect_close().0, 1009);
    drop(over);
    let begun = Instant::now();
    let next = loop {
        if let Some(next) = enter(&node) {
            break next;
        }
        assert!(begun.elapsed() < PATIENCE, "a place that never gets free");
    };

    limits(4, 3, "2MiB");
    node.signal(Signal::HUP);
    node.expect_log(&["settings refused", "limits.message_bytes"]);
    kept.send(json!({"subscribe": {"channel": "b"}}));
    kept.expect_error(403);

    limits(4, 3, "1MiB");
    node.signal(Signal::HUP);
    node.expect_log(&["settings reloaded", "changes=3"]);
    kept.subscribe("b");
    kept.subscribe("c");
    kept.send_text(&"x".repeat(1024 * 1024));
    kept.expect_error(400);
    let more = [node.browser(), node.browser()];
    assert!(enter(&node).is_none());
    drop((kept, next, more));
    node.signal(Signal::TERM);
    assert_eq!(node.end().0, 0);
}

/// A connection to `/test`, unless it is refused with 503.
fn enter(node: &Serve) -> Option<TcpStream> {
    let mut stream = TcpStream::connect(node.websocket_addr()).expect("connected");
    stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    let request = "GET /test HTTP/1.1\r\nHost: example.org\r\nUpgrade: websocket\r\n\
        Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
        Sec-WebSocket-Version: 13\r\n\r\n";
    stream.write_all(request.as_bytes()).expect("sent");
    let mut head = [0; 12];
    stream.read_exact(&mut head).expect("an answer");
    match &head {
        b"HTTP/1.1 101" => Some(stream),
        b"HTTP/1.1 503" => None,
        other => panic!("{other:?}"),
    }
}
