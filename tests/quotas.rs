//! What a node, a vhost and a connection may use: each bound at it and past it,
//! with the code that whoever is past it sees, and the count that the operator
//! sees. Method: a node with tight quotas; counts are read through its meters.

mod support;

use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream, UdpSocket};
use std::sync::Arc;
use std::thread;
use std::time::Instant;

use serde_json::json;
use socket2::{Domain, SockRef, Socket, Type};
use support::backend::{Backend, OK, error};
use support::{Broker, Browser, PATIENCE, unhurried};
use tokio_tungstenite::tungstenite::Message;
use webrocket::control;
use webrocket::limits::REFUSED_CONNECTIONS_MAX;
use webrocket::meter::Refused;
use webrocket::model::{ChannelName, PeerAddress, Quotas, VhostPath, VhostQuota};

const SHARDS: [u16; 2] = [1, 2];

fn path(path: &str) -> VhostPath {
    VhostPath::parse(path).expect("a vhost path")
}

/// Quotas of which every vhost's differ from those of the tests.
fn with_default(change: impl FnOnce(&mut VhostQuota)) -> Quotas {
    let mut quotas = unhurried();
    change(&mut quotas.default);
    quotas
}

fn refused(broker: &Broker, cause: Refused) -> u64 {
    let meters = broker.node().meters().iter();
    meters.map(|meter| meter.refused(cause)).sum()
}

/// The count may come up a moment after the answer.
fn expect_refused(broker: &Broker, cause: Refused, count: u64) {
    expect(&format!("{count} of {}", cause.as_str()), || {
        refused(broker, cause) == count
    });
    let all: u64 = Refused::ALL
        .map(|cause| refused(broker, cause))
        .iter()
        .sum();
    assert_eq!(all, count, "refused for another cause as well");
}

fn expect_connections(broker: &Broker, count: u32) {
    expect(&format!("{count} connections"), || {
        broker.node().occupancy().connections() == count
    });
}

fn expect(what: &str, is_so: impl Fn() -> bool) {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < PATIENCE, "never {what}");
        thread::yield_now();
    }
}

/// A connection that has asked for an upgrade.
fn asking(addr: SocketAddr, vhost: &str, headers: &str) -> TcpStream {
    let mut stream = TcpStream::connect(addr).expect("connected");
    stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    let request = format!(
        "GET {vhost} HTTP/1.1\r\nHost: example.org\r\nUpgrade: websocket\r\n\
         Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
         Sec-WebSocket-Version: 13\r\n{headers}\r\n"
    );
    stream.write_all(request.as_bytes()).expect("sent");
    stream
}

/// The status that the answer begins with.
fn status(stream: &mut TcpStream) -> String {
    let mut head = [0; 12];
    stream.read_exact(&mut head).expect("an answer");
    let head = str::from_utf8(&head).expect("text");
    head.strip_prefix("HTTP/1.1 ").expect("HTTP").to_owned()
}

/// The status of an upgrade that is asked for.
fn upgrade(broker: &Broker, vhost: &str, headers: &str) -> String {
    status(&mut asking(broker.node().websocket_addr(), vhost, headers))
}

/// The connection ends without a word, in order or not.
fn expect_closed(stream: &mut TcpStream) {
    match stream.read(&mut [0]) {
        Ok(count) => assert_eq!(count, 0, "a word"),
        Err(error) => assert_eq!(error.kind(), ErrorKind::ConnectionReset),
    }
}

#[test]
fn connections_of_the_node() {
    for shards in SHARDS {
        let quotas = Quotas {
            connections_max: 3,
            ..unhurried()
        };
        let broker = Broker::with_quotas(shards, quotas);
        let mut browsers = vec![broker.browser(), broker.browser()];
        let kept = Backend::kept(&broker);
        assert_eq!(broker.node().occupancy().connections(), 3);
        assert_eq!(upgrade(&broker, "/test", ""), "503");
        expect_refused(&broker, Refused::NodeConnections, 1);
        expect_closed(&mut broker.backend());
        expect_refused(&broker, Refused::NodeConnections, 2);
        // Whoever is in stays and works.
        browsers[0].expect_nothing_before();
        browsers.pop();
        expect_connections(&broker, 2);
        browsers.push(broker.browser());
        drop(kept);
        expect_connections(&broker, 2);
        assert_eq!(broker.request(&["OC", "room"]), OK);
        drop(browsers);
        assert!(broker.stop());
    }
}

/// A browser that is slow to ask is answered as well; one that never asks is
/// not waited for; and a flood of them is not remembered.
#[test]
fn frontends_without_a_place() {
    let quotas = Quotas {
        connections_max: 0,
        ..unhurried()
    };
    let broker = Broker::with_quotas(1, quotas);
    let addr = broker.node().websocket_addr();
    let mut late = TcpStream::connect(addr).expect("connected");
    late.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    expect_refused(&broker, Refused::NodeConnections, 1);
    late.write_all(b"GET /").expect("sent");
    assert_eq!(status(&mut late), "503");
    let mut text = String::new();
    late.read_to_string(&mut text).expect("an end");
    assert!(text.contains("Connection: close\r\n"), "{text}");
    drop(late);

    let mut silent: Vec<_> = (0..REFUSED_CONNECTIONS_MAX + 10)
        .map(|_| TcpStream::connect(addr).expect("connected"))
        .collect();
    for stream in &mut silent {
        stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        expect_closed(stream);
    }
    expect_refused(&broker, Refused::NodeConnections, 1 + silent.len() as u64);
    assert!(broker.node().occupancy().is_empty());
    drop(silent);
    assert!(broker.stop());
}

#[test]
fn connections_of_a_vhost() {
    for shards in SHARDS {
        let own = VhostQuota {
            connections_max: 2,
            ..VhostQuota::default()
        };
        let quotas = Quotas {
            vhosts: [(path("/small"), own)].into(),
            ..unhurried()
        };
        let broker = Broker::with_quotas(shards, quotas);
        broker.add_vhost("/small");
        let mut inside: Vec<_> = (0..2).map(|_| broker.browser_on("/small")).collect();
        for _ in 0..3 {
            assert_eq!(upgrade(&broker, "/small", ""), "503");
        }
        expect_refused(&broker, Refused::VhostConnections, 3);
        let others: Vec<_> = (0..4).map(|_| broker.browser()).collect();
        inside.pop();
        expect("room again", || upgrade(&broker, "/small", "") == "101");
        // A vhost that is deleted has counted nobody when it is created anew.
        broker.delete_vhost("/small");
        broker.add_vhost("/small");
        drop(inside);
        let inside: Vec<_> = (0..2).map(|_| broker.browser_on("/small")).collect();
        drop((inside, others));
        assert!(broker.stop());
    }
}

/// An address of this host that is none of the loopback's; none on a host
/// without a network. Nothing is sent.
fn own_address() -> Option<IpAddr> {
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).ok()?;
    socket.connect(("192.0.2.1", 9)).ok()?;
    let address = socket.local_addr().ok()?.ip();
    (!PeerAddress::of(address).is_exempt()).then_some(address)
}

#[test]
fn connections_of_an_address() {
    for shards in SHARDS {
        let quotas = Quotas {
            connections_per_address_max: 2,
            ..unhurried()
        };
        let any = SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0));
        let broker = Broker::configured(shards, |config| {
            config.quotas = quotas;
            config.websocket_addr = any;
            config.backend_addr = any;
        });
        let (frontends, backends) = (broker.node().websocket_addr(), broker.node().backend_addr());
        // The loopback is exempt: whoever is there may speak for everyone.
        let loopback = (0..4).map(|_| Browser::connect(local(frontends), "/test"));
        let loopback: Vec<_> = loopback.collect();
        assert_eq!(refused(&broker, Refused::AddressConnections), 0);
        if let Some(address) = own_address() {
            let frontends = SocketAddr::new(address, frontends.port());
            let backends = SocketAddr::new(address, backends.port());
            let first = Browser::connect(frontends, "/test");
            let second = TcpStream::connect(backends).expect("connected");
            expect_connections(&broker, 6);
            assert_eq!(status(&mut asking(frontends, "/test", "")), "429");
            expect_refused(&broker, Refused::AddressConnections, 1);
            expect_closed(&mut TcpStream::connect(backends).expect("connected"));
            expect_refused(&broker, Refused::AddressConnections, 2);
            drop(second);
            expect_connections(&broker, 5);
            let third = Browser::connect(frontends, "/test");
            drop((first, third));
        }
        drop(loopback);
        expect("nobody", || broker.node().occupancy().is_empty());
        assert!(broker.stop());
    }
}

fn local(addr: SocketAddr) -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, addr.port()))
}

#[test]
fn origins_hs_13_hs_14() {
    let quotas = with_default(|quota| quota.origins = vec!["https://example.com".into()]);
    let broker = Broker::with_quotas(1, quotas);
    for good in [
        "",
        "Origin: https://example.com\r\n",
        "Origin: HTTPS://EXAMPLE.COM\r\n",
    ] {
        assert_eq!(upgrade(&broker, "/test", good), "101", "{good}");
    }
    let bad = ["https://evil.org", "http://example.com", "null", ""];
    for (count, bad) in (1..).zip(bad) {
        let header = format!("Origin: {bad}\r\n");
        assert_eq!(upgrade(&broker, "/test", &header), "403", "{bad}");
        expect_refused(&broker, Refused::Origin, count);
    }
    // Where there is no such vhost it is not told which origins it would let in.
    assert_eq!(upgrade(&broker, "/none", "Origin: null\r\n"), "404");
    assert!(broker.stop());
}

#[test]
fn bad_upgrades_are_counted_and_redirects_are_not() {
    let broker = Broker::start(1);
    assert_eq!(upgrade(&broker, "//test", ""), "301");
    assert_eq!(upgrade(&broker, "/none", ""), "404");
    expect_refused(&broker, Refused::Upgrade, 1);
    assert_eq!(upgrade(&broker, "/test", "Content-Length: 1\r\n"), "400");
    expect_refused(&broker, Refused::Upgrade, 2);
    assert!(broker.stop());
}

#[test]
fn subscriptions_of_a_session() {
    for shards in SHARDS {
        let broker = Broker::with_quotas(shards, with_default(|it| it.subscriptions_max = 2));
        for channel in ["a", "b", "c", "d"] {
            broker.open_channel(channel);
        }
        let mut browser = broker.browser();
        browser.subscribe("a");
        browser.subscribe("b");
        for (count, channel) in [(1, "c"), (2, "d")] {
            browser.send(json!({"subscribe": {"channel": channel}}));
            browser.expect_error(403);
            expect_refused(&broker, Refused::Subscriptions, count);
        }
        browser.send(json!({"unsubscribe": {"channel": "a"}}));
        browser.expect(json!({":unsubscribed": {"channel": "a"}}));
        browser.subscribe("c");
        let mut other = broker.browser();
        other.subscribe("d");
        drop((browser, other));
        assert!(broker.stop());
    }
}

#[test]
fn bytes_of_a_message_fr_09() {
    let broker = Broker::with_quotas(1, with_default(|it| it.message_bytes_max = 1000));
    let mut browser = broker.browser();
    browser.send_text(&"x".repeat(1000));
    browser.expect_error(400);
    browser.send_text(&"x".repeat(1001));
    assert_eq!(browser.expect_close().0, 1009);
    expect_refused(&broker, Refused::MessageBytes, 1);
    assert!(broker.stop());
}

#[test]
fn frames_that_are_none() {
    let broker = Broker::start(1);
    let mut browser = broker.browser();
    // Not masked.
    let stream = browser.socket.get_mut();
    stream.write_all(&[0x81, 1, b'x']).expect("sent");
    assert_eq!(browser.expect_close().0, 1002);
    expect_refused(&broker, Refused::Protocol, 1);
    assert!(broker.stop());
}

/// All of it in one write, so that the shard's clock doesn't move meanwhile.
fn burst(browser: &mut Browser, texts: usize, pings: usize) {
    let mut messages = vec![Message::text("?"); texts];
    messages.splice(0..0, vec![Message::Ping("?".into()); pings]);
    let mut bytes = Vec::new();
    for message in messages {
        let (opcode, payload) = match &message {
            Message::Ping(payload) => (0x89, payload.to_vec()),
            other => (0x81, other.to_text().expect("text").into()),
        };
        bytes.extend([opcode, 0x80 | payload.len() as u8, 0, 0, 0, 0]);
        bytes.extend(payload);
    }
    browser.socket.get_mut().write_all(&bytes).expect("sent");
}

#[test]
fn messages_in_a_second() {
    for (texts, pings) in [(10, 0), (3, 7)] {
        let broker = Broker::with_quotas(1, with_default(|it| it.messages_per_second_max = 10));
        let mut browser = broker.browser();
        burst(&mut browser, texts, pings);
        (0..texts).for_each(|_| browser.expect_error(400));
        assert_eq!(refused(&broker, Refused::MessageRate), 0);
        drop(browser);
        assert!(broker.stop());
    }
    let broker = Broker::with_quotas(1, with_default(|it| it.messages_per_second_max = 10));
    let (mut fast, mut other) = (broker.browser(), broker.browser());
    burst(&mut fast, 8, 17);
    // Nothing is lost, and nobody else waits.
    other.expect_nothing_before();
    (0..8).for_each(|_| fast.expect_error(400));
    expect("held back", || refused(&broker, Refused::MessageRate) == 2);
    fast.expect_nothing_before();
    drop((fast, other));
    assert!(broker.stop());
}

/// One that rests and goes is forgotten all the same.
#[test]
fn who_is_held_back_may_go() {
    let broker = Broker::with_quotas(1, with_default(|it| it.messages_per_second_max = 1));
    let mut browsers: Vec<_> = (0..20).map(|_| broker.browser()).collect();
    for browser in &mut browsers {
        burst(browser, 50, 0);
    }
    expect("held back", || refused(&broker, Refused::MessageRate) >= 20);
    for browser in browsers.iter().step_by(2) {
        reset(browser.socket.get_ref());
    }
    drop(browsers);
    expect("nobody", || broker.node().occupancy().is_empty());
    assert!(broker.stop());
}

#[test]
fn bytes_of_an_outbox() {
    for shards in SHARDS {
        let quotas = with_default(|it| it.outbox_bytes_max = 100_000);
        let broker = Broker::with_quotas(shards, quotas);
        broker.open_channel("busy");
        let mut slow = slow_browser(&broker);
        slow.subscribe("busy");
        let mut speaker = broker.browser();
        speaker.subscribe("busy");
        let text = "x".repeat(50_000);
        let mut sent = 0;
        while refused(&broker, Refused::OutboxBytes) == 0 {
            speaker.broadcast("busy", "said", json!({"n": sent, "text": text}));
            assert_eq!(speaker.receive()["said"]["n"], sent);
            sent += 1;
            assert!(sent < 2000, "never evicted");
        }
        expect_refused(&broker, Refused::OutboxBytes, 1);
        broker.expect_subscribers("busy", 1);
        drop((slow, speaker));
        assert!(broker.stop());
    }
}

fn slow_browser(broker: &Broker) -> Browser {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
    socket.set_recv_buffer_size(4096).expect("set");
    let addr = broker.node().websocket_addr();
    socket.connect(&addr.into()).expect("connected");
    Browser::over(socket.into(), "/test")
}

#[test]
fn channels_of_a_vhost() {
    for shards in SHARDS {
        let own = VhostQuota {
            channels_max: 2,
            ..VhostQuota::default()
        };
        let quotas = Quotas {
            vhosts: [(path("/test"), own)].into(),
            ..unhurried()
        };
        let broker = Broker::with_quotas(shards, quotas);
        broker.open_channel("a");
        assert_eq!(broker.request(&["OC", "b"]), OK);
        assert_eq!(broker.request(&["OC", "c"]), error(597));
        assert_eq!(broker.request(&["OC", "a"]), OK, "it is open");
        let handle = broker.node().handle();
        let name = ChannelName::parse("c").expect("a name");
        let opened = broker.wait(handle.open_channel(path("/test"), name.clone()));
        assert!(matches!(opened, Err(control::Error::Full)), "{opened:?}");
        broker.add_vhost("/other");
        for name in ["a", "b", "c"] {
            let name = ChannelName::parse(name).expect("a name");
            let opened = broker.wait(handle.open_channel(path("/other"), name));
            opened.expect("the other vhost has its own");
        }
        broker.close_channel("a");
        assert_eq!(broker.request(&["OC", "c"]), OK);
        assert!(broker.stop());
    }
}

#[test]
fn backends_that_are_refused() {
    let broker = Broker::start(1);
    let wrong = format!(
        "req:/test:{}:{}\n\nOC\nroom\n\r\n\r\n",
        "0".repeat(40),
        "0".repeat(36)
    );
    for (count, (packet, code)) in (1..).zip([(wrong.as_str(), 402), ("\n\r\n\r\n", 400)]) {
        let mut backend = Backend::connect(&broker);
        backend.send(packet.as_bytes());
        backend.expect(&error(code));
        expect_refused(&broker, Refused::Backend, count);
    }
    let mut kept = Backend::kept(&broker);
    kept.send(&support::backend::bare(&["BC", "room"]));
    kept.expect(&error(400));
    expect_refused(&broker, Refused::Backend, 3);
    // An answer is no refusal.
    kept.send(&support::backend::bare(&["CC", "room"]));
    kept.expect(&error(454));
    expect_refused(&broker, Refused::Backend, 3);
    drop(kept);
    assert!(broker.stop());
}

#[test]
fn packets_that_take_too_long_be_22() {
    let broker = Broker::start(1);
    let mut backend = Backend::connect(&broker);
    backend.send(b"req:");
    backend.expect(&error(400));
    expect_refused(&broker, Refused::Timeout, 1);
    assert!(broker.stop());
}

#[test]
fn a_reload_holds_for_who_is_there() {
    for shards in SHARDS {
        let broker = Broker::with_channels(shards, &["a", "b", "c"]);
        let handle = broker.node().handle();
        let set = |quotas| broker.wait(handle.set_quotas(Arc::new(quotas)));
        let mut browsers: Vec<_> = (0..4).map(|_| broker.browser()).collect();
        browsers.iter_mut().for_each(|it| it.subscribe("a"));
        let tight = with_default(|quota| {
            quota.connections_max = 1;
            quota.subscriptions_max = 1;
            quota.message_bytes_max = 100;
            quota.channels_max = 1;
        });
        set(tight).expect("applied");
        // All that was stays; nothing is added.
        for browser in &mut browsers {
            browser.send(json!({"subscribe": {"channel": "b"}}));
            browser.expect_error(403);
        }
        assert_eq!(upgrade(&broker, "/test", ""), "503");
        assert_eq!(broker.request(&["OC", "d"]), error(597));
        let mut first = browsers.remove(0);
        first.send_text(&"x".repeat(101));
        assert_eq!(first.expect_close().0, 1009);
        set(unhurried()).expect("applied");
        browsers.iter_mut().for_each(|it| it.subscribe("b"));
        browsers.push(broker.browser());
        assert_eq!(broker.request(&["OC", "d"]), OK);
        set(Quotas {
            connections_max: 1,
            ..unhurried()
        })
        .expect("applied");
        assert_eq!(upgrade(&broker, "/test", ""), "503");
        browsers[0].expect_nothing_before();
        drop((first, browsers));
        assert!(broker.stop());
    }
}

#[test]
fn a_reload_holds_for_the_rate_of_who_is_there() {
    let broker = Broker::start(2);
    let mut browser = broker.browser();
    burst(&mut browser, 25, 0);
    (0..25).for_each(|_| browser.expect_error(400));
    assert_eq!(refused(&broker, Refused::MessageRate), 0);
    let slower = with_default(|quota| quota.messages_per_second_max = 10);
    let handle = broker.node().handle();
    let set = broker.wait(handle.set_quotas(Arc::new(slower)));
    set.expect("applied");
    burst(&mut browser, 25, 0);
    (0..25).for_each(|_| browser.expect_error(400));
    assert!(refused(&broker, Refused::MessageRate) > 0);
    drop(browser);
    assert!(broker.stop());
}

#[test]
fn a_reload_holds_for_the_outbox_of_who_is_there() {
    let unbounded = with_default(|quota| quota.outbox_bytes_max = u32::MAX);
    let broker = Broker::with_quotas(2, unbounded);
    broker.open_channel("busy");
    let mut slow = slow_browser(&broker);
    slow.subscribe("busy");
    let mut speaker = broker.browser();
    speaker.subscribe("busy");
    let text = "x".repeat(50_000);
    let mut sent = 0;
    let mut speak = || {
        speaker.broadcast("busy", "said", json!({"n": sent, "text": text}));
        assert_eq!(speaker.receive()["said"]["n"], sent);
        sent += 1;
    };
    // Far more than the default.
    (0..200).for_each(|_| speak());
    assert_eq!(refused(&broker, Refused::OutboxBytes), 0);
    let tight = with_default(|quota| quota.outbox_bytes_max = 1000);
    let handle = broker.node().handle();
    let set = broker.wait(handle.set_quotas(Arc::new(tight)));
    set.expect("applied");
    let begun = Instant::now();
    while refused(&broker, Refused::OutboxBytes) == 0 {
        assert!(begun.elapsed() < PATIENCE, "never evicted");
        speak();
    }
    drop((slow, speaker));
    assert!(broker.stop());
}

fn reset(stream: &TcpStream) {
    let socket = SockRef::from(stream);
    socket
        .set_linger(Some(std::time::Duration::ZERO))
        .expect("set");
}

/// However connections end, and whatever they were by then, they are not counted
/// any longer: not by the node, not by a vhost.
#[test]
fn counts_never_leak() {
    const ROUNDS: usize = 4;
    const EACH: usize = 100;
    for shards in SHARDS {
        let quotas = Quotas {
            connections_max: 200,
            ..with_default(|it| it.connections_max = 80)
        };
        let broker = Broker::with_quotas(shards, quotas);
        broker.open_channel("room");
        let (frontends, backends) = (broker.node().websocket_addr(), broker.node().backend_addr());
        for round in 0..ROUNDS {
            let mut streams = Vec::new();
            for n in 0..EACH {
                // Nothing said, half a request, a whole one, a bad one, a packet.
                streams.push(TcpStream::connect(frontends).expect("connected"));
                let mut half = TcpStream::connect(frontends).expect("connected");
                half.write_all(b"GET /te").expect("sent");
                streams.push(half);
                streams.push(asking(frontends, "/test", ""));
                streams.push(asking(frontends, "/none", ""));
                let mut backend = TcpStream::connect(backends).expect("connected");
                // It may have been refused already.
                let _ = backend.write_all(&broker.packet("req", &["BC", "room", "e", "{}"]));
                streams.push(backend);
                if (n + round) % 3 == 0 {
                    streams.iter().rev().take(5).for_each(reset);
                }
                if n % 50 == 49 {
                    streams.clear();
                }
            }
            drop(streams);
            expect("nobody", || broker.node().occupancy().is_empty());
        }
        // And the whole quota is there again, once the last of the dead have
        // come out of the kernel's queue, been let in and gone.
        let mut inside = Vec::new();
        let begun = Instant::now();
        while inside.len() < 80 {
            let mut stream = asking(frontends, "/test", "");
            match status(&mut stream).as_str() {
                "101" => inside.push(stream),
                other => assert_eq!(other, "503"),
            }
            assert!(begun.elapsed() < PATIENCE, "only {} inside", inside.len());
        }
        assert_eq!(upgrade(&broker, "/test", ""), "503");
        drop(inside);
        expect("nobody", || broker.node().occupancy().is_empty());
        assert!(broker.stop());
    }
}
