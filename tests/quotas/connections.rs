//! Who gets in, who does not, and that nobody is counted who has gone.

use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream, UdpSocket};
use std::time::Instant;

use webrocket::limits::REFUSED_CONNECTIONS_MAX;
use webrocket::meter::Refused;
use webrocket::model::{PeerAddress, Quotas, VhostQuota};

use crate::support::backend::{Backend, OK};
use crate::support::{Broker, Browser, PATIENCE, unhurried};
use crate::{
    SHARDS, asking, burst, expect, expect_closed, expect_connections, expect_refused, path,
    refused, reset, status, upgrade, with_default,
};

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
