//! The limit of descriptors counts for each shard. Method: the real program
//! under a low hard limit.

use std::collections::BTreeSet;
use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::Instant;

use serde_json::{Value, json};

use crate::support::serve::{Host, Serve, start};
use crate::support::{Browser, PATIENCE, eventually};

/// A node under this hard limit, with the channel `room` in the vhost `/test`.
fn limited(host: &Host, shards: &str, descriptors: u32) -> Serve {
    let setup = format!("ulimit -n {descriptors} &&");
    let node = start(host.command_after(&setup, &["--shards", shards]));
    node.admin("POST", "/test").expect_found("/test");
    node.admin("POST", "/test/channels/room")
        .expect_found("/test/channels/room");
    node
}

fn stats(node: &Serve) -> Value {
    node.admin("GET", "/stats.json").json()
}

fn descriptors(stats: &Value) -> Vec<u64> {
    let shards = stats["shards"].as_array().expect("shards");
    let open = shards
        .iter()
        .map(|it| it["descriptors"].as_u64().expect("counted"));
    open.collect()
}

#[test]
fn shards_together_hold_more_connections_than_one_table_could() {
    const LIMIT: u32 = 256;
    // A hundred on average for each shard, and twice as many would fit.
    const BROWSERS: usize = 600;
    let host = Host::new();
    let node = limited(&host, "6", LIMIT);
    let mut browsers: Vec<Browser> = (0..BROWSERS).map(|_| node.browser()).collect();
    browsers.iter_mut().for_each(|it| it.subscribe("room"));
    let seen = stats(&node);
    let open = descriptors(&seen);
    assert!(open.iter().sum::<u64>() > 2 * u64::from(LIMIT), "{open:?}");
    let headroom = seen["headroom"].as_array().expect("headroom");
    let tells = |it: &&Value| it["limit"] == "descriptors";
    let headroom = headroom.iter().find(tells).expect("of descriptors");
    assert_eq!(headroom["max"], f64::from(LIMIT));
    let fullest = open.iter().max().copied().expect("shards") as f64;
    assert_eq!(headroom["used"], fullest, "{headroom} of {open:?}");
    for n in 0..3 {
        browsers[n * 100].broadcast("room", "said", json!({ "n": n }));
        for browser in &mut browsers {
            let event = browser.receive();
            assert_eq!(event["said"]["n"], n, "{event}");
        }
    }
    drop(browsers);
    node.stop();
}

#[test]
fn a_full_shard_pauses_alone_and_goes_on_when_some_leave() {
    const LIMIT: u32 = 64;
    // Fills both shards, however the kernel spreads them.
    const BROWSERS: usize = 200;
    let host = Host::new();
    let mut node = limited(&host, "2", LIMIT);
    let mut waiting: Vec<Upgrade> = (0..BROWSERS).map(|_| Upgrade::begin(&node)).collect();
    let mut paused = BTreeSet::new();
    while paused.len() < 2 {
        let line = node.expect_log(&["accepting paused; ", "os error 24"]);
        let shard = line.split(' ').find(|word| word.starts_with("shard="));
        paused.insert(shard.expect("which shard").to_owned());
    }
    // Each is full of its own, and control is not: it answers.
    let full = vec![u64::from(LIMIT); 2];
    eventually(|| descriptors(&stats(&node)) == full);
    let begun = Instant::now();
    while !waiting.is_empty() {
        // Those that are in leave, and make room for the next.
        waiting.retain_mut(|upgrade| !upgrade.is_in());
        assert!(begun.elapsed() < PATIENCE, "{} never got in", waiting.len());
    }
    let mut last = node.browser();
    last.subscribe("room");
    last.broadcast("room", "said", json!({ "n": 1 }));
    assert_eq!(last.receive()["said"]["n"], 1);
    drop(last);
    node.stop();
}

/// A browser that has asked for its upgrade.
struct Upgrade {
    stream: TcpStream,
    received: Vec<u8>,
}

impl Upgrade {
    fn begin(node: &Serve) -> Self {
        let mut stream = TcpStream::connect(node.websocket_addr()).expect("connected");
        let request = b"GET /test HTTP/1.1\r\nHost: test\r\nUpgrade: websocket\r\n\
            Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n\
            Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
        stream.write_all(request).expect("sent");
        stream.set_nonblocking(true).expect("set");
        let received = Vec::new();
        Self { stream, received }
    }

    /// Whether the broker has greeted it by now.
    fn is_in(&mut self) -> bool {
        let mut buffer = [0; 1024];
        match self.stream.read(&mut buffer) {
            Ok(0) => panic!("closed: {}", String::from_utf8_lossy(&self.received)),
            Ok(count) => self.received.extend_from_slice(&buffer[..count]),
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(error) => panic!("{error}"),
        }
        memchr::memmem::find(&self.received, b":connected").is_some()
    }
}
