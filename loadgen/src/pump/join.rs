use std::io;
use std::time::Duration;

use webrocket::net::connect;

use super::{Pump, conn, system};
use crate::client::Fault;
use crate::limits::{HANDSHAKE_TIMEOUT, HANDSHAKES_MAX, SLEEP_MAX};
use crate::timeline::{Timeline, nanoseconds};

impl Pump {
    /// Connects one client after the other at the plan's rate, until the
    /// coordinator has set the timeline; `None` where the ramp was stopped.
    pub(super) fn join(&mut self) -> io::Result<Option<Timeline>> {
        let mut dialed = 0;
        loop {
            if let Some(timeline) = self.shared.timeline() {
                return Ok(Some(timeline));
            }
            if self.shared.is_ramp_stopped() {
                return Ok(None);
            }
            self.expire();
            while self.may_dial(dialed) {
                self.dial(dialed);
                dialed += 1;
            }
            let waits = dialed < self.seats.len() && self.joining.len() < HANDSHAKES_MAX;
            let until_next = self.dial_time(dialed).saturating_sub(self.shared.now_ns());
            let sleep = if waits {
                Duration::from_nanos(until_next)
            } else {
                SLEEP_MAX
            };
            self.turn(sleep.min(SLEEP_MAX))?;
        }
    }

    fn may_dial(&self, slot: usize) -> bool {
        slot < self.seats.len()
            && self.joining.len() < HANDSHAKES_MAX
            && self.dial_time(slot) <= self.shared.now_ns()
    }

    /// All threads together keep the plan's rate.
    fn dial_time(&self, slot: usize) -> u64 {
        (f64::from(self.number(slot)) * 1e9 / self.plan.connect_rate) as u64
    }

    fn dial(&mut self, slot: usize) {
        let from = self.plan.source(self.number(slot), self.to);
        let connecting = connect(self.to, from).and_then(|socket| {
            self.driver.watch(conn(slot), &socket)?;
            self.driver.watch_writable(conn(slot), &socket)?;
            Ok(socket)
        });
        match connecting {
            Err(error) => self.count_failed(system(&error)),
            Ok(socket) => {
                let seat = &mut self.seats[slot];
                seat.socket = Some(socket);
                seat.awaits_writable = true;
                seat.since_ns = self.shared.now_ns();
                seat.deadline_ns = self.shared.now_ns() + nanoseconds(HANDSHAKE_TIMEOUT);
                self.joining.push_back(slot as u32);
                self.open += 1;
            }
        }
    }

    /// Gives up handshakes that take too long, and forgets those that are over.
    fn expire(&mut self) {
        let now_ns = self.shared.now_ns();
        while let Some(&slot) = self.joining.front() {
            let seat = &self.seats[slot as usize];
            let is_over = seat.socket.is_none() || seat.client.has_joined();
            if !is_over && seat.deadline_ns > now_ns {
                return;
            }
            self.joining.pop_front();
            if !is_over {
                self.end(slot as usize, Fault::TimedOut);
            }
        }
    }
}
