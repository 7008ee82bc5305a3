use super::FRONTEND;
use super::connection::Role;
use super::pump::Pump;
use crate::limits::{REFUSED_CONNECTIONS_MAX, REFUSED_TIMEOUT};
use crate::meter::Refused;
use crate::model::{ConnId, VhostId, VhostPath};
use crate::net::Socket;
use crate::tls::TlsError;
use crate::wire::http::Refusal;

impl Pump {
    /// Counts and logs that the connection was told `status`: HTTP, close or
    /// backend code, as its kind has it; 0 where it was told nothing.
    pub(super) fn note_refusal(
        &mut self,
        conn: ConnId,
        vhost: Option<VhostId>,
        cause: Refused,
        status: u16,
    ) {
        self.io.meter.refuse(cause);
        if self.access.try_line(self.io.now_ms)
            && let Some(connection) = self.io.get(conn)
        {
            // Nothing can be told before there are keys.
            let status = if connection.is_shaking_hands() {
                0
            } else {
                status
            };
            let peer = peer(&connection.socket);
            let path = vhost.and_then(|vhost| self.hub.registry().path(vhost));
            log(&peer, path.map_or("-", VhostPath::as_str), cause, status);
        }
    }

    /// As [`Self::note_refusal`], for one whose TLS was refused, and why.
    pub(super) fn note_tls_refusal(&mut self, conn: ConnId, reason: &TlsError) {
        let cause = Refused::Tls;
        self.io.meter.refuse(cause);
        if self.access.try_line(self.io.now_ms)
            && let Some(connection) = self.io.get(conn)
        {
            let listener = match connection.role {
                Role::Handshake | Role::Frontend(_) => "websocket",
                _ => "backend",
            };
            let (peer, cause) = (peer(&connection.socket), cause.as_str());
            tracing::info!(target: "access", peer, listener, cause, %reason, "refused");
        }
    }

    /// Refuses a connection that has no place. A frontend is answered once its
    /// request is there (docs/decisions/0009), unless it would first cost a
    /// TLS handshake.
    pub(super) fn turn_away(&mut self, listener: u8, socket: Socket, cause: Refused) {
        if listener != FRONTEND || self.io.placeless >= REFUSED_CONNECTIONS_MAX {
            return self.note_turned_away(&socket, cause, 0);
        }
        self.note_turned_away(&socket, cause, refusal_of(cause).status());
        if let Some(conn) = self.io.insert_turned_away(socket, cause) {
            let deadline_ms = self.io.now_ms + REFUSED_TIMEOUT.as_millis() as u64;
            self.io.set_deadline(conn, deadline_ms);
        }
    }

    /// As [`Self::note_refusal`], for a connection that gets no place.
    fn note_turned_away(&mut self, socket: &Socket, cause: Refused, status: u16) {
        self.io.meter.refuse(cause);
        if self.access.try_line(self.io.now_ms) {
            log(&peer(socket), "-", cause, status);
        }
    }

    /// Logs that a listener pauses. While the shortage lasts each of the shard's
    /// listeners comes upon it again and again.
    pub(super) fn note_pause(&mut self, error: &std::io::Error) {
        if self.pauses.try_line(self.io.now_ms) {
            let shard = self.io.port.id();
            tracing::warn!(shard, %error, "accepting paused; the shard keeps what it has");
        }
    }

    /// Tells of the lines that were left out.
    pub(super) fn sum_up_log(&mut self) {
        if let Some(untold) = self.access.take_untold(self.io.now_ms) {
            tracing::info!(target: "access", untold, "more were refused");
        }
        if let Some(untold) = self.pauses.take_untold(self.io.now_ms) {
            let shard = self.io.port.id();
            tracing::warn!(shard, untold, "accepting paused again and again");
        }
    }
}

/// The cause that meter and log have for a refused upgrade; none where the
/// client was only sent to another path.
pub(super) fn cause_of(refusal: &Refusal) -> Option<Refused> {
    match refusal {
        Refusal::MovedPermanently(_) => None,
        Refusal::Forbidden => Some(Refused::Origin),
        _ => Some(Refused::Upgrade),
    }
}

/// What a frontend without a place is told.
pub(super) fn refusal_of(cause: Refused) -> Refusal {
    match cause {
        Refused::AddressConnections => Refusal::TooManyRequests,
        _ => Refusal::Unavailable,
    }
}

fn peer(socket: &Socket) -> String {
    let address = socket.peer_addr();
    address.map_or_else(|| "-".into(), |address| address.to_string())
}

fn log(peer: &str, vhost: &str, cause: Refused, status: u16) {
    let cause = cause.as_str();
    tracing::info!(target: "access", peer, vhost, cause, status, "refused");
}
