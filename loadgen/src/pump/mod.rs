//! One thread of clients: one ring, one receive buffer, no task per client.

mod closed;
mod join;
mod life;
mod load;
mod publisher;
mod recorder;
mod slow;
mod tally;
mod trigger;

pub(crate) use life::Leaves;
pub(crate) use publisher::Publisher;
pub(crate) use recorder::{Counts, Histograms, Recorded, Recorder};
pub(crate) use slow::Slowness;
pub(crate) use tally::{Deliveries, Faults, Tally, Triggers};

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use webrocket::limits::OUTBOX_BYTES_MAX;
use webrocket::model::ConnId;
use webrocket::net::{Driver, Event, Flushed, Outbox, Recv, Socket, Spare};

use crate::client::{Client, Door, Fault, Seen, Wish};
use crate::limits::{
    LEAVE_TIMEOUT, POLL_INSTANT_NS, READS_PER_CLIENT_MAX, RECEIVE_BUFFER_BYTES, SLEEP_MAX,
};
use crate::plan::Plan;
use crate::progress::Traffic;
use crate::timeline::{Shared, nanoseconds};
use crate::tokens::Customer;
use tally::count;

/// The clients of one thread, from their connections to their leaving.
pub(crate) struct Pump {
    plan: Arc<Plan>,
    shared: Arc<Shared>,
    to: SocketAddr,
    door: Door,
    thread: u16,
    run: u32,
    driver: Driver,
    /// Where clients that authenticate get their tokens.
    tokens: Option<Customer>,
    /// By slot, which is also the client's place in this thread.
    seats: Vec<Seat>,
    /// Names by channel.
    channels: Vec<String>,
    tally: Tally,
    publishers: Vec<Publisher>,
    /// Slots that may be shaking hands, oldest first.
    joining: VecDeque<u32>,
    /// Slots that have more to read than one turn takes.
    unread: Vec<u32>,
    /// Slots that had left and could not come back.
    refused: Vec<usize>,
    /// When the slow clients read again.
    slow_ns: u64,
    /// Places of publishers whose own broadcast has come back, in a closed loop.
    returned: Vec<usize>,
    /// The end is near: whatever closes now is no fault.
    leaving: bool,
    open: usize,
    cpu: Cpu,
    /// When the turn began.
    turn_ns: u64,
    /// When what this turn reads may have become readable, at the earliest.
    ready_ns: u64,
    spare: Spare,
    buffer: Box<[u8]>,
    text: Vec<u8>,
    out: Vec<u8>,
    events: Vec<Event>,
    /// Since the others were told.
    traffic: Traffic,
}

/// One client and its connection.
#[derive(Debug, Default)]
struct Seat {
    client: Client,
    socket: Option<Socket>,
    outbox: Outbox,
    /// The socket was full, or is not connected yet.
    awaits_writable: bool,
    /// It has sent its request.
    is_connected: bool,
    /// Its end waits behind what there is to read.
    has_hung_up: bool,
    /// It has left on purpose and is not back.
    is_away: bool,
    /// The storm made it leave.
    is_of_storm: bool,
    /// Connections before this one.
    generation: u32,
    /// When the handshake is given up.
    deadline_ns: u64,
    /// When the step of the handshake that is under way began.
    since_ns: u64,
    /// When it left, where it is away.
    left_ns: u64,
}

const _: () = assert!(size_of::<Seat>() <= 128, "an idle client is small");

/// Processor time of the thread while measuring.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Cpu {
    /// Used.
    pub(crate) used: Duration,
    /// Passed.
    pub(crate) passed: Duration,
}

/// What a thread brings home.
pub(crate) struct Outcome {
    pub(crate) tally: Tally,
    pub(crate) recorded: Recorded,
    pub(crate) publishers: Vec<Publisher>,
    /// The numbers of the clients that were subscribed, and their slots.
    pub(crate) subscribed: Vec<(u32, usize)>,
    pub(crate) cpu: Cpu,
}

impl Pump {
    /// Nothing is connected yet.
    ///
    /// # Errors
    /// No ring is to be had.
    pub(crate) fn new(
        plan: Arc<Plan>,
        shared: Arc<Shared>,
        to: SocketAddr,
        door: Door,
        tokens: Option<Customer>,
        thread: u16,
        run: u32,
    ) -> io::Result<Self> {
        let mut driver = Driver::new()?;
        if let Some(tokens) = &tokens {
            driver.watch_wakeups(tokens.wake())?;
        }
        let numbers: Vec<u32> = plan.clients_of(thread).collect();
        let publishers = plan.publishers_of(thread);
        Ok(Self {
            to,
            door,
            thread,
            run,
            driver,
            tokens,
            seats: numbers.iter().map(|_| Seat::default()).collect(),
            channels: (0..plan.channels).map(|it| plan.channel_name(it)).collect(),
            tally: Tally::new(&plan, run, numbers.len()),
            publishers: publishers
                .into_iter()
                .enumerate()
                .map(Publisher::new)
                .collect(),
            joining: VecDeque::new(),
            unread: Vec::new(),
            refused: Vec::new(),
            slow_ns: 0,
            returned: Vec::new(),
            leaving: false,
            open: 0,
            cpu: Cpu::default(),
            turn_ns: 0,
            ready_ns: 0,
            spare: Spare::new(),
            buffer: vec![0; RECEIVE_BUFFER_BYTES].into(),
            text: Vec::new(),
            out: Vec::new(),
            events: Vec::new(),
            traffic: Traffic::default(),
            plan,
            shared,
        })
    }

    /// From the ramp to the end of the drain.
    ///
    /// # Errors
    /// The ring is broken.
    pub(crate) fn run(mut self) -> io::Result<Outcome> {
        if let Some(timeline) = self.join()? {
            self.load(&timeline)?;
        }
        let subscribed = self.subscribed();
        let away = self.seats.iter().filter(|seat| seat.is_away);
        self.tally.leaves.missing = away.count() as u64;
        self.leave()?;
        Ok(Outcome {
            recorded: self.tally.recorder.finish(),
            tally: self.tally,
            publishers: self.publishers,
            subscribed,
            cpu: self.cpu,
        })
    }

    fn subscribed(&self) -> Vec<(u32, usize)> {
        let seats = self.seats.iter().enumerate();
        seats
            .filter(|(_, seat)| seat.client.has_joined() || seat.is_away)
            .map(|(slot, _)| (self.number(slot), slot))
            .filter(|&(number, _)| !self.plan.is_slow(number))
            .collect()
    }

    /// A close frame to everyone, and time to answer it.
    fn leave(&mut self) -> io::Result<()> {
        self.leaving = true;
        for slot in 0..self.seats.len() {
            self.out.clear();
            if self.seats[slot].is_connected {
                self.seats[slot].client.leave(&mut self.out);
            }
            self.send_out(slot);
        }
        let deadline_ns = self.shared.now_ns() + nanoseconds(LEAVE_TIMEOUT);
        while self.open > 0 && self.shared.now_ns() < deadline_ns {
            self.turn(SLEEP_MAX)?;
        }
        for slot in 0..self.seats.len() {
            if let Some(socket) = &self.seats[slot].socket {
                socket.reset_on_close();
                self.end(slot, Fault::TimedOut);
            }
        }
        self.turn(Duration::ZERO)
    }

    /// Waits for what happens, at most `timeout`, and handles it.
    fn turn(&mut self, timeout: Duration) -> io::Result<()> {
        let timeout = if self.unread.is_empty() {
            timeout
        } else {
            Duration::ZERO
        };
        let mut events = std::mem::take(&mut self.events);
        let asked_ns = self.shared.now_ns();
        self.driver.poll(Some(timeout), &mut events)?;
        let told_ns = self.shared.now_ns();
        // What is told at once may have waited since the last turn began.
        let has_waited = told_ns - asked_ns > POLL_INSTANT_NS;
        self.ready_ns = if has_waited { told_ns } else { self.turn_ns };
        self.turn_ns = told_ns;
        for slot in std::mem::take(&mut self.unread) {
            self.read(slot as usize);
        }
        for event in events.drain(..) {
            match event {
                Event::Readable(conn) => self.read(conn.slot as usize),
                Event::HungUp(conn) => {
                    self.seats[conn.slot as usize].has_hung_up = true;
                    self.read(conn.slot as usize);
                }
                Event::Writable(conn) => self.handle_writable(conn.slot as usize),
                Event::Woken => self.take_tokens(),
                // Nothing listens here.
                Event::Accepted { .. } | Event::AcceptFailed { .. } => {}
            }
        }
        self.events = events;
        self.shared.count_traffic(std::mem::take(&mut self.traffic));
        Ok(())
    }

    fn handle_writable(&mut self, slot: usize) {
        let seat = &mut self.seats[slot];
        let Some(socket) = &seat.socket else { return };
        seat.awaits_writable = false;
        if seat.is_connected {
            self.flush(slot);
            return;
        }
        if let Err(error) = socket.take_error().and_then(|()| socket.tune()) {
            self.end(slot, system(&error));
            return;
        }
        seat.is_connected = true;
        self.out.clear();
        seat.client.start(&self.door, &mut self.out);
        self.send_out(slot);
        // What came before this moment is not announced again.
        self.read(slot);
    }

    fn read(&mut self, slot: usize) {
        if self.is_dozing(slot) {
            return;
        }
        for _ in 0..READS_PER_CLIENT_MAX {
            let seat = &mut self.seats[slot];
            let Some(socket) = seat.socket.as_ref().filter(|_| seat.is_connected) else {
                return;
            };
            match socket.recv(&mut self.buffer) {
                Recv::Bytes(count) => {
                    self.handle_received(slot, count);
                    if count < self.buffer.len() && !self.seats[slot].has_hung_up {
                        return;
                    }
                }
                Recv::Empty => return,
                Recv::Ended => return self.end(slot, Fault::Ended),
                Recv::Failed(error) => return self.end(slot, system(&error)),
            }
        }
        self.unread.push(slot as u32);
    }

    /// Takes in the first `count` bytes of the buffer.
    fn handle_received(&mut self, slot: usize, count: usize) {
        let now_ns = self.shared.now_ns();
        let number = self.number(slot);
        let seat = &mut self.seats[slot];
        let wish = Wish {
            channel: &self.channels[(number % self.plan.channels) as usize],
            authenticates: self.plan.authenticates(),
        };
        let (mut connected, mut joined, mut closed) = (false, false, None);
        self.out.clear();
        let (tally, leaving) = (&mut self.tally, self.leaving);
        let ready_ns = self.ready_ns;
        let (since_ns, is_away) = (&mut seat.since_ns, seat.is_away);
        let (shared, is_slow) = (&self.shared, self.plan.is_slow(number));
        let (returned, run) = (&mut self.returned, self.run);
        let publishers = self.plan.publishers();
        let (in_flight, traffic) = (self.plan.in_flight, &mut self.traffic);
        tally.recorder.handle_time(now_ns);
        let lag_ns = (!is_slow).then(|| now_ns.saturating_sub(ready_ns));
        tally.handle_received(count, lag_ns);
        let result =
            seat.client
                .handle_bytes(&self.buffer[..count], wish, &mut self.out, &mut |seen| {
                    match seen {
                        Seen::Connected => {
                            if !is_away {
                                tally.handle_connected(now_ns.saturating_sub(*since_ns));
                            }
                            *since_ns = now_ns;
                            connected = true;
                        }
                        Seen::Authenticated => {
                            tally.handle_authenticated(now_ns.saturating_sub(*since_ns));
                            *since_ns = now_ns;
                        }
                        Seen::Member(member) => tally.handle_member(slot, member, true),
                        Seen::MemberLeft(member) => tally.handle_member(slot, member, false),
                        Seen::Subscribed => {
                            joined = true;
                            if is_away {
                                tally.handle_return(slot, number, shared);
                            } else {
                                tally.handle_subscribed(now_ns.saturating_sub(*since_ns));
                            }
                        }
                        Seen::Closed(code) => closed = Some(code),
                        Seen::Load(stamp)
                            if in_flight > 0
                                && number < publishers
                                && stamp.publisher == number
                                && stamp.run == run =>
                        {
                            returned.push(slot);
                        }
                        _ => {}
                    }
                    traffic.received += u64::from(matches!(seen, Seen::Load(_)));
                    // What keeps one from coming back is a fault of its own.
                    if is_slow {
                        tally.handle_seen_slowly(seen);
                    } else if !leaving && (!is_away || joined) {
                        tally.handle_seen(slot, number, seen, now_ns);
                    }
                });
        if joined && is_away {
            self.count_return(slot, now_ns);
        } else if joined {
            self.shared.count_subscribed();
        }
        if connected && let Some(tokens) = &self.tokens {
            tokens.ask(slot, self.seats[slot].generation, number);
        }
        self.send_out(slot);
        match (result, closed) {
            (Err(fault), _) => self.end(slot, fault),
            (Ok(()), Some(code)) => self.end(slot, Fault::Closed(code)),
            (Ok(()), None) => {}
        }
    }

    /// Hands out the tokens that have come to those who still wait for them.
    fn take_tokens(&mut self) {
        let granted = self.tokens.as_ref().map(Customer::take);
        for grant in granted.into_iter().flatten() {
            let slot = grant.slot;
            let seat = &mut self.seats[slot];
            if seat.socket.is_none() || seat.generation != grant.generation {
                continue;
            }
            match grant.token {
                Ok(token) => {
                    self.out.clear();
                    seat.since_ns = self.shared.now_ns();
                    seat.client.authenticate(token.as_str(), &mut self.out);
                    self.send_out(slot);
                }
                Err(code) => self.end(slot, Fault::NoToken(code)),
            }
        }
    }

    /// Sends what stands in `out`, in order after what is queued.
    fn send_out(&mut self, slot: usize) {
        let seat = &mut self.seats[slot];
        if self.out.is_empty() || seat.socket.is_none() {
            return;
        }
        match seat
            .outbox
            .try_push(&self.out, OUTBOX_BYTES_MAX, &mut self.spare)
        {
            Ok(()) => self.flush(slot),
            Err(_) => self.end(slot, Fault::Stuck),
        }
    }

    fn flush(&mut self, slot: usize) {
        let seat = &mut self.seats[slot];
        let Some(socket) = seat.socket.as_ref().filter(|_| !seat.awaits_writable) else {
            return;
        };
        match seat.outbox.flush(socket, &mut self.spare) {
            Flushed::Empty => {}
            Flushed::Failed(error) => self.end(slot, system(&error)),
            Flushed::Blocked => {
                seat.awaits_writable = true;
                if let Err(error) = self.driver.watch_writable(seat.conn(slot), socket) {
                    self.end(slot, system(&error));
                }
            }
        }
    }

    /// The client has no connection any more.
    fn end(&mut self, slot: usize, fault: Fault) {
        if !self.close(slot) || self.leaving {
            return;
        }
        let number = self.number(slot);
        let seat = &mut self.seats[slot];
        if seat.is_away {
            count(&mut self.tally.faults.return_refused, fault);
            seat.renew();
            self.refused.push(slot);
        } else if seat.client.has_joined() && self.plan.is_slow(number) {
            count(&mut self.tally.faults.slow, fault);
            self.shared.count_ended();
        } else if seat.client.has_joined() {
            self.tally.recorder.counts().ended += 1;
            self.shared.count_ended();
            count(&mut self.tally.faults.lost, fault);
        } else {
            self.count_failed(fault);
        }
    }

    /// Gives the connection up; tells whether there was one.
    fn close(&mut self, slot: usize) -> bool {
        let seat = &mut self.seats[slot];
        let Some(socket) = seat.socket.take() else {
            return false;
        };
        seat.outbox.clear(&mut self.spare);
        let conn = seat.conn(slot);
        self.driver.unwatch(conn, socket, seat.awaits_writable);
        self.open -= 1;
        true
    }

    fn count_failed(&mut self, fault: Fault) {
        self.tally.recorder.counts().failed += 1;
        count(&mut self.tally.faults.failed, fault);
        self.shared.count_failed();
    }

    /// The client's number in the run.
    fn number(&self, slot: usize) -> u32 {
        slot as u32 * u32::from(self.plan.threads) + u32::from(self.thread)
    }
}

impl Seat {
    /// Ready for another connection, which no event of the last one reaches.
    fn renew(&mut self) {
        self.client = Client::default();
        self.generation += 1;
        self.awaits_writable = false;
        self.is_connected = false;
        self.has_hung_up = false;
    }

    fn conn(&self, slot: usize) -> ConnId {
        ConnId {
            slot: slot as u32,
            generation: self.generation,
        }
    }
}

fn system(error: &io::Error) -> Fault {
    Fault::System(error.raw_os_error().unwrap_or_default())
}
