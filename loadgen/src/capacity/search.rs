//! The highest rate that holds, found by trying: doubling, then halving the
//! distance on a logarithmic scale. Knows nothing of brokers.

/// One trial says too little on a noisy machine: two that agree decide.
const AGREEING: u32 = 2;

/// A search under way: [`Search::next`], [`Search::handle_outcome`], in turn.
#[derive(Clone, Debug)]
pub(super) struct Search {
    /// The highest that held.
    held: Option<f64>,
    /// The lowest that did not.
    failed: Option<f64>,
    /// To be tried next.
    rate: f64,
    /// Outcomes at `rate` so far.
    good: u32,
    bad: u32,
    least: f64,
    most: f64,
    /// Ratio of what failed to what held at which the search is over.
    resolution: f64,
    is_over: bool,
}

impl Search {
    /// From `first`, never below `least` or above `most`; until what fails is less
    /// than `resolution` times what holds.
    pub(super) fn new(first: f64, least: f64, most: f64, resolution: f64) -> Self {
        Self {
            held: None,
            failed: None,
            rate: first.clamp(least, most),
            good: 0,
            bad: 0,
            least,
            most,
            resolution,
            is_over: false,
        }
    }

    /// The rate to try; `None` when the search is over.
    pub(super) fn next(&self) -> Option<f64> {
        (!self.is_over).then_some(self.rate)
    }

    /// What became of the trial at the rate that was given last.
    pub(super) fn handle_outcome(&mut self, holds: bool) {
        if holds {
            self.good += 1;
        } else {
            self.bad += 1;
        }
        // The first success is believed: what follows, and the confirmation at
        // the end, would show that it was luck.
        if holds && self.bad == 0 || self.good == AGREEING {
            self.held = Some(self.rate);
            self.step();
        } else if self.bad == AGREEING {
            self.failed = Some(self.rate);
            self.step();
        }
    }

    /// The highest rate that held; `None` where not even the lowest did.
    pub(super) fn held(&self) -> Option<f64> {
        self.held
    }

    /// Whether nothing was found that does not hold.
    pub(super) fn is_open(&self) -> bool {
        self.failed.is_none()
    }

    fn step(&mut self) {
        (self.good, self.bad) = (0, 0);
        let next = match (self.held, self.failed) {
            (Some(held), None) => {
                self.is_over = held >= self.most;
                held * 2.0
            }
            (None, Some(failed)) => {
                self.is_over = failed <= self.least;
                failed / 2.0
            }
            (Some(held), Some(failed)) => {
                self.is_over = failed / held < self.resolution;
                (held * failed).sqrt()
            }
            (None, None) => self.rate,
        };
        self.rate = next.clamp(self.least, self.most);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Trials until the end, and what was found.
    fn find(mut search: Search, mut holds: impl FnMut(f64) -> bool) -> (u32, Option<f64>) {
        let mut trials = 0;
        while let Some(rate) = search.next() {
            trials += 1;
            assert!(trials < 100, "never ends");
            search.handle_outcome(holds(rate));
        }
        (trials, search.held())
    }

    fn search() -> Search {
        Search::new(10.0, 1.0, 100_000.0, 1.08)
    }

    #[test]
    fn the_knee_is_found_wherever_it_is() {
        for knee in [1.0, 1.5, 9.0, 10.0, 11.0, 777.0, 99_000.0] {
            let (trials, found) = find(search(), |rate| rate <= knee);
            let found = found.expect("the lowest holds");
            assert!(found <= knee && knee < found * 1.08, "{knee}: {found}");
            assert!(trials <= 30, "{knee}: {trials} trials");
        }
    }

    #[test]
    fn the_bounds_are_never_left() {
        let (_, found) = find(search(), |rate| {
            assert!((1.0..=100_000.0).contains(&rate));
            true
        });
        assert_eq!(found, Some(100_000.0));
        let mut least = f64::MAX;
        let (trials, found) = find(search(), |rate| {
            least = least.min(rate);
            false
        });
        assert_eq!((found, least), (None, 1.0));
        assert!(trials <= 10);
    }

    #[test]
    fn one_bad_trial_of_three_is_noise() {
        let mut number = 0;
        let (_, found) = find(search(), |rate| {
            number += 1;
            rate <= 1000.0 && number % 3 != 0
        });
        let found = found.expect("some hold");
        assert!((925.0..=1000.0).contains(&found), "{found}");
    }

    #[test]
    fn an_open_search_says_so() {
        let mut open = search();
        while open.next().is_some() {
            open.handle_outcome(true);
        }
        assert!(open.is_open());
        open.handle_outcome(false);
        open.handle_outcome(false);
        assert!(!open.is_open());
    }
}
