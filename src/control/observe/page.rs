use std::fmt;

use prometheus_client::encoding::{
    DescriptorEncoder, EncodeCounterValue, EncodeGaugeValue, EncodeLabelSet, NoLabelSet,
};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Unit;

use crate::meter::Histogram;

/// Histograms are shown with a bucket per power of two microseconds, from
/// sixteen on: what is finer is in `GET /stats.json`.
const BUCKET_BITS: std::ops::RangeInclusive<u32> = 4..=26;

pub(super) const NO_LABELS: [(&str, &str); 0] = [];

pub(super) fn seconds(us: u64) -> f64 {
    us as f64 / 1e6
}

/// Writes one family of metrics after the other.
pub(super) struct Page<'a>(pub(super) DescriptorEncoder<'a>);

impl Page<'_> {
    pub(super) fn counter(
        &mut self,
        name: &str,
        help: &str,
        value: impl EncodeCounterValue,
    ) -> fmt::Result {
        self.counters(name, help, None, [(NO_LABELS, value)])
    }

    pub(super) fn gauge(
        &mut self,
        name: &str,
        help: &str,
        value: impl EncodeGaugeValue,
    ) -> fmt::Result {
        self.gauges(name, help, None, [(NO_LABELS, value)])
    }

    pub(super) fn counters<L: EncodeLabelSet, V: EncodeCounterValue>(
        &mut self,
        name: &str,
        help: &str,
        unit: Option<&Unit>,
        rows: impl IntoIterator<Item = (L, V)>,
    ) -> fmt::Result {
        let kind = MetricType::Counter;
        let mut family = self.0.encode_descriptor(name, help, unit, kind)?;
        for (labels, value) in rows {
            family
                .encode_family(&labels)?
                .encode_counter::<NoLabelSet, _, u64>(&value, None)?;
        }
        Ok(())
    }

    pub(super) fn gauges<L: EncodeLabelSet, V: EncodeGaugeValue>(
        &mut self,
        name: &str,
        help: &str,
        unit: Option<&Unit>,
        rows: impl IntoIterator<Item = (L, V)>,
    ) -> fmt::Result {
        let kind = MetricType::Gauge;
        let mut family = self.0.encode_descriptor(name, help, unit, kind)?;
        for (labels, value) in rows {
            family.encode_family(&labels)?.encode_gauge(&value)?;
        }
        Ok(())
    }

    /// Histograms of microseconds, in seconds.
    pub(super) fn histograms<'h, L: EncodeLabelSet>(
        &mut self,
        name: &str,
        help: &str,
        rows: impl IntoIterator<Item = (L, &'h Histogram)>,
    ) -> fmt::Result {
        let (unit, kind) = (Some(&Unit::Seconds), MetricType::Histogram);
        let mut family = self.0.encode_descriptor(name, help, unit, kind)?;
        for (labels, histogram) in rows {
            let buckets = octaves(histogram);
            let count = buckets.iter().map(|(_, count)| count).sum();
            family
                .encode_family(&labels)?
                .encode_histogram::<NoLabelSet>(seconds(histogram.sum()), count, &buckets, None)?;
        }
        Ok(())
    }
}

/// How many values lie between two powers of two, by the upper one in seconds.
fn octaves(histogram: &Histogram) -> Vec<(f64, u64)> {
    let mut fine = histogram.buckets().peekable();
    let mut octaves = Vec::new();
    for bits in BUCKET_BITS {
        let bound = 1_u64 << bits;
        let mut count = 0;
        while let Some((_, more)) =
            fine.next_if(|(largest, _)| largest.is_some_and(|it| it < bound))
        {
            count += more;
        }
        octaves.push((seconds(bound), count));
    }
    let rest = fine.map(|(_, count)| count).sum();
    octaves.push((f64::INFINITY, rest));
    octaves
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn octaves_hold_what_is_below_their_bound() {
        let histogram = Histogram::default();
        for us in [0, 15, 16, 1023, 1024, (1 << 26) - 1, 1 << 26, u64::MAX / 2] {
            histogram.record(us);
        }
        let filled: Vec<_> = octaves(&histogram)
            .into_iter()
            .filter(|(_, count)| *count > 0)
            .collect();
        let expected = [
            (0.000_016, 2),
            (0.000_032, 1),
            (0.001_024, 1),
            (0.002_048, 1),
            (67.108_864, 1),
            (f64::INFINITY, 2),
        ];
        assert_eq!(filled, expected);
    }
}
