//! Section 3.7: a receiver that does not read delays nobody; past its bound it
//! is evicted with 1013.

use std::io::Write;
use std::net::TcpStream;
use std::time::{Duration, Instant};

use serde_json::json;
use socket2::{Domain, Socket, Type};
use webrocket::limits::{EVICTED_LINGER_TIMEOUT, OUTBOX_BYTES_MAX};

use crate::SHARDS;
use crate::raw::{BAD_REQUEST, Raw, TEXT, masked};
use crate::support::Broker;

/// A browser whose socket takes little, so that its outbox fills soon.
fn slow_browser(broker: &Broker) -> Raw {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
    socket.set_recv_buffer_size(4096).expect("set");
    let addr = broker.node().websocket_addr();
    socket.connect(&addr.into()).expect("connected");
    let mut raw = Raw::over(TcpStream::from(socket));
    raw.upgrade();
    raw
}

#[test]
fn a_slow_consumer_is_evicted_and_the_others_get_everything() {
    const EVENT_BYTES: usize = 60_000;
    for shards in SHARDS {
        let channel = "presence-busy";
        let broker = Broker::with_channels(shards, &[channel]);
        let mut slow = slow_browser(&broker);
        let token = broker.single_access_token("slow", ".*");
        slow.send_text(&json!({"auth": {"token": token}}).to_string());
        slow.expect_text(r#"{":authenticated":{}}"#);
        slow.send_text(&json!({"subscribe": {"channel": channel}}).to_string());
        assert!(slow.receive().get(":subscribed").is_some());
        assert!(slow.receive().get(":memberJoined").is_some());
        let mut speaker = broker.user("speaker", ".*");
        let mut reader = broker.user("reader", ".*");
        for browser in [&mut speaker, &mut reader] {
            browser.send(json!({"subscribe": {"channel": channel, "hidden": false}}));
            assert!(browser.receive().get(":subscribed").is_some());
            assert!(browser.receive().get(":memberJoined").is_some());
        }
        speaker.receive(); // The reader has joined.
        let text = "x".repeat(EVENT_BYTES);
        let mut sent = 0;
        let mut evicted = None;
        // Everyone else hears each event at once, and at last of the eviction.
        while evicted.is_none() {
            speaker.broadcast(channel, "said", json!({"n": sent, "text": text}));
            for browser in [&mut speaker, &mut reader] {
                loop {
                    let message = browser.receive();
                    if message.get(":memberLeft").is_some() {
                        assert_eq!(message[":memberLeft"]["uid"], "slow");
                        evicted.get_or_insert_with(Instant::now);
                        continue;
                    }
                    assert_eq!(message["said"]["n"], sent);
                    break;
                }
            }
            sent += 1;
            assert!(sent < 2000, "never evicted");
        }
        assert!(
            sent * EVENT_BYTES > OUTBOX_BYTES_MAX,
            "evicted within its bound"
        );
        // Two joins, then the events without a gap, then the reason; unless
        // this machine took longer than a closing connection is waited for.
        let (messages, code) = slow.until_close();
        let (joins, events) = messages.split_at(2);
        assert!(
            joins
                .iter()
                .all(|message| message.get(":memberJoined").is_some())
        );
        for (n, event) in events.iter().enumerate() {
            assert_eq!(event["said"]["n"], n);
        }
        if evicted.is_some_and(|at| at.elapsed() < EVICTED_LINGER_TIMEOUT) {
            assert_eq!(code, Some(1013));
            assert!(events.len() < sent, "it missed something");
        }
        assert_eq!(broker.subscribers(channel), 2);
    }
}

/// One that asks and does not read its answers is held back, not grown for;
/// when it reads, it gets every one.
#[test]
fn who_asks_without_reading_is_held_back() {
    const ASKED: usize = 200_000;
    let broker = Broker::with_channels(2, &["room"]);
    let mut greedy = slow_browser(&broker);
    let mut writer = greedy.stream.try_clone().expect("the same socket");
    let asking = std::thread::spawn(move || {
        let message = masked(TEXT, b"?");
        let stream = message.repeat(1000);
        for _ in 0..ASKED / 1000 {
            writer.write_all(&stream).expect("sent");
        }
    });
    // Meanwhile others are served.
    let mut other = broker.browser();
    other.subscribe("room");
    for n in 0..100 {
        other.broadcast("room", "said", json!({"n": n}));
        assert_eq!(other.receive()["said"]["n"], n);
    }
    let expected = BAD_REQUEST.as_bytes();
    for _ in 0..ASKED {
        let head = greedy.read(2);
        assert_eq!(head[1] as usize, expected.len());
        assert_eq!(greedy.read(expected.len()), expected);
    }
    asking.join().expect("all sent");
}

/// The same with its own events, which travel over their home shard: it is
/// held back before they come back to more than its outbox takes.
#[test]
fn who_broadcasts_without_reading_is_held_back() {
    const EVENTS: usize = 60;
    for shards in SHARDS {
        let broker = Broker::with_channels(shards, &["room", "room.2"]);
        for channel in ["room", "room.2"] {
            let mut greedy = slow_browser(&broker);
            greedy.send_text(&json!({"subscribe": {"channel": channel}}).to_string());
            assert_eq!(greedy.receive()[":subscribed"]["channel"], channel);
            let mut writer = greedy.stream.try_clone().expect("the same socket");
            let text = "x".repeat(100_000);
            let speaking = std::thread::spawn(move || {
                for n in 0..EVENTS {
                    let event = json!({"broadcast":
                        {"channel": channel, "event": "said", "data": {"n": n, "text": text}}});
                    let frame = masked(TEXT, event.to_string().as_bytes());
                    writer.write_all(&frame).expect("sent");
                }
            });
            // Time for the flood to fill what it can; nothing depends on it.
            std::thread::sleep(Duration::from_millis(200));
            for n in 0..EVENTS {
                assert_eq!(greedy.receive()["said"]["n"], n);
            }
            speaking.join().expect("all sent");
        }
    }
}
