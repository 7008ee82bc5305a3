//! For how many turns frames are gathered before they are sent
//! (docs/decisions/0024).

use crate::limits::GATHERING_MAX;

/// What has happened since frames were last sent.
#[derive(Default)]
pub(super) struct Gathering {
    /// Connections read and envelopes taken.
    pub(super) taken: usize,
    /// When the first turn began that did not send them.
    since_us: Option<u64>,
}

impl Gathering {
    /// Whether the next turn, which has more to take in, adds to what goes to so
    /// many subscribers: as long as less was taken in than that. So what waits
    /// waits about as long as it takes to send it, and the busier a shard is the
    /// more it joins.
    pub(super) fn goes_on(&mut self, deliveries: usize, now_us: u64) -> bool {
        let since_us = *self.since_us.get_or_insert(now_us);
        let waited_us = u128::from(now_us.saturating_sub(since_us));
        self.taken < deliveries && waited_us < GATHERING_MAX.as_micros()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn goes_on_until_as_much_was_taken_in_as_is_to_be_sent() {
        let mut gathering = Gathering::default();
        for (taken, deliveries, expected) in [(0, 1, true), (9, 10, true), (10, 10, false)] {
            gathering.taken = taken;
            assert_eq!(gathering.goes_on(deliveries, 0), expected);
        }
    }

    #[test]
    fn goes_on_for_so_long() {
        let max_us = GATHERING_MAX.as_micros() as u64;
        let mut gathering = Gathering::default();
        assert!(gathering.goes_on(1, 1_000));
        assert!(gathering.goes_on(1, 1_000 + max_us - 1));
        assert!(!gathering.goes_on(1, 1_000 + max_us));
    }
}
