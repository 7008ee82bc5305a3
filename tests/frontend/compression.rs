//! permessage-deflate: agreed on where the vhost has it on, and only there;
//! compressed once for all who share parameters; bounded.

use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress};
use serde_json::{Value, json};
use webrocket::limits::DEFLATE_BYTES_MIN;
use webrocket::model::Quotas;

use crate::raw::{Raw, TEXT, UPGRADE, masked};
use crate::support::{Broker, PATIENCE, eventually, unhurried};

const COMPRESSED: u8 = TEXT | 0x40;

fn compressing() -> Quotas {
    let mut quotas = unhurried();
    quotas.default.compression = true;
    quotas
}

/// A browser with this offer, `:connected` taken; and what was agreed on.
fn offering(broker: &Broker, offer: &str) -> (Raw, Option<String>) {
    let mut raw = Raw::connect(broker);
    let offer = format!("Sec-WebSocket-Extensions: {offer}\r\n");
    raw.write(format!("GET /test HTTP/1.1\r\n{UPGRADE}{offer}\r\n").as_bytes());
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.extend(raw.read(1));
    }
    let head = String::from_utf8(head).expect("text");
    assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
    let agreed = head
        .lines()
        .find_map(|line| line.strip_prefix("Sec-WebSocket-Extensions: "));
    assert_eq!(
        raw.receive()[":connected"]["sid"].as_str().map(str::len),
        Some(36)
    );
    (raw, agreed.map(str::to_owned))
}

fn subscribe(raw: &mut Raw, channel: &str) {
    raw.send_text(&json!({"subscribe": {"channel": channel}}).to_string());
    raw.expect_text(&json!({":subscribed": {"channel": channel}}).to_string());
}

/// As a client compresses a message: with a library of its own.
fn deflated(message: &[u8]) -> Vec<u8> {
    let mut state = Compress::new(Compression::best(), false);
    let mut out = Vec::with_capacity(message.len() + 100);
    state
        .compress_vec(message, &mut out, FlushCompress::Sync)
        .expect("deflated");
    let end = out.len() - 4;
    assert_eq!(out.split_off(end), [0, 0, 0xff, 0xff]);
    out
}

fn inflated(payload: &[u8], window_bits: u8) -> Vec<u8> {
    let mut state = Decompress::new_with_window_bits(false, window_bits);
    let mut out = Vec::with_capacity(1 << 20);
    for part in [payload, &[0, 0, 0xff, 0xff]] {
        state
            .decompress_vec(part, &mut out, FlushDecompress::Sync)
            .expect("inflated");
    }
    out
}

/// An event with so many bytes of text, and what subscribers get of it.
fn event(text_bytes: usize) -> String {
    let text = "lorem ipsum ".repeat(text_bytes / 12 + 1);
    json!({"broadcast": {"channel": "room", "event": "said", "data": {"text": &text[..text_bytes]}}}).to_string()
}

fn compressed(broker: &Broker) -> u64 {
    let meters = broker.node().meters().iter();
    meters.map(|meter| meter.compressed.count()).sum()
}

#[test]
fn nobody_compresses_where_it_is_off_hs_15() {
    let broker = Broker::with_channels(1, &["room"]);
    let (mut raw, agreed) = offering(&broker, "permessage-deflate");
    assert_eq!(agreed, None);
    raw.send(COMPRESSED, &deflated(br#"{"unsubscribe":{}}"#));
    raw.expect_close(1002);
    // On, but not offered in a way that can be taken.
    let broker = Broker::with_quotas(1, compressing());
    for offer in ["permessage-deflate; unknown", "x-webkit-deflate-frame"] {
        assert_eq!(offering(&broker, offer).1, None);
    }
    let mut raw = Raw::upgraded(&broker);
    raw.send(COMPRESSED, &deflated(b"{}"));
    raw.expect_close(1002);
}

#[test]
fn a_broadcast_is_compressed_once_for_all_who_share_parameters() {
    for shards in [1, 2] {
        let broker = Broker::with_quotas(shards, compressing());
        broker.open_channel("room");
        let offers = [
            ("permessage-deflate; client_max_window_bits", 15),
            ("permessage-deflate; server_max_window_bits=9", 9),
        ];
        let mut members: Vec<(Raw, u8)> = (0..24)
            .map(|at| {
                let (offer, window_bits) = offers[at % 2];
                let (mut raw, agreed) = offering(&broker, offer);
                let narrow = agreed.expect("agreed").contains("server_max_window_bits=9");
                assert_eq!(narrow, window_bits == 9);
                subscribe(&mut raw, "room");
                (raw, window_bits)
            })
            .collect();
        let mut plain = Raw::upgraded(&broker);
        subscribe(&mut plain, "room");
        for bytes in [2000, 70_000] {
            let before = compressed(&broker);
            plain.send_text(&event(bytes));
            let (first, expected) = plain.frame();
            assert_eq!(first, TEXT);
            for (raw, window_bits) in &mut members {
                let (first, payload) = raw.frame();
                assert_eq!(first, COMPRESSED);
                assert!(4 * payload.len() < expected.len());
                assert_eq!(inflated(&payload, *window_bits), expected);
            }
            // Twice, for two sets of parameters, on each shard that has both.
            let times = compressed(&broker) - before;
            assert!((2..=2 * u64::from(shards)).contains(&times), "{times}");
        }
        // Not worth it.
        let before = compressed(&broker);
        plain.send_text(&event(0));
        let (first, expected) = plain.frame();
        assert!(expected.len() < DEFLATE_BYTES_MIN);
        for (raw, _) in &mut members {
            assert_eq!(raw.frame(), (first, expected.clone()));
        }
        assert_eq!(compressed(&broker), before);
        // Nobody is left who compresses: nothing is.
        drop(members);
        eventually(|| broker.subscribers("room") == 1);
        plain.send_text(&event(2000));
        assert_eq!(plain.frame().0, TEXT);
        assert_eq!(compressed(&broker), before);
    }
}

#[test]
fn compressed_messages_are_read_whole_or_in_fragments() {
    let broker = Broker::with_quotas(1, compressing());
    broker.open_channel("room");
    let (mut raw, _) = offering(&broker, "permessage-deflate");
    subscribe(&mut raw, "room");
    let message = event(3000);
    let payload = deflated(message.as_bytes());
    raw.send(COMPRESSED, &payload);
    let (first, whole) = raw.frame();
    assert_eq!(first, COMPRESSED);
    let (front, back) = payload.split_at(payload.len() / 2);
    raw.send(COMPRESSED & !0x80, front);
    raw.send(0x89, b"between");
    raw.send(0x80, back);
    raw.expect(0x8a, b"between");
    assert_eq!(raw.frame(), (first, whole.clone()));
    // Plain ones as well, in between.
    raw.send_text(&message);
    assert_eq!(raw.frame(), (first, whole.clone()));
    let text: Value = serde_json::from_slice(&inflated(&whole, 15)).expect("JSON");
    assert_eq!(text["said"]["text"].as_str().map(str::len), Some(3000));
}

#[test]
fn inflated_messages_at_the_bound_and_past_it() {
    let mut quotas = compressing();
    quotas.default.message_bytes_max = 4096;
    let broker = Broker::with_quotas(1, quotas);
    let message = |bytes| {
        let mut text = br#"{"unknown":{}}"#.to_vec();
        text.resize(bytes, b' ');
        deflated(&text)
    };
    let (mut raw, _) = offering(&broker, "permessage-deflate");
    raw.send(COMPRESSED, &message(4096));
    assert_eq!(raw.receive()[":error"]["code"], 400);
    raw.send(COMPRESSED, &message(4097));
    raw.expect_close(1009);
    // 256 MiB in 250 KiB would be: refused by what is sent, and by what it holds.
    let bomb = message(3 << 20);
    assert!(bomb.len() < 4096);
    let (mut raw, _) = offering(&broker, "permessage-deflate");
    raw.send(COMPRESSED, &bomb);
    raw.expect_close(1009);
}

#[test]
fn many_that_inflate_to_much_are_all_answered() {
    for shards in [1, 2] {
        let broker = Broker::with_quotas(shards, compressing());
        let (mut raw, _) = offering(&broker, "permessage-deflate");
        let text = "x".repeat(900_000);
        let message = json!({"broadcast": {"channel": "none", "event": text, "data": {}}});
        let payload = deflated(message.to_string().as_bytes());
        // All in one read: some 36 MB behind 40 KB.
        let mut frames = Vec::new();
        for _ in 0..40 {
            frames.extend(masked(COMPRESSED, &payload));
        }
        assert!(frames.len() < 60_000);
        raw.write(&frames);
        for _ in 0..40 {
            assert_eq!(raw.receive()[":error"]["code"], 454);
        }
        raw.send_text("{\"close\":{}}");
        assert!(raw.receive().get(":closed").is_some());
    }
}

#[test]
fn what_is_no_deflate_data_or_no_text_is_1007() {
    let broker = Broker::with_quotas(1, compressing());
    for payload in [&[0xff, 0xff, 0xff][..], &deflated(b"\xff\xfe")] {
        let (mut raw, _) = offering(&broker, "permessage-deflate");
        raw.send(COMPRESSED, payload);
        raw.expect_close(1007);
    }
    // A control frame is never compressed, nor a frame amid a message.
    for first in [0xc9, 0xc0] {
        let (mut raw, _) = offering(&broker, "permessage-deflate");
        raw.send(first, b"");
        raw.expect_close(1002);
    }
}

#[test]
fn several_channels_come_in_order() {
    let broker = Broker::with_quotas(2, compressing());
    let channels: Vec<String> = (0..5).map(|at| format!("room{at}")).collect();
    broker.open_channels(&channels);
    let (mut raw, _) = offering(&broker, "permessage-deflate");
    channels.iter().for_each(|name| subscribe(&mut raw, name));
    // A plain member, which sends.
    let mut sender = Raw::upgraded(&broker);
    channels
        .iter()
        .for_each(|name| subscribe(&mut sender, name));
    let text = "x".repeat(400);
    let mut numbers = vec![0; channels.len()];
    for number in 0..300 {
        let channel = number % channels.len();
        let data = json!({"number": number, "text": text});
        let event =
            json!({"broadcast": {"channel": channels[channel], "event": "said", "data": data}});
        sender.send_text(&event.to_string());
    }
    raw.stream
        .set_read_timeout(Some(PATIENCE))
        .expect("a timeout");
    let mut packed = 0;
    for _ in 0..300 {
        let (first, payload) = raw.frame();
        let text = match first {
            COMPRESSED => inflated(&payload, 15),
            _ => payload,
        };
        packed += usize::from(first == COMPRESSED);
        let said = serde_json::from_slice::<Value>(&text).expect("JSON")["said"].take();
        let number = said["number"].as_u64().expect("a number") as usize;
        let channel = number % channels.len();
        assert_eq!(said["channel"], *channels[channel]);
        assert_eq!(number / channels.len(), numbers[channel], "in order");
        numbers[channel] += 1;
    }
    assert!(packed > 250, "{packed} of 300");
}
