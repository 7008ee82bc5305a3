//! Interval logs of several machines, or of several runs, as one.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::Path;
use std::time::{Duration, UNIX_EPOCH};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hdrhistogram::Histogram;
use hdrhistogram::serialization::interval_log::{
    IntervalLogIterator, IntervalLogWriterBuilder, LogEntry, LogIteratorError, Tag,
};
use hdrhistogram::serialization::{Deserializer, V2DeflateSerializer};

use super::{MergeError, Text, write};
use crate::report::{Distribution, LOG_FORMAT, NANOSECONDS_PER_MILLISECOND, Table};

/// A log whose lines are whole.
struct Log<'a> {
    path: &'a Path,
    text: String,
}

/// One line: a histogram that is still packed.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Line<'a> {
    /// Second since 1970 in which the span began; what began in the same one is merged.
    second: u64,
    tag: &'a str,
    start: Duration,
    length: Duration,
    packed: &'a str,
    log: usize,
    /// Of `packed` in the log's text.
    offset: usize,
}

/// Merges, writes and tells the percentiles.
///
/// # Errors
/// Nothing is written, or not all of it.
pub(super) fn merge(texts: Vec<Text<'_>>, output: Option<&Path>) -> Result<(), MergeError> {
    let logs: Vec<Log<'_>> = texts.into_iter().map(Log::of).collect();
    let mut lines = Vec::new();
    for (number, log) in logs.iter().enumerate() {
        log.lines(number, &mut lines)?;
    }
    lines.sort_unstable();
    let mut totals = BTreeMap::new();
    let mut merged = Vec::new();
    write_merged(&logs, &lines, &mut merged, &mut totals)?;
    if let Some(path) = output {
        write(path, &merged)?;
    }
    let rows: Vec<_> = totals
        .iter()
        .map(|(tag, total)| {
            let label = if tag.is_empty() { "(no tag)" } else { tag };
            (label.to_owned(), Distribution::new(total))
        })
        .collect();
    write!(io::stdout().lock(), "{}", Table(&rows))?;
    Ok(())
}

/// One histogram is unpacked at a time, whatever the logs' size.
fn write_merged(
    logs: &[Log<'_>],
    lines: &[Line<'_>],
    out: &mut Vec<u8>,
    totals: &mut BTreeMap<String, Histogram<u64>>,
) -> Result<(), MergeError> {
    let base = lines
        .iter()
        .map(|line| line.start)
        .min()
        .unwrap_or_default();
    out.extend_from_slice(LOG_FORMAT);
    let mut serializer = V2DeflateSerializer::new();
    let mut builder = IntervalLogWriterBuilder::new();
    builder
        .add_comment("WebRocket loadgen: merged; nanoseconds, by tag")
        .with_start_time(UNIX_EPOCH + base)
        .with_base_time(UNIX_EPOCH + base)
        .with_max_value_divisor(NANOSECONDS_PER_MILLISECOND);
    let mut log = builder.begin_log_with(out, &mut serializer)?;
    for span in lines.chunk_by(|a, b| (a.second, a.tag) == (b.second, b.tag)) {
        let mut sum = span[0].unpack(logs)?;
        for line in &span[1..] {
            add(&mut sum, &line.unpack(logs)?);
        }
        let length = span.iter().map(|line| line.length).max();
        let tag = Tag::new(span[0].tag).filter(|tag| !tag.as_str().is_empty());
        log.write_histogram(
            &sum,
            span[0].start.saturating_sub(base),
            length.unwrap_or_default(),
            tag,
        )
        .map_err(|error| io::Error::other(error.to_string()))?;
        match totals.get_mut(span[0].tag) {
            Some(total) => add(total, &sum),
            None => drop(totals.insert(span[0].tag.to_owned(), sum)),
        }
    }
    Ok(())
}

/// Other logs may have other bounds.
fn add(sum: &mut Histogram<u64>, other: &Histogram<u64>) {
    sum.auto(true);
    // One that resizes takes every value.
    let _ = sum.add(other);
}

impl<'a> Log<'a> {
    fn of(Text { path, mut text }: Text<'a>) -> Self {
        // Of a log that was cut short only whole lines count.
        if !text.ends_with('\n') {
            let whole = text.rfind('\n').map_or(0, |at| at + 1);
            text.truncate(whole);
        }
        Self { path, text }
    }

    fn lines<'b>(&'b self, log: usize, lines: &mut Vec<Line<'b>>) -> Result<(), MergeError> {
        let mut base = Duration::ZERO;
        let mut started = Duration::ZERO;
        let before = lines.len();
        for entry in IntervalLogIterator::new(self.text.as_bytes()) {
            match entry {
                Ok(LogEntry::StartTime(time)) => started = time,
                Ok(LogEntry::BaseTime(time)) => base = time,
                Ok(LogEntry::Interval(interval)) => {
                    // Without a base, times that are small count from the start.
                    let mut start = interval.start_timestamp() + base;
                    if base.is_zero() && start < started {
                        start += started;
                    }
                    let packed = interval.encoded_histogram();
                    lines.push(Line {
                        second: start.as_secs(),
                        tag: interval.tag().map_or("", |tag| tag.as_str()),
                        start,
                        length: interval.duration(),
                        packed,
                        log,
                        offset: packed.as_ptr().addr() - self.text.as_ptr().addr(),
                    });
                }
                Err(LogIteratorError::ParseError { offset }) => {
                    return Err(MergeError::Line {
                        path: self.path.to_owned(),
                        line: line_at(&self.text, offset),
                    });
                }
            }
        }
        if lines.len() == before {
            return Err(MergeError::Empty {
                path: self.path.to_owned(),
            });
        }
        Ok(())
    }
}

impl Line<'_> {
    fn unpack(&self, logs: &[Log<'_>]) -> Result<Histogram<u64>, MergeError> {
        let bytes = STANDARD.decode(self.packed).ok();
        let histogram =
            bytes.and_then(|bytes| Deserializer::new().deserialize(&mut bytes.as_slice()).ok());
        histogram.ok_or_else(|| {
            let Log { path, text } = &logs[self.log];
            MergeError::Histogram {
                path: path.to_path_buf(),
                line: line_at(text, self.offset),
            }
        })
    }
}

fn line_at(text: &str, offset: usize) -> usize {
    let before = text.as_bytes().get(..offset).unwrap_or_default();
    1 + before.iter().filter(|byte| **byte == b'\n').count()
}

#[cfg(test)]
mod tests;
