//! How backend connections end: silence, half a packet, a peer that has gone or
//! sends no more, and bytes that nobody wants.

mod support;

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::json;
use support::Broker;
use support::backend::{Backend, OK, error};
use webrocket::limits::PACKET_TIMEOUT;

/// What the broker says until it closes, within what is left of the time.
fn last_words(backend: &mut Backend) -> Option<String> {
    let said = backend.receive();
    if said.is_some() {
        backend.expect_end();
    }
    said
}

#[test]
fn silence_and_half_a_packet_end_after_five_seconds_be_22_be_23() {
    let broker = Broker::start(2);
    let began = Instant::now();
    let mut silent: Vec<_> = (0..4).map(|_| Backend::connect(&broker)).collect();
    let mut halves: Vec<_> = (0..4).map(|_| Backend::connect(&broker)).collect();
    for backend in &mut halves {
        let packet = broker.packet("req", &["OC", "half"]);
        backend.send(&packet[..packet.len() - 2]);
    }
    // Bytes that trickle in gain no time.
    let trickling = Backend::connect(&broker);
    let mut writer = trickling.stream.try_clone().expect("a descriptor");
    let trickle = thread::spawn(move || {
        while writer.write_all(b"x").is_ok() {
            thread::sleep(Duration::from_millis(100));
        }
    });
    for backend in silent.iter_mut().chain(&mut halves) {
        assert_eq!(last_words(backend), Some(error(400)));
        // The clock of a shard counts whole milliseconds.
        assert!(began.elapsed() + Duration::from_millis(2) >= PACKET_TIMEOUT);
    }
    let mut trickling = trickling;
    trickling.expect(&error(400));
    assert!(began.elapsed() + Duration::from_millis(2) >= PACKET_TIMEOUT);
    trickling
        .stream
        .shutdown(Shutdown::Both)
        .expect("connected");
    trickle.join().expect("ended");
    assert_eq!(broker.request(&["CC", "half"]), error(454));
}

#[test]
fn half_a_packet_is_not_executed_at_the_end_of_the_stream_be_21() {
    let broker = Broker::start(2);
    let whole = broker.packet("req", &["OC", "half"]);
    for end in 1..whole.len() {
        let mut backend = Backend::connect(&broker);
        backend.send(&whole[..end]);
        backend.finish();
        assert_eq!(last_words(&mut backend), Some(error(400)));
    }
    assert_eq!(broker.request(&["CC", "half"]), error(454));
    // Nothing at all: just closed.
    let mut backend = Backend::connect(&broker);
    backend.finish();
    backend.expect_end();
}

#[test]
fn binary_junk_is_refused_be_24_be_25_be_26() {
    let broker = Broker::start(2);
    let all: Vec<u8> = (0..=255).collect();
    for (junk, code) in [
        (all.clone(), 400),
        (vec![0; 5000], 400),
        (
            b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03".to_vec(),
            400,
        ),
        (b"GET / HTTP/1.1\r\nHost: x\r\n".to_vec(), 400),
        // The empty line of HTTP is half a terminator; two of them are a packet.
        (b"POST / HTTP/1.1\r\n\r\n\r\n".to_vec(), 402),
        ([&all[..], b"\n\r\n\r\n"].concat(), 402),
        ([&[0xff; 300][..], b"\n\n\xfe\n\r\n\r\n"].concat(), 402),
    ] {
        let mut backend = Backend::connect(&broker);
        backend.send(&junk);
        backend.finish();
        assert_eq!(last_words(&mut backend), Some(error(code)), "{junk:?}");
    }
}

#[test]
fn who_sends_no_more_still_gets_the_answer() {
    for shards in [1, 2, 4] {
        let broker = Broker::with_channels(shards, &["room"]);
        for round in 0..16 {
            for frames in [
                &["OC", &format!("new{round}")][..],
                &["BC", "room", "e", "{}"],
            ] {
                let mut backend = Backend::connect(&broker);
                backend.send(&broker.packet("req", frames));
                backend.finish();
                backend.expect(OK);
                backend.expect_end();
            }
        }
    }
}

#[test]
fn who_closes_without_reading_is_served_be_29() {
    let broker = Broker::with_channels(2, &["room"]);
    let mut browser = broker.browser();
    browser.subscribe("room");
    for n in 0..50 {
        let mut backend = Backend::connect(&broker);
        let data = json!({"n": n}).to_string();
        backend.send(&broker.packet("req", &["BC", "room", "news", &data]));
        drop(backend);
        browser.expect(json!({"news": {"n": n, "channel": "room"}}));
    }
}

#[test]
fn no_reset_overtakes_the_answer() {
    let broker = Broker::with_channels(2, &["room"]);
    let unwanted = vec![b'x'; 200_000];
    for frames in [
        &["BC", "room", "e", "{}"][..],
        &["CC", "none"],
        &["nonsense"],
    ] {
        for _ in 0..20 {
            let mut backend = broker.backend();
            let mut bytes = broker.packet("req", frames);
            bytes.extend(&unwanted);
            let mut writer = backend.try_clone().expect("a descriptor");
            let sending = thread::spawn(move || {
                // What stands behind the request may meet a closed socket.
                let _ = writer.write_all(&bytes);
                let _ = writer.shutdown(Shutdown::Write);
            });
            sending.join().expect("sent");
            let mut answer = String::new();
            backend.read_to_string(&mut answer).expect("no reset");
            assert!(matches!(&answer[..2], "OK" | "ER"), "{answer:?}");
        }
    }
}

#[test]
fn refused_identities_are_answered_before_what_follows_is_thrown_away() {
    let broker = Broker::start(2);
    for _ in 0..20 {
        let mut backend = Backend::connect(&broker);
        let mut bytes = b"junk\n\nOC\nroom\n\r\n\r\n".to_vec();
        bytes.extend(vec![b'x'; 100_000]);
        backend.send(&bytes);
        assert_eq!(last_words(&mut backend), Some(error(402)));
    }
}

/// Requests under way need the other shards, even those that have no
/// connection left.
#[test]
fn a_drain_waits_for_the_answers_that_are_owed() {
    for round in 0..20 {
        let broker = Broker::with_channels(4, &["room"]);
        let addr = broker.node().backend_addr();
        let packets = [
            &["OC", "new"][..],
            &["CC", "new"],
            &["BC", "room", "e", "{}"],
        ]
        .map(|frames| broker.packet("req", frames));
        let clients: Vec<_> = packets
            .into_iter()
            .map(|packet| {
                thread::spawn(move || {
                    let mut answer = Vec::new();
                    while let Ok(mut stream) = TcpStream::connect(addr) {
                        let asked = stream.write_all(&packet);
                        // Past the drain nobody answers.
                        if asked
                            .and_then(|()| stream.read_to_end(&mut answer))
                            .is_err()
                        {
                            break;
                        }
                    }
                })
            })
            .collect();
        thread::sleep(Duration::from_millis(50));
        assert!(broker.stop(), "round {round}");
        clients.into_iter().for_each(|it| it.join().expect("ended"));
    }
}
