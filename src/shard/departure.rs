use super::connection::Role;
use super::io::Doom;
use super::pump::Pump;

/// The frontends of a shard that drains, sent away one by one, so that they
/// don't all come back to the next node at the same moment. It walks over the
/// slots, of which none is taken anew, and keeps no list.
pub(super) struct Departure {
    began_ms: u64,
    window_ms: u64,
    /// Frontends when it began.
    total: u64,
    /// Frontends sent away.
    sent: u64,
    /// All in earlier slots are gone.
    next_slot: usize,
}

impl Departure {
    /// A few frontends don't take the whole window: a millisecond each is as
    /// much as another node needs to take them in.
    fn new(total: u64, window_ms: u32, now_ms: u64) -> Self {
        Self {
            began_ms: now_ms,
            window_ms: total.min(window_ms.into()),
            total,
            sent: 0,
            next_slot: 0,
        }
    }

    /// Whether another frontend is to go by now. Behind the window all are,
    /// however many that is.
    fn is_due(&self, now_ms: u64) -> bool {
        now_ms >= self.next_ms()
    }

    /// Milliseconds until the next frontend is to go.
    pub(super) fn next_in_ms(&self, now_ms: u64) -> u64 {
        self.next_ms().saturating_sub(now_ms)
    }

    fn next_ms(&self) -> u64 {
        let into_window = (self.sent * self.window_ms).div_ceil(self.total.max(1));
        self.began_ms + into_window
    }
}

impl Pump {
    /// Sends away whoever is no frontend, and begins with those.
    pub(super) fn begin_departure(&mut self, window_ms: u32) {
        let is_frontend = |role: &Role| matches!(role, Role::Frontend(_));
        self.dismiss_all(|connection| !is_frontend(&connection.role), Doom::Drain);
        let frontends = self.io.connections.iter();
        let total = frontends.filter(|(_, it)| is_frontend(&it.role)).count() as u64;
        self.departure = Some(Departure::new(total, window_ms, self.io.now_ms));
        self.take_leave();
    }

    /// Sends away the frontends whose time has come.
    pub(super) fn take_leave(&mut self) {
        let Some(mut departure) = self.departure.take() else {
            return;
        };
        while departure.is_due(self.io.now_ms) {
            if departure.next_slot >= self.io.slots() {
                return;
            }
            let connection = self.io.connections.get(departure.next_slot);
            let frontend = connection.filter(|it| matches!(it.role, Role::Frontend(_)));
            if let Some(conn) = frontend.map(|connection| connection.id) {
                departure.sent += 1;
                self.dismiss(conn, Doom::Drain);
            }
            departure.next_slot += 1;
        }
        self.departure = Some(departure);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// When each of them goes, in milliseconds since the drain began.
    fn times(total: u64, window_ms: u32) -> Vec<u64> {
        let mut departure = Departure::new(total, window_ms, 100);
        let mut times = Vec::new();
        let mut now_ms = 100;
        while departure.sent < total {
            if departure.is_due(now_ms) {
                departure.sent += 1;
                times.push(now_ms - 100);
            } else {
                let sleep = departure.next_in_ms(now_ms);
                assert!(sleep > 0, "a spin");
                now_ms += sleep;
            }
        }
        times
    }

    #[test]
    fn without_a_window_all_go_at_once() {
        assert_eq!(times(3, 0), [0, 0, 0]);
    }

    #[test]
    fn a_few_take_a_millisecond_each() {
        assert_eq!(times(4, 10_000), [0, 1, 2, 3]);
        assert!(times(0, 10_000).is_empty());
    }

    #[test]
    fn many_are_spread_evenly_over_the_window() {
        let times = times(10_000, 1000);
        assert_eq!(times.len(), 10_000);
        assert!(times.is_sorted());
        assert!(times.iter().all(|&time| time < 1001));
        for start in (0..1000).step_by(100) {
            let within = |time: &&u64| (start + 1..=start + 100).contains(*time);
            let count = times.iter().filter(within).count();
            assert!((980..=1000).contains(&count), "{count} from {start} on");
        }
    }

    #[test]
    fn who_was_held_up_catches_up() {
        let mut departure = Departure::new(100, 100, 1);
        while departure.is_due(51) {
            departure.sent += 1;
        }
        assert_eq!(departure.sent, 51);
        let late = departure.next_in_ms(51);
        assert_eq!(late, 1);
    }
}
