//! Section 3.2, the frames of RFC 6455 under the messages.

use serde_json::json;

use crate::SHARDS;
use crate::raw::{BAD_REQUEST, BINARY, CLOSE, PING, PONG, Raw, TEXT, masked};
use crate::support::Broker;

const SUBSCRIBE: &str = r#"{"subscribe":{"channel":"room"}}"#;
const SUBSCRIBED: &str = r#"{":subscribed":{"channel":"room"}}"#;
/// First bytes of the parts of a fragmented message.
const TEXT_BEGINS: u8 = 0x01;
const BINARY_BEGINS: u8 = 0x02;
const GOES_ON: u8 = 0x00;
const ENDS: u8 = 0x80;

#[test]
fn a_ping_is_answered_with_its_bytes_fr_01() {
    let broker = Broker::start(2);
    let mut raw = Raw::upgraded(&broker);
    for payload in [&b""[..], b"hello", b"\x00\xff\xfe", &[b'p'; 125]] {
        raw.send(PING, payload);
        raw.expect(PONG, payload);
    }
    let pings: Vec<_> = (0..100_u8).flat_map(|n| masked(PING, &[n])).collect();
    raw.write(&pings);
    (0..100).for_each(|n| raw.expect(PONG, &[n]));
}

#[test]
fn a_pong_that_nobody_asked_for_is_ignored_fr_02() {
    let broker = Broker::start(2);
    let mut raw = Raw::upgraded(&broker);
    raw.send(PONG, b"");
    raw.send(PONG, b"unasked");
    raw.send(PING, b"marker");
    raw.expect(PONG, b"marker");
}

#[test]
fn fragments_are_one_message_fr_03() {
    for shards in SHARDS {
        let broker = Broker::with_channels(shards, &["room"]);
        let mut raw = Raw::upgraded(&broker);
        let (front, back) = SUBSCRIBE.as_bytes().split_at(9);
        raw.send(TEXT_BEGINS, front);
        raw.send(ENDS, back);
        raw.expect_text(SUBSCRIBED);
        // Cut within a character; with control frames and empty parts between.
        let event = r#"{"broadcast":{"channel":"room","event":"grüß","data":{}}}"#;
        let cut = event.find('ü').expect("an umlaut") + 1;
        let (front, back) = event.as_bytes().split_at(cut);
        raw.send(TEXT_BEGINS, b"");
        raw.send(PING, b"between");
        raw.send(GOES_ON, front);
        raw.send(PONG, b"");
        raw.send(GOES_ON, b"");
        raw.send(ENDS, back);
        raw.expect(PONG, b"between");
        assert_eq!(raw.receive()["grüß"]["channel"], "room");
        // Each byte a frame of its own.
        raw.send(TEXT_BEGINS, b"");
        event.bytes().for_each(|byte| raw.send(GOES_ON, &[byte]));
        raw.send(ENDS, b"");
        assert_eq!(raw.receive()["grüß"]["channel"], "room");
        raw.send_text("");
        raw.expect_text(BAD_REQUEST);
    }
}

#[test]
fn frames_may_be_cut_anywhere_in_the_stream() {
    let broker = Broker::with_channels(2, &["room"]);
    let mut raw = Raw::upgraded(&broker);
    let long = format!(
        r#"{{"broadcast":{{"channel":"room","event":"long","data":{{"text":"{}"}}}}}}"#,
        "x".repeat(300)
    );
    let mut stream = masked(TEXT, SUBSCRIBE.as_bytes());
    stream.extend(masked(TEXT, long.as_bytes()));
    stream.extend(masked(PING, b"marker"));
    for byte in stream {
        raw.write(&[byte]);
    }
    raw.expect_text(SUBSCRIBED);
    // The pong may overtake the event, which travels over its home shard.
    let (mut event, mut pong) = (false, false);
    for _ in 0..2 {
        match raw.frame() {
            (PONG, payload) => pong = payload == b"marker",
            (_, payload) => event = payload.starts_with(br#"{"long":"#),
        }
    }
    assert!(event && pong);
}

#[test]
fn binary_is_taken_like_text_fr_04() {
    let broker = Broker::with_channels(2, &["room"]);
    let mut raw = Raw::upgraded(&broker);
    raw.send(BINARY, SUBSCRIBE.as_bytes());
    raw.expect_text(SUBSCRIBED);
    let (front, back) = br#"{"unsubscribe":{"channel":"room"}}"#.split_at(5);
    raw.send(BINARY_BEGINS, front);
    raw.send(ENDS, back);
    raw.expect_text(r#"{":unsubscribed":{"channel":"room"}}"#);
    for bad in [&b""[..], b"\x00\x01", b"\xff", b"{\"pong\":\"\xc3\"}"] {
        raw.send(BINARY, bad);
        raw.expect_text(BAD_REQUEST);
    }
}

/// A fresh connection that sends these bytes is closed with this code.
fn expect_closed(broker: &Broker, bytes: &[u8], code: u16) {
    let mut raw = Raw::upgraded(broker);
    raw.write(bytes);
    raw.expect_close(code);
}

#[test]
fn an_unmasked_frame_ends_the_connection_fr_05() {
    let broker = Broker::start(2);
    expect_closed(&broker, b"\x81\x05hello", 1002);
    expect_closed(&broker, b"\x81\x00", 1002);
    expect_closed(&broker, b"\x89\x00", 1002);
    expect_closed(&broker, b"\x88\x02\x03\xe8", 1002);
}

#[test]
fn what_is_no_frame_of_rfc_6455_ends_the_connection() {
    let broker = Broker::start(2);
    for first in [0xc1, 0xa1, 0x91, 0x83, 0x87, 0x8b, 0x8f] {
        expect_closed(&broker, &masked(first, b"{}"), 1002);
    }
    for control in [0x08, 0x09, 0x0a] {
        expect_closed(&broker, &masked(control, b""), 1002);
    }
    for control in [CLOSE, PING, PONG] {
        expect_closed(&broker, &masked(control, &[b'x'; 126]), 1002);
    }
    // A continuation of nothing, and a message inside another.
    expect_closed(&broker, &masked(ENDS, b"{}"), 1002);
    expect_closed(&broker, &masked(GOES_ON, b"{}"), 1002);
    let nested = [masked(TEXT_BEGINS, b"{"), masked(TEXT, b"{}")].concat();
    expect_closed(&broker, &nested, 1002);
}

#[test]
fn a_close_is_answered_with_its_code_fr_06() {
    let broker = Broker::start(2);
    for (payload, answer) in [
        (&b""[..], &b"\x03\xe8"[..]),
        (b"\x03\xe8", b"\x03\xe8"),
        (b"\x03\xe9going away", b"\x03\xe9"),
        (b"\x0b\xb8", b"\x0b\xb8"),
        (b"\x13\x87", b"\x13\x87"),
    ] {
        let mut raw = Raw::upgraded(&broker);
        // Nothing behind the close counts.
        let mut stream = masked(CLOSE, payload);
        stream.extend(masked(TEXT, b"no JSON"));
        raw.write(&stream);
        raw.expect(CLOSE, answer);
        raw.expect_end();
    }
    for code in [0_u16, 999, 1004, 1005, 1006, 1015, 1016, 2999, 5000, 65535] {
        expect_closed(&broker, &masked(CLOSE, &code.to_be_bytes()), 1002);
    }
    expect_closed(&broker, &masked(CLOSE, b"\x03"), 1002);
    expect_closed(&broker, &masked(CLOSE, b"\x03\xe8\xff"), 1007);
}

#[test]
fn a_close_comes_behind_the_answers_before_it_fr_06() {
    for shards in SHARDS {
        let broker = Broker::with_channels(shards, &["room"]);
        for _ in 0..8 {
            let mut raw = Raw::upgraded(&broker);
            let mut stream = masked(TEXT, SUBSCRIBE.as_bytes());
            stream.extend(masked(TEXT, b"no JSON"));
            stream.extend(masked(CLOSE, b"\x03\xe8"));
            raw.write(&stream);
            raw.expect_text(SUBSCRIBED);
            raw.expect_text(BAD_REQUEST);
            raw.expect(CLOSE, b"\x03\xe8");
            raw.expect_end();
        }
    }
}

#[test]
fn text_that_is_no_utf_8_closes_with_1007_fr_11() {
    let broker = Broker::start(2);
    for bad in [
        &b"\xff"[..],
        b"\xc3",
        b"\xc0\xaf",
        b"\xed\xa0\x80",
        b"\xf4\x90\x80\x80",
    ] {
        expect_closed(&broker, &masked(TEXT, bad), 1007);
    }
    let parts = [masked(TEXT_BEGINS, b"{\"\xc3"), masked(ENDS, b"(\":{}}")].concat();
    expect_closed(&broker, &parts, 1007);
}

#[test]
fn one_frame_to_the_server_is_one_frame_from_it_at_every_length() {
    let broker = Broker::with_channels(2, &["r"]);
    let mut raw = Raw::upgraded(&broker);
    raw.send_text(r#"{"subscribe":{"channel":"r"}}"#);
    raw.expect_text(r#"{":subscribed":{"channel":"r"}}"#);
    let mut seen = std::collections::HashSet::new();
    // Around each length at which a header grows; `frame` checks its form.
    for len in (0..140).chain(65_400..65_560) {
        let text = "x".repeat(len);
        let event = json!({"broadcast": {"channel": "r", "event": "e", "data": {"t": text}}});
        raw.send_text(&event.to_string());
        let (first, payload) = raw.frame();
        assert_eq!(first, TEXT);
        let received: serde_json::Value = serde_json::from_slice(&payload).expect("JSON");
        assert_eq!(received["e"]["t"], text);
        seen.insert(payload.len());
    }
    for len in [125, 126, 65_535, 65_536] {
        assert!(seen.contains(&len), "no event of {len} bytes");
    }
}
