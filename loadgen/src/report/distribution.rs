//! A histogram as the report tells it: its percentiles, and the whole of it for
//! whoever merges reports.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hdrhistogram::Histogram;
use hdrhistogram::serialization::{Deserializer, Serializer, V2DeflateSerializer};
use serde::de::Error as _;
use serde::ser::Error as _;
use serde::{Deserialize, Serialize};

use super::Incompatible;

/// Durations. Held in nanoseconds; percentiles are told in microseconds.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Distribution(Histogram<u64>);

/// The JSON. `histogram` is HdrHistogram's compressed form (V2), in base64, of nanoseconds.
#[derive(Serialize, Deserialize)]
struct Form {
    count: u64,
    min_us: f64,
    mean_us: f64,
    p50_us: f64,
    p90_us: f64,
    p99_us: f64,
    p99_9_us: f64,
    p99_99_us: f64,
    max_us: f64,
    histogram: String,
}

impl Distribution {
    /// Of nanoseconds.
    pub(crate) fn new(histogram: &Histogram<u64>) -> Self {
        Self(histogram.clone())
    }

    /// Of nanoseconds.
    pub(crate) fn histogram(&self) -> &Histogram<u64> {
        &self.0
    }

    /// Adds what another holds.
    ///
    /// # Errors
    /// It holds what is past the bounds of this one.
    pub(super) fn add(&mut self, other: &Self) -> Result<(), Incompatible> {
        Ok(self.0.add(&other.0)?)
    }

    /// In microseconds; `percentile` from 0 to 100.
    pub(crate) fn at_us(&self, percentile: f64) -> f64 {
        microseconds(self.0.value_at_percentile(percentile))
    }

    /// In microseconds.
    pub(crate) fn max_us(&self) -> f64 {
        microseconds(self.0.max())
    }
}

impl Serialize for Distribution {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut bytes = Vec::new();
        V2DeflateSerializer::new()
            .serialize(&self.0, &mut bytes)
            .map_err(S::Error::custom)?;
        let form = Form {
            count: self.0.len(),
            min_us: microseconds(self.0.min()),
            mean_us: self.0.mean() / 1000.0,
            p50_us: self.at_us(50.0),
            p90_us: self.at_us(90.0),
            p99_us: self.at_us(99.0),
            p99_9_us: self.at_us(99.9),
            p99_99_us: self.at_us(99.99),
            max_us: self.max_us(),
            histogram: STANDARD.encode(bytes),
        };
        form.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Distribution {
    /// Only the histogram is read: the rest follows from it.
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let form = Form::deserialize(deserializer)?;
        let bytes = STANDARD.decode(form.histogram).map_err(D::Error::custom)?;
        Deserializer::new()
            .deserialize(&mut bytes.as_slice())
            .map(Self)
            .map_err(D::Error::custom)
    }
}

pub(super) fn microseconds(ns: u64) -> f64 {
    ns as f64 / 1000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let mut histogram = Histogram::new_with_bounds(1, 60_000_000_000, 3).expect("bounds");
        for ns in [1_000, 2_000, 50_000_000_000] {
            histogram.record(ns).expect("in bounds");
        }
        let written = Distribution::new(&histogram);
        let json = serde_json::to_value(&written).expect("JSON");
        assert_eq!(json["count"], 3);
        assert_eq!(json["p50_us"], 2.0);
        let read: Distribution = serde_json::from_value(json).expect("its own form");
        assert_eq!(read, written);
    }

    #[test]
    fn damage_is_refused() {
        let empty = Distribution::new(&Histogram::new(3).expect("three digits"));
        let mut json = serde_json::to_value(&empty).expect("JSON");
        for bad in ["", "HISTF", "!", "AAAA"] {
            json["histogram"] = bad.into();
            assert!(
                serde_json::from_value::<Distribution>(json.clone()).is_err(),
                "{bad}"
            );
        }
    }
}
