//! A run of the shape that was recorded.

use super::{Shape, Span};
use crate::limits::{DATA_BYTES_MAX, DELIVERY_AROUND_BYTES};
use crate::pace::Step;
use crate::payload::DATA_BYTES_MIN;

/// What a run does to have the shape of another's traffic.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Replay {
    /// As many as were connected at the most.
    pub(crate) clients: u32,
    /// So many that a broadcast reaches as many clients as it did.
    pub(crate) channels: u32,
    /// Bytes of the data of a broadcast, so that a delivery is as long as it was.
    pub(crate) data_bytes: usize,
    /// Broadcasts a second, span by span.
    pub(crate) broadcasts: Vec<Step>,
    /// Triggers a second, span by span.
    pub(crate) triggers: Vec<Step>,
    /// Connections a second that ended and were made anew.
    pub(crate) churn: f64,
    /// The length of all spans.
    pub(crate) length_s: f64,
}

impl Replay {
    /// `clients` times as many of them, everything `speed` times as fast.
    pub(crate) fn of(shape: &Shape, clients: f64, speed: f64) -> Self {
        let spans = &shape.spans;
        let sum = |of: fn(&Span) -> u64| spans.iter().map(of).sum::<u64>() as f64;
        let most = spans.iter().map(|span| span.frontends).max().unwrap_or(1);
        let scaled = ((most as f64 * clients).round()).clamp(1.0, f64::from(u32::MAX));
        let (broadcasts, deliveries) = (sum(|it| it.broadcasts), sum(|it| it.deliveries));
        // Of each broadcast's recipients; at least itself.
        let fan_out = (deliveries / broadcasts.max(1.0)).max(1.0);
        // All clients of the run are there all the time.
        let channels = (scaled / fan_out).round().clamp(1.0, scaled);
        let delivery_bytes = sum(|it| it.sent_bytes) / deliveries.max(1.0);
        let data_bytes = (delivery_bytes.round() as usize).saturating_sub(DELIVERY_AROUND_BYTES);
        let length_s = spans.iter().map(|span| span.length_s).sum::<f64>();
        let first = spans.first().map_or(0, |span| span.frontends) as f64;
        let last = spans.last().map_or(0, |span| span.frontends) as f64;
        let renewed = (sum(|it| it.connects) - (last - first).max(0.0)).max(0.0);
        Self {
            clients: scaled as u32,
            channels: channels as u32,
            data_bytes: data_bytes.clamp(DATA_BYTES_MIN, DATA_BYTES_MAX),
            broadcasts: steps(spans, clients, speed, |span| span.broadcasts),
            triggers: steps(spans, clients, speed, |span| span.triggers),
            churn: renewed * clients * speed / length_s.max(f64::MIN_POSITIVE),
            length_s: length_s / speed,
        }
    }
}

impl Replay {
    /// Nothing was broadcast.
    pub(crate) fn is_silent(&self) -> bool {
        self.broadcasts.iter().all(|step| step.rate == 0.0)
    }
}

/// Of steps that last `length_s` together.
pub(crate) fn mean_rate(steps: &[Step], length_s: f64) -> f64 {
    let ends = steps.iter().skip(1).map(|step| step.start_ns);
    let ends = ends.chain([(length_s * 1e9) as u64]);
    let sum: f64 = steps
        .iter()
        .zip(ends)
        .map(|(step, end_ns)| step.rate * end_ns.saturating_sub(step.start_ns) as f64)
        .sum();
    sum / (length_s * 1e9)
}

/// The fan-out stays what it was, so twice the clients have twice the channels
/// and send twice as much.
fn steps(spans: &[Span], clients: f64, speed: f64, of: fn(&Span) -> u64) -> Vec<Step> {
    let mut start_s = 0.0;
    let mut steps = Vec::with_capacity(spans.len());
    for span in spans {
        steps.push(Step {
            start_ns: (start_s / speed * 1e9) as u64,
            rate: of(span) as f64 / span.length_s * clients * speed,
        });
        start_s += span.length_s;
    }
    steps
}
