//! What was measured in one second, for series and interval logs.

use std::time::Duration;

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

/// One histogram of one span of time. Those of one tag follow each other
/// without overlap; a span in which nothing was measured may be left out.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Interval {
    /// From the start of the run.
    pub(crate) start: Duration,
    /// Of the span.
    pub(crate) length: Duration,
    /// What the histogram is of.
    pub(crate) tag: Tag,
    /// Nanoseconds.
    pub(crate) histogram: Histogram<u64>,
}

/// What a histogram is of; in JSON and in logs by these names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Tag {
    /// From when a broadcast was due to its delivery.
    Corrected,
    /// From when a broadcast was sent to its delivery.
    Raw,
    /// From the start of a connection to `:connected`.
    Connect,
    /// From the request to `:subscribed`.
    Subscribe,
    /// From the token to `:authenticated`.
    Authenticate,
    /// From leaving on purpose, or from a storm, to being subscribed again.
    Comeback,
    /// From when a trigger was due to its arrival at a worker.
    Trigger,
    /// From when a trigger was due to the arrival of the worker's reply.
    Reply,
}
