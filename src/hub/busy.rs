use crate::limits::{BUSY_CHANNELS_MAX, BUSY_INTERVAL};
use crate::model::ChannelId;

/// How many broadcasts a channel had, in all and of late.
#[derive(Default)]
pub(super) struct Tally {
    /// Since the channel was opened.
    pub(super) total: u64,
    /// In the interval of its last broadcast, and in the one before that.
    newest: u32,
    previous: u32,
    /// Which interval that is; 0 before the first broadcast.
    interval: u32,
}

/// The home channels that had a broadcast in this interval or the one before,
/// so that the busiest are found without a look at all others. Past
/// [`BUSY_CHANNELS_MAX`] an interval's late comers are left out: a busy channel
/// is among the first. Both lists have their room from the start: a broadcast
/// doesn't wait for memory.
pub(super) struct Busy {
    /// Counts intervals, from 1.
    interval: u32,
    newest: Vec<ChannelId>,
    previous: Vec<ChannelId>,
}

impl Default for Busy {
    fn default() -> Self {
        Self {
            interval: 1,
            newest: Vec::with_capacity(BUSY_CHANNELS_MAX),
            previous: Vec::with_capacity(BUSY_CHANNELS_MAX),
        }
    }
}

impl Busy {
    /// Begins another interval where it is time.
    pub(super) fn set_time(&mut self, now_ms: u64) {
        let interval = (now_ms / BUSY_INTERVAL.as_millis() as u64 + 1) as u32;
        if interval == self.interval {
            return;
        }
        std::mem::swap(&mut self.previous, &mut self.newest);
        self.newest.clear();
        if interval != self.interval.wrapping_add(1) {
            self.previous.clear();
        }
        self.interval = interval;
    }

    /// One more broadcast.
    pub(super) fn count(&mut self, channel: ChannelId, tally: &mut Tally) {
        tally.total += 1;
        if tally.interval == self.interval {
            tally.newest = tally.newest.saturating_add(1);
            return;
        }
        tally.previous = self.recent(tally);
        tally.newest = 1;
        tally.interval = self.interval;
        if self.newest.len() < BUSY_CHANNELS_MAX {
            self.newest.push(channel);
        }
    }

    /// Broadcasts of this interval and the one before.
    pub(super) fn recent(&self, tally: &Tally) -> u32 {
        if tally.interval == self.interval {
            tally.newest.saturating_add(tally.previous)
        } else if tally.interval.wrapping_add(1) == self.interval {
            tally.newest
        } else {
            0
        }
    }

    /// Each channel that is busy, once; closed ones too.
    pub(super) fn channels(&self) -> Vec<ChannelId> {
        let mut channels = [self.newest.as_slice(), self.previous.as_slice()].concat();
        channels.sort_unstable();
        channels.dedup();
        channels
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const INTERVAL_MS: u64 = BUSY_INTERVAL.as_millis() as u64;

    fn count(busy: &mut Busy, tally: &mut Tally, times: u32) {
        (0..times).for_each(|_| busy.count(ChannelId(1), tally));
    }

    #[test]
    fn two_intervals_are_of_late() {
        let (mut busy, mut tally) = (Busy::default(), Tally::default());
        assert_eq!(busy.recent(&tally), 0);
        busy.set_time(INTERVAL_MS);
        count(&mut busy, &mut tally, 3);
        assert_eq!(busy.recent(&tally), 3);
        busy.set_time(2 * INTERVAL_MS - 1);
        count(&mut busy, &mut tally, 1);
        busy.set_time(2 * INTERVAL_MS);
        assert_eq!(busy.recent(&tally), 4);
        count(&mut busy, &mut tally, 5);
        assert_eq!(busy.recent(&tally), 9);
        busy.set_time(3 * INTERVAL_MS);
        assert_eq!((busy.recent(&tally), tally.total), (5, 9));
        assert_eq!(busy.channels(), [ChannelId(1)]);
        busy.set_time(4 * INTERVAL_MS);
        assert_eq!((busy.recent(&tally), tally.total), (0, 9));
        assert!(busy.channels().is_empty());
    }

    #[test]
    fn a_pause_forgets_all_but_the_total() {
        let (mut busy, mut tally) = (Busy::default(), Tally::default());
        busy.set_time(INTERVAL_MS);
        count(&mut busy, &mut tally, 3);
        busy.set_time(9 * INTERVAL_MS);
        assert!(busy.channels().is_empty());
        count(&mut busy, &mut tally, 1);
        assert_eq!((busy.recent(&tally), tally.total), (1, 4));
    }

    #[test]
    fn an_interval_knows_so_many_channels_and_no_more() {
        let mut busy = Busy::default();
        for channel in 0..BUSY_CHANNELS_MAX as u64 + 1 {
            busy.count(ChannelId(channel), &mut Tally::default());
        }
        let known = busy.channels();
        assert_eq!(known.len(), BUSY_CHANNELS_MAX);
        assert_eq!(busy.newest.capacity(), BUSY_CHANNELS_MAX);
        assert_eq!(known.last(), Some(&ChannelId(BUSY_CHANNELS_MAX as u64 - 1)));
    }
}
