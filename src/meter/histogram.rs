use super::Counter;

/// Buckets per power of two: no value is off by more than an eighth.
const STEPS: u64 = 8;
const STEP_BITS: u32 = STEPS.trailing_zeros();

/// Values from `1 << VALUE_BITS` on share the last bucket: 67 seconds, in microseconds.
const VALUE_BITS: u32 = 26;

const BUCKETS: usize = ((VALUE_BITS - STEP_BITS + 1) as usize) * STEPS as usize + 1;

/// Counts values in log-linear buckets, from one thread only: exact below
/// eight, then eight buckets for each power of two. Takes the time of two
/// counters and no memory but its own 1.5 KiB.
#[derive(Debug)]
pub struct Histogram {
    buckets: [Counter; BUCKETS],
    sum: Counter,
}

impl Histogram {
    /// Counts one value.
    pub fn record(&self, value: u64) {
        self.buckets[bucket_of(value)].add(1);
        self.sum.add(value);
    }

    /// The sum of all values.
    pub fn sum(&self) -> u64 {
        self.sum.count()
    }

    /// Each bucket's largest value (the last has none) and how many values fell
    /// into it, from the smallest on.
    pub fn buckets(&self) -> impl Iterator<Item = (Option<u64>, u64)> {
        let counts = self.buckets.iter().map(Counter::count);
        (0..BUCKETS).map(largest_of).zip(counts)
    }
}

impl Default for Histogram {
    fn default() -> Self {
        Self {
            buckets: std::array::from_fn(|_| Counter::default()),
            sum: Counter::default(),
        }
    }
}

fn bucket_of(value: u64) -> usize {
    if value < STEPS {
        return value as usize;
    }
    if value >= 1 << VALUE_BITS {
        return BUCKETS - 1;
    }
    let octave = value.ilog2() - STEP_BITS;
    // The leading bit counts as the octave's first bucket.
    let step = (value >> octave) - STEPS;
    (u64::from(octave + 1) * STEPS + step) as usize
}

fn largest_of(bucket: usize) -> Option<u64> {
    let bucket = bucket as u64;
    if bucket < STEPS {
        return Some(bucket);
    }
    let (octave, step) = (bucket / STEPS - 1, bucket % STEPS);
    (bucket < BUCKETS as u64 - 1).then(|| ((STEPS + step + 1) << octave) - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_falls_into_the_one_bucket_around_it() {
        let mut lower = 0;
        for bucket in 0..BUCKETS - 1 {
            let largest = largest_of(bucket).expect("a bound");
            assert_eq!(bucket_of(lower), bucket, "{lower}");
            assert_eq!(bucket_of(largest), bucket, "{largest}");
            assert!(largest - lower <= lower / STEPS, "{lower} to {largest}");
            lower = largest + 1;
        }
        assert_eq!(lower, 1 << VALUE_BITS, "no gap before the last");
        for past in [lower, lower + 1, u64::MAX] {
            assert_eq!(bucket_of(past), BUCKETS - 1);
        }
        assert_eq!(largest_of(BUCKETS - 1), None);
    }

    #[test]
    fn counts_and_sums() {
        let histogram = Histogram::default();
        for value in [0, 7, 7, 1000, u64::from(u32::MAX)] {
            histogram.record(value);
        }
        let filled: Vec<_> = histogram
            .buckets()
            .filter(|(_, count)| *count > 0)
            .collect();
        let expected = [(Some(0), 1), (Some(7), 2), (Some(1023), 1), (None, 1)];
        assert_eq!(filled, expected);
        assert_eq!(histogram.sum(), 1014 + u64::from(u32::MAX));
    }

    #[test]
    fn powers_of_two_are_bounds_for_whoever_shows_fewer_buckets() {
        for bits in STEP_BITS..=VALUE_BITS {
            let bound = (1_u64 << bits) - 1;
            assert_eq!(largest_of(bucket_of(bound)), Some(bound));
        }
    }
}
