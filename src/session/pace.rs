const SECOND_NS: u64 = 1_000_000_000;

/// How fast one frontend sends: a bucket of one second's messages that refills
/// evenly, kept as the one moment at which it is full again.
#[derive(Debug, Default)]
pub struct Pace {
    /// In nanoseconds since the shard started; the whole budget is there from then on.
    full_ns: u64,
}

impl Pace {
    /// Where nothing is left of the budget, the millisecond at which all of it
    /// is there again.
    ///
    /// Who is over its rate rests until the budget is whole, not until the next
    /// message fits: that is one timer a second for a flood, not a hundred.
    pub fn rests_until(&self, per_second_max: u32, now_ms: u64) -> Option<u64> {
        let now_ns = now_ms * 1_000_000;
        let after = self.full_ns.max(now_ns) + cost_ns(per_second_max);
        (after > now_ns + SECOND_NS).then(|| self.full_ns.div_ceil(1_000_000))
    }

    /// A message has come.
    pub fn take(&mut self, per_second_max: u32, now_ms: u64) {
        self.full_ns = self.full_ns.max(now_ms * 1_000_000) + cost_ns(per_second_max);
    }
}

/// Time in which the budget grows by one message.
fn cost_ns(per_second_max: u32) -> u64 {
    SECOND_NS / u64::from(per_second_max.max(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn burst(pace: &mut Pace, per_second_max: u32, now_ms: u64) -> u32 {
        let mut taken = 0;
        while taken < 10_000 && pace.rests_until(per_second_max, now_ms).is_none() {
            pace.take(per_second_max, now_ms);
            taken += 1;
        }
        taken
    }

    #[test]
    fn one_second_of_messages_at_once_and_not_one_more() {
        for per_second_max in [1, 3, 7, 1000, 1001] {
            let mut pace = Pace::default();
            assert_eq!(burst(&mut pace, per_second_max, 5), per_second_max);
            let full_ms = pace.rests_until(per_second_max, 5).expect("spent");
            assert!((1004..=1005).contains(&full_ms), "{full_ms}");
            assert_eq!(burst(&mut pace, per_second_max, full_ms), per_second_max);
        }
    }

    #[test]
    fn the_budget_refills_evenly_and_never_over_one_second() {
        let mut pace = Pace::default();
        assert_eq!(burst(&mut pace, 100, 1), 100);
        assert_eq!(burst(&mut pace, 100, 1 + 250), 25);
        assert_eq!(burst(&mut pace, 100, 1 + 255), 0);
        assert_eq!(burst(&mut pace, 100, 1 + 260), 1);
        assert_eq!(burst(&mut pace, 100, 1_000_000), 100);
    }

    #[test]
    fn who_keeps_its_rate_is_never_held_back() {
        let mut pace = Pace::default();
        for millisecond in 1..10_000 {
            assert_eq!(pace.rests_until(1000, millisecond), None);
            pace.take(1000, millisecond);
        }
    }

    #[test]
    fn extreme_rates() {
        let mut pace = Pace::default();
        assert_eq!(burst(&mut pace, u32::MAX, 1), 10_000, "unbounded");
        // The configuration refuses none at all; here it is one.
        assert_eq!(burst(&mut Pace::default(), 0, 1), 1);
    }
}
