use std::collections::BTreeMap;
use std::ops::Range;

use super::life::Leaves;
use super::recorder::Recorder;
use super::slow::Slowness;
use crate::client::{Fault, Seen};
use crate::limits::{GAPS_MAX, TICK_LATE_MAX};
use crate::numbers::Numbers;
use crate::payload::Stamp;
use crate::plan::Plan;
use crate::presence::Roll;
use crate::timeline::{Shared, nanoseconds};
use crate::tracker::{Arrival, Tracker};

/// What one thread has seen.
#[derive(Debug)]
pub(crate) struct Tally {
    run: u32,
    channels: u32,
    /// All that broadcast.
    senders: u32,
    /// When the broadcasts that count were due.
    pub(super) window: Range<u64>,
    pub(crate) tracker: Tracker,
    pub(crate) deliveries: Deliveries,
    /// Broadcasts of any time and kind, as the broker counts them.
    pub(crate) received: u64,
    /// Sends that count and left more than [`TICK_LATE_MAX`] late.
    pub(crate) missed_ticks: u64,
    pub(crate) triggers: Triggers,
    /// Who sees whom on presence channels.
    pub(crate) roll: Roll,
    pub(crate) leaves: Leaves,
    pub(crate) slowness: Slowness,
    pub(crate) recorder: Recorder,
    pub(crate) faults: Faults,
}

/// Deliveries of broadcasts that count, but `strange` ones of any time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Deliveries {
    /// Each broadcast at each client once.
    pub(crate) delivered: u64,
    /// Again what had been delivered.
    pub(crate) duplicated: u64,
    /// Those of `delivered` that came after a later one.
    pub(crate) reordered: u64,
    /// Damaged, or of a channel that the client has not subscribed.
    pub(crate) strange: u64,
    /// From another run on the same channels.
    pub(crate) foreign: u64,
}

/// Triggers that count, and their replies.
#[derive(Debug, Default)]
pub(crate) struct Triggers {
    pub(crate) sent: u64,
    pub(crate) unsent: u64,
    answered: Numbers,
    /// At whoever triggered, each once.
    pub(crate) replies: u64,
    pub(crate) doubly_answered: u64,
}

/// What went wrong, and how often.
#[derive(Clone, Debug, Default)]
pub(crate) struct Faults {
    /// Clients that never were subscribed.
    pub(crate) failed: BTreeMap<Fault, u64>,
    /// Attempts to come back that came to nothing.
    pub(crate) return_refused: BTreeMap<Fault, u64>,
    /// Slow clients that were parted with.
    pub(crate) slow: BTreeMap<Fault, u64>,
    /// Clients that lost their connection.
    pub(crate) lost: BTreeMap<Fault, u64>,
    /// `:error` messages by code.
    pub(crate) errors: BTreeMap<u16, u64>,
    /// Close frames by code.
    pub(crate) closes: BTreeMap<u16, u64>,
}

impl Tally {
    pub(super) fn new(plan: &Plan, run: u32, clients: usize) -> Self {
        Self {
            run,
            channels: plan.channels,
            senders: plan.senders(),
            window: 0..0,
            tracker: Tracker::new(clients, plan.senders_per_channel() as usize, GAPS_MAX),
            deliveries: Deliveries::default(),
            received: 0,
            missed_ticks: 0,
            triggers: Triggers::default(),
            roll: Roll::new(clients, plan.members() as usize),
            leaves: Leaves::default(),
            slowness: Slowness::default(),
            recorder: Recorder::new(plan.span_ns()),
            faults: Faults::default(),
        }
    }

    /// `slot` is the client's place in this thread, `number` that in the run.
    pub(super) fn handle_seen(&mut self, slot: usize, number: u32, seen: Seen, now_ns: u64) {
        match seen {
            Seen::Load(stamp) => {
                self.received += 1;
                self.recorder.counts().delivered += 1;
                self.handle_load(slot, number, &stamp, now_ns);
            }
            Seen::Reply(stamp) => {
                self.received += 1;
                self.handle_reply(number, &stamp, now_ns);
            }
            Seen::Damaged => {
                self.received += 1;
                self.deliveries.strange += 1;
            }
            Seen::Error(code) => count(&mut self.faults.errors, code),
            Seen::Closed(code) => count(&mut self.faults.closes, code),
            Seen::Connected
            | Seen::Authenticated
            | Seen::Subscribed
            | Seen::Member(_)
            | Seen::MemberLeft(_) => {}
        }
    }

    /// `lag_ns` from when the bytes may have been there to their reading, where
    /// that should be soon.
    pub(super) fn handle_received(&mut self, bytes: usize, lag_ns: Option<u64>) {
        self.recorder.counts().received_bytes += bytes as u64;
        if let Some(lag_ns) = lag_ns {
            let lag = &mut self.recorder.histograms().receive_lag;
            lag.saturating_record(lag_ns);
        }
    }

    pub(super) fn handle_connected(&mut self, after_ns: u64) {
        let connect = &mut self.recorder.histograms().connect;
        connect.saturating_record(after_ns);
    }

    pub(super) fn handle_authenticated(&mut self, after_ns: u64) {
        let authenticate = &mut self.recorder.histograms().authenticate;
        authenticate.saturating_record(after_ns);
    }

    /// The client is told that `member`, by its number in the run, is there or not.
    pub(super) fn handle_member(&mut self, slot: usize, member: u32, is_there: bool) {
        let rank = (member / self.channels) as usize;
        if is_there {
            self.roll.see(slot, rank);
        } else {
            self.roll.see_leaving(slot, rank);
        }
    }

    pub(super) fn handle_subscribed(&mut self, after_ns: u64) {
        self.recorder.counts().subscribed += 1;
        let subscribe = &mut self.recorder.histograms().subscribe;
        subscribe.saturating_record(after_ns);
    }

    /// The client is subscribed again: what is sent from now on is owed to it.
    pub(super) fn handle_return(&mut self, slot: usize, number: u32, shared: &Shared) {
        let of_channel = (number % self.channels..self.senders).step_by(self.channels as usize);
        for (rank, publisher) in of_channel.enumerate() {
            let due = shared.sequence(publisher);
            self.tracker.come_back(slot, rank, due);
        }
    }

    /// What a client that hardly reads has seen.
    pub(super) fn handle_seen_slowly(&mut self, seen: Seen) {
        match seen {
            Seen::Load(_) | Seen::Reply(_) | Seen::Damaged => {
                self.received += 1;
                self.slowness.delivered += 1;
            }
            Seen::Subscribed => self.slowness.subscribed += 1,
            // Its end tells why.
            Seen::Connected
            | Seen::Authenticated
            | Seen::Member(_)
            | Seen::MemberLeft(_)
            | Seen::Error(_)
            | Seen::Closed(_) => {}
        }
    }

    /// `after_ns` from its leaving, or from the storm.
    pub(super) fn count_return(&mut self, after_ns: u64, is_of_storm: bool) {
        self.recorder.counts().subscribed += 1;
        self.leaves.back += 1;
        let comeback = &mut self.recorder.histograms().comeback;
        comeback.saturating_record(after_ns);
        if is_of_storm {
            self.leaves.back_from_storm += 1;
            self.leaves.storm_ns = self.leaves.storm_ns.max(after_ns);
        }
    }

    pub(super) fn handle_sent(&mut self, stamp: &Stamp) {
        let late_ns = stamp.sent_ns.saturating_sub(stamp.intended_ns);
        self.recorder
            .histograms()
            .lateness
            .saturating_record(late_ns);
        let is_missed = late_ns > nanoseconds(TICK_LATE_MAX);
        self.missed_ticks += u64::from(is_missed);
        self.recorder.counts().missed_ticks += u64::from(is_missed);
    }

    /// Everyone on the channel has it; it is for whoever triggered.
    fn handle_reply(&mut self, number: u32, stamp: &Stamp, now_ns: u64) {
        let is_own = stamp.run == self.run && stamp.publisher == number;
        if !is_own || !self.window.contains(&stamp.intended_ns) {
            return;
        }
        if !self.triggers.answered.insert(stamp.sequence) {
            self.triggers.doubly_answered += 1;
            return;
        }
        self.triggers.replies += 1;
        let reply = &mut self.recorder.histograms().reply;
        reply.saturating_record(now_ns.saturating_sub(stamp.intended_ns));
    }

    fn handle_load(&mut self, slot: usize, number: u32, stamp: &Stamp, now_ns: u64) {
        let deliveries = &mut self.deliveries;
        if stamp.run != self.run {
            deliveries.foreign += 1;
            return;
        }
        let is_of_channel = stamp.publisher % self.channels == number % self.channels;
        if stamp.publisher >= self.senders || !is_of_channel || stamp.sequence == u32::MAX {
            deliveries.strange += 1;
            return;
        }
        let rank = stamp.publisher / self.channels;
        let arrival = self
            .tracker
            .handle_arrival(slot, rank as usize, stamp.sequence);
        if !self.window.contains(&stamp.intended_ns) {
            return;
        }
        match arrival {
            Arrival::InOrder => deliveries.delivered += 1,
            Arrival::Late => {
                deliveries.delivered += 1;
                deliveries.reordered += 1;
            }
            Arrival::Duplicate => {
                deliveries.duplicated += 1;
                return;
            }
            Arrival::Again => return,
        }
        let since = |then_ns| now_ns.saturating_sub(then_ns);
        let histograms = self.recorder.histograms();
        histograms
            .corrected
            .saturating_record(since(stamp.intended_ns));
        histograms.raw.saturating_record(since(stamp.sent_ns));
    }
}

impl Deliveries {
    pub(crate) fn add(&mut self, other: &Self) {
        self.delivered += other.delivered;
        self.duplicated += other.duplicated;
        self.reordered += other.reordered;
        self.strange += other.strange;
        self.foreign += other.foreign;
    }
}

impl Faults {
    pub(crate) fn add(&mut self, other: &Self) {
        merge(&mut self.failed, &other.failed);
        merge(&mut self.return_refused, &other.return_refused);
        merge(&mut self.slow, &other.slow);
        merge(&mut self.lost, &other.lost);
        merge(&mut self.errors, &other.errors);
        merge(&mut self.closes, &other.closes);
    }
}

pub(super) fn count<K: Ord>(counts: &mut BTreeMap<K, u64>, key: K) {
    *counts.entry(key).or_default() += 1;
}

fn merge<K: Ord + Copy>(into: &mut BTreeMap<K, u64>, from: &BTreeMap<K, u64>) {
    for (&key, &count) in from {
        *into.entry(key).or_default() += count;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::LATENCY_MAX;

    const RUN: u32 = 5;

    /// Two channels of two publishers: clients 0 and 2, and 1 and 3.
    fn tally() -> Tally {
        let plan = Plan {
            channels: 2,
            publishers_per_channel: 2,
            ..Plan::example(4)
        };
        let mut tally = Tally::new(&plan, RUN, 4);
        tally.window = 10..20;
        tally
    }

    fn stamp(publisher: u32, sequence: u32, intended_ns: u64) -> Stamp {
        Stamp {
            run: RUN,
            publisher,
            sequence,
            intended_ns,
            sent_ns: intended_ns + 1,
        }
    }

    fn see(tally: &mut Tally, number: u32, stamp: Stamp) {
        tally.handle_seen(number as usize, number, Seen::Load(stamp), 1000);
    }

    #[test]
    fn only_what_was_due_in_the_window_counts() {
        let mut tally = tally();
        for (sequence, intended_ns) in [(0, 9), (1, 10), (2, 19), (3, 20)] {
            see(&mut tally, 2, stamp(0, sequence, intended_ns));
        }
        assert_eq!(tally.deliveries.delivered, 2);
        assert_eq!(tally.tracker.lost(2, 0, &(0..4)), 0);
        assert_eq!(tally.recorder.histograms().corrected.min(), 1000 - 19);
        assert_eq!(tally.recorder.histograms().corrected.max(), 1000 - 10);
        assert_eq!(tally.recorder.histograms().raw.max(), 1000 - 11);
    }

    #[test]
    fn what_nobody_should_have_sent_here_is_strange() {
        let mut tally = tally();
        let other_channel = stamp(1, 0, 10);
        let no_publisher = stamp(4, 0, 10);
        let no_sequence = stamp(0, u32::MAX, 10);
        for one in [other_channel, no_publisher, no_sequence] {
            see(&mut tally, 2, one);
        }
        assert_eq!(tally.deliveries.strange, 3);
        assert_eq!(tally.deliveries.delivered, 0);
    }

    #[test]
    fn another_run_is_foreign() {
        let mut tally = tally();
        let run = RUN + 1;
        see(
            &mut tally,
            2,
            Stamp {
                run,
                ..stamp(0, 0, 10)
            },
        );
        assert_eq!(tally.deliveries.foreign, 1);
        assert_eq!(tally.tracker.lost(2, 0, &(0..1)), 1);
    }

    #[test]
    fn late_ones_count_as_delivered_and_copies_do_not() {
        let mut tally = tally();
        for sequence in [1, 0, 0] {
            see(&mut tally, 3, stamp(3, sequence, 10));
        }
        let expected = Deliveries {
            delivered: 2,
            duplicated: 1,
            reordered: 1,
            ..Deliveries::default()
        };
        assert_eq!(tally.deliveries, expected);
        assert_eq!(tally.recorder.histograms().corrected.len(), 2);
    }

    #[test]
    fn latencies_past_the_longest_count_as_that() {
        let mut tally = tally();
        let now_ns = 10 * nanoseconds(LATENCY_MAX);
        tally.handle_seen(2, 2, Seen::Load(stamp(0, 0, 10)), now_ns);
        let max = tally.recorder.histograms().corrected.max();
        assert!(max.abs_diff(nanoseconds(LATENCY_MAX)) < nanoseconds(LATENCY_MAX) / 500);
    }
}
