//! Numbers of descriptors are taken again and again while shards wake each
//! other: what one writes to an eventfd must never reach a socket. Method: every
//! byte that any client gets is judged, by an independent WebSocket client and by
//! peers that are sent nothing.

use std::io::Read;
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use serde_json::json;

use crate::support::{Broker, Browser, PATIENCE};

const SHARDS: u16 = 4;
const LISTENERS: usize = 8;
/// Connections of each of the threads that come and go.
const ROUNDS: usize = 150;
/// So many of them are open at the same time.
const AT_ONCE: usize = 8;

#[test]
fn a_wake_up_never_lands_in_a_socket() {
    let broker = Broker::with_channels(SHARDS, &["room"]);
    let addr = broker.node().websocket_addr();
    let backends = broker.node().backend_addr();
    let mut listeners: Vec<Browser> = (0..LISTENERS).map(|_| broker.browser()).collect();
    listeners.iter_mut().for_each(|it| it.subscribe("room"));
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        // Every event crosses from its speaker's shard to the channel's home, and
        // from there to all shards; each shard sleeps in between.
        let speaker = scope.spawn(|| {
            let mut speaker = broker.browser();
            speaker.subscribe("room");
            let mut n = 0;
            while !over.load(Ordering::Relaxed) {
                speaker.broadcast("room", "said", json!({ "n": n }));
                assert_eq!(speaker.receive()["said"]["n"], n);
                n += 1;
            }
            n
        });
        let churners: Vec<_> = (0..2)
            .map(|_| {
                scope.spawn(move || {
                    for round in 0..ROUNDS {
                        come_and_go(addr, round);
                        stay_silent(backends);
                    }
                })
            })
            .collect();
        for churner in churners {
            churner.join().expect("nothing foreign");
        }
        over.store(true, Ordering::Relaxed);
        let said = speaker.join().expect("nothing foreign");
        for listener in &mut listeners {
            for n in 0..said {
                assert_eq!(listener.receive()["said"]["n"], n);
            }
            listener.expect_nothing_before();
        }
    });
    drop(listeners);
    assert!(broker.stop());
}

/// Browsers of which each hears a few events, one after the other.
fn come_and_go(addr: std::net::SocketAddr, round: usize) {
    let mut browsers: Vec<_> = (0..AT_ONCE)
        .map(|_| Browser::connect(addr, "/test"))
        .collect();
    for browser in &mut browsers {
        browser.subscribe("room");
        let first = browser.receive()["said"]["n"].as_u64().expect("an event");
        let next = browser.receive()["said"]["n"].as_u64();
        assert_eq!(next, Some(first + 1), "in round {round}");
    }
}

/// A peer that says nothing, as far as that goes, is told nothing.
fn stay_silent(addr: std::net::SocketAddr) {
    let peers = (0..AT_ONCE).map(|_| TcpStream::connect(addr).expect("connected"));
    for mut peer in peers.collect::<Vec<_>>() {
        peer.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        peer.shutdown(std::net::Shutdown::Write).expect("connected");
        let mut heard = Vec::new();
        peer.read_to_end(&mut heard).expect("the end");
        assert!(heard.is_empty(), "{heard:?}");
    }
}
