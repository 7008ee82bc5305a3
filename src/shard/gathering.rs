//! For how many turns frames are gathered before they are sent
//! (docs/decisions/0024).

use std::time::Duration;

use crate::limits::{GATHERING_MAX, GATHERING_PER_DELIVERY};

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
    /// many subscribers: as long as less was taken in than that, in less time than
    /// it takes to send to them. So what waits waits about that long, and the
    /// busier a shard is the more it joins.
    pub(super) fn goes_on(&mut self, deliveries: usize, now_us: u64) -> bool {
        let since_us = *self.since_us.get_or_insert(now_us);
        let waited = Duration::from_micros(now_us.saturating_sub(since_us));
        let sending = u32::try_from(deliveries).map_or(GATHERING_MAX, |deliveries| {
            GATHERING_PER_DELIVERY.saturating_mul(deliveries)
        });
        self.taken < deliveries && waited < sending.min(GATHERING_MAX)
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
    fn goes_on_for_as_long_as_it_takes_to_send_and_no_longer_than_so() {
        let each_us = GATHERING_PER_DELIVERY.as_micros() as u64;
        let max_us = GATHERING_MAX.as_micros() as u64;
        let many = (max_us / each_us) as usize;
        for (deliveries, bound_us) in [
            (1, each_us),
            (100, 100 * each_us),
            (many + 1, max_us),
            (usize::MAX, max_us),
        ] {
            let mut gathering = Gathering::default();
            assert!(gathering.goes_on(deliveries, 1_000));
            assert!(gathering.goes_on(deliveries, 1_000 + bound_us - 1));
            assert!(!gathering.goes_on(deliveries, 1_000 + bound_us));
        }
    }
}
