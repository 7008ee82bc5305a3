//! Frontends that come: one after the other, and all at once.

use std::io::{self, Read, Write};
use std::net::TcpStream;

use crate::broker::{self, Place, Shape};
use crate::crowd::Crowd;
use crate::flood::per_cpu_second;
use crate::machine;
use crate::peers::Exchange;
use crate::report::{Goal, Report};
use crate::server::{self, Server};
use crate::visitors::Visit;

pub(crate) struct ArrivalsLoad {
    pub(crate) upgrades: usize,
    /// Those of the storm.
    pub(crate) clients: usize,
}

/// Upgrades under way together.
const AT_ONCE: usize = 64;

/// Frontends that the drain sends away in a millisecond, as the server's own window
/// has it for 20,000 of them and more.
const SENT_AWAY_PER_MS: usize = 4;

pub(crate) fn measure(samples: usize, load: &ArrivalsLoad, report: &mut Report) -> io::Result<()> {
    let clients = load.clients;
    for _ in 0..samples {
        let (server, place) = server::start_broker(Shape::of_one(0))?;
        report.add(
            "arrivals: connected and upgraded",
            "upgrades a CPU second",
            upgrades(&server, &place, load.upgrades)?,
            Some(Goal::AtLeast(30_000.0)),
        );
        drop(server);
        let (cut_off, cpu_seconds) = storm(clients)?;
        let name =
            format!("arrivals: {clients} clients cut off at once, until back and subscribed");
        tell(&name, &cut_off, Some(Goal::AtMost(3.0)), report);
        let count = clients as f64;
        for (unit, seconds) in [
            ("clients a second", cut_off.percentile(100)),
            ("clients a CPU second", cpu_seconds),
        ] {
            report.add(
                &format!("{name}; admitted, {unit}"),
                unit,
                count / seconds,
                None,
            );
        }
        let sent_away = drain(clients)?;
        let seconds = drain_ms(clients) as f64 / 1000.0;
        let name = format!(
            "arrivals: {clients} clients sent away over {seconds:.1} s, each until back and subscribed"
        );
        tell(&name, &sent_away, None, report);
    }
    Ok(())
}

/// How they were spread.
fn tell(name: &str, visit: &Visit, goal: Option<Goal>, report: &mut Report) {
    for (what, percent, goal) in [("p50", 50, None), ("p99", 99, None), ("all", 100, goal)] {
        let seconds = visit.percentile(percent);
        report.add(&format!("{name}; {what}"), "seconds", seconds, goal);
    }
    let refused = visit.refused as f64;
    report.add(
        &format!("{name}; refused, and tried again"),
        "attempts",
        refused,
        None,
    );
}

/// The window of a drain.
fn drain_ms(clients: usize) -> u64 {
    (clients / SENT_AWAY_PER_MS) as u64
}

/// Those who came stay until all have.
fn upgrades(server: &Server, place: &Place, count: usize) -> io::Result<f64> {
    let Exchange {
        request,
        is_answered,
    } = broker::upgrade();
    let mut here = Vec::new();
    per_cpu_second(server, count, |count| {
        let rounds = count.div_ceil(AT_ONCE);
        for _ in 0..rounds {
            let asked = (0..AT_ONCE).map(|_| {
                let mut stream = TcpStream::connect(place.frontends)?;
                stream.write_all(&request)?;
                Ok(stream)
            });
            for mut stream in asked.collect::<io::Result<Vec<_>>>()? {
                let mut answer = Vec::new();
                let mut buffer = [0; 4096];
                while !is_answered(&answer) {
                    let taken = stream.read(&mut buffer)?;
                    if taken == 0 {
                        return Err(io::ErrorKind::UnexpectedEof.into());
                    }
                    answer.extend_from_slice(&buffer[..taken]);
                }
                here.push(stream);
            }
        }
        Ok(rounds * AT_ONCE)
    })
}

/// All are cut off at once and come back as they can; with the seconds of CPU that
/// this took the server.
fn storm(clients: usize) -> io::Result<(Visit, f64)> {
    let (server, place) = server::start_broker(Shape {
        shards: machine::tables(clients) as u16,
        ..Shape::of_one(0)
    })?;
    let crowd = Crowd::new(place.frontends, clients, vec![broker::introduction("room")])?;
    crowd.come()?;
    let before = server.cpu_ns()?;
    let visit = crowd.storm()?;
    let cpu_ns = server.cpu_ns()? - before;
    Ok((visit, cpu_ns as f64 / 1e9))
}

/// A broker stops in order, and another one takes its port: each client comes back
/// as soon as it has been sent away.
fn drain(clients: usize) -> io::Result<Visit> {
    let shape = Shape {
        shards: machine::tables(clients) as u16,
        drain_ms: drain_ms(clients),
        ..Shape::of_one(0)
    };
    let (mut server, place) = server::start_broker(shape)?;
    let crowd = Crowd::new(place.frontends, clients, vec![broker::introduction("room")])?;
    crowd.come()?;
    let mut next = None;
    let visit = crowd.come_back(|| {
        server.stop_in_order()?;
        let shape = Shape {
            port: place.frontends.port(),
            ..shape
        };
        next = Some(server::start_broker(shape)?);
        Ok(())
    })?;
    drop((server, next));
    Ok(visit)
}
