//! What connections keep of messages, heads and packets that are not whole: counted
//! in and out to the byte, and bounded for all of a node (docs/decisions/0021).
//! Method: real sockets; what is kept is read from the node's meters. Buffers are
//! filled by one write each, of which the broker keeps exactly as many bytes.

#[path = "frontend/raw.rs"]
mod raw;
#[path = "support/mod.rs"]
mod support;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;

use raw::{CLOSE, Raw, TEXT, masked};
use socket2::SockRef;
use support::backend::{Backend, OK, QUIT, Worker, error};
use support::{Broker, eventually, fresh_id, unhurried};
use webrocket::meter::{Refused, ShardMeter};

/// What all of them may keep.
const BOUND: u64 = 100_000;
/// What one of them keeps.
const PIECE: usize = 10_000;
/// So many leave room for one more.
const FULL: usize = 9;

const REASON: &str = "unfinished message, and no room for it";

fn broker(bound: u64) -> Broker {
    let mut quotas = unhurried();
    quotas.unfinished_bytes_max = bound;
    Broker::with_quotas(1, quotas)
}

fn kept_bytes(meters: &[Arc<ShardMeter>]) -> u64 {
    meters
        .iter()
        .map(|meter| meter.unfinished_bytes.value())
        .sum()
}

fn refused(broker: &Broker) -> u64 {
    broker.node().meters()[0].refused(Refused::UnfinishedBytes)
}

fn expect_kept(broker: &Broker, bytes: usize) {
    eventually(|| kept_bytes(broker.node().meters()) == bytes as u64);
}

/// The beginning of a large text message, so many bytes with its header.
fn half_message(bytes: usize) -> Vec<u8> {
    let mut frame = masked(TEXT, &vec![b'x'; 200_000]);
    frame.truncate(bytes);
    frame
}

fn half_head(bytes: usize) -> Vec<u8> {
    let mut head = b"GET /test HTTP/1.1\r\nX: ".to_vec();
    head.resize(bytes, b'x');
    head
}

fn half_packet(bytes: usize) -> Vec<u8> {
    vec![b'x'; bytes]
}

/// Each kind of connection, with so many bytes of something unfinished.
fn keepers(broker: &Broker, bytes: usize) -> Vec<TcpStream> {
    let send = |mut stream: TcpStream, bytes: Vec<u8>| {
        stream.write_all(&bytes).expect("sent");
        stream
    };
    let fragment = masked(TEXT & 0x7f, &vec![b'x'; bytes]);
    let worker = || Worker::silent(broker, "/test", broker.token(), &fresh_id());
    vec![
        send(Raw::connect(broker).stream, half_head(bytes)),
        send(Raw::upgraded(broker).stream, half_message(bytes)),
        send(Raw::upgraded(broker).stream, fragment),
        send(broker.backend(), half_packet(bytes)),
        send(Backend::kept(broker).stream, half_packet(bytes)),
        send(worker().backend.stream, half_packet(bytes)),
    ]
}

#[test]
fn who_ends_or_is_reset_keeps_nothing() {
    let broker = broker(u64::MAX);
    for reset in [false, true] {
        let keepers = keepers(&broker, PIECE);
        expect_kept(&broker, PIECE * keepers.len());
        for keeper in keepers {
            if reset {
                let linger = Some(Duration::ZERO);
                SockRef::from(&keeper).set_linger(linger).expect("set");
            }
            drop(keeper);
        }
        expect_kept(&broker, 0);
    }
    assert!(broker.stop());
}

#[test]
fn what_becomes_whole_is_kept_no_longer() {
    let broker = broker(u64::MAX);
    let mut raw = Raw::upgraded(&broker);
    let message = masked(TEXT, br#"{"subscribe":{"channel":"none"}}"#);
    for cut in [1, 5, message.len() - 1] {
        raw.write(&message[..cut]);
        expect_kept(&broker, cut);
        raw.write(&message[cut..]);
        raw.receive();
        expect_kept(&broker, 0);
    }
    // In fragments, and closed amid them.
    raw.write(&masked(TEXT & 0x7f, &[b'x'; PIECE]));
    expect_kept(&broker, PIECE);
    raw.send(CLOSE, &1000_u16.to_be_bytes());
    raw.expect_close(1000);
    expect_kept(&broker, 0);

    let mut client = Backend::kept(&broker);
    let packet = b"OC\nother\n\r\n\r\n";
    client.send(&packet[..6]);
    expect_kept(&broker, 6);
    client.send(&packet[6..]);
    client.expect(OK);
    expect_kept(&broker, 0);
    // One and a half: only the half is kept.
    client.send(b"OC\nmore\n\r\n\r\nOC\nye");
    client.expect(OK);
    expect_kept(&broker, 5);
    drop(client);
    expect_kept(&broker, 0);
    assert!(broker.stop());
}

/// Heads after ten seconds, packets after five, workers after one and a half;
/// messages have all the time there is.
#[test]
fn who_takes_too_long_keeps_nothing() {
    let broker = broker(u64::MAX);
    let keepers = keepers(&broker, PIECE);
    expect_kept(&broker, PIECE * keepers.len());
    expect_kept(&broker, PIECE * 2);
    drop(keepers);
    expect_kept(&broker, 0);
}

#[test]
fn who_is_sent_away_keeps_nothing() {
    let broker = broker(u64::MAX);
    let before = keepers(&broker, PIECE);
    expect_kept(&broker, PIECE * before.len());
    // Frontends, clients and workers of it go.
    broker.delete_vhost("/test");
    expect_kept(&broker, 2 * PIECE);
    let meters = broker.node().meters().to_vec();
    assert!(broker.stop());
    assert_eq!(kept_bytes(&meters), 0);
    drop(before);
}

#[test]
fn a_drain_counts_everyone_out() {
    let broker = broker(u64::MAX);
    let keepers = keepers(&broker, PIECE);
    expect_kept(&broker, PIECE * keepers.len());
    let meters = broker.node().meters().to_vec();
    assert!(broker.stop());
    assert_eq!(kept_bytes(&meters), 0);
}

/// Fills the bound but for one piece.
fn fill(broker: &Broker) -> Vec<Raw> {
    let fillers: Vec<Raw> = (1..=FULL)
        .map(|count| {
            let mut raw = Raw::upgraded(broker);
            raw.write(&half_message(PIECE));
            expect_kept(broker, count * PIECE);
            raw
        })
        .collect();
    assert_eq!(refused(broker), 0);
    fillers
}

#[test]
fn at_the_bound_who_keeps_more_than_is_free_is_told_and_who_keeps_little_is_served() {
    let broker = broker(BOUND);
    let fillers = fill(&broker);
    let mut told = 0;
    for keeper in keepers(&broker, PIECE + 1) {
        let mut answer = Vec::new();
        let mut keeper = keeper;
        keeper.read_to_end(&mut answer).expect("an end");
        let text = String::from_utf8_lossy(&answer);
        match told {
            0 => assert!(text.starts_with("HTTP/1.1 503 "), "{text}"),
            1 | 2 => {
                assert_eq!(answer[..2], [CLOSE, 2 + REASON.len() as u8], "{text}");
                assert_eq!(answer[2..4], 1013_u16.to_be_bytes());
                assert_eq!(&answer[4..], REASON.as_bytes());
            }
            3 => assert_eq!(text, error(597)),
            4 => assert_eq!(text, error(597) + QUIT),
            // Heartbeats may stand before it.
            _ => assert!(text.ends_with(&error(597)), "{text}"),
        }
        told += 1;
    }
    assert_eq!((told, refused(&broker)), (6, 6));
    expect_kept(&broker, FULL * PIECE);

    // The last piece fits, to the byte; then nothing does but what is whole.
    let mut last = Raw::upgraded(&broker);
    last.write(&half_message(PIECE));
    expect_kept(&broker, (FULL + 1) * PIECE);
    assert_eq!((FULL + 1) * PIECE, BOUND as usize);
    let mut whole = Raw::upgraded(&broker);
    whole.send_text(r#"{"subscribe":{"channel":"none"}}"#);
    assert_eq!(whole.receive()[":error"]["code"], 454);
    whole.write(&half_message(1));
    whole.expect_close(1013);
    assert_eq!(refused(&broker), told + 1);

    // A little room, and there is some for little.
    drop(last);
    expect_kept(&broker, FULL * PIECE);
    let mut small = Raw::upgraded(&broker);
    let message = masked(TEXT, br#"{"subscribe":{"channel":"none"}}"#);
    small.write(&message[..20]);
    expect_kept(&broker, FULL * PIECE + 20);
    small.write(&message[20..]);
    assert_eq!(small.receive()[":error"]["code"], 454);
    assert_eq!(refused(&broker), told + 1);
    drop(fillers);
    expect_kept(&broker, 0);
    assert!(broker.stop());
}

#[test]
fn a_client_hears_what_it_is_owed_before() {
    let broker = broker(BOUND);
    let fillers = fill(&broker);
    let mut client = Backend::kept(&broker);
    let mut packets = b"OC\none\n\r\n\r\nOC\ntwo\n\r\n\r\n".to_vec();
    packets.resize(packets.len() + PIECE + 1, b'x');
    client.send(&packets);
    client.expect(OK);
    // The second has waited for the first, and with it all that is behind it.
    client.expect(&error(597));
    client.expect(QUIT);
    client.expect_end();
    assert_eq!(refused(&broker), 1);
    expect_kept(&broker, FULL * PIECE);
    drop(fillers);
    assert!(broker.stop());
}
