//! Requests of backends: kept and pipelined, and one for each connection as the
//! clients of 2012 make them.

use std::io::{self, Read, Write};
use std::net::TcpStream;

use crate::broker::{self, Place, Shape};
use crate::flood::per_cpu_second;
use crate::load::FRAME_BYTES;
use crate::peers::Peers;
use crate::report::{Goal, Report};
use crate::server::{self, Server};

pub(crate) struct BackendLoad {
    pub(crate) kept: usize,
    pub(crate) connecting: usize,
}

const KEPT_CONNECTIONS: usize = 8;

/// Requests that a kept connection has under way; a quarter of what it may.
const PIPELINED: usize = 64;

/// Connections of one request that are under way together.
const CONNECTIONS_AT_ONCE: usize = 64;

/// What `OK` takes.
const ANSWER_BYTES: usize = 8;

pub(crate) fn measure(samples: usize, load: &BackendLoad, report: &mut Report) -> io::Result<()> {
    for _ in 0..samples {
        let (server, place) = server::start_broker(Shape::of_one(0))?;
        let unit = "requests a CPU second";
        report.add(
            "backend: BC, kept and pipelined, no subscribers",
            unit,
            kept(&server, &place, load.kept)?,
            Some(Goal::AtLeast(200_000.0)),
        );
        report.add(
            "backend: BC, a connection for each request",
            unit,
            connecting(&server, &place, load.connecting)?,
            Some(Goal::AtLeast(25_000.0)),
        );
    }
    Ok(())
}

fn kept(server: &Server, place: &Place, requests: usize) -> io::Result<f64> {
    let mut peers = Peers::connect(place.backends, KEPT_CONNECTIONS, |_| vec![place.keep()])?;
    let packets = broker::broadcast("room", FRAME_BYTES).repeat(PIPELINED);
    let packets = vec![packets; KEPT_CONNECTIONS];
    per_cpu_second(server, requests, |requests| {
        let rounds = requests.div_ceil(KEPT_CONNECTIONS * PIPELINED);
        peers.request(&packets, PIPELINED * ANSWER_BYTES, rounds)?;
        Ok(rounds * KEPT_CONNECTIONS * PIPELINED)
    })
}

fn connecting(server: &Server, place: &Place, requests: usize) -> io::Result<f64> {
    let request = [place.client(), broker::broadcast("room", FRAME_BYTES)].concat();
    per_cpu_second(server, requests, |requests| {
        let rounds = requests.div_ceil(CONNECTIONS_AT_ONCE);
        for _ in 0..rounds {
            let asked = (0..CONNECTIONS_AT_ONCE).map(|_| {
                let mut stream = TcpStream::connect(place.backends)?;
                stream.write_all(&request)?;
                Ok(stream)
            });
            for mut stream in asked.collect::<io::Result<Vec<_>>>()? {
                let mut answer = Vec::new();
                // Up to the end: it is the server that closes.
                stream.read_to_end(&mut answer)?;
                if answer.len() != ANSWER_BYTES {
                    return Err(io::ErrorKind::InvalidData.into());
                }
            }
        }
        Ok(rounds * CONNECTIONS_AT_ONCE)
    })
}
