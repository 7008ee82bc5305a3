//! What became of each publisher's sequence at each receiver: exact counts of
//! lost, duplicated and reordered, four bytes per pair while all goes well.

use std::collections::HashMap;
use std::ops::Range;

/// The sequences that one thread's clients receive.
///
/// Every publisher numbers its broadcasts from 0 and every client is subscribed
/// before the first. A number is *reordered* when it arrives after a higher one,
/// a *duplicate* when it had arrived before, *lost* when it never arrives. What is
/// sent while a client is [away](Self::leave) is not lost: nobody owes it.
#[derive(Debug)]
pub(crate) struct Tracker {
    /// Publishers of each channel.
    publishers: usize,
    /// By client and publisher: the number after the highest that has arrived.
    next: Vec<u32>,
    /// By place in `next`: what is missing below it, ascending and apart.
    gaps: HashMap<usize, Vec<Range<u32>>>,
    /// By place in `next`: what the client was away for, ascending and apart.
    missed: HashMap<usize, Vec<Range<u32>>>,
    /// By place in `next`, from leaving until the first arrival after the return:
    /// what must arrive begins here.
    away: HashMap<usize, u32>,
    gap_count: usize,
    gaps_max: usize,
    exact: bool,
}

/// How a broadcast arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Arrival {
    /// Higher than all before.
    InOrder,
    /// After a higher one.
    Late,
    /// Not for the first time.
    Duplicate,
    /// Of the time before a return: two subscriptions may both have it.
    Again,
}

impl Tracker {
    /// Remembers at most `gaps_max` gaps.
    pub(crate) fn new(clients: usize, publishers: usize, gaps_max: usize) -> Self {
        Self {
            publishers,
            next: vec![0; clients * publishers],
            gaps: HashMap::new(),
            missed: HashMap::new(),
            away: HashMap::new(),
            gap_count: 0,
            gaps_max,
            exact: true,
        }
    }

    /// Takes note of broadcast `sequence` of a channel's `publisher`.
    pub(crate) fn handle_arrival(
        &mut self,
        client: usize,
        publisher: usize,
        sequence: u32,
    ) -> Arrival {
        let pair = client * self.publishers + publisher;
        let next = self.next[pair];
        if !self.away.is_empty()
            && let Some(due) = self.away.get(&pair).copied()
        {
            return self.handle_return(pair, sequence, due);
        }
        if sequence >= next {
            if sequence > next {
                self.open_gap(pair, next..sequence);
            }
            self.next[pair] = sequence + 1;
            return Arrival::InOrder;
        }
        if self.fill(pair, sequence) {
            Arrival::Late
        } else {
            Arrival::Duplicate
        }
    }

    /// The client unsubscribes, or disconnects, on purpose: nothing is owed to it.
    pub(crate) fn leave(&mut self, client: usize) {
        for publisher in 0..self.publishers {
            self.away
                .insert(client * self.publishers + publisher, u32::MAX);
        }
    }

    /// The client is subscribed again. Whatever the publisher sends from number
    /// `due` on must arrive; what was under way may.
    pub(crate) fn come_back(&mut self, client: usize, publisher: usize, due: u32) {
        self.away.insert(client * self.publishers + publisher, due);
    }

    /// The first arrival since the client left.
    fn handle_return(&mut self, pair: usize, sequence: u32, due: u32) -> Arrival {
        let next = self.next[pair];
        if sequence < next {
            return Arrival::Again;
        }
        self.away.remove(&pair);
        // A subscription has no holes, wherever it began.
        let first = sequence.min(due).max(next);
        self.miss(pair, next..first);
        if sequence > first {
            self.open_gap(pair, first..sequence);
        }
        self.next[pair] = sequence + 1;
        Arrival::InOrder
    }

    /// How many of the broadcasts in `span` nobody owes the client, for it was away.
    pub(crate) fn missed(&self, client: usize, publisher: usize, span: &Range<u32>) -> u64 {
        let pair = client * self.publishers + publisher;
        let missed = self.missed.get(&pair).map_or(&[][..], Vec::as_slice);
        let until = self.away.get(&pair).copied().unwrap_or(0);
        missed.iter().map(|one| overlap(one, span)).sum::<u64>()
            + overlap(&(self.next[pair]..until), span)
    }

    /// How many of the broadcasts in `span` were owed and have not arrived.
    pub(crate) fn lost(&self, client: usize, publisher: usize, span: &Range<u32>) -> u64 {
        let pair = client * self.publishers + publisher;
        let due = self.away.get(&pair).copied().unwrap_or(0);
        let never = overlap(&(self.next[pair].max(due)..u32::MAX), span);
        let gaps = self.gaps.get(&pair).map_or(&[][..], Vec::as_slice);
        never + gaps.iter().map(|gap| overlap(gap, span)).sum::<u64>()
    }

    /// Whether every gap was remembered; otherwise some of the lost are not
    /// counted, and some that were late count as duplicates.
    pub(crate) fn is_exact(&self) -> bool {
        self.exact
    }

    fn open_gap(&mut self, pair: usize, gap: Range<u32>) {
        if self.has_room() {
            self.gaps.entry(pair).or_default().push(gap);
        }
    }

    fn miss(&mut self, pair: usize, missed: Range<u32>) {
        if !missed.is_empty() && self.has_room() {
            self.missed.entry(pair).or_default().push(missed);
        }
    }

    fn has_room(&mut self) -> bool {
        let has_room = self.gap_count < self.gaps_max;
        self.gap_count += usize::from(has_room);
        self.exact &= has_room;
        has_room
    }

    /// Takes `sequence` out of the missing; tells whether it was among them.
    fn fill(&mut self, pair: usize, sequence: u32) -> bool {
        let Some(gaps) = self.gaps.get_mut(&pair) else {
            return false;
        };
        let at = gaps.partition_point(|gap| gap.end <= sequence);
        let Some(gap) = gaps.get(at).filter(|gap| gap.contains(&sequence)).cloned() else {
            return false;
        };
        let left = gap.start..sequence;
        let right = sequence + 1..gap.end;
        let rest = [left, right].into_iter().filter(|gap| !gap.is_empty());
        let before = gaps.len();
        // A split may pass the bound by one for each late arrival, which is
        // paid for by the arrivals that it took to open the gap.
        gaps.splice(at..=at, rest);
        self.gap_count = self.gap_count + gaps.len() - before;
        if gaps.is_empty() {
            self.gaps.remove(&pair);
        }
        true
    }
}

fn overlap(a: &Range<u32>, b: &Range<u32>) -> u64 {
    u64::from(a.end.min(b.end).saturating_sub(a.start.max(b.start)))
}

#[cfg(test)]
mod tests {
    use super::Arrival::{Again, Duplicate, InOrder, Late};
    use super::*;

    fn arrivals(tracker: &mut Tracker, sequences: &[u32]) -> Vec<Arrival> {
        sequences
            .iter()
            .map(|&sequence| tracker.handle_arrival(0, 0, sequence))
            .collect()
    }

    #[test]
    fn all_in_order() {
        let mut tracker = Tracker::new(1, 1, 8);
        assert_eq!(arrivals(&mut tracker, &[0, 1, 2]), [InOrder; 3]);
        assert_eq!(tracker.lost(0, 0, &(0..3)), 0);
    }

    #[test]
    fn what_is_sent_while_away_is_not_owed() {
        let mut tracker = Tracker::new(2, 1, 8);
        arrivals(&mut tracker, &[0, 1]);
        tracker.leave(0);
        assert_eq!(tracker.missed(0, 0, &(0..10)), 8);
        assert_eq!(tracker.lost(0, 0, &(0..10)), 0);
        tracker.come_back(0, 0, 5);
        assert_eq!(tracker.missed(0, 0, &(0..10)), 3);
        assert_eq!(tracker.lost(0, 0, &(0..10)), 5);
        // 4 was under way and came; from then on none may be left out.
        assert_eq!(arrivals(&mut tracker, &[4, 5, 6, 9]), [InOrder; 4]);
        assert_eq!(tracker.missed(0, 0, &(0..10)), 2);
        assert_eq!(tracker.lost(0, 0, &(0..10)), 2);
        assert_eq!(tracker.lost(1, 0, &(0..10)), 10);
    }

    #[test]
    fn a_gap_right_after_the_return_is_a_loss() {
        let mut tracker = Tracker::new(1, 1, 8);
        tracker.leave(0);
        tracker.come_back(0, 0, 3);
        assert_eq!(arrivals(&mut tracker, &[5, 4]), [InOrder, Late]);
        assert_eq!(tracker.missed(0, 0, &(0..6)), 3);
        assert_eq!(tracker.lost(0, 0, &(0..6)), 1);
    }

    #[test]
    fn two_subscriptions_may_have_the_same_but_one_may_not() {
        let mut tracker = Tracker::new(1, 1, 8);
        arrivals(&mut tracker, &[0, 1]);
        tracker.leave(0);
        tracker.come_back(0, 0, 2);
        assert_eq!(
            arrivals(&mut tracker, &[1, 2, 2]),
            [Again, InOrder, Duplicate]
        );
    }

    #[test]
    fn times_away_count_as_gaps_do() {
        let mut tracker = Tracker::new(1, 1, 2);
        for due in [2, 4] {
            tracker.leave(0);
            tracker.come_back(0, 0, due);
            arrivals(&mut tracker, &[due]);
        }
        assert!(tracker.is_exact());
        tracker.leave(0);
        tracker.come_back(0, 0, 9);
        arrivals(&mut tracker, &[9]);
        assert!(!tracker.is_exact());
    }

    #[test]
    fn lost_at_the_front_in_the_middle_and_at_the_end() {
        let mut tracker = Tracker::new(1, 1, 8);
        arrivals(&mut tracker, &[1, 2, 5]);
        assert_eq!(tracker.lost(0, 0, &(0..6)), 3);
        assert_eq!(tracker.lost(0, 0, &(0..8)), 5);
        assert_eq!(tracker.lost(0, 0, &(1..3)), 0);
        assert_eq!(tracker.lost(0, 0, &(4..6)), 1);
        assert_eq!(tracker.lost(0, 0, &(6..7)), 1);
    }

    #[test]
    fn nothing_at_all_arrived() {
        let tracker = Tracker::new(2, 2, 8);
        assert_eq!(tracker.lost(1, 1, &(10..25)), 15);
        assert_eq!(tracker.lost(1, 1, &(0..0)), 0);
    }

    #[test]
    fn twice_is_one_duplicate_each_time() {
        let mut tracker = Tracker::new(1, 1, 8);
        let seen = arrivals(&mut tracker, &[0, 0, 1, 0, 1]);
        assert_eq!(seen, [InOrder, Duplicate, InOrder, Duplicate, Duplicate]);
        assert_eq!(tracker.lost(0, 0, &(0..2)), 0);
    }

    #[test]
    fn a_swap_is_one_reordered_and_no_loss() {
        let mut tracker = Tracker::new(1, 1, 8);
        assert_eq!(arrivals(&mut tracker, &[1, 0, 2]), [InOrder, Late, InOrder]);
        assert_eq!(tracker.lost(0, 0, &(0..3)), 0);
        assert!(tracker.gaps.is_empty());
        assert_eq!(tracker.gap_count, 0);
    }

    #[test]
    fn late_ones_fill_a_gap_from_both_sides_and_split_it() {
        let mut tracker = Tracker::new(1, 1, 8);
        let seen = arrivals(&mut tracker, &[6, 0, 5, 3, 3, 2]);
        assert_eq!(seen, [InOrder, Late, Late, Late, Duplicate, Late]);
        assert_eq!(tracker.gaps[&0], [1..2, 4..5]);
        assert_eq!(tracker.lost(0, 0, &(0..7)), 2);
        assert_eq!(arrivals(&mut tracker, &[4, 1, 4]), [Late, Late, Duplicate]);
        assert_eq!(tracker.lost(0, 0, &(0..7)), 0);
    }

    #[test]
    fn a_late_one_that_comes_twice_is_a_duplicate() {
        let mut tracker = Tracker::new(1, 1, 8);
        let seen = arrivals(&mut tracker, &[2, 1, 1, 2, 0, 0]);
        assert_eq!(seen, [InOrder, Late, Duplicate, Duplicate, Late, Duplicate]);
    }

    #[test]
    fn pairs_are_apart() {
        let mut tracker = Tracker::new(2, 2, 8);
        assert_eq!(tracker.handle_arrival(0, 1, 0), InOrder);
        assert_eq!(tracker.handle_arrival(1, 0, 1), InOrder);
        assert_eq!(tracker.handle_arrival(1, 1, 0), InOrder);
        let lost = |client, publisher| tracker.lost(client, publisher, &(0..2));
        assert_eq!(
            [lost(0, 0), lost(0, 1), lost(1, 0), lost(1, 1)],
            [2, 1, 1, 1]
        );
    }

    #[test]
    fn gaps_at_the_bound_are_exact_and_past_it_not() {
        let mut tracker = Tracker::new(1, 1, 2);
        arrivals(&mut tracker, &[1, 3]);
        assert!(tracker.is_exact());
        assert_eq!(tracker.lost(0, 0, &(0..4)), 2);
        arrivals(&mut tracker, &[5]);
        assert!(!tracker.is_exact());
        assert_eq!(tracker.lost(0, 0, &(0..6)), 2);
    }

    #[test]
    fn a_filled_gap_makes_room() {
        let mut tracker = Tracker::new(1, 1, 1);
        arrivals(&mut tracker, &[1, 0, 3, 2, 5]);
        assert!(tracker.is_exact());
        assert_eq!(tracker.lost(0, 0, &(0..6)), 1);
    }
}
