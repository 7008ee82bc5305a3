//! How connections end. Whatever is still to be said goes out first; then the
//! peer is told that nothing more comes, what it still sends is thrown away, and
//! the socket closes when the peer has closed its side or lingers too long.

use super::connection::{Connection, Role};
use super::io::Doom;
use super::pump::Pump;
use crate::hub::Effects;
use crate::limits::{EVICTED_LINGER_TIMEOUT, LINGER_TIMEOUT, PACKET_TIMEOUT};
use crate::meter::{Kind, Refused, Slow};
use crate::model::{ConnId, Status, VhostId};
use crate::wire::frame::{self, CloseCode};
use crate::wire::http::Refusal;
use crate::wire::packet;

impl Pump {
    pub(super) fn refuse_upgrade(&mut self, conn: ConnId, refusal: &Refusal) {
        let mut response = Vec::new();
        refusal.write(&mut response);
        self.close_with(conn, &response);
    }

    /// Ends the session and says why in a close frame, behind all that was
    /// published to it.
    pub(super) fn close_frontend(&mut self, conn: ConnId, code: CloseCode, reason: &str) {
        self.hub.give_rest(conn, &mut self.io);
        self.cut_frontend(conn, code, reason);
    }

    /// Ends the session and says why, whatever it was not given yet.
    fn cut_frontend(&mut self, conn: ConnId, code: CloseCode, reason: &str) {
        self.io.tell_dropped_at_last(conn);
        let mut close = Vec::with_capacity(reason.len() + 4);
        frame::write_close(&mut close, code, reason);
        self.hub.close(conn, &mut self.io);
        self.close_with(conn, &close);
    }

    /// An evicted frontend may take its time to learn why, where nothing but that
    /// is kept for it and the node has time.
    fn linger_longer(&mut self, conn: ConnId) {
        let is_plain = self.io.get(conn).is_some_and(|it| it.tls.is_none());
        if is_plain && self.is_serving() {
            let until_ms = self.io.now_ms + EVICTED_LINGER_TIMEOUT.as_millis() as u64;
            self.io.set_deadline(conn, until_ms);
        }
    }

    /// `cause` is what meter and log are told.
    pub(super) fn refuse_backend(
        &mut self,
        conn: ConnId,
        vhost: Option<VhostId>,
        cause: Refused,
        status: Status,
    ) {
        self.note_refusal(conn, vhost, cause, status.code());
        let mut answer = Vec::new();
        packet::write_error(&mut answer, status);
        self.close_with(conn, &answer);
    }

    /// A worker leaves the lobby and is told so, where there is a word for it.
    pub(super) fn close_worker(&mut self, conn: ConnId, vhost: VhostId, last: &[u8]) {
        self.hub.deregister_worker(conn, vhost, &mut self.io);
        self.close_with(conn, last);
    }

    /// Sends the last bytes and ends the connection.
    pub(super) fn close_with(&mut self, conn: ConnId, last: &[u8]) {
        let now_ms = self.io.now_ms;
        let Some(connection) = self.io.get(conn) else {
            return;
        };
        if matches!(connection.role, Role::Closing) {
            return;
        }
        // A slow consumer's last word has to get past its bound.
        connection.flags.doomed = false;
        connection.flags.waiting = false;
        connection.flags.throttled = false;
        // Also with nothing to say: the end of the turn is to look at it.
        self.io.push(conn.slot, last);
        self.io.finish_tls(conn);
        if let Some(connection) = self.io.get(conn) {
            connection.role = Role::Closing;
            // Worn keys doom it anew with its last word; its end is still read.
            connection.flags.doomed = false;
            connection.inbox = Vec::new();
        }
        // It can only have become less.
        self.io.try_keep(conn);
        self.io.leave_vhost(conn);
        self.io.count_as(conn, Kind::Closing);
        self.io
            .set_deadline(conn, now_ms + LINGER_TIMEOUT.as_millis() as u64);
        self.io.list(conn.slot);
    }

    /// Tells the peer of a closing connection that nothing more comes, once all is sent.
    pub(super) fn finish_if_sent(&mut self, conn: ConnId) {
        let Some(connection) = self.io.get(conn) else {
            return;
        };
        let closing = matches!(connection.role, Role::Closing);
        if !closing || !connection.outbox.is_empty() || connection.flags.finished {
            return;
        }
        connection.flags.finished = true;
        connection.socket.shutdown_write();
        if connection.flags.ended {
            self.io.remove(conn);
        }
    }

    /// The peer sends no more, and all it sent has been handled.
    pub(super) fn handle_end(&mut self, conn: ConnId) {
        let Some(connection) = self.io.get(conn) else {
            return;
        };
        match &connection.role {
            Role::Client(client) if !client.is_settled() => {}
            // Without the last answer sent, a reset would overtake it.
            Role::Client(_) if !connection.outbox.is_empty() => self.close_with(conn, b""),
            Role::Closing if !connection.outbox.is_empty() => {}
            // Something that never became a packet ([BE-21, BE-24..26]).
            Role::Fresh(_) if !connection.inbox.is_empty() => {
                self.refuse_backend(conn, None, Refused::Backend, Status::BadRequest);
            }
            _ => {
                if connection.tls.is_some() {
                    // TLS wants it said (RFC 5246 section 7.2.1).
                    self.io.finish_tls(conn);
                    self.io.flush_outbox(conn.slot);
                }
                self.lose(conn);
            }
        }
    }

    /// The connection is of no more use; nothing can be said on it.
    pub(super) fn lose(&mut self, conn: ConnId) {
        self.take_out(conn);
        self.io.remove(conn);
    }

    /// The hub forgets who was on the connection, worker or frontend.
    pub(super) fn take_out(&mut self, conn: ConnId) {
        let Some(connection) = self.io.get(conn) else {
            return;
        };
        if let Role::Worker(worker) = &connection.role {
            let vhost = worker.vhost;
            self.hub.deregister_worker(conn, vhost, &mut self.io);
        }
        self.hub.close(conn, &mut self.io);
    }

    pub(super) fn handle_timeout(&mut self, conn: ConnId) {
        let Some(connection) = self.io.get(conn) else {
            return;
        };
        match &connection.role {
            Role::Handshake => {
                self.note_refusal(conn, None, Refused::Timeout, Refusal::Timeout.status());
                self.refuse_upgrade(conn, &Refusal::Timeout);
            }
            Role::TurnedAway(_) => self.lose(conn),
            Role::Fresh(_) => {
                self.refuse_backend(conn, None, Refused::Timeout, Status::BadRequest);
            }
            Role::Worker(_) => {
                // A shard that was held up must not take its own silence for the worker's.
                self.receive(conn);
                self.handle_worker_time(conn);
            }
            // Waits for the broker, not for its backend.
            Role::Client(client) if !client.is_settled() => {
                let deadline = self.io.now_ms + PACKET_TIMEOUT.as_millis() as u64;
                self.io.set_deadline(conn, deadline);
            }
            Role::Client(_) if connection.inbox.is_empty() => self.close_with(conn, b""),
            Role::Client(client) => {
                let vhost = Some(client.vhost);
                self.refuse_backend(conn, vhost, Refused::Timeout, Status::BadRequest);
            }
            Role::Closing => {
                // Held on to its socket for too long: what is unsent is dropped.
                let unsent = connection.outbox.len();
                connection.socket.reset_on_close();
                if unsent > 0 {
                    self.io.meter.slow(Slow::Lingered).add(1);
                }
                self.lose(conn);
            }
            Role::Frontend(_) => self.end_throttling(conn),
        }
    }

    /// Sends the connection away and says why, where there is a word for it.
    pub(super) fn dismiss(&mut self, conn: ConnId, why: Doom) {
        if why == Doom::Lost {
            return self.lose(conn);
        }
        let Some(connection) = self.io.get(conn) else {
            return;
        };
        let vhost = connection.vhost();
        match &mut connection.role {
            Role::Frontend(_) => {
                let (code, reason) = match why {
                    Doom::Slow => {
                        let code = CloseCode::TRY_AGAIN_LATER.0;
                        self.note_refusal(conn, vhost, Refused::OutboxBytes, code);
                        self.io.meter.slow(Slow::Evicted).add(1);
                        (CloseCode::TRY_AGAIN_LATER, "slow consumer")
                    }
                    Doom::Guesses => {
                        let code = CloseCode::TRY_AGAIN_LATER.0;
                        self.note_refusal(conn, vhost, Refused::WrongTokens, code);
                        (CloseCode::TRY_AGAIN_LATER, "too many wrong tokens")
                    }
                    Doom::AddressGuesses => {
                        let code = CloseCode::TRY_AGAIN_LATER.0;
                        self.note_refusal(conn, vhost, Refused::WrongTokens, code);
                        let reason = "too many wrong tokens from this address";
                        (CloseCode::TRY_AGAIN_LATER, reason)
                    }
                    Doom::Crowded => {
                        let code = CloseCode::TRY_AGAIN_LATER.0;
                        self.note_refusal(conn, vhost, Refused::OutboxesBytes, code);
                        self.io.meter.slow(Slow::Crowded).add(1);
                        (
                            CloseCode::TRY_AGAIN_LATER,
                            "slow consumer, and no room for its queue",
                        )
                    }
                    Doom::Disconnected => (CloseCode::POLICY, "disconnected by the operator"),
                    Doom::Worn => (CloseCode::GOING_AWAY, "TLS keys used up"),
                    Doom::VhostDeleted => (CloseCode::GOING_AWAY, "vhost deleted"),
                    _ => (CloseCode::GOING_AWAY, "server shutdown"),
                };
                if matches!(why, Doom::Slow | Doom::Crowded) {
                    self.io.forget_queue(conn);
                    self.cut_frontend(conn, code, reason);
                    self.linger_longer(conn);
                } else {
                    // Or nothing would be given to it.
                    if let Some(connection) = self.io.get(conn) {
                        connection.flags.doomed = false;
                    }
                    self.close_frontend(conn, code, reason);
                }
            }
            Role::Handshake => self.refuse_upgrade(conn, &Refusal::Unavailable),
            Role::Worker(worker) => {
                let vhost = worker.vhost;
                self.close_worker(conn, vhost, packet::QUIT);
            }
            // The answers that are owed still come, and end it.
            Role::Client(client) if !client.is_settled() => {
                client.leave();
                connection.flags.doomed = false;
            }
            Role::Client(client) if client.is_kept() => self.close_with(conn, packet::QUIT),
            Role::Client(_) | Role::Fresh(_) | Role::TurnedAway(_) => self.close_with(conn, b""),
            // The node does not wait for it as long as it was let to wait.
            Role::Closing if why == Doom::Drain => {
                let before_ms = connection.timer.deadline_ms;
                let until_ms = self.io.now_ms + LINGER_TIMEOUT.as_millis() as u64;
                self.io.set_deadline(conn, until_ms.min(before_ms));
            }
            Role::Closing => {}
        }
    }

    pub(super) fn dismiss_all(&mut self, which: impl Fn(&Connection) -> bool, why: Doom) {
        let chosen: Vec<ConnId> = self
            .io
            .connections
            .iter()
            .filter_map(|(_, connection)| which(connection).then_some(connection.id))
            .collect();
        for conn in chosen {
            self.dismiss(conn, why);
        }
    }
}
