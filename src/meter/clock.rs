use std::time::Instant;

/// The node's clock. Every shard has a copy and sees the same time on it.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    started: Instant,
}

impl Clock {
    /// A clock that shows zero now.
    pub fn start() -> Self {
        Self {
            started: Instant::now(),
        }
    }

    /// Microseconds since the start.
    pub fn now_us(&self) -> u64 {
        self.started.elapsed().as_micros() as u64
    }
}

/// A moment of the clock in 32 bits of microseconds, so that it travels with
/// every frame. It wraps after 71 minutes; no frame is under way for half of that.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Moment(u32);

impl Moment {
    /// The moment this many microseconds after the clock's start.
    pub fn from_us(now_us: u64) -> Self {
        Self(now_us as u32)
    }

    /// All that there is of it, for a journey.
    pub fn to_bits(self) -> u32 {
        self.0
    }

    /// The moment that [`Self::to_bits`] was of.
    pub fn from_bits(bits: u32) -> Self {
        Self(bits)
    }

    /// Microseconds from this moment until `later`; none where `later` is the
    /// earlier one, as the beginning of another shard's turn can be.
    pub fn until(self, later: Self) -> u64 {
        let us = later.0.wrapping_sub(self.0);
        if us > u32::MAX / 2 { 0 } else { us.into() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_survives_the_wrap() {
        let wrap = 1_u64 << 32;
        let moment = Moment::from_us;
        assert_eq!(moment(5).until(moment(12)), 7);
        assert_eq!(moment(wrap - 5).until(moment(wrap + 12)), 17);
        assert_eq!(moment(12).until(moment(5)), 0);
        assert_eq!(moment(wrap + 1).until(moment(wrap - 1)), 0);
    }

    #[test]
    fn a_clock_goes_forward() {
        let clock = Clock::start();
        let first = clock.now_us();
        assert!(clock.now_us() >= first);
    }
}
