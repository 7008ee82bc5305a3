use std::io;
use std::time::Duration;

use webrocket::net::connect;

use super::tally::count;
use super::{Pump, system};
use crate::client::Fault;
use crate::limits::{HANDSHAKE_TIMEOUT, HANDSHAKES_MAX, SLEEP_MAX, SLOW_RECEIVE_BUFFER_BYTES};
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

    /// All threads together keep the plan's rate; each client comes somewhere in
    /// its own interval, so that threads don't beat together.
    fn dial_time(&self, slot: usize) -> u64 {
        let number = self.number(slot);
        let place = f64::from(number) + jitter(self.run, number);
        (place * 1e9 / self.plan.connect_rate) as u64
    }

    pub(super) fn dial(&mut self, slot: usize) {
        let number = self.number(slot);
        let from = self.plan.source(number, self.to);
        let conn = self.seats[slot].conn(slot);
        let connecting = connect(self.to, from).and_then(|socket| {
            if self.plan.is_slow(number) {
                socket.set_receive_buffer(SLOW_RECEIVE_BUFFER_BYTES)?;
            }
            self.driver.watch(conn, &socket)?;
            self.driver.watch_writable(conn, &socket)?;
            Ok(socket)
        });
        match connecting {
            Err(error) if self.seats[slot].is_away => {
                count(&mut self.tally.faults.return_refused, system(&error));
                self.refused.push(slot);
            }
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
    pub(super) fn expire(&mut self) {
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

/// A share of 1 that is the client's own in this run.
fn jitter(run: u32, number: u32) -> f64 {
    // The finaliser of MurmurHash3: every bit of the input moves every bit of it.
    let mut mixed = u64::from(run) << 32 | u64::from(number);
    for factor in [0xff51_afd7_ed55_8ccd_u64, 0xc4ce_b9fe_1a85_ec53] {
        mixed = (mixed ^ mixed >> 33).wrapping_mul(factor);
    }
    (mixed ^ mixed >> 33) as f64 / 2_f64.powi(64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clients_are_spread_over_their_intervals() {
        let shares: Vec<f64> = (0..1000).map(|number| jitter(7, number)).collect();
        assert!(shares.iter().all(|share| (0.0..=1.0).contains(share)));
        let mean = shares.iter().sum::<f64>() / 1000.0;
        assert!((0.45..0.55).contains(&mean), "{mean}");
        let tenths = |at: usize| {
            shares
                .iter()
                .filter(|&&it| (it * 10.0) as usize == at)
                .count()
        };
        assert!((0..10).all(|at| tenths(at) > 60));
        assert_ne!(jitter(7, 1), jitter(8, 1));
    }
}
