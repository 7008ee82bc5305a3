//! A store that can't be used: one line that says what and where, a non-zero
//! exit, nothing damaged; and a disk that fills up under a running node.

mod support;

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Instant;

use kosmonaut::Client;
use rustix::process::{Pid, Resource, Rlimit, prlimit};
use serde_json::json;
use support::process::{Process, Refused, serve, serve_after};
use support::{Browser, PATIENCE, admin};

/// A storage directory with the store of a node that has a vhost and a channel.
struct Storage {
    dir: tempfile::TempDir,
    file: PathBuf,
}

impl Storage {
    fn new() -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let node = Process::start(&mut serve(dir.path())).expect("started");
        admin(&node, "POST", "/v").expect_found("/v");
        admin(&node, "POST", "/v/channels/room").expect_found("/v/channels/room");
        let (status, log) = node.terminate();
        assert!(status.success(), "{log}");
        let file = dir.path().join("test-node.redb");
        Self { dir, file }
    }

    fn path(&self) -> &Path {
        self.dir.path()
    }

    /// The one line with which the node does not start.
    fn refusal(&self) -> String {
        refusal(self.path())
    }

    fn expect_whole(&self) {
        let node = Process::start(&mut serve(self.path())).expect("started");
        let channels = admin(&node, "GET", "/v/channels").json();
        assert_eq!(channels["channels"][0]["name"], "room");
    }
}

fn admin(node: &Process, method: &str, path: &str) -> admin::Answer {
    admin::request(node.admin, &node.cookie, method, path)
}

fn refusal(storage: &Path) -> String {
    let started = Process::start(&mut serve(storage));
    expect_refusal(started.err().expect("must not start"))
}

fn expect_refusal(Refused { status, stderr }: Refused) -> String {
    assert_eq!(status.code(), Some(1), "{stderr}");
    assert_eq!(stderr.lines().count(), 1, "{stderr}");
    stderr
}

fn expect_parts(text: &str, parts: &[&str]) {
    for part in parts {
        assert!(text.contains(part), "{part:?} missing in {text:?}");
    }
}

#[test]
fn the_first_browser_after_a_restart_finds_its_channel_st_01_st_03() {
    let storage = Storage::new();
    for _ in 0..3 {
        let mut node = Process::start(&mut serve(storage.path())).expect("started");
        Browser::connect(node.websocket, "/v").subscribe("room");
        node.kill();
    }
}

#[test]
fn a_file_that_is_damaged() {
    let storage = Storage::new();
    let file = storage.file.to_str().expect("text");
    let whole = fs::read(&storage.file).expect("read");
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
        fs::write(&storage.file, bytes).expect("written");
        expect_parts(&storage.refusal(), &[file, "is damaged", "move it away"]);
        assert!(fs::read(&storage.file).expect("left there") == bytes);
    }
    fs::write(&storage.file, whole).expect("put back");
    storage.expect_whole();
}

#[test]
fn a_second_node_on_the_same_storage() {
    let storage = Storage::new();
    let node = Process::start(&mut serve(storage.path())).expect("started");
    let text = storage.refusal();
    expect_parts(&text, &["runs already", "test-node.lock", "stop it first"]);
    // Nobody noticed.
    admin(&node, "POST", "/w").expect_found("/w");
    drop(node);
    storage.expect_whole();
}

#[test]
fn places_where_no_store_can_be() {
    let storage = Storage::new();
    // A directory where the file should be, and a file where the directory should be.
    let directory = tempfile::tempdir().expect("a temporary directory");
    let taken = directory.path().join("test-node.redb");
    fs::create_dir(&taken).expect("created");
    let text = refusal(directory.path());
    expect_parts(&text, &[taken.to_str().expect("text"), "directory"]);
    let text = refusal(&storage.file);
    expect_parts(&text, &[storage.file.to_str().expect("text")]);
    storage.expect_whole();
}

#[test]
fn a_store_without_permission() {
    let storage = Storage::new();
    let file = storage.file.to_str().expect("text");
    fs::set_permissions(&storage.file, Permissions::from_mode(0o400)).expect("set");
    // Who may write everywhere anyway can't be refused.
    if fs::OpenOptions::new()
        .write(true)
        .open(&storage.file)
        .is_err()
    {
        expect_parts(&storage.refusal(), &[file, "denied"]);
    }
    fs::set_permissions(&storage.file, Permissions::from_mode(0o600)).expect("set");
    storage.expect_whole();
}

#[test]
fn a_disk_that_is_full_at_the_start() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    // SIGXFSZ would end the process; without it the write fails, as on a full disk.
    let mut command = serve_after("trap '' XFSZ; ulimit -f 8;", dir.path());
    let text = expect_refusal(Process::start(&mut command).err().expect("no room"));
    expect_parts(
        &text,
        &[dir.path().to_str().expect("text"), "File too large"],
    );
    // Once there is room it starts, with what it had before: nothing.
    let node = Process::start(&mut serve(dir.path())).expect("started");
    assert_eq!(admin(&node, "GET", "/").json(), json!({"vhosts": []}));
}

#[test]
fn a_disk_that_fills_up_refuses_changes_and_takes_them_when_there_is_room() {
    let storage = Storage::new();
    let mut command = serve_after("trap '' XFSZ;", storage.path());
    let node = Process::start(&mut command).expect("started");
    let mut browser = Browser::connect(node.websocket, "/v");
    browser.subscribe("room");
    let size = fs::metadata(&storage.file).expect("there").len();
    limit_file_size(&node, Some(size));

    let mut kept = 0;
    let name = |number: usize| format!("/v/channels/{number:0200}");
    let refused = loop {
        let answer = admin(&node, "POST", &name(kept));
        if answer.status != 302 {
            break answer;
        }
        kept += 1;
        assert!(kept < 10_000, "never full");
    };
    refused.expect_error(503, "the change could not be stored");
    for _ in 0..3 {
        let again = admin(&node, "POST", &name(kept));
        again.expect_error(503, "the change could not be stored");
    }
    let opened = open_as_backend(&node, &format!("{kept:0200}"));
    assert_eq!(opened.err().and_then(|error| error.code()), Some(597));
    // All else goes on.
    browser.broadcast("room", "still", json!({"here": true}));
    assert_eq!(browser.receive()["still"]["here"], true);
    let size = admin(&node, "GET", "/v").json()["vhost"]["channels"]["size"].clone();
    assert_eq!(size, kept + 1);

    limit_file_size(&node, None);
    let begun = Instant::now();
    while admin(&node, "POST", &name(kept)).status != 302 {
        assert!(begun.elapsed() < PATIENCE, "never takes changes again");
    }
    let (status, log) = node.terminate();
    assert!(status.success(), "{log}");
    expect_parts(&log, &["test-node.redb", "File too large"]);
    let node = Process::start(&mut serve(storage.path())).expect("started");
    let size = admin(&node, "GET", "/v").json()["vhost"]["channels"]["size"].clone();
    assert_eq!(size, kept + 2, "what was acknowledged, and it alone");
}

fn open_as_backend(node: &Process, channel: &str) -> Result<(), kosmonaut::Error> {
    let vhost = admin(node, "GET", "/v").json();
    let token = vhost["vhost"]["accessToken"].as_str().expect("a token");
    let url = format!("wr://{token}@{}/v", node.backend);
    let client = Client::with_timeout(url.parse().expect("a URL"), PATIENCE);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let runtime = runtime.expect("a runtime");
    runtime.block_on(client.open_channel(channel))
}

fn limit_file_size(node: &Process, bytes: Option<u64>) {
    let pid = Pid::from_raw(node.id() as i32).expect("a process");
    let limit = Rlimit {
        current: bytes,
        maximum: None,
    };
    prlimit(Some(pid), Resource::Fsize, limit).expect("limited");
}
