use crate::limits::{HEARTBEAT_EXPIRY, HEARTBEAT_INTERVAL};
use crate::model::VhostId;
use crate::wire::packet::Scanner;

/// A worker (SUB, `dlr` on the wire) that has said it is ready.
#[derive(Debug)]
pub struct Worker {
    /// In whose lobby it stands.
    pub vhost: VhostId,
    /// Finds the end of the next packet.
    pub scanner: Scanner,
    /// When it last said that it lives.
    heard_ms: u64,
    /// When it is told that the server lives; not before every shard knows it.
    next_beat_ms: Option<u64>,
}

/// What the clock makes of a worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WorkerStep {
    /// Send `HB`.
    Beat,
    /// Silent too long: `QT` and close ([WK-06]).
    Expired,
    /// Nothing yet.
    Rest,
}

impl Worker {
    /// A worker that said `RD` at `now_ms`.
    pub fn new(vhost: VhostId, now_ms: u64) -> Self {
        Self {
            vhost,
            scanner: Scanner::default(),
            heard_ms: now_ms,
            next_beat_ms: None,
        }
    }

    /// It lives. Only `HB` says so.
    pub fn handle_heartbeat(&mut self, now_ms: u64) {
        self.heard_ms = now_ms;
    }

    /// Every shard knows it; the first `HB` is due now.
    pub fn handle_registered(&mut self, now_ms: u64) {
        self.next_beat_ms = Some(now_ms);
    }

    /// Whether triggers may be sent to it: the answer to `RD` is `HB`, and what
    /// comes before it is none ([WK-01]).
    pub fn is_registered(&self) -> bool {
        self.next_beat_ms.is_some()
    }

    /// When [`Self::handle_time`] has something to do, at the latest.
    pub fn deadline_ms(&self) -> u64 {
        let expiry = self.heard_ms + HEARTBEAT_EXPIRY.as_millis() as u64;
        self.next_beat_ms.map_or(expiry, |beat| beat.min(expiry))
    }

    /// Looks at the clock; call until [`WorkerStep::Rest`].
    pub fn handle_time(&mut self, now_ms: u64) -> WorkerStep {
        if now_ms >= self.heard_ms + HEARTBEAT_EXPIRY.as_millis() as u64 {
            return WorkerStep::Expired;
        }
        match self.next_beat_ms {
            Some(beat) if beat <= now_ms => {
                self.next_beat_ms = Some(now_ms + HEARTBEAT_INTERVAL.as_millis() as u64);
                WorkerStep::Beat
            }
            _ => WorkerStep::Rest,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn beats_every_interval_whatever_the_worker_does_wk_09() {
        let mut worker = Worker::new(VhostId(1), 1000);
        assert_eq!(worker.handle_time(1000), WorkerStep::Rest);
        assert!(!worker.is_registered());
        worker.handle_registered(1001);
        assert!(worker.is_registered());
        assert_eq!(worker.handle_time(1001), WorkerStep::Beat);
        assert_eq!(worker.handle_time(1001), WorkerStep::Rest);
        assert_eq!(worker.deadline_ms(), 1501);
        worker.handle_heartbeat(1400);
        assert_eq!(worker.handle_time(1501), WorkerStep::Beat);
        assert_eq!(worker.handle_time(1502), WorkerStep::Rest);
    }

    #[test]
    fn expires_three_intervals_after_the_last_sign_wk_06() {
        let mut worker = Worker::new(VhostId(1), 0);
        worker.handle_heartbeat(100);
        assert_eq!(worker.deadline_ms(), 1600);
        assert_eq!(worker.handle_time(1599), WorkerStep::Rest);
        assert_eq!(worker.handle_time(1600), WorkerStep::Expired);
    }
}
