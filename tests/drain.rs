//! The orderly stop: everyone is told, what is under way is finished, and it ends.

mod support;

use std::net::TcpStream;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use support::backend::{Backend, OK, QUIT, Worker, bare};
use support::{Broker, Browser, PATIENCE};
use tokio_tungstenite::tungstenite::Message;
use webrocket::server::Config;

/// The stop beside the test, which reads meanwhile.
fn stop(broker: Broker) -> thread::JoinHandle<bool> {
    thread::spawn(move || broker.stop())
}

#[test]
fn everyone_is_told() {
    for shards in [1, 2, 4] {
        let broker = Broker::with_channels(shards, &["room"]);
        let mut browsers: Vec<_> = (0..8).map(|_| broker.browser()).collect();
        browsers.iter_mut().for_each(|it| it.subscribe("room"));
        let mut kept: Vec<_> = (0..8).map(|_| Backend::kept(&broker)).collect();
        let mut workers: Vec<_> = (0..4).map(|_| Worker::ready(&broker)).collect();
        let mut fresh: Vec<_> = (0..4).map(|_| Backend::connect(&broker)).collect();
        // So that it is there when the stop comes.
        fresh.iter_mut().for_each(|it| it.send(b"req:"));
        assert_eq!(broker.request(&["OC", "marker"]), OK);
        let stopped = stop(broker);
        for browser in &mut browsers {
            let (code, reason) = browser.expect_close();
            assert_eq!((code, reason.as_str()), (1001, "server shutdown"));
        }
        drop(browsers);
        for client in &mut kept {
            client.expect(QUIT);
            client.expect_end();
        }
        drop(kept);
        workers.iter_mut().for_each(Worker::expect_quit);
        drop(workers);
        fresh.iter_mut().for_each(Backend::expect_end);
        drop(fresh);
        assert!(stopped.join().expect("no panic"));
    }
}

#[test]
fn answers_under_way_are_finished() {
    for shards in [1, 2, 4] {
        for _ in 0..4 {
            let broker = Broker::with_channels(shards, &["a", "b", "c", "d"]);
            let mut kept: Vec<_> = (0..6).map(|_| Backend::kept(&broker)).collect();
            let requests: Vec<u8> = (0..100)
                .flat_map(|n| match n % 5 {
                    0 => bare(&["OC", &format!("new{n}")]),
                    _ => bare(&["BC", ["a", "b", "c", "d"][n % 4], "e", "{}"]),
                })
                .collect();
            let mut single: Vec<_> = (0..12).map(|_| Backend::connect(&broker)).collect();
            for (n, client) in single.iter_mut().enumerate() {
                client.send(&broker.packet("req", &["OC", &format!("single{n}")]));
            }
            kept.iter_mut().for_each(|client| client.send(&requests));
            let stopped = stop(broker);
            for client in &mut kept {
                let mut answer = client.receive();
                while answer.as_deref() == Some(OK) {
                    answer = client.receive();
                }
                assert_eq!(answer.as_deref(), Some(QUIT));
                client.expect_end();
            }
            for client in &mut single {
                // Either it was taken and is answered, or it came too late.
                let answer = client.receive_or_reset();
                assert!(matches!(answer.as_deref(), Some(OK) | None), "{answer:?}");
            }
            drop((kept, single));
            assert!(stopped.join().expect("no panic"));
        }
    }
}

/// Shards that have no connection left are still the home of channels, and
/// still have to apply what is being opened.
#[test]
fn shards_without_connections_are_there_for_the_others() {
    for shards in [2, 4] {
        for _ in 0..12 {
            let broker = Broker::with_channels(shards, &["a", "b", "c", "d"]);
            let mut client = Backend::kept(&broker);
            let bytes: Vec<u8> = (0..400)
                .flat_map(|n| {
                    let mut pair = bare(&["OC", &format!("new{n}")]);
                    pair.extend(bare(&["BC", ["a", "b", "c", "d"][n % 4], "e", "{}"]));
                    pair
                })
                .collect();
            client.send(&bytes);
            client.expect(OK);
            let stopped = stop(broker);
            let mut answer = client.receive();
            while answer.as_deref() == Some(OK) {
                answer = client.receive();
            }
            assert_eq!(answer.as_deref(), Some(QUIT));
            client.expect_end();
            drop(client);
            assert!(stopped.join().expect("no panic"));
        }
    }
}

#[test]
fn who_does_not_go_is_not_waited_for_long() {
    let broker = Broker::start(2);
    let _browsers: Vec<_> = (0..4).map(|_| broker.browser()).collect();
    let _worker = Worker::ready(&broker);
    let began = Instant::now();
    assert!(broker.stop());
    assert!(began.elapsed() < PATIENCE);
}

#[test]
fn nobody_gets_in_afterwards() {
    let broker = Broker::start(2);
    let node = broker.node();
    let addrs = [
        node.websocket_addr(),
        node.backend_addr(),
        node.admin_addr(),
    ];
    assert!(broker.stop());
    for addr in addrs {
        assert!(TcpStream::connect(addr).is_err(), "{addr}");
    }
}

/// Frontends are sent away one after the other, and who is still there works as
/// ever: the later one's turn comes, the more it hears of a browser that speaks
/// until its own comes. That any event falls between the first and the last is
/// a matter of luck on a busy machine, so it is tried again until one does.
#[test]
fn frontends_are_spread_over_the_window() {
    const LISTENERS: usize = 600;
    let begun = Instant::now();
    loop {
        let window = |config: &mut Config| config.drain_window = PATIENCE;
        let broker = Broker::configured(1, window);
        broker.open_channel("room");
        // In the order of their slots: all are new.
        let mut listeners: Vec<_> = (0..LISTENERS).map(|_| broker.browser()).collect();
        listeners.iter_mut().for_each(|it| it.subscribe("room"));
        let mut speaker = broker.browser();
        speaker.subscribe("room");
        let (speaking, spoken) = mpsc::channel();
        let talk = thread::spawn(move || {
            for n in 0.. {
                speaker.broadcast("room", "said", json!({"n": n}));
                // Its own event: it is not faster than the others can hear.
                match receive(&mut speaker) {
                    Ok(event) => assert_eq!(event["said"]["n"], n),
                    Err(close) => return close,
                }
                let _ = speaking.send(());
            }
            unreachable!("it is closed");
        });
        spoken.recv().expect("the first event");
        let stopped = stop(broker);
        let mut heard = Vec::new();
        for mut listener in listeners {
            let mut events = 0;
            let close = loop {
                match receive(&mut listener) {
                    Ok(event) => assert_eq!(event["said"]["n"], events),
                    Err(close) => break close,
                }
                events += 1;
            };
            assert_eq!(close, (1001, "server shutdown".to_owned()));
            heard.push(events);
        }
        assert_eq!(talk.join().expect("no panic").0, 1001);
        assert!(stopped.join().expect("no panic"));
        assert!(heard.is_sorted(), "{heard:?}");
        if heard.first() < heard.last() {
            return;
        }
        assert!(begun.elapsed() < PATIENCE, "never spread");
    }
}

/// The next event, or how the connection was closed.
fn receive(browser: &mut Browser) -> Result<Value, (u16, String)> {
    match browser.receive_raw() {
        Message::Text(text) => Ok(serde_json::from_str(&text).expect("JSON")),
        Message::Close(Some(frame)) => Err((frame.code.into(), frame.reason.to_string())),
        other => panic!("unexpected: {other:?}"),
    }
}

#[test]
fn a_few_frontends_do_not_take_a_long_window() {
    let hour = Duration::from_secs(3600);
    let broker = Broker::configured(2, |config| config.drain_window = hour);
    let browsers: Vec<_> = (0..8).map(|_| broker.browser()).collect();
    let began = Instant::now();
    let stopped = thread::spawn(move || broker.stop_within(2 * hour));
    for mut browser in browsers {
        assert_eq!(browser.expect_close().0, 1001);
    }
    assert!(stopped.join().expect("no panic"));
    assert!(began.elapsed() < PATIENCE);
}
