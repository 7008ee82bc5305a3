//! What connections keep between two reads: what was received and is not handled,
//! and the bound on all of it together (docs/decisions/0021).

use super::connection::{Connection, Role};
use super::io::Io;
use super::pump::Pump;
use crate::hub::envelope::Outcome;
use crate::meter::Refused;
use crate::model::{ConnId, Quotas, Status};
use crate::session::Reply;
use crate::wire::frame::CloseCode;
use crate::wire::http::Refusal;

impl Io {
    /// Takes this shard's part of what the connections of the node may keep.
    pub(super) fn share_unfinished(&mut self, quotas: &Quotas) {
        self.unfinished_bytes_max = self.share_of(quotas.unfinished_bytes_max);
    }

    /// Counts what the connection keeps now; false where that has grown past what
    /// is free. So large messages are refused before small ones, and all together stay
    /// within the shard's share. To be called wherever it may have changed.
    pub(super) fn try_keep(&mut self, conn: ConnId) -> bool {
        let connection = self.connections.get_mut(conn.slot as usize);
        let Some(connection) = connection.filter(|it| it.id == conn) else {
            return true;
        };
        let kept = connection.measure_kept();
        let before = connection.kept_bytes as usize;
        if kept == before {
            return true;
        }
        let free = self
            .unfinished_bytes_max
            .saturating_sub(self.unfinished_bytes);
        connection.kept_bytes = kept as u32;
        self.unfinished_bytes = self.unfinished_bytes - before + kept;
        kept < before || kept <= free
    }

    /// The connection is gone, and what it kept.
    pub(super) fn forget_kept(&mut self, connection: &Connection) {
        self.unfinished_bytes -= connection.kept_bytes as usize;
        debug_assert!(
            !self.connections.is_empty() || self.unfinished_bytes == 0,
            "{} bytes kept by nobody",
            self.unfinished_bytes
        );
    }
}

impl Pump {
    /// Counts what the connection keeps; closes it where there is no room for that.
    pub(super) fn count_kept(&mut self, conn: ConnId) {
        if !self.io.try_keep(conn) {
            self.refuse_unfinished(conn);
        }
    }

    #[cold]
    fn refuse_unfinished(&mut self, conn: ConnId) {
        let Some(connection) = self.io.get(conn) else {
            return;
        };
        // Already on its way out, with a word of its own.
        if connection.is_closing() {
            return;
        }
        let vhost = connection.vhost();
        let cause = Refused::UnfinishedBytes;
        let status = Status::InternalError;
        match &mut connection.role {
            Role::Frontend(_) => {
                let code = CloseCode::TRY_AGAIN_LATER;
                self.note_refusal(conn, vhost, cause, code.0);
                self.close_frontend(conn, code, "unfinished message, and no room for it");
            }
            Role::Handshake | Role::TurnedAway(_) => {
                self.note_refusal(conn, vhost, cause, Refusal::Unavailable.status());
                self.refuse_upgrade(conn, &Refusal::Unavailable);
            }
            Role::Fresh(_) => self.refuse_backend(conn, vhost, cause, status),
            Role::Worker(worker) => {
                let vhost = worker.vhost;
                self.hub.deregister_worker(conn, vhost, &mut self.io);
                self.refuse_backend(conn, Some(vhost), cause, status);
            }
            // Behind the answers that it is owed; then it ends.
            Role::Client(client) if client.is_leaving() => {
                connection.inbox = Vec::new();
                self.io.try_keep(conn);
            }
            Role::Client(client) => {
                let number = client.begin_refused();
                client.settle(number, Reply::Outcome(Outcome::Failed(status)));
                client.leave();
                connection.inbox = Vec::new();
                self.io.try_keep(conn);
                self.note_refusal(conn, vhost, cause, status.code());
                self.give_what_is_owed(conn);
            }
            Role::Closing => {}
        }
    }
}

impl Connection {
    /// Bytes of memory in which it keeps what was received: what they hold and,
    /// as buffers grow by doubling, up to as much again.
    fn measure_kept(&self) -> usize {
        let messages = match &self.role {
            Role::Frontend(frontend) => frontend.kept_bytes(),
            _ => 0,
        };
        let records = self.tls.as_ref().map_or(0, |tls| tls.kept_bytes());
        self.inbox.capacity() + messages + records
    }
}

#[cfg(test)]
mod tests;
