//! What a node, a vhost and a connection may use: each bound at it and past it,
//! with the code that whoever is past it sees, and the count that the operator
//! sees. Method: a node with tight quotas; counts are read through its meters.

mod connections;
mod refusals;
mod reload;
mod sizes;
#[path = "../support/mod.rs"]
mod support;
mod usage;

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use socket2::{Domain, SockRef, Socket, Type};
use support::{Broker, Browser, PATIENCE, unhurried};
use tokio_tungstenite::tungstenite::Message;
use webrocket::meter::Refused;
use webrocket::model::{Quotas, VhostPath, VhostQuota};

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

fn slow_browser(broker: &Broker) -> Browser {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
    socket.set_recv_buffer_size(4096).expect("set");
    let addr = broker.node().websocket_addr();
    socket.connect(&addr.into()).expect("connected");
    Browser::over(socket.into(), "/test")
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

fn reset(stream: &TcpStream) {
    let socket = SockRef::from(stream);
    socket.set_linger(Some(Duration::ZERO)).expect("set");
}
