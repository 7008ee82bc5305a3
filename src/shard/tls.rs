//! Connections over TLS: what their records hold goes the way of plain bytes, and
//! what is said to them is sealed on its way into the outbox (docs/decisions/0020).

use super::connection::{Connection, Role};
use super::io::{self, Doom, Io, mark_dirty};
use super::pump::Pump;
use crate::limits::{
    CROWDED_FACTOR, READS_PER_TURN_MAX, TLS_HANDSHAKES_PER_TURN_MAX, TLS_SEALED_BYTES_MAX,
};
use crate::model::ConnId;
use crate::net::Sent;
use crate::tls::{Acceptor, TlsError, Transport};
use crate::wire::frames;
use crate::wire::http::Refusal;

impl Pump {
    /// Puts TLS between the connection and its socket.
    pub(super) fn secure(&mut self, conn: ConnId, acceptor: &Acceptor) {
        let accepted = acceptor.accept();
        let Some(connection) = self.io.get(conn) else {
            return;
        };
        match accepted {
            Ok(transport) => connection.tls = Some(Box::new(transport)),
            Err(error) => {
                tracing::error!(%error, "no TLS for a connection");
                self.lose(conn);
            }
        }
    }

    /// Answers some of those whose handshake begins, and leaves the others to the
    /// next turns: nobody who is in waits for a crowd at the door. Who is gone, or
    /// has not said enough to be answered, takes nobody's place.
    pub(super) fn shake_hands(&mut self) {
        self.handshakes = 0;
        for _ in 0..READS_PER_TURN_MAX {
            if self.handshakes == TLS_HANDSHAKES_PER_TURN_MAX {
                return;
            }
            let Some(slot) = self.io.shaking.pop_front() else {
                return;
            };
            let connection = self.io.connections.get(slot as usize);
            // Another may have its slot, and a place of its own.
            if connection.is_some_and(|it| it.flags.listed) {
                self.read_listed(slot);
            }
        }
    }

    /// What came from the socket of a connection over TLS.
    pub(super) fn handle_records(&mut self, conn: ConnId, bytes: &mut [u8]) {
        let io = &mut self.io;
        let Some(connection) = io.connections.get_mut(conn.slot as usize) else {
            return;
        };
        // Whatever it is, nothing more comes of it.
        let closing = matches!(connection.role, Role::Closing);
        let Some(tls) = connection.tls.as_mut().filter(|_| !closing) else {
            return;
        };
        io.sealed.clear();
        let costly = tls.is_costly();
        let handled = tls.handle_bytes(bytes, &mut self.plain, &mut io.sealed);
        // Not where it waits for more: that cost nothing.
        if costly && (!io.sealed.is_empty() || !tls.is_costly()) {
            self.handshakes += 1;
        }
        connection.flags.ended |= tls.has_ended();
        io.push_sealed(conn.slot);
        let mut plain = std::mem::take(&mut self.plain);
        if !plain.is_empty() {
            self.handle_received(conn, &mut plain);
        }
        plain.clear();
        self.plain = plain;
        if let Err(error) = handled {
            self.handle_tls_error(conn, &error);
        }
    }

    fn handle_tls_error(&mut self, conn: ConnId, error: &TlsError) {
        let Some(connection) = self.io.get(conn) else {
            return;
        };
        if connection.is_closing() {
            return;
        }
        let is_frontend = matches!(connection.role, Role::Handshake);
        self.note_tls_refusal(conn, error);
        if *error == TlsError::PlainHttp && is_frontend {
            // In its own language.
            let mut response = Vec::new();
            Refusal::BadRequest("this port speaks TLS: https or wss").write(&mut response);
            self.io.sealed.clear();
            self.io.sealed.extend_from_slice(&response);
            self.io.push_sealed(conn.slot);
        }
        self.end_broken(conn);
    }

    /// Ends a connection on which nothing can be said any longer but what stands in
    /// its outbox.
    fn end_broken(&mut self, conn: ConnId) {
        self.take_out(conn);
        self.close_with(conn, b"");
    }

    /// Whether the stream may have been cut before the peer was done: whoever can
    /// write to the network can end it, only the peer can say `close_notify`. What
    /// is not whole is never handled, so the connection is simply gone; a peer that
    /// only wants to hear its answer must say that it ends.
    pub(super) fn is_cut(&mut self, conn: ConnId) -> bool {
        let connection = self.io.get(conn);
        // Its last bytes may still be on their way to it.
        let connection = connection.filter(|it| !matches!(it.role, Role::Closing));
        let tls = connection.and_then(|connection| connection.tls.as_ref());
        tls.is_some_and(|tls| !tls.has_ended())
    }
}

impl Io {
    /// Queues what stands sealed, or what goes out before there are keys.
    fn push_sealed(&mut self, slot: u32) {
        let Some(connection) = self.connections.get_mut(slot as usize) else {
            return;
        };
        if !self.sealed.is_empty() {
            connection.outbox.push(&self.sealed, &mut self.spare);
            self.outbox_bytes += self.sealed.len();
        }
        mark_dirty(connection, &mut self.dirty);
    }

    /// [`push`](crate::hub::Effects::push) over TLS.
    pub(super) fn seal_and_push(&mut self, slot: u32, bytes: &[u8]) {
        for piece in bytes.chunks(TLS_SEALED_BYTES_MAX) {
            if !self.seal(slot, piece) {
                return;
            }
            self.push_sealed(slot);
        }
        if let Some(connection) = self.connections.get_mut(slot as usize) {
            mark_dirty(connection, &mut self.dirty);
        }
    }

    /// [`deliver`](crate::hub::Effects::deliver) over TLS. Whether it fits is asked
    /// before it is sealed: a record that was left out breaks all behind it.
    pub(super) fn seal_and_deliver(&mut self, slot: u32, batch: &[u8]) {
        let free = self.outbox_bytes_free();
        let Some(connection) = self.connections.get(slot as usize) else {
            return;
        };
        // A backend's packets are bounded where they come from.
        let is_backend = connection.counted_in.is_none();
        let at_once = connection.dropped == 0 && connection.takes_sealed(batch.len(), free);
        if is_backend || at_once {
            self.seal_and_send(slot, batch);
        } else {
            self.seal_what_fits(slot, batch);
        }
    }

    /// Frame by frame, as [`enqueue`](Self::enqueue) does past a bound (docs/decisions/0019).
    #[cold]
    fn seal_what_fits(&mut self, slot: u32, batch: &[u8]) {
        self.tell_dropped(slot);
        let mut missed = 0;
        let mut end = 0;
        for length in frames::lengths(batch) {
            let start = end;
            end += length;
            let free = self.outbox_bytes_free();
            let Some(connection) = self.connections.get(slot as usize) else {
                return;
            };
            if connection.is_closing() {
                return;
            }
            // What follows a gap waits for the word about it.
            let has_gap = connection.dropped + missed > 0;
            if !has_gap && connection.takes_sealed(length, free) {
                self.seal_and_send(slot, &batch[start..end]);
            } else if connection.flags.drops
                && connection.outbox.deliveries() / CROWDED_FACTOR <= free
            {
                missed += 1;
            } else if !connection.flags.drops
                && (has_gap || !connection.takes_sealed(length, usize::MAX))
            {
                return self.doom(slot, Doom::Slow);
            } else {
                return self.doom(slot, Doom::Crowded);
            }
        }
        if missed > 0 {
            self.count_dropped(slot, missed);
            self.tell_dropped(slot);
        }
    }

    fn seal_and_send(&mut self, slot: u32, bytes: &[u8]) {
        for piece in bytes.chunks(TLS_SEALED_BYTES_MAX) {
            if !self.seal(slot, piece) {
                return;
            }
            self.sealed_bytes += piece.len();
            self.send_sealed(slot);
        }
    }

    /// Makes records of `bytes` in the shard's buffer; false where the connection
    /// can say nothing.
    fn seal(&mut self, slot: u32, bytes: &[u8]) -> bool {
        let connection = self.connections.get_mut(slot as usize);
        let Some(tls) = connection.and_then(|connection| connection.tls.as_mut()) else {
            return false;
        };
        self.sealed.clear();
        if tls.seal(bytes, &mut self.sealed).is_err() {
            self.doom(slot, Doom::Lost);
            return false;
        }
        if tls.is_worn() {
            // With what was sealed just now; behind it stands the reason.
            self.doom(slot, Doom::Worn);
        }
        true
    }

    /// Sends what stands sealed behind what is queued; what the socket does not
    /// take is queued.
    fn send_sealed(&mut self, slot: u32) {
        let Some(connection) = self.connections.get_mut(slot as usize) else {
            return;
        };
        let mut sent = 0;
        if connection.outbox.is_empty() {
            self.meter.sends.add(1);
            match connection.socket.send(&self.sealed) {
                Sent::Bytes(count) => {
                    self.meter.sent_bytes.add(count as u64);
                    sent = count;
                }
                Sent::Full => {}
                Sent::Failed(_) => return self.doom(slot, Doom::Lost),
            }
            if sent == self.sealed.len() {
                return;
            }
            io::block(connection, &mut self.driver, &mut self.notes);
        }
        let rest = &self.sealed[sent..];
        let _ = connection
            .outbox
            .try_push(rest, usize::MAX, &mut self.spare);
        self.outbox_bytes += rest.len();
        self.outbox_peak = self.outbox_peak.max(connection.outbox.len());
        mark_dirty(connection, &mut self.dirty);
    }

    /// Queues the `close_notify` behind which nothing more is said, once.
    pub(super) fn finish_tls(&mut self, conn: ConnId) {
        self.sealed.clear();
        let Some(connection) = self.connections.get_mut(conn.slot as usize) else {
            return;
        };
        if let Some(tls) = &mut connection.tls {
            tls.finish(&mut self.sealed);
            self.push_sealed(conn.slot);
        }
    }

    fn doom(&mut self, slot: u32, why: Doom) {
        if let Some(connection) = self.connections.get_mut(slot as usize) {
            io::doom(connection, why, &mut self.notes);
        }
    }
}

impl Connection {
    /// Whether the queue takes so many bytes once they are sealed. An empty one
    /// takes a piece in any case, as in plain a socket would.
    fn takes_sealed(&self, bytes: usize, free: usize) -> bool {
        let bytes_max = free.min(self.outbox_bytes_max as usize);
        let sealed = Transport::sealed_len(bytes);
        let is_piece = self.outbox.is_empty() && bytes <= TLS_SEALED_BYTES_MAX;
        is_piece || self.outbox.has_room(sealed, bytes_max)
    }

    /// As it goes into the outbox: sealed where the connection is over TLS. Empty
    /// where nothing can be said any longer.
    pub(super) fn sealed(&mut self, bytes: Vec<u8>) -> Vec<u8> {
        let Some(tls) = &mut self.tls else {
            return bytes;
        };
        let mut sealed = Vec::new();
        match tls.seal(&bytes, &mut sealed) {
            Ok(()) => sealed,
            Err(_) => Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests;
