//! Small frames of one shard for another that travel in one envelope
//! (docs/decisions/0026).
//!
//! Each frame is copied behind a label that says what it is. A bundle leaves at
//! the end of the turn, when it is large enough, or before anything else goes to
//! its shard: what arrives arrives in the order in which it was sent.

use std::marker::PhantomData;

use bytes::Bytes;

use super::frames::Frames;
use crate::limits::BUNDLE_BYTES_MAX;
use crate::model::ShardId;

/// What the other shard has to know of a frame.
pub trait Label: Copy {
    /// Writes it and how long its frame is.
    fn write(self, frame_bytes: usize, out: &mut Vec<u8>);

    /// Reads it; gives the length of its frame and what follows too.
    fn read(bundle: &[u8]) -> Option<(Self, usize, &[u8])>;
}

/// The frames of a bundle, in the order in which they were put in.
pub fn frames<L: Label>(mut bundle: &[u8]) -> impl Iterator<Item = (L, &[u8])> {
    std::iter::from_fn(move || {
        let (label, len, rest) = L::read(bundle)?;
        let (frame, rest) = rest.split_at_checked(len)?;
        bundle = rest;
        Some((label, frame))
    })
}

/// What is on its way to each other shard.
pub struct Bundles<L> {
    /// By shard; empty ones keep their memory.
    open: Vec<Vec<u8>>,
    /// Shards whose bundle is not empty.
    touched: Vec<ShardId>,
    /// Where those are that leave.
    closed: Frames,
    label: PhantomData<L>,
}

impl<L: Label> Bundles<L> {
    /// Nothing for any of so many shards.
    pub fn new(shards: u16) -> Self {
        Self {
            open: vec![Vec::new(); usize::from(shards)],
            touched: Vec::with_capacity(usize::from(shards)),
            closed: Frames::default(),
            label: PhantomData,
        }
    }

    /// Whether something is on its way to the shard.
    #[inline]
    pub(super) fn is_open(&self, to: ShardId) -> bool {
        !self.open[usize::from(to)].is_empty()
    }

    /// Puts a frame of at most [`BUNDLED_FRAME_BYTES_MAX`](crate::limits::BUNDLED_FRAME_BYTES_MAX) bytes into a shard's bundle;
    /// tells whether that is to leave now.
    pub fn add(&mut self, to: ShardId, label: L, frame: &[u8]) -> bool {
        let bundle = &mut self.open[usize::from(to)];
        if bundle.is_empty() {
            self.touched.push(to);
        }
        label.write(frame.len(), bundle);
        bundle.extend_from_slice(frame);
        bundle.len() >= BUNDLE_BYTES_MAX
    }

    /// What goes to this shard before anything else does.
    #[inline]
    pub fn take(&mut self, to: ShardId) -> Option<Bytes> {
        if self.touched.is_empty() || !self.is_open(to) {
            return None;
        }
        self.touched.retain(|shard| *shard != to);
        Some(self.close(to))
    }

    /// What goes to some shard.
    #[inline]
    pub fn take_any(&mut self) -> Option<(ShardId, Bytes)> {
        let to = self.touched.pop()?;
        Some((to, self.close(to)))
    }

    fn close(&mut self, to: ShardId) -> Bytes {
        let bundle = &mut self.open[usize::from(to)];
        let closed = self
            .closed
            .encode(bundle.len(), |out| out.extend_from_slice(bundle));
        bundle.clear();
        closed
    }
}

#[cfg(test)]
mod tests {
    use super::super::envelope::Receipt;
    use super::super::label::{FrameLabel, PublishLabel};
    use super::*;
    use crate::limits::BUNDLED_FRAME_BYTES_MAX;
    use crate::meter::Moment;
    use crate::model::{ChannelId, ConnId, Peer};

    fn label(channel: u64, custom: bool, echo_of: Option<ConnId>) -> FrameLabel {
        FrameLabel {
            channel: ChannelId(channel),
            accepted: Moment::from_us(channel.wrapping_mul(7)),
            custom,
            echo_of,
        }
    }

    fn submitted(channel: u64, receipt: Receipt) -> PublishLabel {
        PublishLabel {
            channel: ChannelId(channel),
            accepted: Moment::from_us(channel.wrapping_mul(7)),
            receipt,
        }
    }

    fn conn(slot: u32) -> ConnId {
        ConnId {
            slot,
            generation: u32::MAX,
        }
    }

    fn come_out_as_they_went_in<L: Label + PartialEq + std::fmt::Debug>(labels: [L; 3]) {
        let long = vec![b'x'; BUNDLED_FRAME_BYTES_MAX];
        let sent: Vec<_> = labels
            .into_iter()
            .zip([&b"first"[..], b"", &long])
            .collect();
        let mut bundles = Bundles::new(3);
        for &(label, frame) in &sent {
            assert!(!bundles.add(2, label, frame));
        }
        assert_eq!(bundles.take(1), None);
        let bundle = bundles.take(2).expect("a bundle");
        assert_eq!(frames(&bundle).collect::<Vec<(L, _)>>(), sent);
        assert_eq!(bundles.take(2), None);
        assert_eq!(bundles.take_any(), None);
    }

    #[test]
    fn frames_come_out_as_they_went_in() {
        come_out_as_they_went_in([
            label(1, true, None),
            label(u64::MAX - 9, false, Some(conn(u32::MAX))),
            label(3 << 32, true, Some(conn(0))),
        ]);
        let peer = |shard, slot| Peer {
            shard,
            conn: conn(slot),
        };
        come_out_as_they_went_in([
            submitted(1, Receipt::Echo(peer(u16::MAX, 7))),
            submitted(u64::MAX - 9, Receipt::Answer(peer(3, u32::MAX), u32::MAX)),
            submitted(3 << 32, Receipt::Answer(peer(0, 0), 0)),
        ]);
    }

    #[test]
    fn every_shard_is_given_its_own() {
        let mut bundles = Bundles::new(4);
        for shard in [3, 1, 3] {
            bundles.add(shard, label(u64::from(shard), true, None), b"frame");
        }
        assert_eq!(
            [1, 2, 3].map(|shard| bundles.is_open(shard)),
            [true, false, true]
        );
        let mut taken: Vec<_> = std::iter::from_fn(|| bundles.take_any()).collect();
        taken.sort_by_key(|(shard, _)| *shard);
        let counts: Vec<_> = taken
            .iter()
            .map(|(shard, bundle)| (*shard, frames::<FrameLabel>(bundle).count()))
            .collect();
        assert_eq!(counts, [(1, 1), (3, 2)]);
    }

    #[test]
    fn leaves_at_its_bound() {
        let mut bundles = Bundles::new(2);
        let label = label(1, true, None);
        let frame = vec![b'x'; BUNDLED_FRAME_BYTES_MAX];
        let mut written = Vec::new();
        label.write(0, &mut written);
        let label_bytes = written.len();
        let mut bytes = 0;
        while bytes + label_bytes + frame.len() < BUNDLE_BYTES_MAX {
            assert!(!bundles.add(1, label, &frame));
            bytes += label_bytes + frame.len();
        }
        let left = BUNDLE_BYTES_MAX - bytes - label_bytes;
        assert!(!bundles.add(1, label, &frame[..left - label_bytes - 1]));
        assert!(bundles.add(1, label, b"x"), "at the bound");
    }

    #[test]
    fn what_is_cut_off_is_no_frame() {
        let peer = Peer {
            shard: 1,
            conn: conn(2),
        };
        let mut bundles = Bundles::new(2);
        bundles.add(1, submitted(1, Receipt::Answer(peer, 3)), b"frame");
        let submitted = bundles.take(1).expect("a bundle");
        let mut bundles = Bundles::new(2);
        bundles.add(1, label(1, true, None), b"frame");
        let spread = bundles.take(1).expect("a bundle");
        for len in 0..submitted.len() {
            assert_eq!(frames::<PublishLabel>(&submitted[..len]).count(), 0);
        }
        for len in 0..spread.len() {
            assert_eq!(frames::<FrameLabel>(&spread[..len]).count(), 0);
        }
    }
}
