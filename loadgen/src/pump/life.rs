//! Clients that disconnect while the run goes on, and come back.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Duration;

use webrocket::limits::OUTBOX_BYTES_MAX;

use super::Pump;
use crate::limits::{HANDSHAKES_MAX, LEAVES_PER_TURN_MAX, RETRY_DELAY};
use crate::pace::Pace;
use crate::schedule::Schedule;
use crate::timeline::{Timeline, nanoseconds};

/// Who leaves when, and who is to come back.
#[derive(Debug)]
pub(super) struct Life {
    churn: Schedule,
    /// The thread's clients that do not publish, counted from 0 over the run.
    listeners: Vec<u32>,
    storm_ns: Option<u64>,
    /// Slots to connect anew, by the time from which on.
    waiting: BinaryHeap<Reverse<(u64, u32)>>,
}

/// What became of the clients that left.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Leaves {
    /// Disconnected in their turn.
    pub(crate) churned: u64,
    /// Were still on their way back, so that their turn was left out.
    pub(crate) skipped: u64,
    /// Reset at once.
    pub(crate) stormed: u64,
    /// Are subscribed again, of both kinds.
    pub(crate) back: u64,
    /// Of those that the storm hit.
    pub(crate) back_from_storm: u64,
    /// Had not come back when the run ended, of both kinds.
    pub(crate) missing: u64,
    /// From the storm to the return of the last that has come back.
    pub(crate) storm_ns: u64,
}

impl Life {
    /// Nobody leaves before the timeline begins.
    pub(super) fn new(pump: &Pump, timeline: &Timeline) -> Self {
        let plan = &pump.plan;
        let leaves = plan.churn > 0.0 || plan.storm.is_some();
        let listeners = match leaves {
            true => plan.listeners_of(pump.thread),
            false => Vec::new(),
        };
        let in_turn = match plan.churn > 0.0 {
            true => listeners.clone(),
            false => Vec::new(),
        };
        Self {
            churn: Schedule::new(
                Pace::constant(plan.churn),
                plan.listeners(),
                in_turn,
                timeline.start_ns,
                timeline.end_ns,
            ),
            listeners,
            storm_ns: plan
                .storm
                .map(|storm| timeline.measure_ns + nanoseconds(storm.at)),
            waiting: BinaryHeap::new(),
        }
    }

    /// Ends the churn early, and a storm that has not come.
    pub(super) fn cut(&mut self, end_ns: u64) {
        self.churn.cut(end_ns);
        self.storm_ns = self.storm_ns.filter(|&at_ns| at_ns < end_ns);
    }

    /// When something is to be done, where something is.
    pub(super) fn next_ns(&self) -> Option<u64> {
        let waiting = self.waiting.peek().map(|Reverse((from_ns, _))| *from_ns);
        let times = [self.churn.next_ns(), self.storm_ns, waiting];
        times.into_iter().flatten().min()
    }

    /// Connects a slot anew, not before `from_ns`.
    pub(super) fn wait(&mut self, slot: usize, from_ns: u64) {
        self.waiting.push(Reverse((from_ns, slot as u32)));
    }

    fn take_waiting(&mut self, now_ns: u64) -> Option<usize> {
        let Reverse((from_ns, slot)) = *self.waiting.peek()?;
        if from_ns > now_ns {
            return None;
        }
        self.waiting.pop();
        Some(slot as usize)
    }
}

impl Pump {
    /// Whoever is to leave by now leaves; whoever is to come back connects.
    pub(super) fn live(&mut self, life: &mut Life, timeline: &Timeline) {
        let now_ns = self.shared.now_ns();
        self.churn_due(life, now_ns);
        if let Some(storm_ns) = life.storm_ns.filter(|&at_ns| at_ns <= now_ns) {
            life.storm_ns = None;
            self.storm(life, storm_ns);
        }
        for slot in std::mem::take(&mut self.refused) {
            life.wait(slot, now_ns + nanoseconds(RETRY_DELAY));
        }
        self.expire();
        // Past the drain nobody would wait for them.
        let is_over = now_ns >= self.shared.end_ns(timeline) + timeline.drain_ns;
        while !is_over && self.joining.len() < HANDSHAKES_MAX {
            let Some(slot) = life.take_waiting(now_ns) else {
                return;
            };
            self.dial(slot);
        }
    }

    fn churn_due(&mut self, life: &mut Life, now_ns: u64) {
        for _ in 0..LEAVES_PER_TURN_MAX {
            let Some(due) = life.churn.take_due(now_ns) else {
                return;
            };
            let slot = self.slot_of_listener(life.listeners[due.turn]);
            let seat = &mut self.seats[slot];
            if seat.socket.is_none() || !seat.client.has_joined() {
                self.tally.leaves.skipped += 1;
                continue;
            }
            self.out.clear();
            seat.client.leave(&mut self.out);
            // Where its outbox is full the broker learns from the end alone.
            let _ = seat
                .outbox
                .try_push(&self.out, OUTBOX_BYTES_MAX, &mut self.spare);
            self.flush(slot);
            self.tally.leaves.churned += 1;
            if self.seats[slot].socket.is_some() {
                self.hang_up(slot);
                life.wait(slot, now_ns);
            }
        }
    }

    fn storm(&mut self, life: &mut Life, storm_ns: u64) {
        let Some(storm) = self.plan.storm else { return };
        let hit = life.listeners.iter().filter(|&&rank| storm.hits(rank));
        let slots: Vec<usize> = hit.map(|&rank| self.slot_of_listener(rank)).collect();
        for slot in slots {
            let seat = &mut self.seats[slot];
            let Some(socket) = seat.socket.as_ref().filter(|_| seat.client.has_joined()) else {
                continue;
            };
            socket.reset_on_close();
            seat.is_of_storm = true;
            self.tally.leaves.stormed += 1;
            self.hang_up(slot);
            self.seats[slot].left_ns = storm_ns;
            life.wait(slot, storm_ns);
        }
    }

    /// Ends the connection on purpose: what is sent meanwhile is not owed.
    fn hang_up(&mut self, slot: usize) {
        let now_ns = self.shared.now_ns();
        self.tally.tracker.leave(slot);
        self.tally.roll.forget(slot);
        self.tally.recorder.handle_time(now_ns);
        self.tally.recorder.counts().ended += 1;
        self.shared.count_away();
        self.close(slot);
        let seat = &mut self.seats[slot];
        seat.is_away = true;
        seat.left_ns = now_ns;
        seat.renew();
    }

    /// A client that had left is subscribed again.
    pub(super) fn count_return(&mut self, slot: usize, now_ns: u64) {
        let seat = &mut self.seats[slot];
        let after_ns = now_ns.saturating_sub(seat.left_ns);
        seat.is_away = false;
        let is_of_storm = std::mem::take(&mut seat.is_of_storm);
        self.tally.count_return(after_ns, is_of_storm);
        self.shared.count_back();
    }

    fn slot_of_listener(&self, rank: u32) -> usize {
        let number = rank + self.plan.publishers();
        (number / u32::from(self.plan.threads)) as usize
    }

    /// When the thread has to wake for those who leave and come back.
    pub(super) fn next_life_ns(&self, life: &Life) -> Option<u64> {
        let is_full = self.joining.len() >= HANDSHAKES_MAX;
        let retry_ns = self.shared.now_ns() + nanoseconds(Duration::from_millis(1));
        life.next_ns()
            .map(|at_ns| if is_full { at_ns.max(retry_ns) } else { at_ns })
    }
}

impl Leaves {
    pub(crate) fn add(&mut self, other: &Self) {
        self.churned += other.churned;
        self.skipped += other.skipped;
        self.stormed += other.stormed;
        self.back += other.back;
        self.back_from_storm += other.back_from_storm;
        self.missing += other.missing;
        self.storm_ns = self.storm_ns.max(other.storm_ns);
    }
}
