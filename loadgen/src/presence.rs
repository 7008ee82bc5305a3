//! Who has seen whom: exact counts of members missing and doubled.

/// The members that one thread's clients have seen, a bit for each pair.
///
/// Member `rank` of a channel is client `rank * channels + channel`.
#[derive(Debug)]
pub(crate) struct Roll {
    /// Members of the largest channel.
    members: usize,
    seen: Vec<u64>,
    pub(crate) counts: RollCounts,
}

/// What one thread's clients were told about members.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct RollCounts {
    /// In lists, and as joined.
    pub(crate) seen: u64,
    /// Again, of who had been seen before.
    pub(crate) doubled: u64,
    pub(crate) left: u64,
    /// Of no member of the channel.
    pub(crate) strange: u64,
}

impl Roll {
    /// Nobody is seen yet. Takes a bit for each pair.
    pub(crate) fn new(clients: usize, members: usize) -> Self {
        Self {
            members,
            seen: vec![0; (clients * members).div_ceil(64)],
            counts: RollCounts::default(),
        }
    }

    /// A client is told of member `rank`, in its list or as joined.
    pub(crate) fn see(&mut self, client: usize, rank: usize) {
        let pair = client * self.members + rank;
        let word = self.seen.get_mut(pair / 64).filter(|_| rank < self.members);
        let Some(word) = word else {
            self.counts.strange += 1;
            return;
        };
        let bit = 1 << (pair % 64);
        if *word & bit != 0 {
            self.counts.doubled += 1;
        } else {
            *word |= bit;
            self.counts.seen += 1;
        }
    }

    /// A client is told that a member has left: it may be seen anew.
    pub(crate) fn see_leaving(&mut self, client: usize, rank: usize) {
        let pair = client * self.members + rank;
        match self.seen.get_mut(pair / 64).filter(|_| rank < self.members) {
            Some(word) => {
                *word &= !(1 << (pair % 64));
                self.counts.left += 1;
            }
            None => self.counts.strange += 1,
        }
    }

    /// A client starts anew.
    pub(crate) fn forget(&mut self, client: usize) {
        for pair in client * self.members..(client + 1) * self.members {
            if let Some(word) = self.seen.get_mut(pair / 64) {
                *word &= !(1 << (pair % 64));
            }
        }
    }

    /// Whether the client sees member `rank`.
    pub(crate) fn sees(&self, client: usize, rank: usize) -> bool {
        let pair = client * self.members + rank;
        let word = self.seen.get(pair / 64).copied().unwrap_or(0);
        rank < self.members && word & 1 << (pair % 64) != 0
    }
}

impl RollCounts {
    pub(crate) fn add(&mut self, other: &Self) {
        self.seen += other.seen;
        self.doubled += other.doubled;
        self.left += other.left;
        self.strange += other.strange;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_pair_counts_once() {
        let mut roll = Roll::new(3, 50);
        for client in 0..3 {
            for rank in 0..50 {
                roll.see(client, rank);
            }
        }
        assert_eq!(roll.counts.seen, 150);
        roll.see(2, 49);
        assert_eq!(roll.counts.doubled, 1);
        assert!(roll.sees(2, 49));
    }

    #[test]
    fn the_last_member_and_the_one_past_it() {
        let mut roll = Roll::new(2, 10);
        roll.see(1, 9);
        roll.see(1, 10);
        roll.see_leaving(0, 10);
        let counts = RollCounts {
            seen: 1,
            strange: 2,
            ..RollCounts::default()
        };
        assert_eq!(roll.counts, counts);
        assert!(!roll.sees(1, 10));
    }

    #[test]
    fn who_left_may_be_seen_again() {
        let mut roll = Roll::new(2, 10);
        roll.see(0, 3);
        roll.see_leaving(0, 3);
        assert!(!roll.sees(0, 3));
        roll.see(0, 3);
        roll.see(1, 3);
        assert_eq!((roll.counts.seen, roll.counts.doubled), (3, 0));
        roll.forget(0);
        assert!(!roll.sees(0, 3) && roll.sees(1, 3));
    }
}
