use std::time::Duration;

use crate::limits::{RECONNECT_DELAY_MAX, RECONNECT_DELAY_MIN};

/// Exponential backoff with full jitter: many workers that lose a broker
/// together come back spread out.
pub(super) struct Backoff {
    ceiling: Duration,
}

impl Default for Backoff {
    fn default() -> Self {
        Self {
            ceiling: RECONNECT_DELAY_MIN,
        }
    }
}

impl Backoff {
    /// A random delay up to the present ceiling, which then doubles.
    pub(super) fn next_delay(&mut self) -> Duration {
        let ceiling = self.ceiling;
        self.ceiling = (ceiling * 2).min(RECONNECT_DELAY_MAX);
        // Without randomness the longest delay is the safe one.
        let share = getrandom::u32().map_or(1.0, |random| f64::from(random) / f64::from(u32::MAX));
        ceiling.mul_f64(share)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ceilings_double_up_to_the_bound() {
        let mut backoff = Backoff::default();
        let mut ceiling = RECONNECT_DELAY_MIN;
        for _ in 0..20 {
            assert_eq!(backoff.ceiling, ceiling);
            assert!(backoff.next_delay() <= ceiling);
            ceiling = (ceiling * 2).min(RECONNECT_DELAY_MAX);
        }
        assert_eq!(backoff.ceiling, RECONNECT_DELAY_MAX);
    }

    #[test]
    fn delays_are_spread() {
        let delays: std::collections::HashSet<_> =
            (0..50).map(|_| Backoff::default().next_delay()).collect();
        assert!(delays.len() > 1);
    }
}
