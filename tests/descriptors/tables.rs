//! What is open where, seen through `/proc`. Method: the node runs in a process
//! of its own, so that no descriptor of another test is among its.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::ErrorKind;
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::Instant;

use crate::support::backend::{Backend, Worker};
use crate::support::serve::{Host, Serve};
use crate::support::{Broker, PATIENCE};

const SHARDS: usize = 3;
const EVENT: &str = "anon_inode:[eventfd]";

/// The node's process as `/proc` shows it.
fn process(node: &Serve) -> PathBuf {
    Path::new("/proc").join(node.pid().as_raw_nonzero().to_string())
}

/// The threads of its shards, as folders under `/proc`.
fn shards(node: &Serve) -> Vec<PathBuf> {
    let tasks = fs::read_dir(process(node).join("task")).expect("tasks");
    let tasks = tasks.map(|task| task.expect("a task").path());
    let is_shard = |task: &PathBuf| {
        let name = fs::read_to_string(task.join("comm"));
        name.is_ok_and(|name| name.starts_with("shard-"))
    };
    tasks.filter(is_shard).collect()
}

/// What is open in a table, by number.
fn open(task: &Path) -> BTreeMap<String, String> {
    let entries = fs::read_dir(task.join("fd")).expect("a table");
    let entries = entries.filter_map(|entry| {
        let path = entry.expect("an entry").path();
        // Control may have closed it meanwhile.
        let link = fs::read_link(&path).ok()?.display().to_string();
        Some((path.file_name()?.to_str()?.to_owned(), link))
    });
    entries.collect()
}

/// How many in a table are of this kind.
fn count(table: &BTreeMap<String, String>, kind: &str) -> usize {
    table.values().filter(|link| link.starts_with(kind)).count()
}

/// The number in the kernel of an eventfd, the same in every table.
fn event_id(task: &Path, fd: &str) -> String {
    let info = fs::read_to_string(task.join("fdinfo").join(fd)).expect("fdinfo");
    let id = info
        .lines()
        .find_map(|line| line.strip_prefix("eventfd-id:"));
    id.unwrap_or_else(|| panic!("no eventfd: {info}"))
        .trim()
        .to_owned()
}

fn start() -> (Host, Serve) {
    let host = Host::new();
    let node = host.start(&["--shards", "3"]);
    (host, node)
}

/// What shards ring by number was there before the first of them: each other's
/// wake-ups, and that of control's runtime.
#[test]
fn every_shard_has_all_eventfds_of_the_process_under_their_numbers() {
    let (_host, node) = start();
    let (process, shards) = (process(&node), shards(&node));
    assert_eq!(shards.len(), SHARDS);
    let events: BTreeMap<_, _> = open(&process)
        .into_iter()
        .filter(|(_, link)| link == EVENT)
        .map(|(fd, _)| (fd.clone(), event_id(&process, &fd)))
        .collect();
    // One of each shard, and control's.
    assert!(events.len() > SHARDS, "{events:?}");
    for shard in &shards {
        for (fd, id) in &events {
            assert_eq!(event_id(shard, fd), *id, "{} in {shard:?}", fd);
        }
    }
    node.stop();
}

#[test]
fn a_table_holds_what_its_shard_needs() {
    let (_host, node) = start();
    let own = open(&process(&node));
    // The admin listener, and what the signals' pipe is made of.
    assert_eq!(count(&own, "anon_inode:[io_uring]"), 0, "{own:?}");
    let mut listeners = BTreeSet::new();
    for shard in shards(&node) {
        let table = open(&shard);
        let sockets = table.values().filter(|link| link.starts_with("socket:"));
        let sockets: Vec<_> = sockets.cloned().collect();
        assert_eq!(sockets.len(), 2, "{table:?}");
        listeners.extend(sockets);
        // glommio's three and the pump's.
        assert_eq!(count(&table, "anon_inode:[io_uring]"), 4, "{table:?}");
        let others = table.iter().filter(|(fd, link)| {
            let known = ["socket:", "anon_inode:[io_uring]", EVENT];
            !known.iter().any(|kind| link.starts_with(kind))
                && fd.parse::<u32>().is_ok_and(|fd| fd > 2)
        });
        assert_eq!(others.count(), 0, "{table:?}");
    }
    assert_eq!(listeners.len(), 2 * SHARDS, "each its own");
    for link in own.values() {
        assert!(!listeners.contains(link), "{link} is open in the process's");
    }
    node.stop();
}

/// A handler rings a pipe by its number: it must not run where that is another file.
#[test]
fn shards_take_no_signals() {
    let (_host, node) = start();
    for shard in shards(&node) {
        let status = fs::read_to_string(shard.join("status")).expect("a status");
        let blocked = status.lines().find_map(|it| it.strip_prefix("SigBlk:"));
        let blocked = u64::from_str_radix(blocked.expect("there").trim(), 16).expect("hex");
        // SIGHUP, SIGINT and SIGTERM.
        for signal in [1, 2, 15] {
            assert_ne!(blocked & (1 << (signal - 1)), 0, "{signal} in {status}");
        }
    }
    node.stop();
}

/// While connections still linger nobody gets in: no copy of a listener is left.
#[test]
fn a_draining_node_refuses_connections() {
    let begun = Instant::now();
    loop {
        let broker = Broker::start(3);
        let addrs = [broker.node().websocket_addr(), broker.node().backend_addr()];
        // They do not answer when they are closed, and are waited for.
        let browsers: Vec<_> = (0..6).map(|_| broker.browser()).collect();
        let stopped = thread::spawn(move || broker.stop());
        for addr in addrs {
            let refused = || match TcpStream::connect(addr) {
                Err(error) if error.kind() == ErrorKind::ConnectionRefused => true,
                // A listener that goes resets what waits in it.
                _ => false,
            };
            crate::support::eventually(refused);
        }
        let in_time = !stopped.is_finished();
        drop(browsers);
        assert!(stopped.join().expect("no panic"));
        if in_time {
            return;
        }
        // On a slow machine they may have lingered long enough.
        assert!(begun.elapsed() < PATIENCE, "never refused before the end");
    }
}

/// Set in the process that the test below starts.
const IN_CHILD: &str = "WEBROCKET_TEST_IN_CHILD";

/// Method: the test starts itself anew, alone in its process.
#[test]
fn a_node_that_has_stopped_leaves_nothing_open() {
    if std::env::var_os(IN_CHILD).is_some() {
        return start_and_stop_nodes();
    }
    let output = Command::new(std::env::current_exe().expect("own path"))
        .args([
            "--exact",
            "tables::a_node_that_has_stopped_leaves_nothing_open",
        ])
        .env(IN_CHILD, "1")
        .output()
        .expect("started");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success(),
        "{said}{}",
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(said.contains("1 passed"), "{said}");
}

fn start_and_stop_nodes() {
    let one = || {
        let broker = Broker::with_channels(4, &["room"]);
        let mut browsers: Vec<_> = (0..20).map(|_| broker.browser()).collect();
        browsers.iter_mut().for_each(|it| it.subscribe("room"));
        let worker = Worker::ready(&broker);
        let client = Backend::kept(&broker);
        drop((browsers, worker, client));
        assert!(broker.stop());
    };
    let this = Path::new("/proc/self");
    // What the process opens once and keeps.
    one();
    let before = open(this);
    for _ in 0..5 {
        one();
    }
    let after = open(this);
    assert_eq!(after.len(), before.len(), "{before:?} {after:?}");
}
