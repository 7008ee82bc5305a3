//! Interval logs in HdrHistogram's own format (version 1.3), which its other
//! tools read: one line for each span and tag, times in seconds.

use std::io::{self, Write};
use std::time::SystemTime;

use hdrhistogram::serialization::V2DeflateSerializer;
use hdrhistogram::serialization::interval_log::{self, IntervalLogWriterBuilder};

use super::{Interval, Tag};

/// Histograms hold nanoseconds; the log's `Interval_Max` is in milliseconds.
pub(crate) const NANOSECONDS_PER_MILLISECOND: f64 = 1e6;

/// The first line, by which tools know the format.
pub(crate) const FORMAT: &[u8] = b"#[Histogram log format version 1.3]\n";

/// Writes `intervals` of a run that began at `started`.
///
/// # Errors
/// What the writer refuses.
pub(crate) fn write(
    out: &mut impl Write,
    started: SystemTime,
    intervals: &[Interval],
) -> io::Result<()> {
    out.write_all(FORMAT)?;
    let mut serializer = V2DeflateSerializer::new();
    let mut builder = IntervalLogWriterBuilder::new();
    builder
        .add_comment("WebRocket loadgen: nanoseconds, by tag")
        .with_start_time(started)
        .with_base_time(started)
        .with_max_value_divisor(NANOSECONDS_PER_MILLISECOND);
    let mut log = builder.begin_log_with(out, &mut serializer)?;
    for interval in intervals {
        let tag = interval_log::Tag::new(interval.tag.as_str());
        log.write_histogram(&interval.histogram, interval.start, interval.length, tag)
            .map_err(|error| io::Error::other(error.to_string()))?;
    }
    Ok(())
}

impl Tag {
    /// As in logs and in the JSON.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Corrected => "corrected",
            Self::Raw => "raw",
            Self::Connect => "connect",
            Self::Subscribe => "subscribe",
            Self::Authenticate => "authenticate",
            Self::Comeback => "comeback",
            Self::Trigger => "trigger",
            Self::Reply => "reply",
        }
    }
}
