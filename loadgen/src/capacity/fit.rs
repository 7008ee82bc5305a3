//! Least squares on a handful of unknowns, with the intervals that belong to it.

use nalgebra::{DMatrix, DVector};

/// A linear model that was fitted: `y = sum(coefficients * x)`.
#[derive(Clone, Debug)]
pub(super) struct Fit {
    pub(super) coefficients: Vec<f64>,
    /// Inverse of the information matrix.
    covariance: DMatrix<f64>,
    /// Of one observation about the model.
    variance: f64,
    /// Observations beyond the unknowns.
    freedom: usize,
}

/// A figure and how far it may be off, with 95 % confidence.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub(super) struct Estimate {
    pub(super) value: f64,
    pub(super) low: f64,
    pub(super) high: f64,
}

impl Fit {
    /// Of rows of `x` to values of `y`; `None` where they are too few or say
    /// the same, so that nothing could be told of the error.
    pub(super) fn of(x: &[Vec<f64>], y: &[f64]) -> Option<Self> {
        let unknowns = x.first()?.len();
        let freedom = x.len().checked_sub(unknowns).filter(|it| *it > 0)?;
        let rows = DMatrix::from_fn(x.len(), unknowns, |row, column| x[row][column]);
        // Columns of one size: connections and seconds differ by millions.
        let scales: Vec<f64> = rows.column_iter().map(|column| column.amax()).collect();
        if scales
            .iter()
            .any(|scale| !scale.is_finite() || *scale == 0.0)
        {
            return None;
        }
        let scaled = DMatrix::from_fn(x.len(), unknowns, |row, column| {
            x[row][column] / scales[column]
        });
        let information = scaled.transpose() * &scaled;
        if information.clone().svd(false, false).rank(1e-9) < unknowns {
            return None;
        }
        let inverse = information.try_inverse()?;
        let values = DVector::from_column_slice(y);
        let solution = &inverse * scaled.transpose() * &values;
        let residual = &values - &scaled * &solution;
        let unscale =
            |row: usize, column: usize| inverse[(row, column)] / (scales[row] * scales[column]);
        Some(Self {
            coefficients: solution
                .iter()
                .zip(&scales)
                .map(|(it, scale)| it / scale)
                .collect(),
            covariance: DMatrix::from_fn(unknowns, unknowns, unscale),
            variance: residual.norm_squared() / freedom as f64,
            freedom,
        })
    }

    /// One more observation at `x` falls into this interval.
    pub(super) fn predict(&self, x: &[f64]) -> Estimate {
        let row = DVector::from_column_slice(x);
        let value: f64 = row.iter().zip(&self.coefficients).map(|(x, c)| x * c).sum();
        let spread = (row.transpose() * &self.covariance * &row)[(0, 0)];
        self.estimate(value, self.variance * (1.0 + spread))
    }

    /// The mean of many observations at `x` falls into this interval.
    pub(super) fn mean(&self, x: &[f64]) -> Estimate {
        let row = DVector::from_column_slice(x);
        let value: f64 = row.iter().zip(&self.coefficients).map(|(x, c)| x * c).sum();
        let spread = (row.transpose() * &self.covariance * &row)[(0, 0)];
        self.estimate(value, self.variance * spread)
    }

    /// One coefficient over another, by the delta method.
    pub(super) fn ratio(&self, of: usize, to: usize) -> Estimate {
        let value = self.coefficients[of] / self.coefficients[to];
        let covariance = |a: usize, b: usize| self.variance * self.covariance[(a, b)];
        let spread = covariance(of, of) + value * value * covariance(to, to)
            - 2.0 * value * covariance(of, to);
        let square = self.coefficients[to] * self.coefficients[to];
        self.estimate(value, spread.max(0.0) / square)
    }

    fn estimate(&self, value: f64, variance: f64) -> Estimate {
        let error = variance.sqrt() * student(self.freedom);
        Estimate {
            value,
            low: value - error,
            high: value + error,
        }
    }

    /// A coefficient and its interval.
    pub(super) fn coefficient(&self, number: usize) -> Estimate {
        let value = self.coefficients[number];
        let variance = self.variance * self.covariance[(number, number)];
        self.estimate(value, variance)
    }
}

/// The 97.5th percentile of Student's t distribution; from tables up to 30
/// degrees of freedom, where the normal one is 4 % off.
fn student(freedom: usize) -> f64 {
    const TABLE: [f64; 30] = [
        12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160,
        2.145, 2.131, 2.120, 2.110, 2.101, 2.093, 2.086, 2.080, 2.074, 2.069, 2.064, 2.060, 2.056,
        2.052, 2.048, 2.045, 2.042,
    ];
    match freedom.checked_sub(1) {
        None => f64::INFINITY,
        Some(at) => TABLE.get(at).copied().unwrap_or(2.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_put_in_comes_out() {
        let rows: Vec<Vec<f64>> = (0..12)
            .map(|n| vec![1.0, f64::from(n * 1000), f64::from(n * n % 7) * 50_000.0])
            .collect();
        let y: Vec<f64> = rows
            .iter()
            .map(|x| 0.02 + 3e-6 * x[1] + 4e-6 * x[2])
            .collect();
        let fit = Fit::of(&rows, &y).expect("enough");
        for (found, put) in fit.coefficients.iter().zip([0.02, 3e-6, 4e-6]) {
            assert!((found / put - 1.0).abs() < 1e-6, "{found} for {put}");
        }
        let there = fit.predict(&[1.0, 50_000.0, 1e6]);
        assert!((there.value - 4.17).abs() < 1e-6);
    }

    #[test]
    fn noise_widens_the_interval_and_distance_too() {
        let rows: Vec<Vec<f64>> = (1..=10).map(|n| vec![1.0, f64::from(n)]).collect();
        let y: Vec<f64> = (1..=10)
            .map(|n| f64::from(n) + if n % 2 == 0 { 0.3 } else { -0.3 })
            .collect();
        let fit = Fit::of(&rows, &y).expect("enough");
        let width = |x: f64| {
            let it = fit.predict(&[1.0, x]);
            assert!(it.low < it.value && it.value < it.high);
            it.high - it.low
        };
        assert!(width(5.0) < width(20.0) && width(20.0) < width(100.0));
        let slope = fit.coefficient(1);
        assert!(slope.low < 1.0 && 1.0 < slope.high, "{slope:?}");
    }

    #[test]
    fn too_little_is_not_fitted() {
        let row = |n: f64| vec![1.0, n];
        assert!(Fit::of(&[row(1.0), row(2.0)], &[1.0, 2.0]).is_none());
        assert!(Fit::of(&[row(1.0), row(1.0), row(1.0)], &[1.0, 2.0, 3.0]).is_none());
        assert!(Fit::of(&vec![vec![1.0, 0.0]; 3], &[1.0; 3]).is_none());
        assert!(Fit::of(&[], &[]).is_none());
    }
}
