//! Clients that hardly read, so that the broker has to part with them.

use std::cmp::min;

use webrocket::net::Recv;

use super::{Pump, system};
use crate::client::Fault;
use crate::limits::{RECEIVE_BUFFER_BYTES, SLOW_READ_INTERVAL};
use crate::timeline::nanoseconds;

/// What the slow clients of a thread have seen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Slowness {
    pub(crate) subscribed: u64,
    /// Broadcasts of any time.
    pub(crate) delivered: u64,
}

impl Pump {
    /// Whether it leaves unread what comes. Its end it does look at.
    pub(super) fn is_dozing(&self, slot: usize) -> bool {
        let seat = &self.seats[slot];
        self.plan.is_slow(self.number(slot))
            && seat.client.has_joined()
            && !seat.has_hung_up
            && !self.leaving
    }

    /// Lets the slow clients read their share of an interval, where it is over.
    pub(super) fn read_slowly(&mut self) {
        let bytes_per_s = u64::from(self.plan.slow.bytes_per_s);
        let now_ns = self.shared.now_ns();
        if bytes_per_s == 0 || now_ns < self.slow_ns {
            return;
        }
        self.slow_ns = now_ns + nanoseconds(SLOW_READ_INTERVAL);
        let share = bytes_per_s * SLOW_READ_INTERVAL.as_millis() as u64 / 1000;
        let share = min(share.max(1), RECEIVE_BUFFER_BYTES as u64) as usize;
        for slot in 0..self.seats.len() {
            if self.is_dozing(slot) {
                self.read_share(slot, share);
            }
        }
    }

    fn read_share(&mut self, slot: usize, share: usize) {
        let Some(socket) = &self.seats[slot].socket else {
            return;
        };
        match socket.recv(&mut self.buffer[..share]) {
            Recv::Bytes(count) => self.handle_received(slot, count),
            Recv::Empty => {}
            Recv::Ended => self.end(slot, Fault::Ended),
            Recv::Failed(error) => self.end(slot, system(&error)),
        }
    }
}

impl Slowness {
    pub(crate) fn add(&mut self, other: &Self) {
        self.subscribed += other.subscribed;
        self.delivered += other.delivered;
    }
}
