//! The Universal Scalability Law: how throughput grows with shards.
//!
//! `X(N) = lambda N / (1 + sigma (N-1) + kappa N (N-1))`, fitted as the linear
//! `N / X = 1/lambda + sigma/lambda (N-1) + kappa/lambda N (N-1)`.

use serde::Serialize;

use super::fit::{Estimate, Fit};

/// The highest deliveries a second that held with so many shards.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(super) struct Point {
    pub(super) shards: u16,
    pub(super) deliveries_per_s: f64,
}

/// The law, fitted; 95 % intervals by the delta method.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Usl {
    pub(super) points: Vec<Point>,
    /// Deliveries a second of one shard.
    pub(super) lambda: Estimate,
    /// Share of the work that waits for a shared resource.
    pub(super) sigma: Estimate,
    /// Share that goes into agreeing with each other shard.
    pub(super) kappa: Estimate,
    /// Shards past which more carry less; null where kappa is not above 0.
    pub(super) peak_shards: Option<f64>,
    pub(super) predictions: Vec<Prediction>,
    /// Some of the points had more shards than the machine has cores.
    pub(super) is_past_cores: bool,
}

/// A figure of a shard count that was not measured.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(super) struct Prediction {
    pub(super) shards: u16,
    pub(super) deliveries_per_s: Estimate,
    pub(super) is_extrapolated: bool,
}

/// Shard counts that the law needs at the least.
pub(super) const SHARD_COUNTS_MIN: usize = 3;

impl Usl {
    /// None where less than three shard counts, or too few trials of them, are
    /// there, or where they follow no such law.
    pub(super) fn of(points: &[Point], cores: usize) -> Option<Self> {
        let mut counts: Vec<u16> = points.iter().map(|point| point.shards).collect();
        counts.sort_unstable();
        counts.dedup();
        if counts.len() < SHARD_COUNTS_MIN {
            return None;
        }
        let rows: Vec<Vec<f64>> = points.iter().map(|point| row(point.shards)).collect();
        let times = points
            .iter()
            .map(|point| f64::from(point.shards) / point.deliveries_per_s);
        let fit = Fit::of(&rows, &times.collect::<Vec<f64>>())?;
        let [alone, ..] = fit.coefficients[..] else {
            return None;
        };
        if alone <= 0.0 {
            return None;
        }
        let (sigma, kappa) = (fit.ratio(1, 0), fit.ratio(2, 0));
        let most = counts.last().copied().unwrap_or(1);
        let predictions = [most.saturating_mul(2), most.saturating_mul(4)];
        Some(Self {
            points: points.to_vec(),
            lambda: inverse(fit.coefficient(0)),
            sigma,
            kappa,
            peak_shards: (kappa.value > 0.0 && sigma.value < 1.0)
                .then(|| ((1.0 - sigma.value) / kappa.value).sqrt()),
            predictions: predictions
                .into_iter()
                .filter_map(|shards| {
                    let time = fit.mean(&row(shards));
                    (time.value > 0.0).then(|| Prediction {
                        shards,
                        deliveries_per_s: scale(inverse(time), f64::from(shards)),
                        is_extrapolated: true,
                    })
                })
                .collect(),
            is_past_cores: usize::from(most) > cores,
        })
    }
}

fn row(shards: u16) -> Vec<f64> {
    let shards = f64::from(shards);
    vec![1.0, shards - 1.0, shards * (shards - 1.0)]
}

/// Of one over it; without end where it may be 0.
fn inverse(estimate: Estimate) -> Estimate {
    let of = |value: f64| {
        if value > 0.0 {
            1.0 / value
        } else {
            f64::INFINITY
        }
    };
    Estimate {
        value: of(estimate.value),
        low: of(estimate.high),
        high: of(estimate.low),
    }
}

fn scale(estimate: Estimate, factor: f64) -> Estimate {
    Estimate {
        value: estimate.value * factor,
        low: estimate.low * factor,
        high: estimate.high * factor,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn law(shards: u16, lambda: f64, sigma: f64, kappa: f64) -> f64 {
        let n = f64::from(shards);
        lambda * n / (1.0 + sigma * (n - 1.0) + kappa * n * (n - 1.0))
    }

    fn points(shards: &[u16], of: impl Fn(u16) -> f64) -> Vec<Point> {
        shards
            .iter()
            .map(|&shards| Point {
                shards,
                deliveries_per_s: of(shards),
            })
            .collect()
    }

    #[test]
    fn what_was_put_in_comes_out() {
        let points = points(&[1, 2, 4, 8], |n| law(n, 1e6, 0.05, 0.002));
        let usl = Usl::of(&points, 8).expect("enough");
        assert!((usl.lambda.value / 1e6 - 1.0).abs() < 1e-6, "{usl:?}");
        assert!((usl.sigma.value - 0.05).abs() < 1e-6);
        assert!((usl.kappa.value - 0.002).abs() < 1e-6);
        assert!((usl.peak_shards.expect("a peak") - 21.79).abs() < 0.01);
        let [at_16, at_32] = usl.predictions[..] else {
            panic!("two predictions");
        };
        let there = law(16, 1e6, 0.05, 0.002);
        assert!((at_16.deliveries_per_s.value / there - 1.0).abs() < 1e-6);
        assert!(at_32.is_extrapolated && at_32.shards == 32);
        assert!(!usl.is_past_cores);
        assert!(Usl::of(&points, 7).expect("enough").is_past_cores);
    }

    #[test]
    fn noise_gives_intervals_that_hold_the_truth() {
        let noisy = |round: u32| {
            points(&[1, 2, 4], |n| {
                let noise = if (u32::from(n) + round).is_multiple_of(2) {
                    1.01
                } else {
                    0.99
                };
                law(n, 5e5, 0.1, 0.01) * noise
            })
        };
        let both = [noisy(0), noisy(1)].concat();
        let usl = Usl::of(&both, 4).expect("enough");
        for (estimate, truth) in [(usl.lambda, 5e5), (usl.sigma, 0.1), (usl.kappa, 0.01)] {
            assert!(
                estimate.low <= truth && truth <= estimate.high,
                "{estimate:?}"
            );
            assert!(estimate.low < estimate.high);
        }
    }

    #[test]
    fn too_few_shard_counts_or_trials_are_no_law() {
        let of = |shards: &[u16]| points(shards, |n| law(n, 1e6, 0.05, 0.0));
        assert!(Usl::of(&of(&[1, 2, 1, 2]), 4).is_none());
        // Three points fit three unknowns exactly and say nothing of the error.
        assert!(Usl::of(&of(&[1, 2, 4]), 4).is_none());
        assert!(Usl::of(&of(&[1, 2, 4, 4]), 4).is_some());
        assert!(Usl::of(&[], 4).is_none());
    }

    #[test]
    fn perfect_growth_has_no_peak() {
        let usl = Usl::of(&points(&[1, 2, 3, 4], |n| 1e6 * f64::from(n)), 4).expect("enough");
        assert!(usl.sigma.value.abs() < 1e-9 && usl.kappa.value.abs() < 1e-9);
        assert!(usl.peak_shards.is_none_or(|peak| peak > 1e3));
    }
}
