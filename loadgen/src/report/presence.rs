//! What the members of presence channels were told of each other.

use std::fmt::{self, Display, Formatter};

use serde::{Deserialize, Serialize};

use super::text::grouped;
use crate::plan::{ChannelKind, Plan};
use crate::presence::RollCounts;
use crate::pump::Outcome;

/// In lists of members and as joined, by all clients together.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Presence {
    /// Each client of each member of its channel, itself among them. Null where
    /// members came and went: what each should have seen is not known then.
    pub(crate) expected: Option<u64>,
    pub(crate) seen: u64,
    /// Never seen, by whom they should have been.
    pub(crate) missing: Option<u64>,
    /// Seen again without having left.
    pub(crate) doubled: u64,
    /// Told to have left.
    pub(crate) left: u64,
    /// Seen on a channel that is not theirs.
    pub(crate) strange: u64,
}

impl Presence {
    /// None but on presence channels. `all_stayed`: nobody has lost its connection.
    pub(super) fn new(plan: &Plan, outcomes: &[Outcome], all_stayed: bool) -> Option<Self> {
        if plan.kind != ChannelKind::Presence {
            return None;
        }
        let mut counts = RollCounts::default();
        for outcome in outcomes {
            counts.add(&outcome.tally.roll.counts);
        }
        let comes_and_goes = plan.churn > 0.0 || plan.storm.is_some() || plan.slow.clients > 0;
        let pairs = (all_stayed && !comes_and_goes).then(|| pairs(plan, outcomes));
        Some(Self {
            expected: pairs.map(|(expected, _)| expected),
            missing: pairs.map(|(_, missing)| missing),
            seen: counts.seen,
            doubled: counts.doubled,
            left: counts.left,
            strange: counts.strange,
        })
    }

    pub(super) fn has_failed(&self) -> bool {
        // Where all stay nobody is told of a leaving.
        let is_left = self.expected.is_some() && self.left > 0;
        self.missing.unwrap_or(0) > 0 || self.doubled > 0 || self.strange > 0 || is_left
    }
}

/// Expected and missing pairs of those that have joined.
fn pairs(plan: &Plan, outcomes: &[Outcome]) -> (u64, u64) {
    let mut members = vec![Vec::new(); plan.channels as usize];
    for &(number, _) in outcomes.iter().flat_map(|it| &it.subscribed) {
        let rank = (number / plan.channels) as usize;
        members[(number % plan.channels) as usize].push(rank);
    }
    let (mut expected, mut missing) = (0, 0);
    for outcome in outcomes {
        for &(number, slot) in &outcome.subscribed {
            let of_channel = &members[(number % plan.channels) as usize];
            let roll = &outcome.tally.roll;
            let unseen = of_channel.iter().filter(|&&rank| !roll.sees(slot, rank));
            expected += of_channel.len() as u64;
            missing += unseen.count() as u64;
        }
    }
    (expected, missing)
}

impl Display for Presence {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "presence     {} members seen", grouped(self.seen))?;
        if let (Some(expected), Some(missing)) = (self.expected, self.missing) {
            write!(f, " of {}, {} missing", grouped(expected), grouped(missing))?;
        }
        writeln!(
            f,
            "\n             {} doubled, {} left, {} of another channel",
            grouped(self.doubled),
            grouped(self.left),
            grouped(self.strange),
        )
    }
}
