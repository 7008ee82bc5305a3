use std::time::Instant;

use slab::Slab;

use super::connection::{Connection, Role};
use super::timers::Timers;
use crate::hub::Effects;
use crate::hub::envelope::{Delivery, Outcome, Request, ToControl};
use crate::limits::{CONNECTIONS_PER_SHARD_MAX, OUTBOX_BYTES_MAX};
use crate::mesh::ShardPort;
use crate::model::{ConnId, ShardId, VhostId};
use crate::net::{Driver, Flushed, Sent, Socket, Spare};

/// Everything around the hub: sockets, rings, timers. Where a call of the hub
/// asks for more than bytes, it is noted here and done by the pump afterwards.
pub(super) struct Io {
    pub(super) driver: Driver,
    pub(super) port: ShardPort,
    pub(super) connections: Slab<Connection>,
    /// How often each slot has been taken.
    generations: Vec<u32>,
    pub(super) spare: Spare,
    pub(super) timers: Timers,
    /// Connections to be read or, having waited, to go on.
    pub(super) ready: Vec<u32>,
    /// Outboxes to be flushed.
    pub(super) dirty: Vec<u32>,
    pub(super) notes: Vec<Note>,
    started: Instant,
    pub(super) now_ms: u64,
}

/// What the pump does after the hub's call.
pub(super) enum Note {
    Doom(ConnId, Doom),
    Answer(ConnId, u32, Outcome),
    WorkerReady(ConnId),
    VhostDeleted(VhostId),
    Drain,
    Stop,
}

/// Why a connection has to go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Doom {
    /// The socket failed: nothing can be said.
    Lost,
    /// Its outbox is over its bound.
    Slow,
    /// A worker of the same id took its place.
    Replaced,
    /// The operator wants it gone.
    Disconnected,
    /// Its vhost was deleted.
    VhostDeleted,
    /// The node stops.
    Drain,
}

impl Io {
    pub(super) fn new(driver: Driver, port: ShardPort) -> Self {
        Self {
            driver,
            port,
            connections: Slab::new(),
            generations: Vec::new(),
            spare: Spare::new(),
            timers: Timers::default(),
            ready: Vec::new(),
            dirty: Vec::new(),
            notes: Vec::new(),
            started: Instant::now(),
            now_ms: 1,
        }
    }

    /// Looks at the clock: milliseconds since the shard started, from 1 on.
    pub(super) fn update_time(&mut self) {
        self.now_ms = self.started.elapsed().as_millis() as u64 + 1;
    }

    /// Takes a new connection in; none past the bound.
    pub(super) fn insert(&mut self, socket: Socket, role: Role) -> Option<ConnId> {
        if self.connections.len() >= CONNECTIONS_PER_SHARD_MAX {
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
        entry.insert(Connection::new(id, socket, role));
        Some(id)
    }

    /// Closes the socket and frees the slot.
    pub(super) fn remove(&mut self, id: ConnId) {
        if self.get(id).is_none() {
            return;
        }
        let mut connection = self.connections.remove(id.slot as usize);
        connection.outbox.clear(&mut self.spare);
        self.driver
            .unwatch(id, connection.socket, connection.flags.blocked);
        self.generations[id.slot as usize] = id.generation.wrapping_add(1);
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
            self.ready.push(slot);
        }
    }

    /// Sends a whole packet in one call where nothing is queued before it; so
    /// a worker that can't take two packets from one read mostly never has to.
    pub(super) fn send_packet(&mut self, slot: u32, packet: &[u8]) {
        let queued = self
            .connections
            .get(slot as usize)
            .is_some_and(|c| !c.outbox.is_empty());
        if queued {
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
        match connection.outbox.flush(&connection.socket, &mut self.spare) {
            // It may have been held back for what was queued.
            Flushed::Empty if connection.has_work() => self.list(slot),
            Flushed::Empty => {}
            Flushed::Blocked => block(connection, &mut self.driver, &mut self.notes),
            Flushed::Failed(_) => doom(connection, Doom::Lost, &mut self.notes),
        }
    }
}

/// Lists the outbox to be flushed.
fn mark_dirty(connection: &mut Connection, dirty: &mut Vec<u32>) {
    if !std::mem::replace(&mut connection.flags.dirty, true) {
        dirty.push(connection.id.slot);
    }
}

/// Asks the ring for writability.
fn block(connection: &mut Connection, driver: &mut Driver, notes: &mut Vec<Note>) {
    if connection.flags.blocked {
        return;
    }
    match driver.watch_writable(connection.id, &connection.socket) {
        Ok(()) => connection.flags.blocked = true,
        Err(_) => doom(connection, Doom::Lost, notes),
    }
}

fn doom(connection: &mut Connection, why: Doom, notes: &mut Vec<Note>) {
    if !std::mem::replace(&mut connection.flags.doomed, true) {
        notes.push(Note::Doom(connection.id, why));
    }
}

impl Effects for Io {
    fn push(&mut self, slot: u32, bytes: &[u8]) {
        let Some(connection) = self.connections.get_mut(slot as usize) else {
            return;
        };
        if connection.is_closing() {
            return;
        }
        connection.outbox.push(bytes, &mut self.spare);
        mark_dirty(connection, &mut self.dirty);
    }

    fn deliver(&mut self, slot: u32, batch: &[u8]) {
        let Some(connection) = self.connections.get_mut(slot as usize) else {
            return;
        };
        if connection.is_closing() {
            return;
        }
        if !connection.outbox.is_empty() {
            match connection.outbox.try_push(batch, &mut self.spare) {
                Err(_) => doom(connection, Doom::Slow, &mut self.notes),
                Ok(()) => mark_dirty(connection, &mut self.dirty),
            }
            return;
        }
        let sent = match connection.socket.send(batch) {
            Sent::Bytes(count) if count == batch.len() => return,
            Sent::Bytes(count) => count,
            Sent::Full => 0,
            Sent::Failed(_) => return doom(connection, Doom::Lost, &mut self.notes),
        };
        match connection.outbox.try_push(&batch[sent..], &mut self.spare) {
            Ok(()) => block(connection, &mut self.driver, &mut self.notes),
            Err(_) => doom(connection, Doom::Slow, &mut self.notes),
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
        let queued = connection.outbox.len();
        let takes = queued == 0 || queued + packet.len() <= OUTBOX_BYTES_MAX;
        if takes {
            self.send_packet(worker.slot, packet);
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

    fn drain(&mut self) {
        self.notes.push(Note::Drain);
    }

    fn stop(&mut self) {
        self.notes.push(Note::Stop);
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

    fn try_control(&mut self, message: ToControl) -> Result<(), ToControl> {
        self.port.try_control(message)
    }

    fn control(&mut self, message: ToControl) {
        self.port.control(message);
    }
}
