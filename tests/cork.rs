//! What is published waits for more where the vhost says so (decision 0023).
//!
//! Method: real sockets; what a subscriber gets at once is what one `read` with
//! room for everything gives it, and the node's own counts say how many sends
//! it was. A shard that does not run for a cork's time amid the events may send them
//! in two pieces, so most rounds have to be whole, not all. Times are printed, and
//! held to margins that no pause of a machine passes.

#[path = "frontend/raw.rs"]
mod raw;
mod support;

use std::io::Read;
use std::sync::Arc;
use std::time::{Duration, Instant};

use raw::{CLOSE, Raw, TEXT, masked};
use serde_json::json;
use support::{Broker, Browser, unhurried};
use webrocket::control::Whom;
use webrocket::limits::CONFIGURED_CORK_MAX;
use webrocket::model::{Quotas, VhostPath};

const CORK: Duration = CONFIGURED_CORK_MAX;
const EVENTS: usize = 20;

fn corked(cork: Duration) -> Quotas {
    let mut quotas = unhurried();
    quotas.default.cork = cork;
    quotas
}

fn subscribe(raw: &mut Raw, channel: &str) {
    raw.send_text(&json!({"subscribe": {"channel": channel}}).to_string());
    raw.expect_text(&json!({":subscribed": {"channel": channel}}).to_string());
}

/// So many events in one write, so that a shard takes them in together.
fn say_at_once(raw: &mut Raw, channels: &[&str]) {
    let events = (0..EVENTS).flat_map(|n| {
        let channel = channels[n % channels.len()];
        let event = json!({"broadcast": {"channel": channel, "event": format!("e{n}")}});
        masked(TEXT, event.to_string().as_bytes())
    });
    let bytes: Vec<u8> = events.collect();
    raw.write(&bytes);
}

fn sends(broker: &Broker) -> u64 {
    let meters = broker.node().meters().iter();
    meters.map(|meter| meter.sends.count()).sum()
}

/// The names of the events that one read gives.
fn read_at_once(raw: &mut Raw) -> Vec<String> {
    let mut buffer = vec![0; 1 << 16];
    let count = raw.stream.read(&mut buffer).expect("events");
    let text = String::from_utf8_lossy(&buffer[..count]).into_owned();
    let names = text.split("{\"").filter(|rest| rest.ends_with("\":"));
    names.map(|name| name.replace("\":", "")).collect()
}

/// Reads all events, in their order; tells whether one read was enough.
fn expect_all(raw: &mut Raw) -> bool {
    let mut names = read_at_once(raw);
    let whole = names.len() == EVENTS;
    while names.len() < EVENTS {
        names.append(&mut read_at_once(raw));
    }
    let expected: Vec<String> = (0..EVENTS).map(|n| format!("e{n}")).collect();
    assert_eq!(names, expected);
    whole
}

#[test]
fn what_comes_within_the_cork_is_read_at_once_in_order_and_not_before() {
    for shards in [1, 2] {
        let broker = Broker::with_quotas(shards, corked(CORK));
        let channels = ["a", "b", "c"];
        channels.iter().for_each(|name| broker.open_channel(name));
        let mut members: Vec<Raw> = (0..4).map(|_| Raw::upgraded(&broker)).collect();
        let mut sender = Raw::upgraded(&broker);
        // Several channels of one home, or of one shard, keep their order; over
        // two shards the homes of channels differ, so one is what can be told.
        let channels = &channels[..if shards == 1 { 3 } else { 1 }];
        for raw in members.iter_mut().chain([&mut sender]) {
            channels.iter().for_each(|name| subscribe(raw, name));
        }
        let mut whole = 0;
        let mut waited = Vec::new();
        for round in 0..5 {
            let before = sends(&broker);
            let begun = Instant::now();
            say_at_once(&mut sender, channels);
            let all = members.iter_mut().chain([&mut sender]);
            let wholes = all.map(expect_all).filter(|whole| *whole).count();
            waited.push(begun.elapsed());
            // One for each of five, for all of the twenty events. An answer may be
            // counted after it has been read, so the round behind those is left out.
            if wholes == 5 {
                whole += 1;
                assert!(round == 0 || sends(&broker) - before == 5);
            }
        }
        println!("{shards} shards, a cork of {CORK:?}: {waited:?}");
        assert!(whole >= 3, "{whole} of 5");
        // A turn that began before the write may count for some of it once.
        let least = CORK * 2;
        assert!(waited.iter().sum::<Duration>() > least, "{waited:?}");
        drop((members, sender));
        assert!(broker.stop());
    }
}

#[test]
fn without_a_cork_nothing_waits() {
    let broker = Broker::with_quotas(1, corked(Duration::ZERO));
    broker.open_channel("room");
    let mut browser = broker.browser();
    browser.subscribe("room");
    let begun = Instant::now();
    for n in 0..100 {
        browser.broadcast("room", "said", json!({"n": n}));
        assert_eq!(browser.receive()["said"]["n"], n);
    }
    // With the shortest cork that could be meant it would be ten seconds.
    let waited = begun.elapsed();
    println!("100 events one after the other: {waited:?}");
    assert!(waited < CORK * 50, "{waited:?}");
    drop(browser);
    assert!(broker.stop());
}

#[test]
fn short_corks_open_by_themselves() {
    // Nothing else wakes the shard: the sleep itself ends when the cork does.
    for (cork_ms, rounds) in [(1, 50), (2, 50), (10, 20)] {
        let broker = Broker::with_quotas(1, corked(Duration::from_millis(cork_ms)));
        broker.open_channel("room");
        let mut browser = broker.browser();
        browser.subscribe("room");
        let mut waited = Vec::new();
        for n in 0..rounds {
            let begun = Instant::now();
            browser.broadcast("room", "said", json!({"n": n}));
            assert_eq!(browser.receive()["said"]["n"], n);
            waited.push(begun.elapsed());
        }
        waited.sort_unstable();
        let median = waited[waited.len() / 2];
        println!("a cork of {cork_ms} ms: median {median:?}");
        // An hour's timer would be noticed, a busy machine not.
        assert!(median < Duration::from_secs(1), "{median:?}");
        drop(browser);
        assert!(broker.stop());
    }
}

#[test]
fn answers_do_not_wait_and_come_behind_what_was_published() {
    for shards in [1, 2] {
        let broker = Broker::with_quotas(shards, corked(CORK));
        broker.open_channel("room");
        let mut browser = broker.browser();
        browser.subscribe("room");
        let before = Instant::now();
        for n in 0..50 {
            browser.broadcast("room", "said", json!({"n": n}));
            browser.send_text("nonsense");
            assert_eq!(browser.receive()["said"]["n"], n);
            browser.expect_error(400);
        }
        let waited = before.elapsed();
        println!("{shards} shards, 50 answers: {waited:?}");
        assert!(waited < CORK * 25, "{waited:?}");
        drop(browser);
        assert!(broker.stop());
    }
}

#[test]
fn who_is_sent_away_gets_what_was_published_before_the_reason() {
    type End = fn(&Broker, &mut Raw) -> u16;
    let ends: [(&str, End); 5] = [
        ("disconnected by the operator", |broker, _| {
            let (handle, path) = (broker.node().handle(), || {
                VhostPath::parse("/test").expect("a path")
            });
            let sessions = broker.wait(handle.sessions(path(), 10)).expect("listed");
            let [session] = &sessions[..] else {
                panic!("{} sessions", sessions.len());
            };
            let whom = Whom::Session(session.sid);
            broker.wait(handle.disconnect(path(), whom)).expect("told");
            1008
        }),
        ("no such opcode", |_, raw| {
            raw.send(0x83, b"");
            1002
        }),
        ("its own close frame", |_, raw| {
            raw.send(CLOSE, &1000u16.to_be_bytes());
            1000
        }),
        ("vhost deleted", |broker, _| {
            broker.delete_vhost("/test");
            1001
        }),
        ("close", |_, raw| {
            raw.send_text(r#"{"close":{}}"#);
            1000
        }),
    ];
    for (name, end) in ends {
        let broker = Broker::with_quotas(1, corked(CORK));
        broker.open_channel("room");
        let mut raw = Raw::upgraded(&broker);
        subscribe(&mut raw, "room");
        // Accepted, and under the cork.
        assert_eq!(
            broker.request(&["BC", "room", "news", "{}"]),
            "OK\n\n\r\n\r\n"
        );
        let code = end(&broker, &mut raw);
        let (messages, told) = raw.until_close();
        assert_eq!(told, Some(code), "{name}");
        assert_eq!(messages[0], json!({"news": {"channel": "room"}}), "{name}");
        drop(raw);
        assert!(broker.stop());
    }
}

#[test]
fn a_drain_gives_what_was_published_before() {
    let broker = Broker::with_quotas(2, corked(CORK));
    broker.open_channel("room");
    let mut members: Vec<Browser> = (0..8).map(|_| broker.browser()).collect();
    members.iter_mut().for_each(|it| it.subscribe("room"));
    assert_eq!(
        broker.request(&["BC", "room", "news", "{}"]),
        "OK\n\n\r\n\r\n"
    );
    let stopping = std::thread::spawn(move || broker.stop());
    for member in &mut members {
        member.expect(json!({"news": {"channel": "room"}}));
        assert_eq!(member.expect_close().0, 1001);
    }
    drop(members);
    assert!(stopping.join().expect("stopped"));
}

#[test]
fn a_reload_gives_and_takes_corks() {
    let broker = Broker::with_quotas(2, corked(Duration::ZERO));
    broker.open_channel("room");
    let mut members: Vec<Raw> = (0..3).map(|_| Raw::upgraded(&broker)).collect();
    members.iter_mut().for_each(|it| subscribe(it, "room"));
    let handle = broker.node().handle();
    let mut whole = 0;
    for _ in 0..3 {
        let set = broker.wait(handle.set_quotas(Arc::new(corked(CORK))));
        set.expect("applied");
        say_at_once(&mut members[0], &["room"]);
        whole += members.iter_mut().map(expect_all).filter(|it| *it).count();
        say_at_once(&mut members[0], &["room"]);
        let set = broker.wait(handle.set_quotas(Arc::new(corked(Duration::ZERO))));
        set.expect("applied");
        for raw in &mut members {
            expect_all(raw);
        }
    }
    assert!(whole >= 5, "{whole} of 9");
    drop(members);
    assert!(broker.stop());
}
