use std::net::TcpListener;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::connection::Role;
use super::departure::Departure;
use super::gathering::Gathering;
use super::io::{Doom, Io, Note};
use super::refusal::refusal_of;
use super::{BACKEND, FRONTEND, Seat, ShardError, TLS_BACKEND, TLS_FRONTEND};
use crate::hub::Hub;
use crate::hub::envelope::ToControl;
use crate::limits::{
    ACCESS_LINES_PER_SECOND_MAX, BULKY_READS_PER_TURN_MAX, DELIVERIES_PER_TURN_MAX,
    ENVELOPES_PER_TURN_MAX, HANDSHAKE_TIMEOUT, INFLATED_BYTES_PER_TURN_MAX, PACKET_TIMEOUT,
    PAUSE_LINES_PER_SECOND_MAX, READ_BYTES_MAX, READS_PER_FLUSH_MAX, READS_PER_TURN_MAX,
    RECEIVE_BUFFER_BYTES, STALLED_SLEEP,
};
use crate::mesh::Sleeper;
use crate::meter::{LineLimit, Refused};
use crate::model::{ConnId, PeerAddress};
use crate::net::{Driver, Event, Recv};
use crate::tls::Acceptors;
use crate::wire::deflate::Inflater;

/// The loop of one shard.
pub(super) struct Pump {
    pub(super) hub: Hub,
    pub(super) io: Io,
    sleeper: Sleeper,
    /// All connections of the shard are read into this one.
    buffer: Box<[u8]>,
    /// What the records in it hold, where the connection is over TLS.
    pub(super) plain: Vec<u8>,
    acceptors: Option<Arc<Acceptors>>,
    /// Handshakes whose costly step was taken in this turn.
    pub(super) handshakes: usize,
    events: Vec<Event>,
    /// Pongs and answers to backends are written here before they are queued.
    pub(super) answers: Vec<u8>,
    /// Of all frontends that compress.
    pub(super) inflater: Inflater,
    /// Bytes inflated in this turn.
    pub(super) inflated_bytes: usize,
    stage: Stage,
    /// Not yet accepting: no browser is to miss what the store held.
    listeners: Vec<(TcpListener, u8)>,
    /// Lines about refusals.
    pub(super) access: LineLimit,
    /// Lines about listeners that pause.
    pub(super) pauses: LineLimit,
    pub(super) departure: Option<Departure>,
    /// Which of its sources a turn begins with.
    first_source: usize,
    gathering: Gathering,
}

/// How far the shard is on its way to the end.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    Serving,
    /// Its connections are being closed.
    Draining,
    /// It has none left; other shards may still need what it is the home of.
    Drained,
    /// No shard has any left.
    Stopped,
}

impl Pump {
    pub(super) fn new(seat: Seat, listeners: Vec<(TcpListener, u8)>) -> Result<Self, ShardError> {
        let Seat {
            port,
            meter,
            quotas,
            occupancy,
            clock,
            acceptors,
            ..
        } = seat;
        let shard = port.id();
        let ring = |source| ShardError::Ring { shard, source };
        let mut driver = Driver::new().map_err(ring)?;
        let sleeper = port.sleeper();
        driver.watch_wakeups(sleeper.event()).map_err(ring)?;
        let mut hub = Hub::new(shard, port.shards(), Arc::clone(&meter));
        hub.set_quotas(quotas);
        let mut io = Io::new(driver, port, meter, occupancy, clock);
        io.wrong_tokens_max = hub.registry().quotas().wrong_tokens_per_address_max;
        io.share_outboxes(hub.registry().quotas());
        io.share_unfinished(hub.registry().quotas());
        Ok(Self {
            hub,
            io,
            sleeper,
            buffer: vec![0; RECEIVE_BUFFER_BYTES].into(),
            plain: Vec::new(),
            acceptors,
            handshakes: 0,
            events: Vec::new(),
            answers: Vec::new(),
            inflater: Inflater::default(),
            inflated_bytes: 0,
            stage: Stage::Serving,
            listeners,
            access: LineLimit::new(ACCESS_LINES_PER_SECOND_MAX),
            pauses: LineLimit::new(PAUSE_LINES_PER_SECOND_MAX),
            departure: None,
            first_source: 0,
            gathering: Gathering::default(),
        })
    }

    /// Runs until every shard has drained. Until then even a shard without
    /// connections is home to what others still wait for.
    pub(super) fn run(mut self) -> Result<(), ShardError> {
        let shard = self.io.port.id();
        self.io.update_time();
        let mut done_us = self.io.turn_us;
        loop {
            let timeout = self.sleep_time(done_us);
            let polled = self.io.driver.poll(timeout, &mut self.events);
            self.sleeper.awake();
            polled.map_err(|source| ShardError::Ring { shard, source })?;
            self.io.update_time();
            if timeout == Some(Duration::ZERO) {
                // It polled and did not wait.
                let polled_us = self.io.turn_us.saturating_sub(done_us);
                self.io.meter.busy_us.add(polled_us);
            }
            self.turn();
            done_us = self.io.count_turn();
            match self.stage {
                Stage::Draining if self.io.connections.is_empty() => {
                    self.stage = Stage::Drained;
                    self.io.port.control(ToControl::Drained { shard });
                    self.io.port.flush();
                }
                Stage::Stopped => return Ok(()),
                _ => {}
            }
        }
    }

    /// How long nothing has to be done, from `now_us` on; announces sleep where
    /// that is not zero.
    fn sleep_time(&mut self, now_us: u64) -> Option<Duration> {
        let io = &self.io;
        let listed = !(io.ready.is_empty() && io.bulky.is_empty() && io.shaking.is_empty());
        let busy = (listed && !self.io.port.is_congested())
            || !self.io.dirty.is_empty()
            || self.hub.has_deliveries()
            || self.io.driver.has_accepts()
            || self.io.port.has_incoming();
        if busy {
            return Some(Duration::ZERO);
        }
        self.sleeper.sleep();
        if self.io.port.has_incoming() {
            return Some(Duration::ZERO);
        }
        // Nothing came in, but of a congested shard's rings nothing was taken.
        let incoming = if self.io.port.is_congested() {
            self.io.port.incoming()
        } else {
            0
        };
        self.io.sample(incoming);
        let now_ms = self.io.now_ms;
        let times = [
            self.io.timers.next_in_ms(now_ms),
            self.access.next_in_ms(now_ms),
            self.pauses.next_in_ms(now_ms),
            self.departure.as_ref().map(|it| it.next_in_ms(now_ms)),
        ];
        let timer = times.into_iter().flatten().min();
        let timer = timer.map(Duration::from_millis);
        let stalled = self.hub.is_stalled() || !self.io.port.has_room();
        let timer = match timer {
            timer if stalled => Some(timer.unwrap_or(STALLED_SLEEP).min(STALLED_SLEEP)),
            // One more, since the clock's milliseconds are cut off.
            timer => timer.map(|timer| timer + Duration::from_millis(1)),
        };
        // To the microsecond: a millisecond more would be half of a short cork.
        let uncork = self.hub.uncork_in_us(now_us).map(Duration::from_micros);
        timer.into_iter().chain(uncork).min()
    }

    pub(super) fn turn(&mut self) {
        self.inflated_bytes = 0;
        self.io.sealed_bytes = 0;
        let epoch_ms = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |d| d.as_millis());
        self.hub
            .set_time(epoch_ms as u64, self.io.turn_us, &mut self.io);
        self.handle_events();
        self.handle_timers();
        self.sum_up_log();
        self.take_leave();
        // Whoever comes in has a deadline and gathers little.
        self.shake_hands();
        self.take_in();
        if !self.gathers_on() {
            self.gathering = Gathering::default();
            self.hub.flush(DELIVERIES_PER_TURN_MAX, &mut self.io);
        }
        self.handle_notes();
        self.flush_outboxes();
        self.hub.send_bundles(&mut self.io);
        self.io.port.flush();
        if self.hub.is_stalled() && self.io.port.has_room() {
            self.hub.handle_room(&mut self.io);
        }
    }

    /// Whether it is not on its way to the end.
    pub(super) fn is_serving(&self) -> bool {
        self.stage == Stage::Serving
    }

    fn handle_events(&mut self) {
        let mut events = std::mem::take(&mut self.events);
        for event in events.drain(..) {
            match event {
                Event::Accepted { listener, socket } => self.accept(listener, socket),
                Event::AcceptFailed { error, .. } => self.note_pause(&error),
                Event::Readable(conn) => {
                    if let Some(connection) = self.io.get(conn) {
                        connection.flags.readable = true;
                        self.io.list(conn.slot);
                    }
                }
                Event::HungUp(conn) => {
                    if let Some(connection) = self.io.get(conn) {
                        connection.flags.readable = true;
                        connection.flags.hung_up = true;
                        self.io.list(conn.slot);
                    }
                }
                Event::Writable(conn) => {
                    if let Some(connection) = self.io.get(conn) {
                        connection.flags.blocked = false;
                        self.io.flush_outbox(conn.slot);
                        // It may have been held back until its outbox emptied.
                        self.io.list(conn.slot);
                        self.finish_if_sent(conn);
                    }
                }
                Event::Woken => {}
            }
        }
        self.events = events;
    }

    fn listen(&mut self) {
        for (listener, tag) in self.listeners.drain(..) {
            if let Err(error) = self.io.driver.listen(listener, tag) {
                tracing::error!(%error, "an address is not listened on");
            }
        }
    }

    fn accept(&mut self, listener: u8, socket: crate::net::Socket) {
        if self.stage != Stage::Serving {
            return;
        }
        let address = socket.peer_addr();
        let from = address.map_or(PeerAddress::EXEMPT, |address| PeerAddress::of(address.ip()));
        let quotas = self.hub.registry().quotas();
        let entered = match self.io.has_room() {
            true => self.io.occupancy.try_enter(from, quotas),
            false => Err(Refused::NodeConnections),
        };
        if let Err(cause) = entered {
            return self.turn_away(listener, socket, cause);
        }
        // A connection that is lost already shows at its first read.
        let _ = socket.tune();
        let (role, timeout) = match listener {
            BACKEND | TLS_BACKEND => (
                Role::Fresh(crate::session::Fresh::default()),
                PACKET_TIMEOUT,
            ),
            _ => (Role::Handshake, HANDSHAKE_TIMEOUT),
        };
        let Some(conn) = self.io.insert(socket, role, from) else {
            return;
        };
        self.io
            .set_deadline(conn, self.io.now_ms + timeout.as_millis() as u64);
        if ![FRONTEND, BACKEND].contains(&listener) {
            let acceptor = self.acceptors.as_ref().map(|all| match listener {
                TLS_FRONTEND => all.frontends(),
                _ => all.backends(),
            });
            match acceptor {
                Some(acceptor) => self.secure(conn, &acceptor),
                None => self.lose(conn),
            }
        }
    }

    /// Gives each frontend what its vhost grants it now. Looks at all, for a
    /// reload is rare and a look-up for each delivery is not.
    fn spread_quotas(&mut self) {
        let quotas = self.hub.registry().quotas();
        self.io.wrong_tokens_max = quotas.wrong_tokens_per_address_max;
        self.io.share_outboxes(self.hub.registry().quotas());
        self.io.share_unfinished(self.hub.registry().quotas());
        for (_, connection) in &mut self.io.connections {
            if let Some(vhost) = connection.counted_in {
                let quota = self.hub.registry().quota(vhost);
                connection.set_quota(quota);
            }
        }
    }

    fn handle_timers(&mut self) {
        while let Some(due) = self.io.timers.take_due(self.io.now_ms) {
            for conn in due {
                let now_ms = self.io.now_ms;
                let io = &mut self.io;
                let Some(connection) = io
                    .connections
                    .get_mut(conn.slot as usize)
                    .filter(|c| c.id == conn)
                else {
                    continue;
                };
                if io.timers.has_passed(conn, &mut connection.timer, now_ms) {
                    self.handle_timeout(conn);
                }
            }
        }
    }

    /// Takes in what the turn has room for. Where that is not all, the next turn
    /// begins with another source, so that a flood from one (other shards'
    /// events, say) starves no other (a worker's heartbeats).
    fn take_in(&mut self) {
        if self.hub.is_saturated() {
            return;
        }
        for offset in 0..4 {
            match (self.first_source + offset) % 4 {
                0 => self.take_deliveries(),
                1 => self.take_requests(),
                2 => self.read_ready(),
                _ => self.read_bulky(),
            }
        }
        if self.is_full() {
            self.first_source = (self.first_source + 1) % 4;
        }
    }

    fn take_deliveries(&mut self) {
        for _ in 0..ENVELOPES_PER_TURN_MAX {
            if self.hub.is_saturated() {
                break;
            }
            let Some(delivery) = self.io.port.take_delivery() else {
                break;
            };
            self.gathering.taken += 1;
            self.hub.handle_delivery(delivery, &mut self.io);
        }
        self.handle_notes();
    }

    fn take_requests(&mut self) {
        for _ in 0..ENVELOPES_PER_TURN_MAX {
            if self.hub.is_saturated() {
                break;
            }
            let Some(request) = self.io.port.take_request() else {
                break;
            };
            self.gathering.taken += 1;
            self.hub.handle_request(request, &mut self.io);
        }
        self.handle_notes();
    }

    /// Whether the next turn adds to what was gathered before it is sent
    /// (docs/decisions/0024).
    fn gathers_on(&mut self) -> bool {
        let more = !self.io.ready.is_empty() || self.io.port.has_incoming();
        let deliveries = self.hub.gathered_deliveries();
        let stops = self.stage == Stage::Stopped;
        let may = more && self.hub.is_gathering() && !self.is_full() && !stops;
        may && self.gathering.goes_on(deliveries, self.io.turn_us)
    }

    /// Whether nothing more is to be read now: so much waits to be sent to this
    /// shard's connections, or to other shards, or was inflated.
    pub(super) fn is_full(&self) -> bool {
        let inflated = self.inflated_bytes >= INFLATED_BYTES_PER_TURN_MAX;
        inflated || self.hub.is_saturated() || self.io.port.is_congested()
    }

    fn read_ready(&mut self) {
        let count = self.io.ready.len().min(READS_PER_TURN_MAX);
        for index in 0..count {
            if self.is_full() {
                self.io.ready.drain(..index);
                return;
            }
            self.gathering.taken += 1;
            self.read_listed(self.io.ready[index]);
            if (index + 1) % READS_PER_FLUSH_MAX == 0 {
                self.flush_answers();
            }
        }
        self.io.ready.drain(..count);
    }

    fn read_bulky(&mut self) {
        for _ in 0..BULKY_READS_PER_TURN_MAX {
            if self.is_full() {
                break;
            }
            if let Some(slot) = self.io.bulky.pop_front() {
                self.read_listed(slot);
            }
        }
    }

    pub(super) fn read_listed(&mut self, slot: u32) {
        if let Some(connection) = self.io.connections.get_mut(slot as usize) {
            connection.flags.listed = false;
            let conn = connection.id;
            self.read(conn);
            self.handle_notes();
        }
    }

    /// Sends what the last reads caused, unless it goes to more connections
    /// than were read: that is worth gathering until the end of the turn.
    fn flush_answers(&mut self) {
        if self.hub.gathered_deliveries() <= READS_PER_FLUSH_MAX {
            self.gathering = Gathering::default();
            self.hub.flush(READS_PER_FLUSH_MAX, &mut self.io);
            self.handle_notes();
        }
        self.flush_outboxes();
    }

    /// One `recv` at the most, and what can be handled of it. Where more may be
    /// there, the connection is listed for the next turn.
    pub(super) fn read(&mut self, conn: ConnId) {
        let Some(connection) = self.io.get(conn) else {
            return;
        };
        if connection.flags.doomed || connection.is_held_back() {
            return;
        }
        // What waited comes first.
        if connection.has_waiting() {
            let mut inbox = std::mem::take(&mut connection.inbox);
            let consumed = self.handle_bytes(conn, &mut inbox);
            self.store_rest(conn, inbox, consumed);
            self.count_kept(conn);
        }
        let Some(connection) = self.io.get(conn) else {
            return;
        };
        if connection.flags.readable && !connection.flags.listed && !connection.is_held_back() {
            self.receive(conn);
        }
        let Some(connection) = self.io.get(conn) else {
            return;
        };
        if connection.flags.ended && !connection.flags.listed && !connection.is_held_back() {
            self.handle_end(conn);
        }
    }

    pub(super) fn receive(&mut self, conn: ConnId) {
        let mut buffer = std::mem::take(&mut self.buffer);
        let inflated_before = self.inflated_bytes;
        let Some(connection) = self.io.get(conn) else {
            self.buffer = buffer;
            return;
        };
        let bytes_max = match connection.flags.bulky {
            true => buffer.len(),
            false => READ_BYTES_MAX,
        };
        match connection.socket.recv(&mut buffer[..bytes_max]) {
            Recv::Bytes(count) => {
                connection.flags.readable = count == bytes_max || connection.flags.hung_up;
                let more = connection.flags.readable;
                match connection.tls {
                    None => self.handle_received(conn, &mut buffer[..count]),
                    Some(_) => self.handle_records(conn, &mut buffer[..count]),
                }
                self.io.meter.received_bytes.add(count as u64);
                let inflated = self.inflated_bytes - inflated_before;
                if let Some(connection) = self.io.get(conn) {
                    let most = count.max(connection.unfinished_bytes()).max(inflated);
                    connection.flags.bulky = most >= READ_BYTES_MAX;
                }
                self.count_kept(conn);
                if more {
                    self.io.list(conn.slot);
                }
            }
            Recv::Empty => connection.flags.readable = false,
            Recv::Ended => {
                connection.flags.readable = false;
                connection.flags.ended = true;
                if self.is_cut(conn) {
                    self.lose(conn);
                }
            }
            Recv::Failed(_) => self.lose(conn),
        }
        self.buffer = buffer;
    }

    /// Handles what the peer sent, behind what of it still waits.
    pub(super) fn handle_received(&mut self, conn: ConnId, bytes: &mut [u8]) {
        let Some(connection) = self.io.get(conn) else {
            return;
        };
        if connection.inbox.is_empty() {
            let consumed = self.handle_bytes(conn, bytes);
            let rest = &bytes[consumed..];
            if let Some(connection) = self.io.get(conn)
                && !rest.is_empty()
                && !matches!(connection.role, Role::Closing)
            {
                connection.inbox = rest.to_vec();
            }
        } else {
            let mut inbox = std::mem::take(&mut connection.inbox);
            inbox.extend_from_slice(bytes);
            let consumed = self.handle_bytes(conn, &mut inbox);
            self.store_rest(conn, inbox, consumed);
        }
    }

    /// Keeps what is left, and no more memory than that takes.
    fn store_rest(&mut self, conn: ConnId, inbox: Vec<u8>, consumed: usize) {
        let Some(connection) = self.io.get(conn) else {
            return;
        };
        // Whatever a closing one has sent, nothing comes of it.
        if consumed < inbox.len() && !matches!(connection.role, Role::Closing) {
            connection.inbox = match consumed {
                0 => inbox,
                _ => inbox[consumed..].to_vec(),
            };
        }
    }

    /// Handles what is whole in `bytes`; tells how much of it is done with.
    fn handle_bytes(&mut self, conn: ConnId, bytes: &mut [u8]) -> usize {
        let Some(connection) = self.io.get(conn) else {
            return bytes.len();
        };
        // Out of its place while it is at work, so that the hub can reach the
        // connection's outbox meanwhile.
        match std::mem::replace(&mut connection.role, Role::Handshake) {
            Role::Handshake => self.handle_handshake(conn, bytes),
            Role::TurnedAway(cause) => {
                self.refuse_upgrade(conn, &refusal_of(cause));
                bytes.len()
            }
            Role::Frontend(frontend) => self.handle_frontend(conn, frontend, bytes, 0),
            Role::Fresh(fresh) => self.handle_fresh(conn, fresh, bytes),
            Role::Client(client) => self.handle_client(conn, client, bytes, 0),
            Role::Worker(worker) => self.handle_worker(conn, worker, bytes),
            Role::Closing => {
                connection.role = Role::Closing;
                bytes.len()
            }
        }
    }

    /// Gives the connection its role back, unless it took another.
    pub(super) fn set_role(&mut self, conn: ConnId, role: Role) {
        if let Some(connection) = self.io.get(conn)
            && !matches!(connection.role, Role::Closing)
        {
            connection.role = role;
        }
    }

    fn flush_outboxes(&mut self) {
        let mut dirty = std::mem::take(&mut self.io.dirty);
        for slot in dirty.drain(..) {
            self.io.flush_outbox(slot);
            if let Some(connection) = self.io.connections.get(slot as usize) {
                let conn = connection.id;
                self.finish_if_sent(conn);
            }
        }
        // Nothing was added meanwhile: flushing queues nothing.
        self.io.dirty = dirty;
        self.handle_notes();
    }

    /// What the hub asked for beyond bytes.
    pub(super) fn handle_notes(&mut self) {
        while let Some(note) = self.io.notes.pop() {
            // Order matters among answers only, and those are sorted by number.
            match note {
                Note::Doom(conn, why) => self.dismiss(conn, why),
                Note::Answer(conn, request, outcome) => self.answer(conn, request, outcome),
                Note::WorkerReady(conn) => self.start_beating(conn),
                Note::VhostDeleted(vhost) => {
                    self.dismiss_all(|c| c.vhost() == Some(vhost), Doom::VhostDeleted);
                }
                Note::Serve => self.listen(),
                Note::Refused(conn, cause, status) => {
                    let vhost = self.io.get(conn).and_then(|it| it.vhost());
                    self.note_refusal(conn, vhost, cause, status.code());
                }
                Note::QuotasReplaced => self.spread_quotas(),
                Note::Drain { window_ms } => {
                    self.stage = Stage::Draining;
                    self.listeners.clear();
                    self.io.driver.stop_listening();
                    self.begin_departure(window_ms);
                }
                Note::Stop => self.stage = Stage::Stopped,
            }
        }
    }
}
