//! Backend clients that keep their connection (`KA`): pipelining, order of
//! answers, which errors end it, and when it is closed.

mod support;

use std::io::Write;
use std::net::Shutdown;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::json;
use support::Broker;
use support::backend::{Backend, HEARTBEAT, OK, QUIT, bare, error};
use webrocket::limits::{PACKET_BYTES_MAX, PACKET_TIMEOUT, REQUESTS_IN_FLIGHT_MAX};

#[test]
fn requests_are_pipelined_and_answered_in_order_ka() {
    for shards in [1, 2, 4] {
        let broker = Broker::with_channels(shards, &["room"]);
        let mut browser = broker.browser();
        browser.subscribe("room");
        // The barrier: a channel is there for the broadcast right behind its opening.
        let mut client = Backend::connect(&broker);
        let mut bytes = broker.packet("req", &["KA"]);
        for n in 0..20 {
            let (channel, data) = (format!("new{n}"), json!({"n": n}).to_string());
            bytes.extend(bare(&["OC", &channel]));
            bytes.extend(bare(&["BC", &channel, "e", "{}"]));
            bytes.extend(broker.packet("req", &["BC", "room", "news", &data]));
            bytes.extend(bare(&["BC", "none", "e", "{}"]));
            bytes.extend(bare(&["HB"]));
            bytes.extend(bare(&["CC", &channel]));
            bytes.extend(bare(&["BC", &channel, "e", "{}"]));
            bytes.extend(bare(&["OC", "no name"]));
            bytes.extend(bare(&["AT", "joe", "("]));
            bytes.extend(bare(&["nonsense"]));
        }
        bytes.extend(bare(&["AT", "joe", ".*"]));
        client.send(&bytes);
        client.expect(OK);
        for n in 0..20 {
            for answer in [OK, OK, OK] {
                client.expect(answer);
            }
            client.expect(&error(454));
            client.expect(HEARTBEAT);
            client.expect(OK);
            client.expect(&error(454));
            client.expect(&error(451));
            client.expect(&error(597));
            client.expect(&error(400));
            browser.expect(json!({"news": {"n": n, "channel": "room"}}));
        }
        let token = client.receive().expect("an answer");
        assert!(token.starts_with("AT\n"), "{token}");
    }
}

#[test]
fn the_identity_is_needed_once_ka() {
    let broker = Broker::start(2);
    for kind in ["req", "dlr"] {
        let mut bytes = bare(&["KA"]);
        let mut client = Backend::connect(&broker);
        client.send(&bytes);
        client.expect(&error(402));
        client.expect_end();
        bytes = broker.packet(kind, &["KA"]);
        let mut client = Backend::connect(&broker);
        client.send(&bytes);
        if kind == "req" {
            client.expect(OK);
            client.send(&broker.packet("req", &["KA"]));
            client.expect(OK);
            client.send(&bare(&["OC", "room"]));
            client.expect(OK);
        } else {
            client.expect(&error(400));
            client.expect_end();
        }
    }
}

#[test]
fn without_ka_the_second_request_is_ignored_be_16() {
    let broker = Broker::start(2);
    let mut client = Backend::connect(&broker);
    let mut bytes = broker.packet("req", &["OC", "room"]);
    bytes.extend(bare(&["KA"]));
    client.send(&bytes);
    client.expect(OK);
    client.expect_end();
}

#[test]
fn segments_do_not_matter_ka() {
    let broker = Broker::start(2);
    let script = |broker: &Broker| {
        let mut bytes = broker.packet("req", &["KA"]);
        bytes.extend(bare(&["OC", "room"]));
        bytes.extend(bare(&["BC", "room", "e", r#"{"x":"\r\n"}"#]));
        bytes.extend(bare(&["HB"]));
        bytes
    };
    let whole = script(&broker).len();
    let mut cut: Vec<_> = (1..whole)
        .map(|at| {
            let mut client = Backend::connect(&broker);
            let bytes = script(&broker);
            client.send(&bytes[..at]);
            (client, bytes[at..].to_vec())
        })
        .collect();
    assert_eq!(broker.request(&["OC", "marker"]), OK);
    for (client, rest) in &mut cut {
        client.send(rest);
    }
    for (client, _) in &mut cut {
        for answer in [OK, OK, OK, HEARTBEAT] {
            client.expect(answer);
        }
    }
}

#[test]
fn more_than_may_be_in_flight_wait_their_turn_ka() {
    for shards in [1, 2, 4] {
        let channels: Vec<_> = (0..8).map(|n| format!("room{n}")).collect();
        let channels: Vec<_> = channels.iter().map(String::as_str).collect();
        let broker = Broker::with_channels(shards, &channels);
        let mut client = Backend::kept(&broker);
        let count = 4 * REQUESTS_IN_FLIGHT_MAX + 1;
        let mut bytes = Vec::new();
        for n in 0..count {
            // Their homes are on all shards; every fifth is refused.
            let channel = if n % 5 == 4 { "none" } else { channels[n % 8] };
            bytes.extend(bare(&["BC", channel, "e", "{}"]));
        }
        client.send(&bytes);
        for n in 0..count {
            client.expect(&if n % 5 == 4 { error(454) } else { OK.into() });
        }
    }
}

#[test]
fn who_does_not_read_answers_is_held_back_and_loses_none_ka() {
    let broker = Broker::start(2);
    let mut client = Backend::kept(&broker);
    let count = 200_000;
    let mut writer = client.stream.try_clone().expect("a descriptor");
    let (sent, written) = std::sync::mpsc::channel();
    let writing = thread::spawn(move || {
        let hundred = bare(&["HB"]).repeat(100);
        for _ in 0..count / 100 {
            writer.write_all(&hundred).expect("sent");
            let _ = sent.send(());
        }
    });
    // Begins to read when some thousand requests are under way.
    written.iter().take(50).for_each(drop);
    for _ in 0..count {
        client.expect(HEARTBEAT);
    }
    writing.join().expect("sent all");
}

#[test]
fn an_error_of_framing_ends_it_behind_the_answers_owed_ka_be_27() {
    for shards in [1, 2, 4] {
        let broker = Broker::with_channels(shards, &["a", "b", "c", "d"]);
        for _ in 0..4 {
            let mut client = Backend::kept(&broker);
            let mut bytes = Vec::new();
            for channel in ["a", "b", "c", "d", "none"] {
                bytes.extend(bare(&["BC", channel, "e", "{}"]));
            }
            bytes.extend(vec![b'x'; PACKET_BYTES_MAX]);
            bytes.extend(bare(&["OC", "room"]));
            client.send(&bytes);
            for _ in 0..4 {
                client.expect(OK);
            }
            client.expect(&error(454));
            client.expect(&error(400));
            client.expect_end();
        }
        assert_eq!(broker.request(&["CC", "room"]), error(454));
    }
}

#[test]
fn half_a_packet_is_waited_for_five_seconds_ka_be_22() {
    let broker = Broker::start(2);
    let mut client = Backend::kept(&broker);
    let mut idle = Backend::kept(&broker);
    // Bytes that trickle in gain no time; neither does the end of it all.
    let mut writer = client.stream.try_clone().expect("a descriptor");
    let began = Instant::now();
    let trickle = thread::spawn(move || {
        while writer.write_all(b"x").is_ok() {
            thread::sleep(Duration::from_millis(100));
        }
    });
    client.expect(&error(400));
    assert!(began.elapsed() + Duration::from_millis(2) >= PACKET_TIMEOUT);
    client.stream.shutdown(Shutdown::Both).expect("connected");
    trickle.join().expect("ended");
    // Silence between packets is no half packet.
    idle.send(&bare(&["HB"]));
    idle.expect(HEARTBEAT);
}

#[test]
fn who_sends_no_more_still_gets_every_answer_ka() {
    for shards in [1, 2, 4] {
        let broker = Broker::with_channels(shards, &["a", "b", "c", "d"]);
        for round in 0..8 {
            let mut client = Backend::kept(&broker);
            let mut bytes = Vec::new();
            for channel in ["a", "b", "c", "d"] {
                bytes.extend(bare(&["BC", channel, "e", "{}"]));
            }
            bytes.extend(bare(&["OC", &format!("new{round}")]));
            client.send(&bytes);
            client.finish();
            for _ in 0..5 {
                client.expect(OK);
            }
            client.expect_end();
        }
    }
}

#[test]
fn the_deletion_of_its_vhost_ends_it_with_qt_ka() {
    for shards in [1, 2, 4] {
        let broker = Broker::start(shards);
        let mut kept: Vec<_> = (0..8).map(|_| Backend::kept(&broker)).collect();
        let mut busy: Vec<_> = (0..8).map(|_| Backend::kept(&broker)).collect();
        for client in &mut busy {
            let bytes: Vec<u8> = (0..50)
                .flat_map(|n| bare(&["OC", &format!("room{n}")]))
                .collect();
            client.send(&bytes);
        }
        broker.delete_vhost("/test");
        for client in &mut kept {
            client.expect(QUIT);
            client.expect_end();
        }
        for client in &mut busy {
            // Whatever was answered was answered whole; then it is told to go.
            let mut answer = client.receive();
            while answer.as_deref() == Some(OK) || answer == Some(error(402)) {
                answer = client.receive();
            }
            assert_eq!(answer.as_deref(), Some(QUIT));
            client.expect_end();
        }
        assert_eq!(broker.request(&["OC", "room"]), error(402));
    }
}
