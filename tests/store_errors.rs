//! A store that can't be used: one line that says what and where, a non-zero
//! exit, nothing damaged; and a disk that fills up under a running node.

mod support;

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Instant;

use kosmonaut::Client;
use rustix::process::{Resource, Rlimit, prlimit};
use serde_json::json;
use support::serve::{Host, Serve, refusal, start};
use support::{Browser, PATIENCE};

/// A host with the store of a node that has a vhost and a channel.
fn host_with_store() -> Host {
    let host = Host::new();
    let node = host.start(&[]);
    node.admin("POST", "/v").expect_found("/v");
    node.admin("POST", "/v/channels/room")
        .expect_found("/v/channels/room");
    node.stop();
    host
}

fn expect_whole(host: &Host) {
    let node = host.start(&[]);
    let channels = node.admin("GET", "/v/channels").json();
    assert_eq!(channels["channels"][0]["name"], "room");
}

/// What says why a node did not start.
const QUIET: [&str; 2] = ["--log", "warn"];

/// The one line with which a node does not start.
fn expect_refusal((code, log): (i32, Vec<String>)) -> String {
    assert_eq!(code, 1, "{log:?}");
    let [line] = &log[..] else {
        panic!("no line, or more than one: {log:?}");
    };
    line.clone()
}

fn expect_parts(text: &str, parts: &[&str]) {
    for part in parts {
        assert!(text.contains(part), "{part:?} missing in {text:?}");
    }
}

#[test]
fn the_first_browser_after_a_restart_finds_its_channel_st_01_st_03() {
    let host = host_with_store();
    for _ in 0..3 {
        let mut node = host.start(&[]);
        Browser::connect(node.websocket_addr(), "/v").subscribe("room");
        node.kill();
    }
}

#[test]
fn a_file_that_is_damaged() {
    let host = host_with_store();
    let store = host.store();
    let file = store.to_str().expect("text");
    let whole = fs::read(&store).expect("read");
    let mut flipped = whole.clone();
    // Whatever is in a page of the second half; a free one harms nobody.
    let half = flipped.len() / 2;
    flipped[half..].iter_mut().for_each(|byte| *byte ^= 0x55);
    for bytes in [
        &whole[..whole.len() / 2],
        &whole[..100],
        &[],
        &flipped,
        b"#!/bin/sh\nexit 0\n",
    ] {
        fs::write(&store, bytes).expect("written");
        let text = expect_refusal(host.refusal(&QUIET));
        expect_parts(&text, &[file, "is damaged", "move it away"]);
        assert!(fs::read(&store).expect("left there") == bytes);
    }
    fs::write(&store, whole).expect("put back");
    expect_whole(&host);
}

#[test]
fn a_second_node_on_the_same_storage() {
    let host = host_with_store();
    let node = host.start(&[]);
    let text = expect_refusal(host.refusal(&QUIET));
    expect_parts(&text, &["runs already", "test-node.lock", "stop it first"]);
    // Nobody noticed.
    node.admin("POST", "/w").expect_found("/w");
    drop(node);
    expect_whole(&host);
}

#[test]
fn places_where_no_store_can_be() {
    let host = host_with_store();
    let refused_at = |storage: &Path| {
        let storage = storage.to_str().expect("text");
        expect_refusal(host.refusal(&["--log", "warn", "--storage-dir", storage]))
    };
    // A directory where the file should be, and a file where the directory should be.
    let directory = tempfile::tempdir().expect("a temporary directory");
    let taken = directory.path().join("test-node.redb");
    fs::create_dir(&taken).expect("created");
    let text = refused_at(directory.path());
    expect_parts(&text, &[taken.to_str().expect("text"), "directory"]);
    let store = host.store();
    expect_parts(&refused_at(&store), &[store.to_str().expect("text")]);
    expect_whole(&host);
}

#[test]
fn a_store_without_permission() {
    let host = host_with_store();
    let store = host.store();
    fs::set_permissions(&store, Permissions::from_mode(0o400)).expect("set");
    // Who may write everywhere anyway can't be refused.
    if fs::OpenOptions::new().write(true).open(&store).is_err() {
        let text = expect_refusal(host.refusal(&QUIET));
        expect_parts(&text, &[store.to_str().expect("text"), "denied"]);
    }
    fs::set_permissions(&store, Permissions::from_mode(0o600)).expect("set");
    expect_whole(&host);
}

#[test]
fn a_disk_that_is_full_at_the_start() {
    let host = Host::new();
    // SIGXFSZ would end the process; without it the write fails, as on a full disk.
    let command = host.command_after("trap '' XFSZ; ulimit -f 8;", &QUIET);
    let text = expect_refusal(refusal(command));
    let storage = host.storage();
    expect_parts(&text, &[storage.to_str().expect("text"), "File too large"]);
    // Once there is room it starts, with what it had before: nothing.
    let node = host.start(&[]);
    assert_eq!(node.admin("GET", "/").json(), json!({"vhosts": []}));
}

#[test]
fn a_disk_that_fills_up_refuses_changes_and_takes_them_when_there_is_room() {
    let host = host_with_store();
    let node = start(host.command_after("trap '' XFSZ;", &[]));
    let mut browser = Browser::connect(node.websocket_addr(), "/v");
    browser.subscribe("room");
    let size = fs::metadata(host.store()).expect("there").len();
    limit_file_size(&node, Some(size));

    let mut kept = 0;
    let name = |number: usize| format!("/v/channels/{number:0200}");
    let refused = loop {
        let answer = node.admin("POST", &name(kept));
        if answer.status != 302 {
            break answer;
        }
        kept += 1;
        assert!(kept < 10_000, "never full");
    };
    refused.expect_error(503, "the change could not be stored");
    for _ in 0..3 {
        let again = node.admin("POST", &name(kept));
        again.expect_error(503, "the change could not be stored");
    }
    let opened = open_as_backend(&node, &format!("{kept:0200}"));
    assert_eq!(opened.err().and_then(|error| error.code()), Some(597));
    // All else goes on.
    browser.broadcast("room", "still", json!({"here": true}));
    assert_eq!(browser.receive()["still"]["here"], true);
    let size = node.admin("GET", "/v").json()["vhost"]["channels"]["size"].clone();
    assert_eq!(size, kept + 1);

    limit_file_size(&node, None);
    let begun = Instant::now();
    while node.admin("POST", &name(kept)).status != 302 {
        assert!(begun.elapsed() < PATIENCE, "never takes changes again");
    }
    let log = node.stop().concat();
    expect_parts(&log, &["test-node.redb", "File too large"]);
    let node = host.start(&[]);
    let size = node.admin("GET", "/v").json()["vhost"]["channels"]["size"].clone();
    assert_eq!(size, kept + 2, "what was acknowledged, and it alone");
}

fn open_as_backend(node: &Serve, channel: &str) -> Result<(), kosmonaut::Error> {
    let vhost = node.admin("GET", "/v").json();
    let token = vhost["vhost"]["accessToken"].as_str().expect("a token");
    let url = format!("wr://{token}@{}/v", node.backend_addr());
    let client = Client::with_timeout(url.parse().expect("a URL"), PATIENCE);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let runtime = runtime.expect("a runtime");
    runtime.block_on(client.open_channel(channel))
}

fn limit_file_size(node: &Serve, bytes: Option<u64>) {
    let limit = Rlimit {
        current: bytes,
        maximum: None,
    };
    prlimit(Some(node.pid()), Resource::Fsize, limit).expect("limited");
}
