//! The clients of one thread, who come, are sent away and come back.

use std::collections::BTreeSet;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use webrocket::model::ConnId;
use webrocket::net::{Driver, Event, Recv, Socket, connect};
use webrocket::sys::unshare_descriptors;

use crate::peers::{Exchange, send};

/// Connections that are begun before answers are looked for again.
const BEGUN_PER_TURN_MAX: usize = 64;

/// Connections under way where nobody hurries: of all threads together fewer than
/// the kernel lets wait at a listener.
const CONNECTING_MAX: usize = 256;

/// Addresses that a thread's clients come from. Where half of an address's ports are
/// taken, the kernel searches long for another one.
const SOURCES: usize = 16;

/// Until one who was refused tries again.
const PAUSE: Duration = Duration::from_millis(50);

const PATIENCE: Duration = Duration::from_secs(180);

/// Who comes, from where, and what each says.
pub(crate) struct Visitors {
    pub(crate) addr: SocketAddr,
    /// The first three bytes of the addresses that they come from.
    pub(crate) network: [u8; 3],
    pub(crate) count: usize,
    /// They take turns with these.
    pub(crate) preambles: Arc<[Vec<Exchange>]>,
}

/// How all of them have come.
#[derive(Default)]
pub(crate) struct Visit {
    /// For how long each was outside, until it was through its preamble; in rising order.
    pub(crate) times: Vec<Duration>,
    /// Attempts that were refused or cut off, and made again.
    pub(crate) refused: usize,
}

impl Visit {
    pub(crate) fn add(&mut self, other: Self) {
        self.times.extend(other.times);
        self.times.sort_unstable();
        self.refused += other.refused;
    }

    /// Seconds for which so many of a hundred were outside at the most.
    pub(crate) fn percentile(&self, percent: usize) -> f64 {
        let rank = (self.times.len() * percent).div_ceil(100).max(1) - 1;
        let time = self.times.get(rank);
        time.map_or(f64::NAN, Duration::as_secs_f64)
    }
}

/// On the thread that they are bound to.
pub(crate) struct Bound {
    visitors: Visitors,
    /// None while they rest.
    driver: Option<Driver>,
    clients: Vec<Client>,
    /// When who is to connect.
    outside: BTreeSet<(Instant, usize)>,
    connecting: usize,
    connecting_max: usize,
    events: Vec<Event>,
    visit: Visit,
}

struct Client {
    /// None while there is no connection.
    socket: Option<Socket>,
    /// Counts its connections, so that nothing of an earlier one is taken for this one's.
    generation: u32,
    is_connecting: bool,
    /// The exchange under way, and what has come of its answer.
    step: usize,
    answer: Vec<u8>,
    /// Since when it is outside, while it is.
    outside_since: Instant,
}

impl Visitors {
    /// Gives the calling thread a descriptor table of its own.
    pub(crate) fn set_out(self) -> io::Result<Bound> {
        unshare_descriptors(&[])?;
        let now = Instant::now();
        let client = |_| Client {
            socket: None,
            generation: 0,
            is_connecting: false,
            step: 0,
            answer: Vec::new(),
            outside_since: now,
        };
        Ok(Bound {
            driver: None,
            clients: (0..self.count).map(client).collect(),
            outside: BTreeSet::new(),
            connecting: 0,
            connecting_max: usize::MAX,
            events: Vec::new(),
            visit: Visit::default(),
            visitors: self,
        })
    }
}

impl Bound {
    /// All come for the first time, without haste.
    pub(crate) fn come(&mut self) -> io::Result<Visit> {
        self.connecting_max = CONNECTING_MAX;
        let visit = self.come_after(Instant::now());
        self.connecting_max = usize::MAX;
        visit
    }

    /// All are cut off at that moment, and come at once.
    pub(crate) fn come_after(&mut self, cut: Instant) -> io::Result<Visit> {
        for place in 0..self.clients.len() {
            self.lose(place)?;
            self.clients[place].outside_since = cut;
            self.outside.insert((cut, place));
        }
        self.come_back()
    }

    /// All have been sent away, or will be, and come back.
    pub(crate) fn come_back(&mut self) -> io::Result<Visit> {
        let deadline = Instant::now() + PATIENCE;
        let mut events = std::mem::take(&mut self.events);
        while self.visit.times.len() < self.clients.len() {
            let now = Instant::now();
            if now > deadline {
                return Err(io::ErrorKind::TimedOut.into());
            }
            let wait = self.begin(now)?;
            self.driver()?.poll(Some(wait), &mut events)?;
            for event in events.drain(..) {
                self.handle(&event)?;
            }
        }
        self.events = events;
        Ok(std::mem::take(&mut self.visit))
    }

    /// Leaves the sockets alone.
    pub(crate) fn rest(&mut self) {
        self.driver = None;
    }

    /// Begins connections that are due; tells in what time there is another one.
    fn begin(&mut self, now: Instant) -> io::Result<Duration> {
        for _ in 0..BEGUN_PER_TURN_MAX {
            match self.outside.first() {
                // The next one that is taken in makes room.
                _ if self.connecting >= self.connecting_max => return Ok(PATIENCE),
                Some((due, _)) if *due > now => return Ok(*due - now),
                Some(_) => {}
                None => return Ok(PATIENCE),
            }
            if let Some((_, place)) = self.outside.pop_first() {
                self.connect(place)?;
            }
        }
        Ok(Duration::ZERO)
    }

    fn connect(&mut self, place: usize) -> io::Result<()> {
        let [a, b, c] = self.visitors.network;
        let source = Ipv4Addr::new(a, b, c, 1 + (place % SOURCES) as u8);
        let socket = connect(self.visitors.addr, Some(source.into()))?;
        let conn = self.conn(place);
        let driver = self.driver()?;
        driver.watch(conn, &socket)?;
        driver.watch_writable(conn, &socket)?;
        let client = &mut self.clients[place];
        client.socket = Some(socket);
        client.is_connecting = true;
        self.connecting += 1;
        Ok(())
    }

    /// Closes its connection, if there is one.
    fn lose(&mut self, place: usize) -> io::Result<()> {
        let conn = self.conn(place);
        let client = &mut self.clients[place];
        client.generation += 1;
        client.step = 0;
        client.answer = Vec::new();
        let was_connecting = std::mem::take(&mut client.is_connecting);
        self.connecting -= usize::from(was_connecting);
        if let Some(socket) = client.socket.take() {
            self.driver()?.unwatch(conn, socket, was_connecting);
        }
        Ok(())
    }

    fn handle(&mut self, event: &Event) -> io::Result<()> {
        let (Event::Writable(conn) | Event::Readable(conn) | Event::HungUp(conn)) = *event else {
            return Ok(());
        };
        let place = conn.slot as usize;
        let preamble = self.visitors.preamble(place);
        let client = &mut self.clients[place];
        if client.generation != conn.generation {
            return Ok(());
        }
        let went = match event {
            Event::Writable(_) => {
                self.connecting -= usize::from(std::mem::take(&mut client.is_connecting));
                client.ask_first(preamble)
            }
            Event::HungUp(_) => client.hear(preamble, true),
            _ => client.hear(preamble, false),
        };
        match went {
            Ok(false) => Ok(()),
            Ok(true) => {
                self.visit.times.push(client.outside_since.elapsed());
                Ok(())
            }
            Err(error) if is_end(&error) => {
                let mut due = Instant::now();
                if client.step == preamble.len() {
                    client.outside_since = due;
                } else {
                    self.visit.refused += 1;
                    due += PAUSE;
                }
                self.outside.insert((due, place));
                self.lose(place)
            }
            Err(error) => Err(error),
        }
    }

    fn driver(&mut self) -> io::Result<&mut Driver> {
        match self.driver {
            Some(ref mut driver) => Ok(driver),
            ref mut none => Ok(none.insert(Driver::new()?)),
        }
    }

    fn conn(&self, place: usize) -> ConnId {
        ConnId {
            slot: place as u32,
            generation: self.clients[place].generation,
        }
    }
}

impl Drop for Bound {
    /// Nothing of them is to linger, such as ports: a next crowd may need those.
    fn drop(&mut self) {
        let sockets = self.clients.iter().filter_map(|it| it.socket.as_ref());
        sockets.for_each(Socket::reset_on_close);
    }
}

impl Client {
    fn ask_first(&self, preamble: &[Exchange]) -> io::Result<bool> {
        if let Some(socket) = &self.socket {
            socket.take_error()?;
            send(socket, &preamble[0].request)?;
        }
        Ok(false)
    }

    /// Whether the last answer has come with this. An error is the end of the connection.
    fn hear(&mut self, preamble: &[Exchange], has_hung_up: bool) -> io::Result<bool> {
        let Some(socket) = &self.socket else {
            return Ok(false);
        };
        let mut buffer = [0; 4096];
        loop {
            let count = match socket.recv(&mut buffer) {
                Recv::Bytes(count) => count,
                Recv::Empty => return Ok(false),
                Recv::Ended => return Err(io::ErrorKind::UnexpectedEof.into()),
                Recv::Failed(error) => return Err(error),
            };
            // What is said to one inside matters only in that its end comes behind it.
            if let Some(exchange) = preamble.get(self.step) {
                self.answer.extend_from_slice(&buffer[..count]);
                if (exchange.is_answered)(&self.answer) {
                    self.answer = Vec::new();
                    self.step += 1;
                    match preamble.get(self.step) {
                        Some(next) => send(socket, &next.request)?,
                        None => return Ok(true),
                    }
                }
            }
            if count < buffer.len() && !has_hung_up {
                return Ok(false);
            }
        }
    }
}

impl Visitors {
    fn preamble(&self, place: usize) -> &[Exchange] {
        &self.preambles[place % self.preambles.len()]
    }
}

/// Whether the server has ended the connection, or has taken none.
fn is_end(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionRefused
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::BrokenPipe
            | io::ErrorKind::UnexpectedEof
    )
}
