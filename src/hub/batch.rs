use std::time::Duration;

use super::deflate;
use crate::limits::SPARE_BATCHES_BYTES_MAX;
use crate::meter::{Moment, ShardMeter};
use crate::wire::deflate::{Deflater, Params};

/// Frames of one channel that wait for the end of the turn, in one contiguous
/// buffer: one `send` per subscriber carries them all.
#[derive(Default)]
pub(super) struct Batch {
    bytes: Vec<u8>,
    frames: Vec<Mark>,
    /// Whether a frame is no custom event, so that hidden subscribers get it.
    has_announcements: bool,
    /// The same frames as those who compress get them.
    packed: Vec<Packed>,
}

/// The frames of a batch, compressed for all who share these parameters.
struct Packed {
    params: Params,
    bytes: Vec<u8>,
    /// Where each frame ends in the buffer.
    ends: Vec<usize>,
}

/// One frame of a batch.
#[derive(Clone, Copy)]
struct Mark {
    /// Place among all frames of the shard.
    seq: u64,
    /// Where it ends in the buffer.
    end: u32,
    custom: bool,
    /// When it was accepted from its sender.
    accepted: Moment,
}

/// A buffer that grew past this is not kept for the next turn, or frame.
pub(super) const KEPT_BYTES_MAX: usize = 256 * 1024;

impl Batch {
    pub(super) fn append(&mut self, seq: u64, frame: &[u8], custom: bool, accepted: Moment) {
        self.bytes.extend_from_slice(frame);
        self.frames.push(Mark {
            seq,
            end: self.bytes.len() as u32,
            custom,
            accepted,
        });
        self.has_announcements |= !custom;
    }

    /// Compresses the frames for those of these parameters; tells what that cost.
    pub(super) fn pack(
        &mut self,
        params: Params,
        deflater: &mut Deflater,
        meter: &ShardMeter,
    ) -> usize {
        let mut cost = 0;
        let at = self.packed.iter().position(|it| it.params == params);
        let at = at.unwrap_or_else(|| {
            self.packed.push(Packed {
                params,
                bytes: Vec::new(),
                ends: Vec::new(),
            });
            self.packed.len() - 1
        });
        let packed = &mut self.packed[at];
        for index in packed.ends.len()..self.frames.len() {
            let start = index
                .checked_sub(1)
                .map_or(0, |before| self.frames[before].end as usize);
            let frame = &self.bytes[start..self.frames[index].end as usize];
            let before = packed.bytes.len();
            cost += deflate::cost(frame.len());
            if deflater.write_frame(frame, &mut packed.bytes) {
                meter.compressed.add(1);
                meter.compressed_from_bytes.add(frame.len() as u64);
                let written = packed.bytes.len() - before;
                meter.compressed_to_bytes.add(written as u64);
            }
            packed.ends.push(packed.bytes.len());
        }
        cost
    }

    /// The frames as a subscriber of these parameters gets them; plain where
    /// they have not been compressed.
    fn packed(&self, deflate: Option<Params>) -> Option<&Packed> {
        let params = deflate?;
        let whole = |it: &&Packed| it.params == params && it.ends.len() == self.frames.len();
        self.packed.iter().find(whole)
    }

    pub(super) fn bytes(&self, deflate: Option<Params>) -> &[u8] {
        self.packed(deflate).map_or(&self.bytes, |it| &it.bytes)
    }

    /// How many frames it holds.
    pub(super) fn len(&self) -> usize {
        self.frames.len()
    }

    /// When each of its custom events was accepted.
    pub(super) fn accepted(&self) -> impl Iterator<Item = Moment> {
        let events = self.frames.iter().filter(|mark| mark.custom);
        events.map(|mark| mark.accepted)
    }

    /// Sequence number of the first frame; the largest one where there is none.
    pub(super) fn first_seq(&self) -> u64 {
        self.frames.first().map_or(u64::MAX, |mark| mark.seq)
    }

    /// The frames after `seen`, all kinds, as they lie in the buffer, and how
    /// many they are.
    pub(super) fn since(&self, seen: u64, deflate: Option<Params>) -> (&[u8], usize) {
        let skipped = self.frames.partition_point(|mark| mark.seq <= seen);
        let packed = self.packed(deflate);
        let end = |at: usize| packed.map_or_else(|| self.frames[at].end as usize, |it| it.ends[at]);
        let start = skipped.checked_sub(1).map_or(0, end);
        let bytes = packed.map_or(&self.bytes, |it| &it.bytes);
        (&bytes[start..], self.frames.len() - skipped)
    }

    /// The frames after `seen` that a subscriber gets, with their sequence numbers.
    pub(super) fn frames_since(
        &self,
        seen: u64,
        hidden: bool,
        deflate: Option<Params>,
    ) -> impl Iterator<Item = (u64, &[u8])> {
        let packed = self.packed(deflate);
        let bytes = packed.map_or(&self.bytes, |it| &it.bytes);
        let end =
            move |at: usize| packed.map_or_else(|| self.frames[at].end as usize, |it| it.ends[at]);
        let skipped = self.frames.partition_point(|mark| mark.seq <= seen);
        let none = hidden && !self.has_announcements;
        let range = if none { self.frames.len() } else { skipped }..self.frames.len();
        range.filter_map(move |index| {
            let mark = self.frames[index];
            let start = index.checked_sub(1).map_or(0, end);
            (!(hidden && mark.custom)).then(|| (mark.seq, &bytes[start..end(index)]))
        })
    }

    /// Memory that it takes, empty or not.
    fn bytes_reserved(&self) -> usize {
        let packed = self
            .packed
            .iter()
            .map(|it| it.bytes.capacity() + it.ends.capacity() * size_of::<usize>());
        size_of::<Self>()
            + self.bytes.capacity()
            + self.frames.capacity() * size_of::<Mark>()
            + packed.sum::<usize>()
    }

    pub(super) fn clear(&mut self) {
        self.bytes.clear();
        self.frames.clear();
        self.has_announcements = false;
        if self.bytes.capacity() > KEPT_BYTES_MAX {
            self.bytes = Vec::new();
        }
        self.packed
            .retain(|packed| packed.bytes.capacity() <= KEPT_BYTES_MAX);
        for packed in &mut self.packed {
            packed.bytes.clear();
            packed.ends.clear();
        }
    }
}

const _: () = assert!(size_of::<Mark>() <= 24, "as many as frames");

/// Empty batches with their buffers, so that an idle channel holds none.
#[derive(Default)]
pub(super) struct SpareBatches {
    #[expect(
        clippy::vec_box,
        reason = "they move between here and the channels as they are"
    )]
    batches: Vec<Box<Batch>>,
    bytes: usize,
    /// How many of them nobody has needed since [`Self::trim`] was last at work.
    unused: usize,
    trimmed_us: u64,
}

/// Time after which batches are freed that nobody has needed.
const UNUSED_MAX: Duration = Duration::from_secs(1);

impl SpareBatches {
    pub(super) fn take(&mut self) -> Box<Batch> {
        let Some(batch) = self.batches.pop() else {
            return Box::default();
        };
        self.bytes -= batch.bytes_reserved();
        self.unused = self.unused.min(self.batches.len());
        batch
    }

    /// Keeps the batch for the next channel, where there is room.
    pub(super) fn keep(&mut self, mut batch: Box<Batch>) {
        batch.clear();
        let bytes = self.bytes + batch.bytes_reserved();
        if bytes <= SPARE_BATCHES_BYTES_MAX {
            self.bytes = bytes;
            self.batches.push(batch);
        }
    }

    /// Frees what a burst has left behind.
    pub(super) fn trim(&mut self, now_us: u64) {
        if u128::from(now_us.saturating_sub(self.trimmed_us)) < UNUSED_MAX.as_micros() {
            return;
        }
        self.trimmed_us = now_us;
        for batch in self.batches.drain(..self.unused) {
            self.bytes -= batch.bytes_reserved();
        }
        self.unused = self.batches.len();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::deflate::Agreement;
    use crate::wire::frame::write_text;

    fn batch() -> Batch {
        let mut batch = Batch::default();
        batch.append(3, b"aa", true, Moment::from_us(30));
        batch.append(5, b"b", false, Moment::from_us(50));
        batch.append(9, b"ccc", true, Moment::from_us(90));
        batch
    }

    #[test]
    fn gives_what_was_not_seen() {
        let batch = batch();
        assert_eq!(batch.first_seq(), 3);
        assert_eq!(batch.since(0, None), (&b"aabccc"[..], 3));
        assert_eq!(batch.since(3, None), (&b"bccc"[..], 2));
        assert_eq!(batch.since(4, None), (&b"bccc"[..], 2));
        assert_eq!(batch.since(9, None), (&b""[..], 0));
        let seqs = |seen, hidden| {
            batch
                .frames_since(seen, hidden, None)
                .map(|(seq, _)| seq)
                .collect::<Vec<_>>()
        };
        assert_eq!(seqs(3, false), [5, 9]);
    }

    #[test]
    fn only_events_have_a_latency() {
        let accepted: Vec<_> = batch().accepted().collect();
        assert_eq!(accepted, [30, 90].map(Moment::from_us));
        assert_eq!(batch().len(), 3);
    }

    #[test]
    fn keeps_custom_events_from_hidden_subscribers() {
        let mut batch = batch();
        let frames: Vec<_> = batch.frames_since(0, true, None).collect();
        assert_eq!(frames, [(5, &b"b"[..])]);
        batch.clear();
        batch.append(10, b"d", true, Moment::default());
        assert_eq!(batch.frames_since(0, true, None).count(), 0);
    }

    /// One that holds so many bytes.
    fn used(bytes: usize) -> Box<Batch> {
        let mut batch = Batch::default();
        batch.append(1, &vec![b'x'; bytes], true, Moment::default());
        Box::new(batch)
    }

    #[test]
    fn spare_ones_keep_their_memory_up_to_a_bound() {
        let mut spare = SpareBatches::default();
        spare.keep(used(1000));
        let batch = spare.take();
        assert!(batch.bytes.capacity() >= 1000 && batch.len() == 0);
        assert_eq!(spare.bytes, 0);
        let each = used(KEPT_BYTES_MAX).bytes_reserved();
        let count = SPARE_BATCHES_BYTES_MAX / each;
        (0..=count).for_each(|_| spare.keep(used(KEPT_BYTES_MAX)));
        assert_eq!((spare.batches.len(), spare.bytes), (count, count * each));
        (0..count).for_each(|_| assert!(spare.take().bytes.capacity() > 0));
        assert_eq!((spare.take().bytes.capacity(), spare.bytes), (0, 0));
    }

    #[test]
    fn spare_ones_that_nobody_needs_are_freed() {
        const EACH: u64 = UNUSED_MAX.as_micros() as u64;
        let mut spare = SpareBatches::default();
        (0..5).for_each(|_| spare.keep(used(10)));
        spare.trim(EACH);
        let both = [spare.take(), spare.take()];
        both.into_iter().for_each(|batch| spare.keep(batch));
        spare.trim(2 * EACH - 1);
        assert_eq!(spare.batches.len(), 5);
        spare.trim(2 * EACH);
        assert_eq!(spare.batches.len(), 2, "as many as were in use together");
        spare.trim(3 * EACH);
        assert_eq!((spare.batches.len(), spare.bytes), (0, 0));
    }

    #[test]
    fn is_packed_once_for_all_who_share_parameters() {
        let choose = |offer: &str| {
            Agreement::choose(offer.as_bytes())
                .expect("an offer")
                .params
        };
        let large = choose("permessage-deflate");
        let small = choose("permessage-deflate; server_max_window_bits=9");
        let mut deflater = Deflater::new(large);
        let meter = ShardMeter::default();
        let mut batch = Batch::default();
        let mut frame = Vec::new();
        write_text(&mut frame, &[&[b'x'; 500]]);
        batch.append(1, &frame, true, Moment::default());
        batch.append(2, b"\x81\x01y", true, Moment::default());
        batch.pack(large, &mut deflater, &meter);
        batch.pack(large, &mut deflater, &meter);
        assert_eq!(meter.compressed.count(), 1, "the short one goes as it is");
        assert_eq!(meter.compressed_from_bytes.count(), frame.len() as u64);
        let packed = batch.bytes(Some(large)).len();
        assert_eq!(meter.compressed_to_bytes.count() + 3, packed as u64);
        assert_eq!(batch.since(1, Some(large)), (&b"\x81\x01y"[..], 1));
        let frames: Vec<_> = batch.frames_since(0, false, Some(large)).collect();
        assert_eq!((frames[0].1[0], frames[0].1.len()), (0xc1, packed - 3));
        assert_eq!(frames[1], (2, &b"\x81\x01y"[..]));
        let hidden: Vec<_> = batch.frames_since(0, true, Some(large)).collect();
        assert!(hidden.is_empty());
        batch.append(3, b"\x81\x01z", false, Moment::default());
        batch.pack(large, &mut deflater, &meter);
        let hidden: Vec<_> = batch.frames_since(0, true, Some(large)).collect();
        assert_eq!(hidden, [(3, &b"\x81\x01z"[..])]);
        // Who has other parameters, or comes before it is packed, gets it plain.
        assert_eq!(batch.bytes(Some(small)), batch.bytes(None));
        batch.append(4, &frame, true, Moment::default());
        assert_eq!(batch.bytes(Some(large)), batch.bytes(None));
        batch.clear();
        assert!(batch.bytes(Some(large)).is_empty());
    }
}
