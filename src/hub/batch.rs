use crate::meter::Moment;

/// Frames of one channel that wait for the end of the turn, in one contiguous
/// buffer: one `send` per subscriber carries them all.
#[derive(Default)]
pub(super) struct Batch {
    bytes: Vec<u8>,
    frames: Vec<Mark>,
    /// Whether a frame is no custom event, so that hidden subscribers get it.
    has_announcements: bool,
}

/// One frame of a batch.
#[derive(Clone, Copy)]
struct Mark {
    /// Place among all frames of the shard.
    seq: u64,
    /// Where it ends in the buffer.
    end: usize,
    custom: bool,
    /// When it was accepted from its sender.
    accepted: Moment,
}

/// A buffer that grew past this is not kept for the next turn.
const KEPT_BYTES_MAX: usize = 256 * 1024;

impl Batch {
    pub(super) fn append(&mut self, seq: u64, frame: &[u8], custom: bool, accepted: Moment) {
        self.bytes.extend_from_slice(frame);
        self.frames.push(Mark {
            seq,
            end: self.bytes.len(),
            custom,
            accepted,
        });
        self.has_announcements |= !custom;
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
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
    pub(super) fn since(&self, seen: u64) -> (&[u8], usize) {
        let skipped = self.frames.partition_point(|mark| mark.seq <= seen);
        let start = skipped
            .checked_sub(1)
            .map_or(0, |last| self.frames[last].end);
        (&self.bytes[start..], self.frames.len() - skipped)
    }

    /// The frames after `seen` that a subscriber gets, with their sequence numbers.
    pub(super) fn frames_since(
        &self,
        seen: u64,
        hidden: bool,
    ) -> impl Iterator<Item = (u64, &[u8])> {
        let skipped = self.frames.partition_point(|mark| mark.seq <= seen);
        let none = hidden && !self.has_announcements;
        let range = if none { self.frames.len() } else { skipped }..self.frames.len();
        range.filter_map(move |index| {
            let mark = self.frames[index];
            let start = index
                .checked_sub(1)
                .map_or(0, |before| self.frames[before].end);
            (!(hidden && mark.custom)).then(|| (mark.seq, &self.bytes[start..mark.end]))
        })
    }

    pub(super) fn clear(&mut self) {
        self.bytes.clear();
        self.frames.clear();
        self.has_announcements = false;
        if self.bytes.capacity() > KEPT_BYTES_MAX {
            self.bytes = Vec::new();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
        assert_eq!(batch.since(0), (&b"aabccc"[..], 3));
        assert_eq!(batch.since(3), (&b"bccc"[..], 2));
        assert_eq!(batch.since(4), (&b"bccc"[..], 2));
        assert_eq!(batch.since(9), (&b""[..], 0));
        let seqs = |seen, hidden| {
            batch
                .frames_since(seen, hidden)
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
        let frames: Vec<_> = batch.frames_since(0, true).collect();
        assert_eq!(frames, [(5, &b"b"[..])]);
        batch.clear();
        batch.append(10, b"d", true, Moment::default());
        assert_eq!(batch.frames_since(0, true).count(), 0);
    }
}
