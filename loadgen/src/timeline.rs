//! The clock of a run, and what its threads tell each other.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crate::limits::FAILURES_FIRST_MAX;
use crate::progress::Traffic;

/// When the phases of a run begin, in nanoseconds since its start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Timeline {
    /// The warm-up and the schedule.
    pub(crate) start_ns: u64,
    /// What is due from here on counts.
    pub(crate) measure_ns: u64,
    /// The drain; nothing is sent any more.
    pub(crate) end_ns: u64,
    /// How long the drain lasts.
    pub(crate) drain_ns: u64,
}

impl Timeline {
    /// Phases that follow each other from `start_ns` on.
    pub(crate) fn new(
        start_ns: u64,
        warmup: Duration,
        duration: Duration,
        drain: Duration,
    ) -> Self {
        let measure_ns = start_ns + nanoseconds(warmup);
        Self {
            start_ns,
            measure_ns,
            end_ns: measure_ns + nanoseconds(duration),
            drain_ns: nanoseconds(drain),
        }
    }
}

/// What the threads of a run share. The coordinator sets the timeline once all
/// clients have joined or failed.
#[derive(Debug)]
pub(crate) struct Shared {
    began: Instant,
    timeline: OnceLock<Timeline>,
    /// Ends the sending early.
    cut_ns: AtomicU64,
    stopped: AtomicBool,
    subscribed: AtomicUsize,
    failed: AtomicUsize,
    ended: AtomicUsize,
    /// Those that left on purpose and are not back.
    away: AtomicUsize,
    /// By publisher: the number of its next broadcast.
    sequences: Box<[AtomicU32]>,
    sent: AtomicU64,
    received: AtomicU64,
}

impl Shared {
    /// The run starts now.
    pub(crate) fn new(publishers: u32) -> Self {
        Self {
            began: Instant::now(),
            timeline: OnceLock::new(),
            cut_ns: AtomicU64::new(u64::MAX),
            stopped: AtomicBool::new(false),
            subscribed: AtomicUsize::new(0),
            failed: AtomicUsize::new(0),
            ended: AtomicUsize::new(0),
            away: AtomicUsize::new(0),
            sequences: (0..publishers).map(|_| AtomicU32::new(0)).collect(),
            sent: AtomicU64::new(0),
            received: AtomicU64::new(0),
        }
    }

    /// Nanoseconds since the start of the run.
    pub(crate) fn now_ns(&self) -> u64 {
        nanoseconds(self.began.elapsed())
    }

    /// The phases, once the ramp is over.
    pub(crate) fn timeline(&self) -> Option<Timeline> {
        self.timeline.get().copied()
    }

    /// Ends the ramp. Counts once.
    pub(crate) fn begin(&self, timeline: Timeline) {
        let _ = self.timeline.set(timeline);
    }

    /// When the sending ends: as planned, or earlier after an interrupt.
    pub(crate) fn end_ns(&self, timeline: &Timeline) -> u64 {
        timeline.end_ns.min(self.cut_ns.load(Ordering::Relaxed))
    }

    /// Ends the sending now; the drain follows.
    pub(crate) fn cut(&self) {
        self.cut_ns.fetch_min(self.now_ns(), Ordering::Relaxed);
    }

    /// Ends the ramp without a run to follow.
    pub(crate) fn stop_ramp(&self) {
        self.stopped.store(true, Ordering::Relaxed);
    }

    /// Whether the ramp ends: told to, or hopeless.
    pub(crate) fn is_ramp_stopped(&self) -> bool {
        self.stopped.load(Ordering::Relaxed)
            || (self.failed() >= FAILURES_FIRST_MAX && self.subscribed() == 0)
    }

    /// One more client has joined.
    pub(crate) fn count_subscribed(&self) {
        self.subscribed.fetch_add(1, Ordering::Relaxed);
    }

    /// One more client has not.
    pub(crate) fn count_failed(&self) {
        self.failed.fetch_add(1, Ordering::Relaxed);
    }

    /// One that had joined has lost its connection.
    pub(crate) fn count_ended(&self) {
        self.ended.fetch_add(1, Ordering::Relaxed);
    }

    /// More broadcasts were sent and received, whether they count or not.
    pub(crate) fn count_traffic(&self, more: Traffic) {
        self.sent.fetch_add(more.sent, Ordering::Relaxed);
        self.received.fetch_add(more.received, Ordering::Relaxed);
    }

    /// All threads together, so far.
    pub(crate) fn traffic(&self) -> Traffic {
        Traffic {
            sent: self.sent.load(Ordering::Relaxed),
            received: self.received.load(Ordering::Relaxed),
        }
    }

    /// One has left on purpose.
    pub(crate) fn count_away(&self) {
        self.away.fetch_add(1, Ordering::Relaxed);
    }

    /// And has come back.
    pub(crate) fn count_back(&self) {
        self.away.fetch_sub(1, Ordering::Relaxed);
    }

    /// Takes note of a broadcast before it is sent: whoever is subscribed after
    /// this has not seen `next` is owed every one from there on.
    pub(crate) fn set_sequence(&self, publisher: u32, next: u32) {
        if let Some(sequence) = self.sequences.get(publisher as usize) {
            sequence.store(next, Ordering::Release);
        }
    }

    /// The number of the publisher's next broadcast: those before it may be under way.
    pub(crate) fn sequence(&self, publisher: u32) -> u32 {
        let sequence = self.sequences.get(publisher as usize);
        sequence.map_or(0, |sequence| sequence.load(Ordering::Acquire))
    }

    /// Nobody who had joined is connected any more, but those that left on purpose.
    pub(crate) fn is_deserted(&self) -> bool {
        let ended = self.ended.load(Ordering::Relaxed);
        ended > 0 && ended + self.away.load(Ordering::Relaxed) >= self.subscribed()
    }

    /// Clients that have joined.
    pub(crate) fn subscribed(&self) -> usize {
        self.subscribed.load(Ordering::Relaxed)
    }

    /// Clients that have failed to.
    pub(crate) fn failed(&self) -> usize {
        self.failed.load(Ordering::Relaxed)
    }
}

/// As a number that holds five centuries.
pub(crate) fn nanoseconds(duration: Duration) -> u64 {
    duration.as_nanos() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn phases_follow_each_other() {
        let [warmup, duration, drain] = [1, 2, 3].map(Duration::from_nanos);
        let timeline = Timeline::new(10, warmup, duration, drain);
        assert_eq!(timeline.measure_ns, 11);
        assert_eq!(timeline.end_ns, 13);
        assert_eq!(timeline.drain_ns, 3);
    }

    #[test]
    fn an_interrupt_shortens_and_never_prolongs() {
        let shared = Shared::new(0);
        let late = Timeline::new(
            u64::MAX - 10,
            Duration::ZERO,
            Duration::ZERO,
            Duration::ZERO,
        );
        assert_eq!(shared.end_ns(&late), late.end_ns);
        shared.cut();
        assert!(shared.end_ns(&late) < late.end_ns);
        let over = Timeline::new(0, Duration::ZERO, Duration::ZERO, Duration::ZERO);
        assert_eq!(shared.end_ns(&over), 0);
    }

    #[test]
    fn deserted_is_when_the_last_has_gone() {
        let shared = Shared::new(0);
        assert!(!shared.is_deserted());
        (0..2).for_each(|_| shared.count_subscribed());
        shared.count_ended();
        assert!(!shared.is_deserted());
        shared.count_ended();
        assert!(shared.is_deserted());
    }

    #[test]
    fn a_ramp_is_hopeless_at_the_bound_unless_one_has_joined() {
        let shared = Shared::new(0);
        (1..FAILURES_FIRST_MAX).for_each(|_| shared.count_failed());
        assert!(!shared.is_ramp_stopped());
        shared.count_failed();
        assert!(shared.is_ramp_stopped());
        shared.count_subscribed();
        assert!(!shared.is_ramp_stopped());
    }
}
