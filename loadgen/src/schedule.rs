//! The open loop: when each broadcast is due, whatever became of those before it.

use crate::pace::Pace;

/// One thread's part of a run's fixed schedule.
///
/// All publishers of the run take turns: broadcast `n` is due when the pace says,
/// counted from the start, and is sent by publisher `n % publishers`. A thread takes
/// those of its own publishers, in the order of their times.
#[derive(Debug)]
pub(crate) struct Schedule {
    pace: Pace,
    /// All publishers of the run.
    publishers: u32,
    /// Those of this thread, ascending.
    own: Vec<u32>,
    start_ns: u64,
    /// Nothing is due from here on.
    end_ns: u64,
    round: u64,
    turn: usize,
}

/// A broadcast to be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Due {
    /// Place among the thread's own publishers.
    pub(crate) turn: usize,
    /// Among all of the run.
    pub(crate) number: u64,
    /// Since the start of the run.
    pub(crate) intended_ns: u64,
}

impl Schedule {
    /// Nothing is ever due where `own` is empty.
    pub(crate) fn new(
        pace: Pace,
        publishers: u32,
        own: Vec<u32>,
        start_ns: u64,
        end_ns: u64,
    ) -> Self {
        Self {
            pace,
            publishers,
            own,
            start_ns,
            end_ns,
            round: 0,
            turn: 0,
        }
    }

    /// The time of the next broadcast; `None` where none is left.
    pub(crate) fn next_ns(&self) -> Option<u64> {
        let number = self.next_number()?;
        let intended_ns = self.start_ns.checked_add(self.pace.due_ns(number)?)?;
        (intended_ns < self.end_ns).then_some(intended_ns)
    }

    fn next_number(&self) -> Option<u64> {
        let publisher = *self.own.get(self.turn)?;
        Some(self.round * u64::from(self.publishers) + u64::from(publisher))
    }

    /// The next broadcast, where it is due by now.
    pub(crate) fn take_due(&mut self, now_ns: u64) -> Option<Due> {
        let intended_ns = self.next_ns().filter(|&next| next <= now_ns)?;
        let (number, turn) = (self.next_number()?, self.turn);
        self.turn += 1;
        if self.turn == self.own.len() {
            self.turn = 0;
            self.round += 1;
        }
        Some(Due {
            turn,
            number,
            intended_ns,
        })
    }

    /// Ends it early; what is due from `end_ns` on is not sent.
    pub(crate) fn cut(&mut self, end_ns: u64) {
        self.end_ns = self.end_ns.min(end_ns);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    fn all(mut schedule: Schedule) -> Vec<(usize, u64)> {
        std::iter::from_fn(|| schedule.take_due(u64::MAX))
            .map(|due| (due.turn, due.intended_ns))
            .collect()
    }

    #[test]
    fn a_second_holds_exactly_the_rate() {
        for rate in [1.0, 3.0, 50.0, 999.0, 12_345.0] {
            let schedule = Schedule::new(Pace::constant(rate), 1, vec![0], 7, 7 + SECOND);
            let times = all(schedule);
            assert_eq!(times.len(), rate as usize);
            assert_eq!(times[0], (0, 7));
        }
    }

    #[test]
    fn the_end_itself_is_past_it() {
        let at = |end| all(Schedule::new(Pace::constant(10.0), 1, vec![0], 0, end)).len();
        assert_eq!(at(SECOND / 10), 1);
        assert_eq!(at(SECOND / 10 + 1), 2);
        assert_eq!(at(0), 0);
    }

    #[test]
    fn threads_together_send_what_one_would() {
        let part = |own| Schedule::new(Pace::constant(100.0), 5, own, 0, SECOND);
        let mut together: Vec<u64> = [vec![0, 2, 4], vec![1, 3], vec![]]
            .into_iter()
            .flat_map(|own| all(part(own)))
            .map(|(_, intended_ns)| intended_ns)
            .collect();
        together.sort_unstable();
        let alone: Vec<u64> = all(Schedule::new(Pace::constant(100.0), 1, vec![0], 0, SECOND))
            .into_iter()
            .map(|(_, intended_ns)| intended_ns)
            .collect();
        assert_eq!(together, alone);
    }

    #[test]
    fn publishers_take_turns_in_time() {
        let times = all(Schedule::new(
            Pace::constant(4.0),
            4,
            vec![1, 3],
            0,
            2 * SECOND,
        ));
        let expected = [(0, 250), (1, 750), (0, 1250), (1, 1750)];
        assert_eq!(times, expected.map(|(turn, ms)| (turn, ms * 1_000_000)));
    }

    #[test]
    fn nothing_is_taken_before_its_time_and_late_ones_keep_theirs() {
        let mut schedule = Schedule::new(Pace::constant(10.0), 1, vec![0], 0, SECOND);
        assert!(schedule.take_due(0).is_some());
        assert_eq!(schedule.take_due(99_999_999), None);
        let late = schedule.take_due(850_000_000).expect("due");
        assert_eq!(late.intended_ns, 100_000_000);
        assert_eq!(schedule.next_ns(), Some(200_000_000));
    }

    #[test]
    fn a_cut_ends_it_and_never_prolongs_it() {
        let mut schedule = Schedule::new(Pace::constant(10.0), 1, vec![0], 0, SECOND);
        schedule.cut(300_000_000);
        schedule.cut(SECOND);
        assert_eq!(all(schedule).len(), 3);
    }

    #[test]
    fn slow_rates_keep_their_times() {
        let times = all(Schedule::new(
            Pace::constant(0.5),
            1,
            vec![0],
            0,
            5 * SECOND,
        ));
        assert_eq!(times, [(0, 0), (0, 2 * SECOND), (0, 4 * SECOND)]);
    }
}
