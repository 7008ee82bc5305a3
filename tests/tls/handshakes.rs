//! What is no handshake, and handshakes that never end.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use webrocket::limits::{HANDSHAKE_TIMEOUT, PACKET_TIMEOUT, TLS_PARTIAL_BYTES_MAX};
use webrocket::meter::{Kind, Refused};

use crate::authority::{Files, broker};
use crate::peer::{backend_addr, browser, refused, tcp, trusting, websocket_addr};
use crate::support::{Broker, eventually};

/// Everything until the connection ends, in order or not.
fn rest(stream: &mut TcpStream) -> Vec<u8> {
    let mut bytes = Vec::new();
    match stream.read_to_end(&mut bytes) {
        Ok(_) => {}
        Err(error) if error.kind() == ErrorKind::ConnectionReset => {}
        Err(error) => panic!("{error}"),
    }
    bytes
}

pub(crate) fn send(addr: SocketAddr, bytes: &[u8]) -> TcpStream {
    let mut stream = tcp(addr);
    stream.write_all(bytes).expect("sent");
    stream
}

/// The first bytes of a real handshake.
pub(crate) fn hello(files: &Files) -> Vec<u8> {
    let config = trusting(&files.authority, None);
    let name = "localhost".try_into().expect("a name");
    let mut client = rustls::ClientConnection::new(config, name).expect("a client");
    let mut hello = Vec::new();
    client.write_tls(&mut hello).expect("made");
    hello
}

fn shaking_hands(broker: &Broker) -> u64 {
    let meters = broker.node().meters().iter();
    meters
        .map(|meter| meter.connections(Kind::Handshake).value())
        .sum()
}

#[test]
fn garbage_gets_an_alert_and_is_counted() {
    let files = Files::new();
    let broker = broker(1, &files);
    let cases: [&[u8]; 4] = [
        b"\x00\x01\x02\x03\x04\x05\x06\x07",
        b"req:/test:0000:0000\n\nKA\n\r\n\r\n",
        // A record of the right kind that holds no handshake.
        b"\x16\x03\x01\x00\x04\xff\xff\xff\xff",
        // Application data before there are keys.
        b"\x17\x03\x03\x00\x03abc",
    ];
    for (at, garbage) in cases.into_iter().enumerate() {
        for addr in [websocket_addr(&broker), backend_addr(&broker)] {
            let answer = rest(&mut send(addr, garbage));
            // An alert of level fatal, in plain: there are no keys. rustls has none
            // for a message with an impossible length.
            if at != 2 {
                assert_eq!(answer.first(), Some(&21), "{at}: {answer:?}");
                assert_eq!(answer.get(5), Some(&2), "{at}: {answer:?}");
                assert_eq!(answer.len(), 7, "{at}: {answer:?}");
            }
        }
        assert_eq!(refused(&broker, Refused::Tls), 2 * (at as u64 + 1));
    }
    eventually(|| shaking_hands(&broker) == 0);
    browser(&broker, &files.authority);
}

#[test]
fn plain_http_is_told_so_in_plain() {
    let files = Files::new();
    let broker = broker(1, &files);
    let request = b"GET /test HTTP/1.1\r\nHost: example.org\r\n\r\n";
    let answer = rest(&mut send(websocket_addr(&broker), request));
    let answer = String::from_utf8(answer).expect("text");
    assert!(
        answer.starts_with("HTTP/1.1 400 Bad Request\r\n"),
        "{answer}"
    );
    assert!(answer.contains("this port speaks TLS"), "{answer}");
    // A backend speaks no HTTP.
    assert!(rest(&mut send(backend_addr(&broker), request)).is_empty());
    assert_eq!(refused(&broker, Refused::Tls), 2);
}

#[test]
fn a_slow_handshake_is_cut_at_its_deadline() {
    let files = Files::new();
    let broker = broker(1, &files);
    let hello = hello(&files);
    let cases = [
        (websocket_addr(&broker), HANDSHAKE_TIMEOUT),
        (backend_addr(&broker), PACKET_TIMEOUT),
    ];
    thread::scope(|scope| {
        for (addr, timeout) in cases {
            let hello = &hello;
            // Nothing at all, the beginning, and all of it but what follows.
            for sent in [&[][..], &hello[..40], hello] {
                scope.spawn(move || {
                    let begun = Instant::now();
                    let mut stream = send(addr, sent);
                    let told = rest(&mut stream);
                    let took = begun.elapsed();
                    assert_eq!(!told.is_empty(), sent.len() > 40);
                    assert!(took >= timeout - Duration::from_millis(50), "{took:?}");
                });
            }
            // A byte now and then earns no more time.
            scope.spawn(move || {
                let begun = Instant::now();
                let mut stream = tcp(addr);
                for byte in hello {
                    if stream.write_all(&[*byte]).is_err() {
                        break;
                    }
                    thread::sleep(Duration::from_millis(200));
                }
                let took = begun.elapsed();
                assert!(took >= timeout - Duration::from_millis(50), "{took:?}");
                assert!(took < 4 * timeout, "{took:?}");
            });
        }
    });
    assert_eq!(refused(&broker, Refused::Timeout), 8);
    eventually(|| shaking_hands(&broker) == 0);
}

#[test]
fn who_leaves_during_the_handshake_is_nobody() {
    let files = Files::new();
    let broker = broker(2, &files);
    let hello = hello(&files);
    for cut in (0..hello.len()).step_by(7) {
        drop(send(websocket_addr(&broker), &hello[..cut]));
    }
    eventually(|| shaking_hands(&broker) == 0);
    let all = [Refused::Tls, Refused::Timeout, Refused::Upgrade];
    assert!(all.iter().all(|cause| refused(&broker, *cause) == 0));
}

/// A ClientHello that says it has 60,000 bytes, as records of at most 16 KiB; so
/// many bytes of it.
fn endless(bytes: usize) -> Vec<u8> {
    let mut all = Vec::new();
    let body = [&[1, 0, 0xea, 0x60][..], &[0; 60_000]].concat();
    for record in body.chunks(16_384) {
        all.extend_from_slice(&[22, 3, 1]);
        all.extend_from_slice(&(record.len() as u16).to_be_bytes());
        all.extend_from_slice(record);
    }
    all.truncate(bytes);
    all
}

#[test]
fn unfinished_handshakes_keep_no_more_than_their_bound() {
    let files = Files::new();
    let broker = broker(1, &files);
    let mut waiting: Vec<TcpStream> = (0..50)
        .map(|_| send(websocket_addr(&broker), &endless(TLS_PARTIAL_BYTES_MAX)))
        .collect();
    eventually(|| {
        let received = broker.node().meters()[0].received_bytes.count();
        received >= 50 * TLS_PARTIAL_BYTES_MAX as u64
    });
    assert_eq!(refused(&broker, Refused::Tls), 0);
    assert_eq!(shaking_hands(&broker), 50);
    // One byte more each.
    for stream in &mut waiting {
        stream.write_all(&[0]).expect("sent");
    }
    for mut stream in waiting {
        rest(&mut stream);
    }
    assert_eq!(refused(&broker, Refused::Tls), 50);
    eventually(|| shaking_hands(&broker) == 0);
}

/// The time that a browser's own event takes to come back to it; the median.
fn echo_time(browser: &mut crate::support::Browser, times: usize) -> Duration {
    let mut took: Vec<Duration> = (0..times)
        .map(|n| {
            let begun = Instant::now();
            browser.broadcast("room", "said", serde_json::json!({"n": n}));
            assert_eq!(browser.receive()["said"]["n"], n);
            begun.elapsed()
        })
        .collect();
    took.sort();
    took[times / 2]
}

/// By turns: a quiet phase, and one in which four clients do nothing but shake hands.
#[test]
fn a_crowd_at_the_door_holds_up_nobody_inside() {
    use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
    let files = Files::new();
    let broker = broker(1, &files);
    broker.open_channel("room");
    let mut inside = broker.browser();
    inside.subscribe("room");
    let (attacking, over) = (AtomicBool::new(false), AtomicBool::new(false));
    let handshakes = AtomicUsize::new(0);
    let mut slowest = Duration::ZERO;
    let mut ratios: Vec<f64> = thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                while !over.load(Ordering::Relaxed) {
                    if attacking.load(Ordering::Relaxed) {
                        drop(browser(&broker, &files.authority));
                        handshakes.fetch_add(1, Ordering::Relaxed);
                    } else {
                        thread::sleep(Duration::from_millis(1));
                    }
                }
            });
        }
        let ratios = (0..7).map(|_| {
            let quiet = echo_time(&mut inside, 100);
            let before = handshakes.load(Ordering::Relaxed);
            attacking.store(true, Ordering::Relaxed);
            while handshakes.load(Ordering::Relaxed) < before + 8 {
                thread::yield_now();
            }
            let beside = echo_time(&mut inside, 100);
            attacking.store(false, Ordering::Relaxed);
            thread::sleep(Duration::from_millis(20));
            slowest = slowest.max(beside);
            beside.as_secs_f64() / quiet.as_secs_f64()
        });
        let ratios = ratios.collect();
        over.store(true, Ordering::Relaxed);
        ratios
    });
    ratios.sort_by(f64::total_cmp);
    let handshakes = handshakes.load(Ordering::Relaxed);
    println!(
        "an echo beside {handshakes} handshakes takes {:.1} times as long ({:.1} - {:.1})",
        ratios[3], ratios[0], ratios[6]
    );
    // They take the cores that the node has, on a machine that does other things:
    // only what would be starvation fails.
    assert!(
        ratios[3] < 20.0 || slowest < Duration::from_secs(2),
        "{ratios:?}"
    );
}

#[test]
fn a_crowd_gets_in() {
    // Many times what one turn shakes hands with.
    const CROWD: usize = 200;
    let files = Files::new();
    let broker = broker(2, &files);
    broker.open_channel("room");
    thread::scope(|scope| {
        let all: Vec<_> = (0..CROWD)
            .map(|_| {
                scope.spawn(|| {
                    let mut browser = browser(&broker, &files.authority);
                    browser.subscribe("room");
                    browser
                })
            })
            .collect();
        let all: Vec<_> = all.into_iter().map(|it| it.join().expect("in")).collect();
        assert_eq!(broker.subscribers("room"), CROWD as u32);
        drop(all);
    });
}
