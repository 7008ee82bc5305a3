use webrocket::limits::OUTBOX_BYTES_MAX;

use super::Pump;
use crate::client::write_message;
use crate::limits::SENDS_PER_TURN_MAX;
use crate::payload::{Stamp, write_trigger};
use crate::schedule::{Due, Schedule};
use crate::timeline::Timeline;

impl Pump {
    /// The clients that trigger take turns, whatever became of those before.
    pub(super) fn trigger_schedule(&self, timeline: &Timeline) -> Schedule {
        Schedule::new(
            self.plan.trigger_pace.clone(),
            self.plan.triggerers(),
            self.plan.triggerers_of(self.thread),
            timeline.start_ns,
            timeline.end_ns,
        )
    }

    /// What is due, however late it is. Tells whether there was any.
    pub(super) fn trigger_due(&mut self, schedule: &mut Schedule) -> bool {
        for taken in 0..SENDS_PER_TURN_MAX {
            let Some(due) = schedule.take_due(self.shared.now_ns()) else {
                return taken > 0;
            };
            self.trigger(&due);
        }
        true
    }

    fn trigger(&mut self, due: &Due) {
        // Those that trigger are a thread's first clients, in their order.
        let slot = due.turn;
        let counts = due.intended_ns >= self.tally.window.start;
        let stamp = Stamp {
            run: self.run,
            publisher: self.number(slot),
            sequence: due.number as u32,
            intended_ns: due.intended_ns,
            sent_ns: self.shared.now_ns(),
        };
        self.text.clear();
        write_trigger(&mut self.text, &stamp, self.plan.data_bytes);
        self.out.clear();
        write_message(&mut self.out, &self.text);
        let seat = &mut self.seats[slot];
        let is_sent = seat.socket.is_some()
            && seat
                .outbox
                .try_push(&self.out, OUTBOX_BYTES_MAX, &mut self.spare)
                .is_ok();
        if is_sent {
            self.flush(slot);
        }
        let triggers = &mut self.tally.triggers;
        triggers.sent += u64::from(counts && is_sent);
        triggers.unsent += u64::from(counts && !is_sent);
        self.traffic.sent += u64::from(is_sent);
    }
}
