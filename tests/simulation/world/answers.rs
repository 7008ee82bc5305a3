//! Answers come in the order of messages ([SU-13]), and none is left out.
//!
//! Some messages have no answer if all goes well, and one error looks like
//! another. So this keeps every message that may be the last answered one, and
//! fails when none is left.

use std::collections::BTreeSet;

use super::client::Asked;

pub(crate) struct Answers {
    /// All messages that were handled, and whether one may have no answer.
    asked: Vec<(Asked, bool)>,
    /// How many of them may be done with.
    done: BTreeSet<usize>,
}

/// An answer to nothing that was asked.
pub(crate) struct OutOfOrder;

impl Default for Answers {
    fn default() -> Self {
        Self {
            asked: Vec::new(),
            done: [0].into(),
        }
    }
}

impl Answers {
    pub(crate) fn ask(&mut self, asked: Asked, may_be_silent: bool) {
        self.asked.push((asked, may_be_silent));
    }

    /// The last message was not taken.
    pub(crate) fn unask(&mut self) {
        self.asked.pop();
        self.done.retain(|&done| done <= self.asked.len());
        assert!(!self.done.is_empty(), "answered and not taken");
    }

    /// An answer; `answers` tells for which messages it may be one, `unasked`
    /// whether it may be none at all. Gives the last message it may be for.
    ///
    /// # Errors
    /// Where it can be for none.
    pub(crate) fn take(
        &mut self,
        answers: impl Fn(&Asked) -> bool,
        unasked: bool,
    ) -> Result<Option<Asked>, OutOfOrder> {
        let mut done = BTreeSet::new();
        for &from in &self.done {
            for (index, (asked, may_be_silent)) in self.asked.iter().enumerate().skip(from) {
                if answers(asked) {
                    done.insert(index + 1);
                }
                if !may_be_silent {
                    break;
                }
            }
        }
        let last = done.last().copied();
        if unasked {
            done.append(&mut self.done);
        }
        if done.is_empty() {
            return Err(OutOfOrder);
        }
        self.done = done;
        Ok(last.map(|last| self.asked[last - 1].0.clone()))
    }

    /// Messages that may have no answer yet.
    pub(crate) fn open(&self) -> &[(Asked, bool)] {
        let first = self.done.first().copied().unwrap_or_default();
        &self.asked[first..]
    }

    /// Whether every message that has an answer has it.
    pub(crate) fn is_complete(&self) -> bool {
        let is_complete = |&done: &usize| self.asked[done..].iter().all(|(_, silent)| *silent);
        self.done.iter().any(is_complete)
    }
}
