//! Browsers over `wss`: what plain ones get, in records.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;

use serde_json::json;
use socket2::{Domain, Socket, Type};
use tokio_tungstenite::tungstenite::Message;
use webrocket::meter::{Refused, Slow};
use webrocket::model::SlowConsumers;

use crate::SHARDS;
use crate::authority::{Files, broker};
use crate::peer::{Drip, browser, browser_over, over, refused, tcp, trusting, websocket_addr};
use crate::support::{Broker, eventually};

#[test]
fn browsers_over_tls_and_in_plain_share_a_channel() {
    for shards in SHARDS {
        let files = Files::new();
        let broker = broker(shards, &files);
        broker.open_channel("news");
        let mut secured: Vec<_> = (0..6).map(|_| browser(&broker, &files.authority)).collect();
        let mut plain = broker.browser();
        plain.subscribe("news");
        secured.iter_mut().for_each(|it| it.subscribe("news"));
        for n in 0..20 {
            secured[n % 6].broadcast("news", "said", json!({"n": n}));
            let sid = secured[n % 6].sid.clone();
            let event = json!({"said": {"n": n, "sid": sid, "channel": "news"}});
            for browser in &mut secured {
                browser.expect(event.clone());
            }
            plain.expect(event);
        }
        plain.broadcast("news", "said", json!({}));
        for browser in &mut secured {
            browser.expect(json!({"said": {"sid": plain.sid, "channel": "news"}}));
            browser.expect_nothing_before();
        }
    }
}

#[test]
fn a_large_message_takes_many_records() {
    for shards in SHARDS {
        let files = Files::new();
        let broker = broker(shards, &files);
        broker.open_channel("large");
        let mut speaker = browser(&broker, &files.authority);
        let mut listener = browser(&broker, &files.authority);
        listener.subscribe("large");
        speaker.subscribe("large");
        for bytes in [16_000, 16_384, 100_000, 1_000_000] {
            let text = "x".repeat(bytes);
            speaker.broadcast("large", "said", json!({"text": text}));
            let event = json!({"said": {"text": text, "sid": speaker.sid, "channel": "large"}});
            // One comparison: a megabyte in a message of a failing test helps nobody.
            assert!(listener.receive() == event, "{bytes} bytes");
            assert!(speaker.receive() == event, "{bytes} bytes");
        }
    }
}

#[test]
fn handshake_and_records_come_byte_by_byte() {
    let files = Files::new();
    let broker = broker(1, &files);
    broker.open_channel("slow");
    let stream = Drip(tcp(websocket_addr(&broker)));
    let mut dripping = browser_over(stream, &files.authority);
    dripping.subscribe("slow");
    let mut other = browser(&broker, &files.authority);
    other.subscribe("slow");
    dripping.broadcast("slow", "said", json!({"text": "y".repeat(300)}));
    let event = json!({"said": {"text": "y".repeat(300), "sid": dripping.sid, "channel": "slow"}});
    other.expect(event.clone());
    dripping.expect(event);
    other.broadcast("slow", "said", json!({"n": 1}));
    dripping.expect(json!({"said": {"n": 1, "sid": other.sid, "channel": "slow"}}));
}

#[test]
fn an_orderly_close_ends_with_close_notify() {
    let files = Files::new();
    let broker = broker(1, &files);
    let mut leaving = browser(&broker, &files.authority);
    leaving.socket.close(None).expect("closed");
    assert!(matches!(leaving.receive_raw(), Message::Close(_)));
    // Without it this would be an error.
    let mut rest = Vec::new();
    let ended = leaving.socket.get_mut().read_to_end(&mut rest);
    assert_eq!(ended.expect("close_notify"), 0);

    // The node's own close, at its end.
    let mut staying = browser(&broker, &files.authority);
    let stopped = std::thread::spawn(move || broker.stop());
    assert_eq!(staying.expect_close().0, 1001);
    staying.socket.flush().ok();
    let ended = staying.socket.get_mut().read_to_end(&mut rest);
    assert_eq!(ended.expect("close_notify"), 0);
    drop(staying);
    assert!(stopped.join().expect("no panic"));
}

#[test]
fn close_notify_is_answered_and_a_cut_stream_just_ends() {
    let files = Files::new();
    let broker = broker(1, &files);
    broker.open_channel("room");
    let mut polite = browser(&broker, &files.authority);
    polite.subscribe("room");
    let mut cut = browser(&broker, &files.authority);
    cut.subscribe("room");
    broker.expect_subscribers("room", 2);
    let stream = polite.socket.get_mut();
    stream.conn.send_close_notify();
    stream.flush().expect("sent");
    let mut rest = Vec::new();
    assert_eq!(stream.read_to_end(&mut rest).expect("close_notify"), 0);
    broker.expect_subscribers("room", 1);
    // FIN alone. What comes back is the end and nothing else.
    let stream = &cut.socket.get_mut().sock;
    stream
        .shutdown(std::net::Shutdown::Write)
        .expect("connected");
    broker.expect_subscribers("room", 0);
    let error = cut.socket.get_mut().read(&mut [0; 64]);
    let error = error.expect_err("no close_notify for a cut stream");
    assert_eq!(error.kind(), ErrorKind::UnexpectedEof);
}

#[test]
fn half_a_message_in_a_cut_stream_is_not_handled() {
    let files = Files::new();
    let broker = broker(1, &files);
    broker.open_channel("room");
    let mut listener = browser(&broker, &files.authority);
    listener.subscribe("room");
    let mut cut = browser(&broker, &files.authority);
    cut.subscribe("room");
    // A whole frame that lacks the last byte of its record.
    let stream = cut.socket.get_mut();
    let text = br#"{"broadcast":{"channel":"room","event":"said","data":{}}}"#;
    let mut frame = vec![0x81, 0x80 | text.len() as u8, 0, 0, 0, 0];
    frame.extend_from_slice(text);
    stream.conn.writer().write_all(&frame).expect("queued");
    let mut record = Vec::new();
    stream.conn.write_tls(&mut record).expect("sealed");
    stream
        .sock
        .write_all(&record[..record.len() - 1])
        .expect("sent");
    stream
        .sock
        .shutdown(std::net::Shutdown::Write)
        .expect("connected");
    broker.expect_subscribers("room", 1);
    listener.expect_nothing_before();
}

#[test]
fn a_forged_record_ends_its_connection_alone() {
    let files = Files::new();
    let broker = broker(1, &files);
    broker.open_channel("room");
    let mut other = browser(&broker, &files.authority);
    let mut forged = browser(&broker, &files.authority);
    forged.subscribe("room");
    other.subscribe("room");
    let stream = forged.socket.get_mut();
    let record = [&[23, 3, 3, 0, 32][..], &[7; 32]].concat();
    stream.sock.write_all(&record).expect("sent");
    let error = stream.read(&mut [0; 64]).expect_err("an alert");
    assert!(error.to_string().contains("BadRecordMac"), "{error}");
    eventually(|| refused(&broker, Refused::Tls) == 1);
    broker.expect_subscribers("room", 1);
    other.expect_nothing_before();
}

#[test]
fn a_slow_reader_is_evicted_and_told_why() {
    const EVENT_BYTES: usize = 60_000;
    const OUTBOX_BYTES_MAX: u32 = 600_000;
    for shards in SHARDS {
        let files = Files::new();
        let broker = broker(shards, &files);
        broker.open_channel("busy");
        // Over TLS the queue is not cut: it has to be read before the reason.
        let mut quotas = crate::support::unhurried();
        quotas.default.outbox_bytes_max = OUTBOX_BYTES_MAX;
        let reloaded = broker.node().reload(quotas);
        broker.wait(reloaded).expect("reloaded");
        let mut slow = browser_over(narrow(&broker), &files.authority);
        slow.subscribe("busy");
        let mut speaker = browser(&broker, &files.authority);
        let mut reader = browser(&broker, &files.authority);
        speaker.subscribe("busy");
        reader.subscribe("busy");
        let text = "x".repeat(EVENT_BYTES);
        let evicted = || -> u64 {
            let meters = broker.node().meters().iter();
            meters.map(|it| it.slow(Slow::Evicted).count()).sum()
        };
        let mut sent = 0;
        while evicted() == 0 {
            speaker.broadcast("busy", "said", json!({"n": sent, "text": text}));
            for browser in [&mut speaker, &mut reader] {
                assert_eq!(browser.receive()["said"]["n"], sent);
            }
            for meter in broker.node().meters() {
                let peak = meter.outbox_peak_bytes.value();
                assert!(peak <= u64::from(OUTBOX_BYTES_MAX), "{peak} bytes queued");
            }
            sent += 1;
            assert!(sent < 1000, "never evicted");
        }
        // What was queued before comes whole, then the reason, then the end.
        let mut heard = 0;
        let (code, reason) = loop {
            match slow.receive_raw() {
                Message::Text(_) => heard += 1,
                Message::Close(Some(frame)) => break (u16::from(frame.code), frame.reason),
                other => panic!("{other:?}"),
            }
        };
        assert_eq!((code, &*reason), (1013, "slow consumer"));
        assert!(
            heard < sent && heard >= OUTBOX_BYTES_MAX as usize / EVENT_BYTES - 1,
            "{heard}"
        );
        assert_eq!(refused(&broker, Refused::OutboxBytes), 1);
        reader.expect_nothing_before();
    }
}

/// A connection whose kernel keeps little of what comes.
fn narrow(broker: &Broker) -> TcpStream {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
    socket.set_recv_buffer_size(4096).expect("set");
    let addr = websocket_addr(broker);
    socket.connect(&addr.into()).expect("connected");
    let stream = TcpStream::from(socket);
    stream
        .set_read_timeout(Some(crate::support::PATIENCE))
        .expect("a timeout");
    stream
}

#[test]
fn a_slow_reader_is_told_exactly_what_it_missed() {
    for (shards, event_bytes) in [(1, 60_000), (2, 700), (1, 300_000)] {
        let files = Files::new();
        let broker = broker(shards, &files);
        broker.open_channel("busy");
        let mut quotas = crate::support::unhurried();
        quotas.default.slow_consumers = SlowConsumers::Drop;
        let reloaded = broker.node().reload(quotas);
        broker.wait(reloaded).expect("reloaded");
        let mut slow = browser_over(narrow(&broker), &files.authority);
        slow.subscribe("busy");
        let mut speaker = browser(&broker, &files.authority);
        speaker.subscribe("busy");
        let text = "x".repeat(event_bytes);
        let dropped = || -> u64 {
            let meters = broker.node().meters().iter();
            meters.map(|it| it.dropped.count()).sum()
        };
        let mut sent = 0;
        let mut speak = |times: u64, sent: &mut u64| {
            for _ in 0..times {
                speaker.broadcast("busy", "said", json!({"n": *sent, "text": text}));
                *sent += 1;
            }
            for n in *sent - times..*sent {
                assert_eq!(speaker.receive()["said"]["n"], n);
            }
        };
        while dropped() < 50 {
            speak(10, &mut sent);
            assert!(sent < 20_000, "nothing is dropped");
        }
        // In order, and each gap told where it is.
        let mut next = 0;
        while next < sent {
            let message = slow.receive();
            match message[":dropped"]["count"].as_u64() {
                Some(count) => next += count,
                None => {
                    assert_eq!(message["said"]["n"], next);
                    next += 1;
                }
            }
        }
        assert_eq!(next, sent);
        speak(1, &mut sent);
        assert_eq!(slow.receive()["said"]["n"], next);
        let evicted = broker.node().meters().iter();
        let evicted: u64 = evicted.map(|it| it.slow(Slow::Evicted).count()).sum();
        assert_eq!(evicted, 0);
    }
}

#[test]
fn requests_past_the_quota_are_refused_before_a_handshake() {
    let files = Files::new();
    let broker = broker(1, &files);
    let first = browser(&broker, &files.authority);
    let mut quotas = crate::support::unhurried();
    quotas.connections_max = 1;
    let reloaded = broker.node().reload(quotas);
    broker.wait(reloaded).expect("reloaded");
    let mut stream = over(
        tcp(websocket_addr(&broker)),
        &trusting(&files.authority, None),
    );
    let error = stream
        .write_all(b"GET")
        .and_then(|()| stream.read(&mut [0]).map(|_| ()));
    let error = error.expect_err("refused");
    let gone = [
        ErrorKind::UnexpectedEof,
        ErrorKind::ConnectionReset,
        ErrorKind::BrokenPipe,
    ];
    assert!(gone.contains(&error.kind()), "{error}");
    assert_eq!(refused(&broker, Refused::NodeConnections), 1);
    drop(first);
}
