//! The loads. Each gives the server's CPU per operation, in nanoseconds.

use std::io::{self, Write};
use std::net::TcpStream;
use std::thread;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;

use crate::broker::{self, Place};
use crate::peers::{Exchange, Peers, open};
use crate::server::{PUBLISH, SUBSCRIBE, Server};

/// Bytes of a frame with its head: one chat line.
pub(crate) const FRAME_BYTES: usize = 100;

/// Request-response on all connections at once.
pub(crate) struct EchoLoad {
    pub(crate) requests_per_connection: usize,
}

/// Events to all connections, again and again at a pace.
pub(crate) struct FanoutLoad {
    pub(crate) rounds: usize,
    /// Events of one round.
    pub(crate) burst: usize,
    pub(crate) pace: Duration,
}

impl FanoutLoad {
    /// The same deliveries a second over other connections, in as many rounds as
    /// make as many deliveries, at least 20.
    pub(crate) fn spread_over(&self, few: usize, connections: usize) -> Self {
        Self {
            rounds: (self.rounds * few / connections).max(20),
            burst: self.burst,
            pace: self.pace * connections as u32 / few.max(1) as u32,
        }
    }
}

/// CPU per request of a server that sends back what comes.
pub(crate) fn echo(server: &Server, connections: usize, load: &EchoLoad) -> io::Result<f64> {
    let peers = Peers::connect(server.addr, connections, |_| Vec::new())?;
    let requests = vec![text_frame(); connections];
    ask(server, peers, &requests, FRAME_BYTES, load)
}

/// CPU per ping of the broker.
pub(crate) fn broker_ping(server: &Server, connections: usize, load: &EchoLoad) -> io::Result<f64> {
    let peers = Peers::connect(server.addr, connections, |_| broker::introduction("room"))?;
    let requests = vec![broker::ping(FRAME_BYTES); connections];
    ask(server, peers, &requests, FRAME_BYTES, load)
}

/// CPU per event that comes back to its sender alone.
pub(crate) fn broker_echo(server: &Server, connections: usize, load: &EchoLoad) -> io::Result<f64> {
    let own = |index| broker::introduction(&broker::own_channel(index));
    let peers = Peers::connect(server.addr, connections, own)?;
    let requests: Vec<_> = (0..connections)
        .map(|index| broker::own_event(index, FRAME_BYTES))
        .collect();
    ask(server, peers, &requests, FRAME_BYTES, load)
}

fn ask(
    server: &Server,
    mut peers: Peers,
    requests: &[Vec<u8>],
    answer_bytes: usize,
    load: &EchoLoad,
) -> io::Result<f64> {
    peers.request(requests, answer_bytes, 1)?;
    let before = server.cpu_ns()?;
    peers.request(requests, answer_bytes, load.requests_per_connection)?;
    let spent = server.cpu_ns()? - before;
    Ok(spent as f64 / (requests.len() * load.requests_per_connection) as f64)
}

/// What deliveries of a [`FanoutLoad`] take.
pub(crate) struct Delivered {
    pub(crate) cpu_ns: f64,
    /// From when an event was due until 99 of 100 of its subscribers had it,
    /// in milliseconds. The load's own delays are in it.
    pub(crate) p99_ms: f64,
}

/// CPU per delivery of a server that sends the publisher's frames to all.
pub(crate) fn fanout(server: &Server, connections: usize, load: &FanoutLoad) -> io::Result<f64> {
    let peers = Peers::connect(server.addr, connections, |_| vec![introduction(SUBSCRIBE)])?;
    let publisher = open(server.addr, &[introduction(PUBLISH)])?;
    let delivered = deliver(server, peers, connections, (publisher, &text_frame()), load)?;
    Ok(delivered.cpu_ns)
}

/// Deliveries of the broker.
pub(crate) fn broker_fanout(
    server: &Server,
    place: &Place,
    connections: usize,
    load: &FanoutLoad,
) -> io::Result<Delivered> {
    let peers = Peers::connect(server.addr, connections, |_| broker::introduction("room"))?;
    let (publisher, packet) = place.publisher(FRAME_BYTES)?;
    deliver(server, peers, connections, (publisher, &packet), load)
}

fn deliver(
    server: &Server,
    mut peers: Peers,
    connections: usize,
    (mut publisher, event): (TcpStream, &[u8]),
    load: &FanoutLoad,
) -> io::Result<Delivered> {
    publisher.write_all(event)?;
    peers.drain(connections * FRAME_BYTES)?;
    let deliveries = connections * load.rounds * load.burst;
    let before = server.cpu_ns()?;
    let mut waits = Histogram::<u64>::new_with_max(60_000_000, 3).map_err(io::Error::other)?;
    let events = event.repeat(load.burst);
    let started = Instant::now();
    thread::scope(|scope| {
        // On its schedule, whether the receivers keep up or not.
        let publishing = scope.spawn(|| publish(&mut publisher, &events, load, started));
        peers.drain_into(deliveries * FRAME_BYTES, |from, to| {
            let now = started.elapsed();
            for event in from / FRAME_BYTES..to / FRAME_BYTES {
                let due = load.pace * (event / load.burst) as u32;
                waits.saturating_record(now.saturating_sub(due).as_micros() as u64);
            }
        })?;
        publishing
            .join()
            .map_err(|_| io::Error::other("the publisher panicked"))?
    })?;
    let spent = server.cpu_ns()? - before;
    Ok(Delivered {
        cpu_ns: spent as f64 / deliveries as f64,
        p99_ms: waits.value_at_quantile(0.99) as f64 / 1000.0,
    })
}

fn publish(
    publisher: &mut TcpStream,
    events: &[u8],
    load: &FanoutLoad,
    started: Instant,
) -> io::Result<()> {
    for round in 1..=load.rounds as u32 {
        publisher.write_all(events)?;
        thread::sleep((load.pace * round).saturating_sub(started.elapsed()));
    }
    Ok(())
}

fn introduction(byte: u8) -> Exchange {
    Exchange {
        request: vec![byte],
        is_answered: |answer| !answer.is_empty(),
    }
}

/// An unmasked text frame, as RFC 6455 section 5.2 draws it.
fn text_frame() -> Vec<u8> {
    const HEAD_BYTES: usize = 2;
    let payload_bytes = FRAME_BYTES - HEAD_BYTES;
    let mut frame = vec![0x81, payload_bytes as u8];
    frame.resize(FRAME_BYTES, b'x');
    frame
}
