//! How fast a run sends: one rate, or one after the other.

use std::sync::Arc;

/// A rate that holds from a moment on.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Step {
    /// Since the schedule's start.
    pub(crate) start_ns: u64,
    /// Events a second; 0 for a pause.
    pub(crate) rate: f64,
}

/// When each event of a schedule is due.
#[derive(Clone, Debug)]
pub(crate) struct Pace {
    stretches: Arc<[Stretch]>,
}

/// A step, and how many events are due before it.
#[derive(Clone, Copy, Debug)]
struct Stretch {
    step: Step,
    /// A fraction too: the part of an event's wait that has passed.
    before: f64,
}

impl Pace {
    /// The same rate all the time.
    pub(crate) fn constant(rate: f64) -> Self {
        Self::steps(&[Step { start_ns: 0, rate }])
    }

    /// In the order of their starts; nothing is due before the first.
    pub(crate) fn steps(steps: &[Step]) -> Self {
        let mut before = 0.0;
        let mut stretches = Vec::with_capacity(steps.len());
        for (at, &step) in steps.iter().enumerate() {
            stretches.push(Stretch { step, before });
            if let Some(next) = steps.get(at + 1) {
                let length_ns = next.start_ns.saturating_sub(step.start_ns);
                before += step.rate * length_ns as f64 / 1e9;
            }
        }
        Self {
            stretches: stretches.into(),
        }
    }

    /// When event `number`, counted from 0, is due; `None` for never.
    pub(crate) fn due_ns(&self, number: u64) -> Option<u64> {
        // A double holds every nanosecond of three months exactly.
        let number = number as f64;
        let after = self
            .stretches
            .partition_point(|stretch| stretch.before <= number);
        // Pauses share their `before` with what follows, which is taken then.
        let Stretch { step, before } = self.stretches[..after].last()?;
        if step.rate <= 0.0 {
            return None;
        }
        Some(step.start_ns + ((number - before) * 1e9 / step.rate) as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    fn steps(steps: &[(u64, f64)]) -> Pace {
        let steps: Vec<Step> = steps
            .iter()
            .map(|&(second, rate)| Step {
                start_ns: second * SECOND,
                rate,
            })
            .collect();
        Pace::steps(&steps)
    }

    fn times(pace: &Pace, count: u64) -> Vec<Option<u64>> {
        (0..count)
            .map(|number| pace.due_ns(number).map(|ns| ns / (SECOND / 100)))
            .collect()
    }

    #[test]
    fn one_rate() {
        let pace = Pace::constant(4.0);
        assert_eq!(times(&pace, 3), [Some(0), Some(25), Some(50)]);
        assert_eq!(pace.due_ns(4_000_000), Some(1_000_000 * SECOND));
    }

    #[test]
    fn each_second_holds_its_own_rate() {
        let pace = steps(&[(0, 2.0), (1, 10.0), (2, 1.0)]);
        let all = times(&pace, 14);
        assert_eq!(all[..3], [Some(0), Some(50), Some(100)]);
        assert_eq!(all[11..], [Some(190), Some(200), Some(300)]);
    }

    #[test]
    fn a_pause_holds_what_is_due_until_it_is_over() {
        let pace = steps(&[(0, 2.0), (1, 0.0), (5, 2.0)]);
        let all = times(&pace, 4);
        assert_eq!(all, [Some(0), Some(50), Some(500), Some(550)]);
        let late = steps(&[(0, 0.0), (1, 1.0)]);
        assert_eq!(times(&late, 2), [Some(100), Some(200)]);
    }

    #[test]
    fn a_part_of_a_wait_counts() {
        // Half an event's wait at 0.5 a second, the other half at 5.
        let pace = steps(&[(0, 0.5), (1, 5.0)]);
        assert_eq!(times(&pace, 3), [Some(0), Some(110), Some(130)]);
    }

    #[test]
    fn after_the_last_rate_of_none_nothing_is_due() {
        assert_eq!(
            times(&steps(&[(0, 1.0), (2, 0.0)]), 3),
            [Some(0), Some(100), None]
        );
        assert_eq!(Pace::steps(&[]).due_ns(0), None);
        assert_eq!(Pace::constant(0.0).due_ns(0), None);
    }

    #[test]
    fn times_never_go_back() {
        let pace = steps(&[(0, 3.3), (1, 0.0), (2, 7.7), (4, 0.1), (50, 1000.0)]);
        let mut last = 0;
        for number in 0..2000 {
            let due = pace.due_ns(number).expect("a rate at the end");
            assert!(due >= last, "{number}");
            last = due;
        }
    }
}
