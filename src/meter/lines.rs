/// How many lines a log may still get: a flood must not fill the disk. What is
/// beyond is counted, and summed up in one line when its second is over.
#[derive(Debug)]
pub struct LineLimit {
    lines_per_second_max: u32,
    /// When the present second began.
    since_ms: u64,
    lines: u32,
    untold: u64,
}

const SECOND_MS: u64 = 1000;

impl LineLimit {
    /// So many lines in each second, the sum of the one before among them.
    pub fn new(lines_per_second_max: u32) -> Self {
        Self {
            lines_per_second_max,
            since_ms: 0,
            lines: 0,
            untold: 0,
        }
    }

    /// Whether one more line may be written; where not, it is counted.
    pub fn try_line(&mut self, now_ms: u64) -> bool {
        if self.is_over(now_ms) && self.untold == 0 {
            self.since_ms = now_ms;
            self.lines = 0;
        }
        if self.lines >= self.lines_per_second_max {
            self.untold += 1;
            return false;
        }
        self.lines += 1;
        true
    }

    /// How many were not told in the second that is over, if any.
    pub fn take_untold(&mut self, now_ms: u64) -> Option<u64> {
        if self.untold == 0 || !self.is_over(now_ms) {
            return None;
        }
        self.since_ms = now_ms;
        // The sum is a line as well.
        self.lines = 1;
        Some(std::mem::take(&mut self.untold))
    }

    /// Milliseconds until [`Self::take_untold`] has something.
    pub fn next_in_ms(&self, now_ms: u64) -> Option<u64> {
        (self.untold > 0).then(|| (self.since_ms + SECOND_MS).saturating_sub(now_ms))
    }

    fn is_over(&self, now_ms: u64) -> bool {
        now_ms >= self.since_ms + SECOND_MS
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAX: u64 = 100;

    fn limit() -> LineLimit {
        LineLimit::new(MAX as u32)
    }

    fn lines(limit: &mut LineLimit, count: u64, now_ms: u64) -> u64 {
        (0..count).filter(|_| limit.try_line(now_ms)).count() as u64
    }

    #[test]
    fn a_second_has_its_lines_and_the_rest_is_summed_up_once() {
        let mut limit = limit();
        assert_eq!(lines(&mut limit, MAX, 1000), MAX);
        assert_eq!(limit.next_in_ms(1000), None);
        assert_eq!(limit.take_untold(9000), None);
        assert_eq!(lines(&mut limit, 5, 3000), 5, "another second");
        assert_eq!(lines(&mut limit, MAX + 5, 3999), MAX - 5);
        assert_eq!(limit.take_untold(3999), None);
        assert_eq!(limit.next_in_ms(3500), Some(500));
        assert_eq!(limit.take_untold(4000), Some(10));
        assert_eq!(limit.take_untold(9000), None);
        assert_eq!(limit.next_in_ms(4000), None);
        let beside_the_sum = lines(&mut limit, 2 * MAX, 4000);
        assert_eq!(beside_the_sum, MAX - 1);
    }

    #[test]
    fn nothing_is_forgotten_where_nobody_looked_in_time() {
        let mut limit = limit();
        lines(&mut limit, MAX + 3, 1000);
        assert_eq!(lines(&mut limit, 4, 60_000), 0);
        assert_eq!(limit.take_untold(60_000), Some(7));
    }

    #[test]
    fn where_one_line_is_all_the_sum_is_the_line_of_its_second() {
        let mut limit = LineLimit::new(1);
        assert_eq!(lines(&mut limit, 10, 5000), 1);
        assert_eq!(limit.take_untold(6000), Some(9));
        assert_eq!(lines(&mut limit, 3, 6999), 0);
        assert_eq!(limit.take_untold(7000), Some(3));
        assert_eq!(lines(&mut limit, 1, 8000), 1, "it is over");
    }
}
