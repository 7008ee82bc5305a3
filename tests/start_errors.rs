//! A node that does not start says what it could not have and where, and
//! leaves nothing behind.

mod support;

use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use support::Broker;
use webrocket::limits::SHARDS_MAX;
use webrocket::model::Quotas;
use webrocket::server::{Config, Node};

fn config(storage_dir: &Path) -> Config {
    let any: SocketAddr = "127.0.0.1:0".parse().expect("an address");
    Config {
        websocket_addr: any,
        backend_addr: any,
        admin_addr: any,
        storage_dir: storage_dir.into(),
        node_name: "test-node".into(),
        shards: 2,
        quotas: Quotas::default(),
        drain_window: Duration::ZERO,
        tls: None,
    }
}

/// The message with which the node does not start.
fn refusal(config: Config) -> String {
    match Node::start(config) {
        Ok(_) => panic!("started"),
        Err(error) => error.to_string(),
    }
}

fn stop(node: Node) {
    assert!(node.stop(support::PATIENCE));
}

#[test]
fn a_port_in_use() {
    let storage = tempfile::tempdir().expect("a temporary directory");
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let addr = taken.local_addr().expect("bound");
    for what in ["websocket", "backend", "admin"] {
        let mut config = config(storage.path());
        match what {
            "websocket" => config.websocket_addr = addr,
            "backend" => config.backend_addr = addr,
            _ => config.admin_addr = addr,
        }
        let message = refusal(config.clone());
        for part in [what, &addr.to_string(), "in use"] {
            assert!(message.contains(part), "{message}");
        }
        drop(TcpListener::bind(addr).expect_err("still taken"));
    }
    // Nothing was left: the same storage and, once it is free, the same port will do.
    drop(taken);
    let mut config = config(storage.path());
    config.websocket_addr = addr;
    let node = Node::start(config).expect("started");
    assert_eq!(node.websocket_addr(), addr);
    stop(node);
}

#[test]
fn ports_of_a_running_node() {
    let broker = Broker::start(2);
    let node = broker.node();
    for (what, addr) in [
        ("websocket", node.websocket_addr()),
        ("backend", node.backend_addr()),
        ("admin", node.admin_addr()),
    ] {
        let storage = tempfile::tempdir().expect("a temporary directory");
        let mut config = config(storage.path());
        match what {
            "websocket" => config.websocket_addr = addr,
            "backend" => config.backend_addr = addr,
            _ => config.admin_addr = addr,
        }
        let message = refusal(config);
        assert!(
            message.contains(what) && message.contains(&addr.to_string()),
            "{message}"
        );
    }
    // It goes on undisturbed.
    broker.open_channel("room");
    (0..8).for_each(|_| broker.browser().subscribe("room"));
}

#[test]
fn a_second_node_on_the_same_storage() {
    let storage = tempfile::tempdir().expect("a temporary directory");
    let first = Node::start(config(storage.path())).expect("started");
    let message = refusal(config(storage.path()));
    let lock = storage.path().join("test-node.lock");
    for part in ["runs already", &lock.display().to_string()] {
        assert!(message.contains(part), "{message}");
    }
    // One of another name has files of its own.
    let mut other = config(storage.path());
    other.node_name = "other-node".into();
    let other = Node::start(other).expect("started");
    assert_ne!(other.cookie(), first.cookie());
    let cookie = first.cookie().to_owned();
    stop(first);
    stop(other);
    // The name is free again, and the cookie is kept.
    let again = Node::start(config(storage.path())).expect("started");
    assert_eq!(again.cookie(), cookie);
    stop(again);
}

#[test]
fn a_storage_directory_that_cannot_be_used() {
    let storage = tempfile::tempdir().expect("a temporary directory");
    let file = storage.path().join("file");
    fs::write(&file, "").expect("written");
    for dir in [file.clone(), file.join("below")] {
        let message = refusal(config(&dir));
        assert!(message.contains(&dir.display().to_string()), "{message}");
    }
    // One that is not there is made, with what leads to it.
    let missing = storage.path().join("a/b");
    stop(Node::start(config(&missing)).expect("started"));
    assert!(missing.join("test-node.cookie").is_file());
    // Who may write everywhere anyway can't be refused.
    let locked = storage.path().join("locked");
    fs::create_dir(&locked).expect("created");
    fs::set_permissions(&locked, fs::Permissions::from_mode(0o500)).expect("set");
    if fs::write(locked.join("probe"), "").is_err() {
        let message = refusal(config(&locked));
        assert!(message.contains(&locked.display().to_string()), "{message}");
        assert!(message.contains("denied"), "{message}");
    }
}

#[test]
fn a_cookie_that_is_none_and_a_name_that_names_no_file() {
    let storage = tempfile::tempdir().expect("a temporary directory");
    let cookie = storage.path().join("test-node.cookie");
    for text in ["", "secret", &"G".repeat(40), &"0".repeat(41)] {
        fs::write(&cookie, text).expect("written");
        let message = refusal(config(storage.path()));
        assert!(message.contains(&cookie.display().to_string()), "{message}");
        assert_eq!(fs::read_to_string(&cookie).expect("left alone"), text);
    }
    for name in ["", "x", "a/b", "../a", "\u{0}ab", " a"] {
        let mut config = config(storage.path());
        config.node_name = name.into();
        let message = refusal(config);
        assert!(message.contains("node name"), "{message}");
    }
}

#[test]
fn an_impossible_number_of_shards() {
    let storage = tempfile::tempdir().expect("a temporary directory");
    for shards in [0, SHARDS_MAX as u16 + 1] {
        let mut config = config(storage.path());
        config.shards = shards;
        let message = refusal(config);
        assert!(message.contains(&shards.to_string()), "{message}");
        assert!(message.contains(&SHARDS_MAX.to_string()), "{message}");
    }
}
