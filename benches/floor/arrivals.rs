//! Frontends that come: one after the other, and all at once.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use webrocket::model::ConnId;
use webrocket::net::{Driver, Event, Recv, Socket, connect};

use crate::broker::{self, Place, Shape};
use crate::flood::per_cpu_second;
use crate::peers::{Exchange, send};
use crate::report::{Goal, Report};
use crate::server::{self, Server};

pub(crate) struct ArrivalsLoad {
    pub(crate) upgrades: usize,
    /// Those of the storm.
    pub(crate) clients: usize,
}

/// Upgrades under way together.
const AT_ONCE: usize = 64;

/// Clients of the storm whose connection is under way: fewer than a listener's
/// backlog, past which the kernel makes them wait a second.
const CONNECTING_MAX: usize = 1024;

/// Shards of the storm's broker: two tables of descriptors, so that those who go
/// and those who come have room together.
const SHARDS: u16 = 2;

const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) fn measure(samples: usize, load: &ArrivalsLoad, report: &mut Report) -> io::Result<()> {
    for _ in 0..samples {
        let (server, place) = server::start_broker(Shape::of_one(0))?;
        report.add(
            "arrivals: connected and upgraded",
            "upgrades a CPU second",
            upgrades(&server, &place, load.upgrades)?,
            Some(Goal::AtLeast(30_000.0)),
        );
        drop(server);
        report.add(
            &format!(
                "arrivals: {} clients back and subscribed after all were cut off",
                load.clients
            ),
            "seconds",
            storm(load.clients)?,
            Some(Goal::AtMost(3.0)),
        );
    }
    Ok(())
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

/// Seconds from the moment when everyone is cut off until everyone is back.
fn storm(clients: usize) -> io::Result<f64> {
    let (server, place) = server::start_broker(Shape {
        shards: SHARDS,
        ..Shape::of_one(0)
    })?;
    let mut crowd = Crowd::new(&place)?;
    crowd.arrive(clients)?;
    let started = Instant::now();
    crowd.leave();
    crowd.arrive(clients)?;
    let elapsed = started.elapsed();
    drop(server);
    Ok(elapsed.as_secs_f64())
}

/// Clients that connect, are upgraded and subscribe, each as fast as it is answered.
struct Crowd<'a> {
    place: &'a Place,
    driver: Driver,
    preamble: Vec<Exchange>,
    clients: Vec<Client>,
    events: Vec<Event>,
    /// Counts crowds, so that nothing of an earlier one is taken for this one's.
    generation: u32,
}

struct Client {
    socket: Socket,
    /// The exchange under way, and what has come of its answer.
    step: usize,
    answer: Vec<u8>,
}

impl<'a> Crowd<'a> {
    fn new(place: &'a Place) -> io::Result<Self> {
        Ok(Self {
            place,
            driver: Driver::new()?,
            preamble: broker::introduction("room"),
            clients: Vec::new(),
            events: Vec::new(),
            generation: 0,
        })
    }

    /// All are cut off.
    fn leave(&mut self) {
        for (slot, client) in self.clients.drain(..).enumerate() {
            let conn = ConnId {
                slot: slot as u32,
                generation: self.generation,
            };
            self.driver.unwatch(conn, client.socket, false);
        }
        self.generation += 1;
    }

    fn arrive(&mut self, count: usize) -> io::Result<()> {
        let deadline = Instant::now() + PATIENCE;
        let (mut connected, mut subscribed) = (0, 0);
        while subscribed < count {
            if Instant::now() > deadline {
                return Err(io::ErrorKind::TimedOut.into());
            }
            while self.clients.len() < count && self.clients.len() - connected < CONNECTING_MAX {
                self.begin()?;
            }
            self.driver.poll(Some(PATIENCE), &mut self.events)?;
            for event in std::mem::take(&mut self.events) {
                match event {
                    Event::Writable(conn) if conn.generation == self.generation => {
                        self.clients[conn.slot as usize].socket.take_error()?;
                        self.ask(conn.slot as usize)?;
                        connected += 1;
                    }
                    Event::Readable(conn) if conn.generation == self.generation => {
                        subscribed += usize::from(self.hear(conn.slot as usize)?);
                    }
                    Event::HungUp(conn) if conn.generation == self.generation => {
                        return Err(io::ErrorKind::ConnectionReset.into());
                    }
                    _ => {}
                }
            }
        }
        Ok(())
    }

    fn begin(&mut self) -> io::Result<()> {
        let socket = connect(self.place.frontends, None)?;
        let conn = ConnId {
            slot: self.clients.len() as u32,
            generation: self.generation,
        };
        self.driver.watch(conn, &socket)?;
        self.driver.watch_writable(conn, &socket)?;
        self.clients.push(Client {
            socket,
            step: 0,
            answer: Vec::new(),
        });
        Ok(())
    }

    fn ask(&mut self, place: usize) -> io::Result<()> {
        let client = &self.clients[place];
        send(&client.socket, &self.preamble[client.step].request)
    }

    /// Whether that was the last answer.
    fn hear(&mut self, place: usize) -> io::Result<bool> {
        let client = &mut self.clients[place];
        let mut buffer = [0; 4096];
        match client.socket.recv(&mut buffer) {
            Recv::Bytes(count) => client.answer.extend_from_slice(&buffer[..count]),
            Recv::Empty => return Ok(false),
            Recv::Ended => return Err(io::ErrorKind::UnexpectedEof.into()),
            Recv::Failed(error) => return Err(error),
        }
        if !(self.preamble[client.step].is_answered)(&client.answer) {
            return Ok(false);
        }
        client.answer = Vec::new();
        client.step += 1;
        if client.step == self.preamble.len() {
            return Ok(true);
        }
        self.ask(place)?;
        Ok(false)
    }
}
