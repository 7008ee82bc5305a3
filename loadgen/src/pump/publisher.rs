use std::ops::Range;

use crate::plan::Plan;

/// A client that broadcasts.
#[derive(Clone, Debug)]
pub(crate) struct Publisher {
    /// The client's number in the run.
    pub(crate) number: u32,
    pub(super) slot: usize,
    /// The number of its next broadcast.
    pub(super) sequence: u32,
    /// Those that count.
    pub(crate) measured: Range<u32>,
    /// Broadcasts that count and could not be sent.
    pub(crate) unsent: u64,
}

impl Publisher {
    /// The backend, as one more of a channel's.
    pub(crate) fn of_backend(plan: &Plan, channel: u32) -> Self {
        Self::new((0, plan.publishers() + channel))
    }

    /// The number of its next broadcast, which is sent.
    pub(crate) fn take_sequence(&mut self, counts: bool) -> u32 {
        let sequence = self.sequence;
        self.sequence += 1;
        if counts {
            if self.measured.is_empty() {
                self.measured.start = sequence;
            }
            self.measured.end = self.sequence;
        }
        sequence
    }

    /// A thread's publishers are its first clients, in their order.
    pub(super) fn new((slot, number): (usize, u32)) -> Self {
        Self {
            number,
            slot,
            sequence: 0,
            measured: 0..0,
            unsent: 0,
        }
    }
}
