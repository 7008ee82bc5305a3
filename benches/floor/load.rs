//! The loads. Each gives the server's CPU per operation, in nanoseconds.

use std::io::{self, Write};
use std::net::TcpStream;
use std::thread;
use std::time::{Duration, Instant};

use crate::broker::{self, Place};
use crate::peers::{Exchange, Peers, open};
use crate::server::{PUBLISH, SUBSCRIBE, Server};

/// Bytes of a frame with its head: one chat line.
const FRAME_BYTES: usize = 100;

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

/// CPU per delivery of a server that sends the publisher's frames to all.
pub(crate) fn fanout(server: &Server, connections: usize, load: &FanoutLoad) -> io::Result<f64> {
    let peers = Peers::connect(server.addr, connections, |_| vec![introduction(SUBSCRIBE)])?;
    let publisher = open(server.addr, &[introduction(PUBLISH)])?;
    deliver(server, peers, connections, (publisher, &text_frame()), load)
}

/// CPU per delivery of the broker.
pub(crate) fn broker_fanout(
    server: &Server,
    place: &Place,
    connections: usize,
    load: &FanoutLoad,
) -> io::Result<f64> {
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
) -> io::Result<f64> {
    publisher.write_all(event)?;
    peers.drain(connections * FRAME_BYTES)?;
    let deliveries = connections * load.rounds * load.burst;
    let before = server.cpu_ns()?;
    thread::scope(|scope| {
        // On its schedule, whether the receivers keep up or not.
        let publishing = scope.spawn(|| publish(&mut publisher, &event.repeat(load.burst), load));
        peers.drain(deliveries * FRAME_BYTES)?;
        publishing
            .join()
            .map_err(|_| io::Error::other("the publisher panicked"))?
    })?;
    let spent = server.cpu_ns()? - before;
    Ok(spent as f64 / deliveries as f64)
}

fn publish(publisher: &mut TcpStream, events: &[u8], load: &FanoutLoad) -> io::Result<()> {
    let started = Instant::now();
    for round in 1..=load.rounds as u32 {
        publisher.write_all(events)?;
        thread::sleep((load.pace * round).saturating_sub(started.elapsed()));
    }
    Ok(())
}

/// Private bytes of the server for each of so many frontends, subscribed evenly
/// to so many channels.
pub(crate) fn memory(server: &Server, connections: usize, channels: usize) -> io::Result<f64> {
    let subscribe = |index| broker::introduction(&broker::own_channel(index % channels));
    // What the first ones make the broker take is not theirs.
    let warm = Peers::connect(server.addr, 100, subscribe)?;
    let before = server.private_bytes()?;
    let peers = Peers::connect(server.addr, connections, subscribe)?;
    let grown = server.private_bytes()?.saturating_sub(before);
    drop((warm, peers));
    Ok(grown as f64 / connections as f64)
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
