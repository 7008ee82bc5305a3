//! Who does not take what it is sent: evicted with a reason or told exactly what
//! it missed, within bounds of memory for one and for all, and without harm to
//! the others (docs/decisions/0019). Method: real sockets that take little;
//! memory is read from the node's meters, while the load runs.

mod dropped;
mod many;
mod memory;
#[path = "../frontend/raw.rs"]
mod raw;
#[path = "../support/mod.rs"]
mod support;

use std::io::{ErrorKind, Read};
use std::net::TcpStream;
use std::thread;
use std::time::{Duration, Instant};

use raw::{CLOSE, Raw, TEXT};
use serde_json::{Value, json};
use socket2::{Domain, Socket, Type};
use support::{Broker, PATIENCE, unhurried};
use webrocket::meter::Slow;
use webrocket::model::{Quotas, SlowConsumers};
use webrocket::wire::frames;

/// Quotas whose outboxes hold this, with a policy.
fn quotas(outbox_bytes_max: u32, slow_consumers: SlowConsumers) -> Quotas {
    let mut quotas = unhurried();
    quotas.default.outbox_bytes_max = outbox_bytes_max;
    quotas.default.slow_consumers = slow_consumers;
    quotas
}

fn broker(shards: u16, quotas: Quotas, channels: &[&str]) -> Broker {
    let broker = Broker::with_quotas(shards, quotas);
    channels.iter().for_each(|name| broker.open_channel(name));
    broker
}

/// A browser whose socket takes little, subscribed.
fn slow_browser(broker: &Broker, channels: &[&str]) -> Raw {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
    socket.set_recv_buffer_size(32 * 1024).expect("set");
    // As on a network; with loopback's segments the kernel would queue megabytes.
    socket.set_tcp_mss(1400).expect("set");
    let addr = broker.node().websocket_addr();
    socket.connect(&addr.into()).expect("connected");
    let mut raw = Raw::over(TcpStream::from(socket));
    raw.upgrade();
    for channel in channels {
        raw.send_text(&json!({"subscribe": {"channel": channel}}).to_string());
        assert_eq!(raw.receive()[":subscribed"]["channel"], *channel);
    }
    raw
}

fn slow(broker: &Broker, cause: Slow) -> u64 {
    let meters = broker.node().meters().iter();
    meters.map(|meter| meter.slow(cause).count()).sum()
}

fn dropped(broker: &Broker) -> u64 {
    let meters = broker.node().meters().iter();
    meters.map(|meter| meter.dropped.count()).sum()
}

fn outbox_bytes(broker: &Broker) -> u64 {
    let meters = broker.node().meters().iter();
    meters.map(|meter| meter.outbox_bytes.value()).sum()
}

fn expect(what: &str, mut is_so: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < PATIENCE, "never {what}");
        std::thread::yield_now();
    }
}

fn count_of(message: &Value) -> Option<u64> {
    let notice = message.get(":dropped")?;
    assert_eq!(notice.as_object().expect("an object").len(), 1);
    notice["count"].as_u64()
}

/// Sockets that are read by turns, none waiting for another.
struct Crowd {
    streams: Vec<TcpStream>,
    /// What is no whole frame yet; none once it was closed.
    halves: Vec<Option<Vec<u8>>>,
}

impl Crowd {
    fn new(raws: Vec<Raw>) -> Self {
        let streams: Vec<TcpStream> = raws.into_iter().map(|raw| raw.stream).collect();
        for stream in &streams {
            stream.set_nonblocking(true).expect("set");
        }
        Self {
            halves: vec![Some(Vec::new()); streams.len()],
            streams,
        }
    }

    /// Hands over whole frames with the number of their socket, until this is
    /// over or all are closed.
    fn read(&mut self, mut take: impl FnMut(usize, &[u8]), mut is_over: impl FnMut() -> bool) {
        let mut buffer = vec![0; 64 * 1024];
        let begun = Instant::now();
        while self.halves.iter().any(Option::is_some) {
            let mut is_idle = true;
            for (at, stream) in self.streams.iter_mut().enumerate() {
                let Some(half) = &mut self.halves[at] else {
                    continue;
                };
                match stream.read(&mut buffer) {
                    Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                    Ok(0) | Err(_) => self.halves[at] = None,
                    Ok(length) => {
                        is_idle = false;
                        half.extend_from_slice(&buffer[..length]);
                        let mut done = 0;
                        for length in frames::lengths(half) {
                            take(at, &half[done..done + length]);
                            done += length;
                        }
                        half.drain(..done);
                    }
                }
            }
            if is_idle {
                if is_over() {
                    return;
                }
                assert!(begun.elapsed() < 10 * PATIENCE, "never over");
                thread::sleep(Duration::from_millis(1));
            }
        }
    }
}

/// What a text frame says of events: the number of one that was said, or how
/// many were missed; none for a close frame. Read without a parser: a thousand
/// who were evicted have fifteen seconds.
fn told(frame: &[u8]) -> Option<Told> {
    let header = match frame[1] {
        126 => 4,
        127 => 10,
        _ => 2,
    };
    let text = str::from_utf8(&frame[header..])
        .ok()
        .filter(|_| frame[0] == TEXT)?;
    let number = |prefix| {
        let digits = text.strip_prefix(prefix)?.split([',', '}']).next()?;
        Some(digits.parse().expect("a number"))
    };
    let said = number(r#"{"said":{"n":"#).map(Told::Said);
    let told = said.or_else(|| number(r#"{":dropped":{"count":"#).map(Told::Missed));
    Some(told.unwrap_or_else(|| panic!("{text}")))
}

#[derive(Clone, Copy, Debug)]
enum Told {
    Said(u64),
    Missed(u64),
}

/// Code and reason of a close frame; none of another one.
fn closed(frame: &[u8]) -> Option<(u16, String)> {
    let code = u16::from_be_bytes(*frame.get(2..)?.first_chunk()?);
    let reason = String::from_utf8_lossy(&frame[4..]).into();
    (frame[0] == CLOSE).then_some((code, reason))
}
