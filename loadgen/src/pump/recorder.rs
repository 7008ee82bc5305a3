//! Histograms and counts of one thread: of the whole run, and span by span.

use hdrhistogram::Histogram;
use hdrhistogram::serialization::{Deserializer, Serializer, V2DeflateSerializer};

use crate::limits::{LATENCY_MAX, SPANS_MAX};
use crate::report::Tag;
use crate::timeline::nanoseconds;

/// Records into the span that is under way; a span that is over is folded into
/// the whole and kept in HdrHistogram's compressed form, so that a day of
/// spans stays small.
#[derive(Debug)]
pub(crate) struct Recorder {
    current: Histograms,
    counts: Counts,
    whole: Histograms,
    spans: Vec<Span>,
    span_ns: u64,
    /// When the span that is under way ends.
    end_ns: u64,
    packer: Packer,
}

/// Holds buffers and nothing to show.
struct Packer(V2DeflateSerializer);

impl std::fmt::Debug for Packer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Packer")
    }
}

/// What happened in one span of time; each is [`Recorder::span_ns`] long.
#[derive(Clone, Debug, Default)]
pub(crate) struct Span {
    pub(crate) counts: Counts,
    packed: Vec<(Tag, Vec<u8>)>,
}

/// By the time at which it happened, whether it counts or not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) subscribed: u64,
    pub(crate) failed: u64,
    /// Connections that ended after their subscription.
    pub(crate) ended: u64,
    pub(crate) sent: u64,
    /// Broadcasts that left more than a moment late.
    pub(crate) missed_ticks: u64,
    pub(crate) delivered: u64,
    pub(crate) received_bytes: u64,
}

/// Nanoseconds, three digits of them exact.
#[derive(Clone, Debug)]
pub(crate) struct Histograms {
    /// From when a broadcast was due to its delivery.
    pub(crate) corrected: Histogram<u64>,
    /// From when it was sent to its delivery.
    pub(crate) raw: Histogram<u64>,
    /// From the start of a connection to `:connected`.
    pub(crate) connect: Histogram<u64>,
    /// From the request to `:subscribed`.
    pub(crate) subscribe: Histogram<u64>,
    /// From the token to `:authenticated`.
    pub(crate) authenticate: Histogram<u64>,
    /// From when a trigger was due to its arrival at a worker.
    pub(crate) trigger: Histogram<u64>,
    /// From when a trigger was due to the arrival of the worker's reply.
    pub(crate) reply: Histogram<u64>,
    /// From leaving, or the storm, to being subscribed again.
    pub(crate) comeback: Histogram<u64>,
    /// From when a broadcast was due to when it was sent.
    pub(crate) lateness: Histogram<u64>,
    /// From the kernel's word that a client can be read to its reading.
    pub(crate) receive_lag: Histogram<u64>,
}

impl Recorder {
    /// From the start of the run, in spans of `span_ns`.
    pub(crate) fn new(span_ns: u64) -> Self {
        Self {
            current: Histograms::new(),
            counts: Counts::default(),
            whole: Histograms::new(),
            spans: Vec::new(),
            span_ns,
            end_ns: span_ns,
            packer: Packer(V2DeflateSerializer::new()),
        }
    }

    /// Ends the spans that are over. To be called before anything is recorded
    /// of a new turn.
    pub(crate) fn handle_time(&mut self, now_ns: u64) {
        while now_ns >= self.end_ns && self.spans.len() < SPANS_MAX {
            self.end_span();
        }
    }

    /// The span that is under way.
    pub(crate) fn histograms(&mut self) -> &mut Histograms {
        &mut self.current
    }

    /// The span that is under way.
    pub(crate) fn counts(&mut self) -> &mut Counts {
        &mut self.counts
    }

    /// Ends the last span; gives the whole and the spans.
    pub(crate) fn finish(&mut self) -> Recorded {
        self.end_span();
        Recorded {
            whole: std::mem::replace(&mut self.whole, Histograms::new()),
            spans: std::mem::take(&mut self.spans),
            span_ns: self.span_ns,
        }
    }

    fn end_span(&mut self) {
        let mut packed = Vec::new();
        for (tag, histogram) in self.current.tagged() {
            if histogram.is_empty() {
                continue;
            }
            let mut bytes = Vec::new();
            // Writing to memory does not fail.
            if self.packer.0.serialize(histogram, &mut bytes).is_ok() {
                packed.push((tag, bytes));
            }
        }
        self.whole.add(&self.current);
        self.current.clear();
        let counts = std::mem::take(&mut self.counts);
        self.spans.push(Span { counts, packed });
        self.end_ns += self.span_ns;
    }
}

/// What a recorder brings home.
#[derive(Debug)]
pub(crate) struct Recorded {
    pub(crate) whole: Histograms,
    /// From the start of the run, without gaps.
    pub(crate) spans: Vec<Span>,
    /// How long each is.
    pub(crate) span_ns: u64,
}

impl Span {
    /// Unpacks what was packed.
    pub(crate) fn histograms(&self) -> impl Iterator<Item = (Tag, Histogram<u64>)> + '_ {
        let mut unpacker = Deserializer::new();
        self.packed.iter().filter_map(move |(tag, bytes)| {
            let histogram = unpacker.deserialize(&mut bytes.as_slice()).ok()?;
            Some((*tag, histogram))
        })
    }
}

impl Counts {
    pub(crate) fn add(&mut self, other: &Self) {
        self.subscribed += other.subscribed;
        self.failed += other.failed;
        self.ended += other.ended;
        self.sent += other.sent;
        self.missed_ticks += other.missed_ticks;
        self.delivered += other.delivered;
        self.received_bytes += other.received_bytes;
    }
}

impl Histograms {
    /// One of them.
    pub(crate) fn empty() -> Histogram<u64> {
        Histogram::new_with_bounds(1, nanoseconds(LATENCY_MAX), 3)
            .expect("from 1 to more than 2, with 3 digits of at most 5")
    }

    pub(crate) fn new() -> Self {
        let histogram = Self::empty();
        Self {
            corrected: histogram.clone(),
            raw: histogram.clone(),
            connect: histogram.clone(),
            subscribe: histogram.clone(),
            authenticate: histogram.clone(),
            trigger: histogram.clone(),
            reply: histogram.clone(),
            comeback: histogram.clone(),
            lateness: histogram.clone(),
            receive_lag: histogram,
        }
    }

    /// Those that are told span by span.
    fn tagged(&self) -> [(Tag, &Histogram<u64>); 8] {
        [
            (Tag::Corrected, &self.corrected),
            (Tag::Raw, &self.raw),
            (Tag::Connect, &self.connect),
            (Tag::Subscribe, &self.subscribe),
            (Tag::Authenticate, &self.authenticate),
            (Tag::Trigger, &self.trigger),
            (Tag::Reply, &self.reply),
            (Tag::Comeback, &self.comeback),
        ]
    }

    pub(crate) fn add(&mut self, other: &Self) {
        let pairs = self.all().into_iter().zip(other.shared());
        for (mine, theirs) in pairs.filter(|(_, theirs)| !theirs.is_empty()) {
            // Both have the same bounds, so every value fits.
            let _ = mine.add(theirs);
        }
    }

    fn clear(&mut self) {
        for histogram in self.all() {
            if !histogram.is_empty() {
                histogram.reset();
            }
        }
    }

    fn all(&mut self) -> [&mut Histogram<u64>; 10] {
        [
            &mut self.corrected,
            &mut self.raw,
            &mut self.connect,
            &mut self.subscribe,
            &mut self.authenticate,
            &mut self.trigger,
            &mut self.reply,
            &mut self.comeback,
            &mut self.lateness,
            &mut self.receive_lag,
        ]
    }

    fn shared(&self) -> [&Histogram<u64>; 10] {
        [
            &self.corrected,
            &self.raw,
            &self.connect,
            &self.subscribe,
            &self.authenticate,
            &self.trigger,
            &self.reply,
            &self.comeback,
            &self.lateness,
            &self.receive_lag,
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_and_whole_hold_the_same() {
        let mut recorder = Recorder::new(10);
        for (now_ns, latency_ns) in [(0, 5), (9, 6), (10, 7), (35, 8)] {
            recorder.handle_time(now_ns);
            recorder
                .histograms()
                .corrected
                .saturating_record(latency_ns);
            recorder.counts().delivered += 1;
        }
        let recorded = recorder.finish();
        let counts: Vec<u64> = recorded
            .spans
            .iter()
            .map(|it| it.counts.delivered)
            .collect();
        assert_eq!(counts, [2, 1, 0, 1]);
        assert_eq!(recorded.whole.corrected.len(), 4);
        let seen: Vec<(Tag, u64)> = recorded.spans[0]
            .histograms()
            .map(|(tag, histogram)| (tag, histogram.max()))
            .collect();
        assert_eq!(seen, [(Tag::Corrected, 6)]);
        assert_eq!(recorded.spans[2].histograms().count(), 0);
    }

    #[test]
    fn spans_at_the_bound_and_past_it() {
        let mut recorder = Recorder::new(1);
        recorder.handle_time(SPANS_MAX as u64 + 1000);
        recorder.counts().sent += 1;
        let recorded = recorder.finish();
        // The last takes what the bound leaves over.
        assert_eq!(recorded.spans.len(), SPANS_MAX + 1);
        assert_eq!(recorded.spans[SPANS_MAX].counts.sent, 1);
    }
}
