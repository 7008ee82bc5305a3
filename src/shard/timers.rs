use std::collections::BTreeMap;

use crate::limits::TIMER_TICK;
use crate::model::ConnId;

const TICK_MS: u64 = TIMER_TICK.as_millis() as u64;

/// Coarse timers: at most one entry per connection. A deadline that moves later
/// leaves its entry where it is; the entry is filed anew when it comes up.
#[derive(Default)]
pub(super) struct Timers {
    due: BTreeMap<u64, Vec<ConnId>>,
}

/// The timer of one connection.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Timer {
    /// Milliseconds since the shard started; 0 for none.
    pub(super) deadline_ms: u64,
    /// Tick under which the entry is filed; 0 for none.
    filed: u64,
}

impl Timers {
    /// Sets the deadline; 0 takes it away.
    pub(super) fn set(&mut self, conn: ConnId, timer: &mut Timer, deadline_ms: u64) {
        timer.deadline_ms = deadline_ms;
        let tick = deadline_ms.div_ceil(TICK_MS);
        if deadline_ms > 0 && (timer.filed == 0 || timer.filed > tick) {
            timer.filed = tick;
            self.due.entry(tick).or_default().push(conn);
        }
    }

    /// Whether an entry that came up at `now_ms` means that the deadline has
    /// passed; files it anew where it has not.
    pub(super) fn has_passed(&mut self, conn: ConnId, timer: &mut Timer, now_ms: u64) -> bool {
        if timer.filed * TICK_MS > now_ms {
            // An older entry of a deadline that had moved earlier.
            return false;
        }
        timer.filed = 0;
        if timer.deadline_ms > now_ms {
            self.set(conn, timer, timer.deadline_ms);
        }
        timer.deadline_ms > 0 && timer.deadline_ms <= now_ms
    }

    /// The entries of the earliest tick that has come up.
    pub(super) fn take_due(&mut self, now_ms: u64) -> Option<Vec<ConnId>> {
        let entry = self.due.first_entry()?;
        (entry.key() * TICK_MS <= now_ms).then(|| entry.remove())
    }

    /// Milliseconds until the next entry comes up.
    pub(super) fn next_in_ms(&self, now_ms: u64) -> Option<u64> {
        let (tick, _) = self.due.first_key_value()?;
        Some((tick * TICK_MS).saturating_sub(now_ms))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONN: ConnId = ConnId {
        slot: 1,
        generation: 0,
    };

    fn passes(timers: &mut Timers, timer: &mut Timer, now_ms: u64) -> bool {
        let mut passed = false;
        while let Some(due) = timers.take_due(now_ms) {
            passed |= due
                .into_iter()
                .any(|conn| timers.has_passed(conn, timer, now_ms));
        }
        passed
    }

    #[test]
    fn comes_up_at_its_time_and_once() {
        let (mut timers, mut timer) = (Timers::default(), Timer::default());
        assert_eq!(timers.next_in_ms(0), None);
        timers.set(CONN, &mut timer, 100);
        assert_eq!(timers.next_in_ms(40), Some(60));
        assert!(!passes(&mut timers, &mut timer, 99));
        assert!(passes(&mut timers, &mut timer, 100));
        assert!(!passes(&mut timers, &mut timer, 200));
    }

    #[test]
    fn deadlines_move_both_ways_and_go() {
        let (mut timers, mut timer) = (Timers::default(), Timer::default());
        timers.set(CONN, &mut timer, 100);
        timers.set(CONN, &mut timer, 300);
        assert!(!passes(&mut timers, &mut timer, 200));
        timers.set(CONN, &mut timer, 250);
        assert!(passes(&mut timers, &mut timer, 250));
        timers.set(CONN, &mut timer, 500);
        timers.set(CONN, &mut timer, 400);
        assert!(passes(&mut timers, &mut timer, 400));
        timers.set(CONN, &mut timer, 600);
        timers.set(CONN, &mut timer, 0);
        assert!(!passes(&mut timers, &mut timer, 700));
    }
}
