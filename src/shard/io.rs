use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use bytes::Bytes;
use slab::Slab;

use super::connection::{Connection, Role};
use super::timers::Timers;
use crate::hub::Effects;
use crate::hub::envelope::{Delivery, Outcome, Request, ToControl};
use crate::limits::{CONNECTIONS_PER_SHARD_MAX, OUTBOX_BYTES_MAX, TLS_SEALED_PER_TURN_MAX};
use crate::mesh::ShardPort;
use crate::meter::{Clock, Kind, Moment, Occupancy, Refused, ShardMeter, Slow};
use crate::model::{ConnId, PeerAddress, ShardId, Status, VhostId, VhostQuota};
use crate::net::{Driver, Flushed, Sent, Socket, Spare};
use crate::sys;

/// Everything around the hub: sockets, rings, timers. Where a call of the hub
/// asks for more than bytes, it is noted here and done by the pump afterwards.
pub(super) struct Io {
    pub(super) driver: Driver,
    pub(super) port: ShardPort,
    pub(super) connections: Slab<Connection>,
    /// How often each slot has been taken.
    generations: Vec<u32>,
    pub(super) spare: Spare,
    /// TLS records on their way into an outbox or a socket.
    pub(super) sealed: Vec<u8>,
    /// Bytes of shared frames sealed in this turn.
    pub(super) sealed_bytes: usize,
    pub(super) timers: Timers,
    /// Connections to be read or, having waited, to go on.
    pub(super) ready: Vec<u32>,
    /// Those of them that are bulky.
    pub(super) bulky: VecDeque<u32>,
    /// The same, where the next read may cost a signature.
    pub(super) shaking: VecDeque<u32>,
    /// Outboxes to be flushed.
    pub(super) dirty: Vec<u32>,
    pub(super) notes: Vec<Note>,
    pub(super) meter: Arc<ShardMeter>,
    /// What the quotas of the node are held against, over all shards.
    pub(super) occupancy: Arc<Occupancy>,
    /// Wrong tokens of one address in a minute, as the quotas have it.
    pub(super) wrong_tokens_max: u32,
    /// Where those came from who have left before their token was looked at.
    pub(super) presenters_gone: HashMap<ConnId, PeerAddress>,
    /// Connections without a place that have not gone yet.
    pub(super) placeless: usize,
    clock: Clock,
    /// When the turn began, on the node's clock.
    pub(super) turn_us: u64,
    /// Milliseconds on the same clock, from 1 on.
    pub(super) now_ms: u64,
    /// Bytes in all outboxes.
    pub(super) outbox_bytes: usize,
    /// Bytes that they may hold together.
    pub(super) outboxes_bytes_max: usize,
    /// Bytes of the fullest outbox since the last sample.
    pub(super) outbox_peak: usize,
    /// Bytes kept of what was received and not handled.
    pub(super) unfinished_bytes: usize,
    /// Bytes that may be kept.
    pub(super) unfinished_bytes_max: usize,
    /// When gauges that are not kept all the time were looked at last.
    sampled_ms: u64,
    /// The second that `outbox_peak` belongs to.
    peak_second: u64,
}

/// What the pump does after the hub's call.
pub(super) enum Note {
    Doom(ConnId, Doom),
    Answer(ConnId, u32, Outcome),
    WorkerReady(ConnId),
    VhostDeleted(VhostId),
    Serve,
    Refused(ConnId, Refused, Status),
    QuotasReplaced,
    Drain { window_ms: u32 },
    Stop,
}

/// Why a connection has to go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Doom {
    /// The socket failed: nothing can be said.
    Lost,
    /// Its outbox is over its bound.
    Slow,
    /// Its outbox is among the fullest, and the shard's share of memory for
    /// outboxes is used up.
    Crowded,
    /// A worker of the same id took its place.
    Replaced,
    /// The operator wants it gone.
    Disconnected,
    /// It presented too many wrong tokens.
    Guesses,
    /// Its address did.
    AddressGuesses,
    /// The keys of its TLS are nearly used up.
    Worn,
    /// Its vhost was deleted.
    VhostDeleted,
    /// The node stops.
    Drain,
}

impl Io {
    pub(super) fn new(
        driver: Driver,
        port: ShardPort,
        meter: Arc<ShardMeter>,
        occupancy: Arc<Occupancy>,
        clock: Clock,
    ) -> Self {
        Self {
            driver,
            port,
            connections: Slab::new(),
            generations: Vec::new(),
            spare: Spare::new(),
            sealed: Vec::new(),
            sealed_bytes: 0,
            timers: Timers::default(),
            ready: Vec::new(),
            bulky: VecDeque::new(),
            shaking: VecDeque::new(),
            dirty: Vec::new(),
            notes: Vec::new(),
            meter,
            occupancy,
            wrong_tokens_max: u32::MAX,
            presenters_gone: HashMap::new(),
            placeless: 0,
            clock,
            turn_us: 0,
            now_ms: 1,
            outbox_bytes: 0,
            outboxes_bytes_max: usize::MAX,
            outbox_peak: 0,
            unfinished_bytes: 0,
            unfinished_bytes_max: usize::MAX,
            sampled_ms: 0,
            peak_second: 0,
        }
    }

    /// Looks at the clock: a turn begins.
    pub(super) fn update_time(&mut self) {
        self.turn_us = self.clock.now_us();
        self.now_ms = self.turn_us / 1000 + 1;
    }

    /// Counts the turn that ends now; tells when that is.
    pub(super) fn count_turn(&mut self) -> u64 {
        let now_us = self.clock.now_us();
        let turn_us = now_us.saturating_sub(self.turn_us);
        self.meter.turns.add(1);
        self.meter.busy_us.add(turn_us);
        self.meter.turn_time.record(turn_us);
        self.meter.outbox_bytes.set(self.outbox_bytes as u64);
        let unfinished = self.unfinished_bytes as u64;
        self.meter.unfinished_bytes.set(unfinished);
        // A look at the rings touches lines that other cores write to.
        if self.sampled_ms != self.now_ms {
            self.sampled_ms = self.now_ms;
            self.sample(self.port.incoming());
        }
        now_us
    }

    /// Sets what is not kept all the time; `incoming` envelopes wait in rings.
    pub(super) fn sample(&mut self, incoming: usize) {
        self.meter.ring_envelopes.set(incoming as u64);
        self.meter.backlog_envelopes.set(self.port.backlog() as u64);
        let second = self.now_ms / 1000;
        let peak = std::mem::take(&mut self.outbox_peak) as u64;
        if peak > self.meter.outbox_peak_bytes.value() || (second != self.peak_second && peak > 0) {
            self.meter.outbox_peak_bytes.set(peak);
            self.peak_second = second;
        } else if self.outbox_bytes == 0 {
            self.meter.outbox_peak_bytes.set(0);
        }
    }

    /// An even share of what the node has.
    pub(super) fn share_of(&self, bytes: u64) -> usize {
        let share = bytes / u64::from(self.port.shards());
        usize::try_from(share).unwrap_or(usize::MAX)
    }

    /// From now on the connection is counted as this.
    pub(super) fn count_as(&mut self, id: ConnId, kind: Kind) {
        let Some(connection) = self.get(id) else {
            return;
        };
        let before = std::mem::replace(&mut connection.kind, kind);
        self.meter.connections(before).lower();
        self.meter.connections(kind).raise();
    }

    /// Slots that have ever been taken.
    pub(super) fn slots(&self) -> usize {
        self.generations.len()
    }

    /// Whether this shard's tables take another connection.
    pub(super) fn has_room(&self) -> bool {
        self.connections.len() < CONNECTIONS_PER_SHARD_MAX
    }

    /// Takes in a connection that [`Occupancy`] has let in; it gives its place
    /// back when it is removed, or at once where this shard has no room.
    pub(super) fn insert(
        &mut self,
        socket: Socket,
        role: Role,
        from: PeerAddress,
    ) -> Option<ConnId> {
        let inserted = self.insert_placeless(socket, role, from);
        if inserted.is_none() {
            self.occupancy.leave(from);
        }
        inserted
    }

    /// Takes in a connection without a place, to tell it so.
    pub(super) fn insert_turned_away(&mut self, socket: Socket, cause: Refused) -> Option<ConnId> {
        let role = Role::TurnedAway(cause);
        let conn = self.insert_placeless(socket, role, PeerAddress::EXEMPT)?;
        self.get(conn)?.flags.placeless = true;
        self.placeless += 1;
        Some(conn)
    }

    fn insert_placeless(
        &mut self,
        socket: Socket,
        role: Role,
        from: PeerAddress,
    ) -> Option<ConnId> {
        if !self.has_room() {
            return None;
        }
        let entry = self.connections.vacant_entry();
        let slot = entry.key();
        if slot >= self.generations.len() {
            self.generations.resize(slot + 1, 0);
        }
        let id = ConnId {
            slot: slot as u32,
            generation: self.generations[slot],
        };
        self.driver.watch(id, &socket).ok()?;
        let connection = entry.insert(Connection::new(id, socket, role, from));
        self.meter.accepted.add(1);
        self.meter.connections(connection.kind).raise();
        Some(id)
    }

    /// Closes the socket and frees the slot.
    pub(super) fn remove(&mut self, id: ConnId) {
        if self.get(id).is_none() {
            return;
        }
        self.leave_vhost(id);
        let mut connection = self.connections.remove(id.slot as usize);
        if connection.flags.placeless {
            self.placeless -= 1;
        } else {
            self.occupancy.leave(connection.from);
        }
        self.outbox_bytes -= connection.outbox.len();
        self.forget_kept(&connection);
        self.remember_presenter(&connection);
        self.meter.connections(connection.kind).lower();
        connection.outbox.clear(&mut self.spare);
        self.driver
            .unwatch(id, connection.socket, connection.flags.blocked);
        self.generations[id.slot as usize] = id.generation.wrapping_add(1);
    }

    /// Makes the connection a frontend of the vhost; false where that is full.
    pub(super) fn try_enter_vhost(
        &mut self,
        id: ConnId,
        vhost: VhostId,
        quota: &VhostQuota,
    ) -> bool {
        let occupancy = self.occupancy.clone();
        let Some(connection) = self.get(id) else {
            return false;
        };
        if !occupancy.try_enter_vhost(vhost, quota.connections_max) {
            return false;
        }
        connection.counted_in = Some(vhost);
        connection.set_quota(quota);
        true
    }

    /// The connection is no frontend of its vhost any longer, if it was one.
    pub(super) fn leave_vhost(&mut self, id: ConnId) {
        let left = self.get(id).and_then(|it| it.counted_in.take());
        if let Some(vhost) = left {
            self.occupancy.leave_vhost(vhost);
        }
    }

    /// The live connection of this very id.
    pub(super) fn get(&mut self, id: ConnId) -> Option<&mut Connection> {
        self.connections
            .get_mut(id.slot as usize)
            .filter(|connection| connection.id == id)
    }

    pub(super) fn set_deadline(&mut self, id: ConnId, deadline_ms: u64) {
        if let Some(connection) = self
            .connections
            .get_mut(id.slot as usize)
            .filter(|connection| connection.id == id)
        {
            self.timers.set(id, &mut connection.timer, deadline_ms);
        }
    }

    /// Lists the connection to be read.
    pub(super) fn list(&mut self, slot: u32) {
        if let Some(connection) = self.connections.get_mut(slot as usize)
            && !std::mem::replace(&mut connection.flags.listed, true)
        {
            match connection {
                it if it.is_costly() => self.shaking.push_back(slot),
                it if it.flags.bulky => self.bulky.push_back(slot),
                _ => self.ready.push(slot),
            }
        }
    }

    /// Sends a whole packet in one call where nothing is queued before it; so
    /// a worker that can't take two packets from one read mostly never has to.
    pub(super) fn send_packet(&mut self, slot: u32, packet: &[u8]) {
        let queued = self
            .connections
            .get(slot as usize)
            .is_some_and(|c| !c.outbox.is_empty());
        // A trigger of a vhost with large messages may be past the bound by
        // itself, and its worker is none the slower.
        if queued || packet.len() > OUTBOX_BYTES_MAX {
            self.push(slot, packet);
        } else {
            self.deliver(slot, packet);
        }
    }

    /// Sends what is queued.
    pub(super) fn flush_outbox(&mut self, slot: u32) {
        let Some(connection) = self.connections.get_mut(slot as usize) else {
            return;
        };
        connection.flags.dirty = false;
        if connection.flags.blocked {
            return;
        }
        let queued = connection.outbox.len();
        let mut flushed = connection.outbox.flush(&connection.socket, &mut self.spare);
        let mut taken = queued - connection.outbox.len();
        if connection.dropped > 0 && !matches!(flushed, Flushed::Failed(_)) {
            // Before anything is queued behind it, which may move what is left.
            connection.follow_frames();
            let queued = self.outbox_bytes - taken;
            let free = self.outboxes_bytes_max.saturating_sub(queued);
            let told = connection.tell_dropped(free, &mut self.spare);
            self.outbox_bytes += told;
            if told > 0 && matches!(flushed, Flushed::Empty) {
                flushed = connection.outbox.flush(&connection.socket, &mut self.spare);
                taken += told - connection.outbox.len();
            }
        }
        self.outbox_bytes -= taken;
        if queued > 0 {
            self.meter.sends.add(1);
        }
        if !matches!(flushed, Flushed::Failed(_)) {
            self.meter.sent_bytes.add(taken as u64);
        }
        match flushed {
            // It may have been held back for what was queued.
            Flushed::Empty if connection.has_work() => self.list(slot),
            Flushed::Empty => {}
            Flushed::Blocked => {
                connection.follow_frames();
                block(connection, &mut self.driver, &mut self.notes);
            }
            Flushed::Failed(_) => doom(connection, Doom::Lost, &mut self.notes),
        }
    }
}

/// Lists the outbox to be flushed.
pub(super) fn mark_dirty(connection: &mut Connection, dirty: &mut Vec<u32>) {
    if !std::mem::replace(&mut connection.flags.dirty, true) {
        dirty.push(connection.id.slot);
    }
}

/// Asks the ring for writability.
pub(super) fn block(connection: &mut Connection, driver: &mut Driver, notes: &mut Vec<Note>) {
    if connection.flags.blocked {
        return;
    }
    match driver.watch_writable(connection.id, &connection.socket) {
        Ok(()) => connection.flags.blocked = true,
        Err(_) => doom(connection, Doom::Lost, notes),
    }
}

pub(super) fn doom(connection: &mut Connection, why: Doom, notes: &mut Vec<Note>) {
    if !std::mem::replace(&mut connection.flags.doomed, true) {
        notes.push(Note::Doom(connection.id, why));
    }
}

impl Effects for Io {
    fn now(&mut self) -> Moment {
        Moment::from_us(self.clock.now_us())
    }

    fn push(&mut self, slot: u32, bytes: &[u8]) {
        let Some(connection) = self.connections.get_mut(slot as usize) else {
            return;
        };
        if connection.is_closing() {
            return;
        }
        if connection.tls.is_some() {
            return self.seal_and_push(slot, bytes);
        }
        connection.outbox.push(bytes, &mut self.spare);
        self.outbox_bytes += bytes.len();
        mark_dirty(connection, &mut self.dirty);
    }

    fn deliver(&mut self, slot: u32, batch: &[u8]) {
        let Some(connection) = self.connections.get_mut(slot as usize) else {
            return;
        };
        if connection.is_closing() {
            return;
        }
        if connection.tls.is_some() {
            return self.seal_and_deliver(slot, batch);
        }
        if !connection.outbox.is_empty() {
            return self.enqueue(slot, batch, 0);
        }
        self.meter.sends.add(1);
        let sent = match connection.socket.send(batch) {
            Sent::Bytes(count) => {
                self.meter.sent_bytes.add(count as u64);
                if count == batch.len() {
                    return;
                }
                count
            }
            Sent::Full => 0,
            Sent::Failed(_) => return doom(connection, Doom::Lost, &mut self.notes),
        };
        block(connection, &mut self.driver, &mut self.notes);
        self.enqueue(slot, batch, sent);
    }

    fn foresee<T>(&self, slot: u32, looked_at: &T) {
        sys::prefetch(looked_at);
        if let Some(connection) = self.connections.get(slot as usize) {
            sys::prefetch(connection);
        }
    }

    fn is_spent(&self) -> bool {
        self.sealed_bytes >= TLS_SEALED_PER_TURN_MAX
    }

    fn queue(&mut self, slot: u32, batch: &[u8]) {
        if let Some(connection) = self.connections.get(slot as usize)
            && !connection.is_closing()
        {
            // Who has no queue is not slow, however little the node has free.
            let at_once = connection.counted_in.is_some()
                && connection.outbox.is_empty()
                && batch.len() > self.outbox_bytes_free();
            match connection.tls {
                None if at_once => self.deliver(slot, batch),
                None => self.enqueue(slot, batch, 0),
                Some(_) => self.seal_and_deliver(slot, batch),
            }
        }
    }

    fn resume(&mut self, conn: ConnId) {
        if let Some(connection) = self.get(conn) {
            connection.flags.waiting = false;
            self.list(conn.slot);
        }
    }

    fn answer(&mut self, client: ConnId, request: u32, outcome: Outcome) {
        self.notes.push(Note::Answer(client, request, outcome));
    }

    fn trigger(&mut self, worker: ConnId, packet: &[u8]) -> bool {
        let Some(connection) = self.get(worker).filter(|c| !c.is_closing()) else {
            return false;
        };
        // Some shards know it before it has had its first heartbeat.
        if !matches!(&connection.role, Role::Worker(worker) if worker.is_registered()) {
            return false;
        }
        let queued = connection.outbox.len();
        let takes = queued == 0 || queued + packet.len() <= OUTBOX_BYTES_MAX;
        if takes {
            self.send_packet(worker.slot, packet);
        } else {
            self.meter.slow(Slow::TriggerPassed).add(1);
        }
        takes
    }

    fn worker_ready(&mut self, worker: ConnId) {
        self.notes.push(Note::WorkerReady(worker));
    }

    fn worker_replaced(&mut self, worker: ConnId) {
        if let Some(connection) = self.connections.get_mut(worker.slot as usize)
            && connection.id == worker
            // Doomed anew, one that closes already would not be read to its end.
            && !connection.is_closing()
        {
            doom(connection, Doom::Replaced, &mut self.notes);
        }
    }

    fn disconnect(&mut self, conn: ConnId) {
        if let Some(connection) = self.connections.get_mut(conn.slot as usize)
            && connection.id == conn
            && !connection.is_closing()
        {
            doom(connection, Doom::Disconnected, &mut self.notes);
        }
    }

    fn vhost_deleted(&mut self, vhost: VhostId) {
        self.notes.push(Note::VhostDeleted(vhost));
    }

    fn serve(&mut self) {
        self.notes.push(Note::Serve);
    }

    fn refused(&mut self, conn: ConnId, cause: Refused, status: Status) {
        self.notes.push(Note::Refused(conn, cause, status));
    }

    fn try_present(&mut self, conn: ConnId) -> bool {
        self.try_present_token(conn)
    }

    fn withdrawn(&mut self, conn: ConnId) {
        self.withdraw_token(conn);
    }

    fn presented(&mut self, conn: ConnId, right: bool) {
        self.handle_presented(conn, right);
    }

    fn quotas_replaced(&mut self) {
        self.notes.push(Note::QuotasReplaced);
    }

    fn drain(&mut self, window_ms: u32) {
        self.notes.push(Note::Drain { window_ms });
    }

    fn stop(&mut self) {
        self.notes.push(Note::Stop);
    }

    fn has_room(&self, to: ShardId) -> bool {
        self.port.has_room_to(to)
    }

    fn try_request(&mut self, to: ShardId, request: Request) -> Result<(), Request> {
        self.port.try_request(to, request)
    }

    fn request(&mut self, to: ShardId, request: Request) {
        self.port.request(to, request);
    }

    fn send(&mut self, to: ShardId, delivery: Delivery) {
        self.port.deliver(to, delivery);
    }

    fn let_go(&mut self, frame: Bytes) {
        self.port.let_go(frame);
    }

    fn try_control(&mut self, message: ToControl) -> Result<(), ToControl> {
        self.port.try_control(message)
    }

    fn control(&mut self, message: ToControl) {
        self.port.control(message);
    }
}
