use crate::limits::REST_MAX;
use crate::model::VhostQuota;

const SECOND_NS: u64 = 1_000_000_000;

/// How fast one frontend sends: a bucket of one second that refills evenly, kept
/// as the one moment at which it is full again. What comes takes of it as its
/// number or its bytes do, whichever is more.
#[derive(Debug, Default)]
pub struct Pace {
    /// In nanoseconds since the shard started; the whole budget is there from then on.
    full_ns: u64,
}

/// What a frontend may send in a second, and in one burst.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rates {
    messages_per_second: u32,
    bytes_per_second: u32,
}

impl From<&VhostQuota> for Rates {
    fn from(quota: &VhostQuota) -> Self {
        Self {
            messages_per_second: quota.messages_per_second_max,
            bytes_per_second: quota.bytes_per_second_max,
        }
    }
}

impl Rates {
    /// Time in which the budget grows by so much.
    fn cost_ns(self, messages: u32, bytes: usize) -> u64 {
        let part = |count: u64, per_second: u32| count * SECOND_NS / u64::from(per_second.max(1));
        let messages = part(messages.into(), self.messages_per_second);
        messages.max(part(bytes as u64, self.bytes_per_second))
    }
}

impl Pace {
    /// Where nothing is left of the budget, the millisecond at which all of it
    /// is there again.
    ///
    /// Who is over its rate rests until the budget is whole, not until the next
    /// message fits: that is one timer a second for a flood, not a hundred.
    pub fn rests_until(&self, rates: Rates, now_ms: u64) -> Option<u64> {
        let now_ns = now_ms * 1_000_000;
        let after = self.full_ns.max(now_ns) + rates.cost_ns(1, 0);
        (after > now_ns + SECOND_NS).then(|| self.full_ns.div_ceil(1_000_000))
    }

    /// So many messages have come, in so many bytes.
    pub fn take(&mut self, rates: Rates, messages: u32, bytes: usize, now_ms: u64) {
        let now_ns = now_ms * 1_000_000;
        let full_ns = self.full_ns.max(now_ns) + rates.cost_ns(messages, bytes);
        self.full_ns = full_ns.min(now_ns + REST_MAX.as_nanos() as u64);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn messages(messages_per_second: u32) -> Rates {
        Rates {
            messages_per_second,
            bytes_per_second: u32::MAX,
        }
    }

    fn burst(pace: &mut Pace, rates: Rates, bytes: usize, now_ms: u64) -> u32 {
        let mut taken = 0;
        while taken < 10_000 && pace.rests_until(rates, now_ms).is_none() {
            pace.take(rates, 1, bytes, now_ms);
            taken += 1;
        }
        taken
    }

    #[test]
    fn one_second_of_messages_at_once_and_not_one_more() {
        for per_second_max in [1, 3, 7, 1000, 1001] {
            let rates = messages(per_second_max);
            let mut pace = Pace::default();
            assert_eq!(burst(&mut pace, rates, 1, 5), per_second_max);
            let full_ms = pace.rests_until(rates, 5).expect("spent");
            assert!((1004..=1005).contains(&full_ms), "{full_ms}");
            assert_eq!(burst(&mut pace, rates, 1, full_ms), per_second_max);
        }
    }

    #[test]
    fn the_budget_refills_evenly_and_never_over_one_second() {
        let mut pace = Pace::default();
        let rates = messages(100);
        assert_eq!(burst(&mut pace, rates, 1, 1), 100);
        assert_eq!(burst(&mut pace, rates, 1, 1 + 250), 25);
        assert_eq!(burst(&mut pace, rates, 1, 1 + 255), 0);
        assert_eq!(burst(&mut pace, rates, 1, 1 + 260), 1);
        assert_eq!(burst(&mut pace, rates, 1, 1_000_000), 100);
    }

    #[test]
    fn who_keeps_its_rate_is_never_held_back() {
        let mut pace = Pace::default();
        for millisecond in 1..10_000 {
            assert_eq!(pace.rests_until(messages(1000), millisecond), None);
            pace.take(messages(1000), 1, 100, millisecond);
        }
    }

    #[test]
    fn bytes_and_messages_share_the_second() {
        let rates = Rates {
            messages_per_second: 100,
            bytes_per_second: 1000,
        };
        assert_eq!(burst(&mut Pace::default(), rates, 10, 1), 100);
        assert_eq!(burst(&mut Pace::default(), rates, 100, 1), 10);
        // Half of it in bytes, then half of it in messages.
        let mut pace = Pace::default();
        pace.take(rates, 1, 500, 1);
        assert_eq!(burst(&mut pace, rates, 0, 1), 50);
        // Parts of a message count as they come.
        let mut pace = Pace::default();
        for _ in 0..10 {
            assert_eq!(pace.rests_until(rates, 1), None);
            pace.take(rates, 0, 100, 1);
        }
        assert_eq!(pace.rests_until(rates, 1), Some(1001));
    }

    #[test]
    fn one_message_past_the_budget_is_taken_and_paid_for() {
        let rates = Rates {
            messages_per_second: 1000,
            bytes_per_second: 1000,
        };
        let mut pace = Pace::default();
        assert_eq!(burst(&mut pace, rates, 8_000, 1), 1);
        assert_eq!(pace.rests_until(rates, 7_000), Some(8_001));
        assert_eq!(pace.rests_until(rates, 7_001), Some(8_001));
        assert_eq!(pace.rests_until(rates, 7_002), None);
    }

    #[test]
    fn nobody_rests_longer_than_the_longest_rest() {
        let rates = Rates {
            messages_per_second: 1000,
            bytes_per_second: 1000,
        };
        let rest_ms = REST_MAX.as_millis() as u64;
        for bytes in [10_000, 10_001, 16 << 20] {
            let mut pace = Pace::default();
            pace.take(rates, 1, bytes, 1);
            assert_eq!(pace.rests_until(rates, 1), Some(1 + rest_ms));
        }
    }

    #[test]
    fn extreme_rates() {
        let mut pace = Pace::default();
        assert_eq!(
            burst(&mut pace, messages(u32::MAX), 1, 1),
            10_000,
            "unbounded"
        );
        // The configuration refuses none at all; here it is one.
        assert_eq!(burst(&mut Pace::default(), messages(0), 0, 1), 1);
        // The largest message of all at the least rate.
        let least = Rates {
            messages_per_second: 1,
            bytes_per_second: 1,
        };
        pace.take(least, 1, 16 << 20, 1);
        assert!(pace.rests_until(least, 1).is_some());
    }
}
