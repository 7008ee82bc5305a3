//! Peers that vanish without a word. A filter on their own sockets throws away
//! all that comes, so that not even their kernel answers.

use std::fs;
use std::thread;
use std::time::Duration;

use serde_json::json;
use socket2::{SockFilter, SockRef};
use webrocket::limits::{KEEPALIVE_IDLE, UNACKNOWLEDGED_TIMEOUT};
use webrocket::meter::{Kind, Refused};

use crate::bystanders::report;
use crate::raw::Raw;
use crate::stage::Stage;

const VANISHED: usize = 50;
const MESSAGE_BYTES: usize = 16 * 1024;

/// From now on nothing reaches the peer.
fn vanish(raw: &Raw) {
    // A program that keeps 0 bytes of every packet.
    const RETURN: u16 = 0x06;
    let nothing = [SockFilter::new(RETURN, 0, 0, 0)];
    SockRef::from(&raw.0)
        .attach_filter(&nothing)
        .expect("attached");
}

/// Of the node's connections on this port those whose running timer is
/// keep-alive, with the longest time until it asks, and all others
/// (proc(5), `/proc/net/tcp`: timer 2, in hundredths of a second).
fn timers(port: u16) -> (usize, Duration, usize) {
    let table = fs::read_to_string("/proc/net/tcp").expect("a table");
    let here = format!(":{port:04X}");
    let (mut asked, mut longest, mut others) = (0, 0, 0);
    for line in table.lines().skip(1) {
        let words: Vec<&str> = line.split_whitespace().collect();
        if !words[1].ends_with(&here) || words[3] != "01" {
            continue;
        }
        match words[5].split_once(':').expect("a timer") {
            ("02", when) => {
                asked += 1;
                longest = longest.max(u64::from_str_radix(when, 16).expect("a number"));
            }
            _ => others += 1,
        }
    }
    (asked, Duration::from_millis(10 * longest), others)
}

#[test]
fn half_open_peers() {
    // The smallest outboxes that these messages may have.
    let stage = Stage::start("[limits]\nmessage_bytes = \"16KiB\"\noutbox_bytes = \"548KiB\"\n");
    stage.open("/test", "busy");
    let mut vanished: Vec<_> = (0..VANISHED)
        .map(|_| Raw::upgraded(stage.frontends(), "/test"))
        .collect();
    for raw in &mut vanished {
        raw.send_text(r#"{"subscribe":{"channel":"busy"}}"#);
        assert_eq!(raw.text(), r#"{":subscribed":{"channel":"busy"}}"#);
    }
    // What they acknowledged is behind them; then they are gone.
    let port = stage.frontends().port();
    stage.expect("keep-alive for all who are silent", || {
        let (asked, longest, others) = timers(port);
        assert!(longest <= KEEPALIVE_IDLE, "{longest:?}");
        (asked, others) == (VANISHED, 0)
    });
    vanished.iter().for_each(vanish);

    let before = stage.resident_bytes();
    let mut speaker = stage.browser("/test");
    speaker.subscribe("busy");
    let mut sent = 0_u64;
    let text = "x".repeat(MESSAGE_BYTES - 200);
    let turns = stage.by_turns(vec![Box::new(|gate| {
        while gate.is_open() {
            speaker.broadcast("busy", "said", json!({ "n": sent, "text": text }));
            assert_eq!(speaker.receive()["said"]["n"], sent);
            sent += 1;
            thread::sleep(Duration::from_millis(2));
        }
    })]);
    // What their sockets and outboxes did not hold is past the bound.
    while stage.refused(Refused::OutboxBytes) < VANISHED as u64 {
        speaker.broadcast("busy", "said", json!({ "n": sent, "text": text }));
        assert_eq!(speaker.receive()["said"]["n"], sent);
        sent += 1;
        assert!(sent < 5000, "never evicted");
    }
    let grown = stage.resident_bytes().saturating_sub(before);
    let bytes_max = VANISHED as u64 * 2 * 548 * 1024;
    assert!(grown <= bytes_max, "{grown} bytes");
    stage.expect_refused(Refused::OutboxBytes, VANISHED as u64);
    // Nobody takes their last word, so it is dropped and the place is free.
    stage.expect("none lingers", || {
        stage.connections(Kind::Closing) == 0 && stage.connections(Kind::Frontend) == 1
    });
    let lingered = stage.metric("webrocket_slow_consumers_total", "cause=\"lingered\"");
    assert_eq!(lingered, VANISHED as u64);
    report(
        "half-open peers",
        &format!("{VANISHED} vanished amid {sent} broadcasts of 16 KiB"),
        &format!(
            "outbox: {VANISHED} evicted and closed, {} MiB at most; \
             silent or owing: {UNACKNOWLEDGED_TIMEOUT:?} by the kernel",
            grown >> 20
        ),
        &turns,
    );
}
