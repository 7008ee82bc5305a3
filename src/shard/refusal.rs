use super::BACKEND;
use super::pump::Pump;
use crate::limits::{ACCESS_LINES_PER_SECOND_MAX, REFUSED_CONNECTIONS_MAX, REFUSED_TIMEOUT};
use crate::meter::Refused;
use crate::model::{ConnId, VhostId, VhostPath};
use crate::net::Socket;
use crate::wire::http::Refusal;

const SECOND_MS: u64 = 1000;

/// How many lines about refusals the shard has logged: a flood must not fill
/// the disk. What is beyond is summed up when its second is over.
#[derive(Default)]
pub(super) struct AccessLog {
    /// When the present second began.
    since_ms: u64,
    lines: u32,
    untold: u64,
}

impl AccessLog {
    /// Whether one more line may be written; where not, it is counted.
    fn try_line(&mut self, now_ms: u64) -> bool {
        if now_ms >= self.since_ms + SECOND_MS && self.untold == 0 {
            *self = Self {
                since_ms: now_ms,
                ..Self::default()
            };
        }
        if self.lines >= ACCESS_LINES_PER_SECOND_MAX {
            self.untold += 1;
            return false;
        }
        self.lines += 1;
        true
    }

    /// How many were not told in the second that is over, if any.
    fn take_untold(&mut self, now_ms: u64) -> Option<u64> {
        if self.untold == 0 || now_ms < self.since_ms + SECOND_MS {
            return None;
        }
        let untold = self.untold;
        // The summary is a line as well.
        *self = Self {
            since_ms: now_ms,
            lines: 1,
            untold: 0,
        };
        Some(untold)
    }

    /// Milliseconds until [`Self::take_untold`] has something.
    pub(super) fn next_in_ms(&self, now_ms: u64) -> Option<u64> {
        (self.untold > 0).then(|| (self.since_ms + SECOND_MS).saturating_sub(now_ms))
    }
}

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
            let peer = peer(&connection.socket);
            let path = vhost.and_then(|vhost| self.hub.registry().path(vhost));
            log(&peer, path.map_or("-", VhostPath::as_str), cause, status);
        }
    }

    /// Refuses a connection that has no place. A frontend is answered once its
    /// request is there (docs/decisions/0009).
    pub(super) fn turn_away(&mut self, listener: u8, socket: Socket, cause: Refused) {
        if listener == BACKEND || self.io.placeless >= REFUSED_CONNECTIONS_MAX {
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

    /// Tells of the lines that were left out.
    pub(super) fn sum_up_refusals(&mut self) {
        if let Some(untold) = self.access.take_untold(self.io.now_ms) {
            tracing::info!(target: "access", untold, "more were refused");
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

#[cfg(test)]
mod tests {
    use super::*;

    const MAX: u64 = ACCESS_LINES_PER_SECOND_MAX as u64;

    fn lines(log: &mut AccessLog, count: u64, now_ms: u64) -> u64 {
        (0..count).filter(|_| log.try_line(now_ms)).count() as u64
    }

    #[test]
    fn a_second_has_its_lines_and_the_rest_is_summed_up_once() {
        let mut log = AccessLog::default();
        assert_eq!(lines(&mut log, MAX, 1000), MAX);
        assert_eq!(log.next_in_ms(1000), None);
        assert_eq!(log.take_untold(9000), None);
        assert_eq!(lines(&mut log, 5, 3000), 5, "another second");
        assert_eq!(lines(&mut log, MAX + 5, 3999), MAX - 5);
        assert_eq!(log.take_untold(3999), None);
        assert_eq!(log.next_in_ms(3500), Some(500));
        assert_eq!(log.take_untold(4000), Some(10));
        assert_eq!(log.take_untold(9000), None);
        assert_eq!(log.next_in_ms(4000), None);
        let beside_the_summary = lines(&mut log, 2 * MAX, 4000);
        assert_eq!(beside_the_summary, MAX - 1);
    }

    #[test]
    fn nothing_is_forgotten_where_nobody_looked_in_time() {
        let mut log = AccessLog::default();
        lines(&mut log, MAX + 3, 1000);
        assert_eq!(lines(&mut log, 4, 60_000), 0);
        assert_eq!(log.take_untold(60_000), Some(7));
    }
}
