use super::Pump;
use crate::limits::SENDS_PER_TURN_MAX;
use crate::schedule::Due;

impl Pump {
    /// Lets each publisher send as many broadcasts as it keeps under way.
    pub(super) fn open_loops(&mut self) {
        for _ in 0..self.plan.in_flight {
            self.returned.extend(0..self.publishers.len());
        }
    }

    /// One broadcast for each that has come back, until `end_ns`: a slow broker is
    /// asked less. Tells whether there were any.
    pub(super) fn broadcast_returned(&mut self, end_ns: u64) -> bool {
        let now_ns = self.shared.now_ns();
        if now_ns >= end_ns {
            self.returned.clear();
        }
        let count = self.returned.len().min(SENDS_PER_TURN_MAX);
        let mut turns: Vec<usize> = self.returned.drain(..count).collect();
        for &turn in &turns {
            self.broadcast(Due {
                turn,
                number: 0,
                intended_ns: now_ns,
            });
        }
        self.flush_publishers(&mut turns);
        count > 0
    }

    /// Whether some can be sent at once.
    pub(super) fn has_returned(&self) -> bool {
        !self.returned.is_empty()
    }
}
