//! The two loads. Each gives the server's CPU per operation, in nanoseconds.

use std::io::{self, Write};
use std::thread;
use std::time::{Duration, Instant};

use crate::peers::{Exchange, Peers, open};
use crate::server::{PUBLISH, SUBSCRIBE, Server};

/// Bytes of a frame with its head: one chat line.
const FRAME_BYTES: usize = 100;

/// Request-response on all connections at once.
pub(crate) struct EchoLoad {
    pub(crate) requests_per_connection: usize,
}

/// One frame to all connections, again and again at a pace that leaves the
/// server idle between them.
pub(crate) struct FanoutLoad {
    pub(crate) rounds: usize,
    pub(crate) pace: Duration,
}

/// CPU per request.
pub(crate) fn echo(server: &Server, connections: usize, load: &EchoLoad) -> io::Result<f64> {
    let mut peers = Peers::connect(server.addr, connections, &[])?;
    let frame = text_frame();
    peers.request(&frame, frame.len(), 1)?;
    let before = server.cpu_ns()?;
    peers.request(&frame, frame.len(), load.requests_per_connection)?;
    let spent = server.cpu_ns()? - before;
    Ok(spent as f64 / (connections * load.requests_per_connection) as f64)
}

/// CPU per delivery.
pub(crate) fn fanout(server: &Server, connections: usize, load: &FanoutLoad) -> io::Result<f64> {
    let mut peers = Peers::connect(server.addr, connections, &[introduction(SUBSCRIBE)])?;
    let mut publisher = open(server.addr, &[introduction(PUBLISH)])?;
    let frame = text_frame();
    let mut round = || -> io::Result<()> {
        let started = Instant::now();
        publisher.write_all(&frame)?;
        peers.drain(connections * frame.len())?;
        thread::sleep(load.pace.saturating_sub(started.elapsed()));
        Ok(())
    };
    round()?;
    let before = server.cpu_ns()?;
    for _ in 0..load.rounds {
        round()?;
    }
    let spent = server.cpu_ns()? - before;
    Ok(spent as f64 / (connections * load.rounds) as f64)
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
