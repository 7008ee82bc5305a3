//! Small frames of one shard for another that travel in one envelope
//! (docs/decisions/0026).
//!
//! Each frame is copied behind a label that says what it is. A bundle leaves at
//! the end of the turn, when it is large enough, or before anything else goes to
//! its shard: what arrives arrives in the order in which it was sent.

use bytes::Bytes;

use super::Effects;
use super::envelope::Delivery;
use super::frames::Frames;
use crate::limits::{BUNDLE_BYTES_MAX, BUNDLED_FRAME_BYTES_MAX};
use crate::meter::Moment;
use crate::model::{ChannelId, ConnId, ShardId};

/// What the other shard has to know of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Label {
    /// Its channel.
    pub channel: ChannelId,
    /// When it was accepted from its sender.
    pub accepted: Moment,
    /// Custom events are kept from hidden subscribers.
    pub custom: bool,
    /// The sender, where it is on that shard.
    pub echo_of: Option<ConnId>,
}

/// Bytes of a label and the length of its frame.
const LABEL_BYTES: usize = 24;

const CUSTOM: u16 = 1;
const ECHO: u16 = 2;

const _: () = assert!(BUNDLED_FRAME_BYTES_MAX <= u16::MAX as usize);

impl Label {
    /// The frame by itself, in an envelope of its own. That has the parts of a label
    /// side by side: with a whole one it would be larger than a cache line.
    pub fn with(self, frame: Bytes) -> Delivery {
        let Self {
            channel,
            accepted,
            custom,
            echo_of,
        } = self;
        Delivery::Frame {
            channel,
            accepted,
            frame,
            custom,
            echo_of,
        }
    }

    fn write(self, frame_bytes: usize, out: &mut Vec<u8>) {
        let echo_of = self.echo_of.unwrap_or(ConnId {
            slot: 0,
            generation: 0,
        });
        let custom = if self.custom { CUSTOM } else { 0 };
        let echo = if self.echo_of.is_some() { ECHO } else { 0 };
        let mut bytes = [0; LABEL_BYTES];
        bytes[..8].copy_from_slice(&self.channel.0.to_le_bytes());
        bytes[8..12].copy_from_slice(&self.accepted.to_bits().to_le_bytes());
        bytes[12..16].copy_from_slice(&echo_of.slot.to_le_bytes());
        bytes[16..20].copy_from_slice(&echo_of.generation.to_le_bytes());
        bytes[20..22].copy_from_slice(&(custom | echo).to_le_bytes());
        bytes[22..].copy_from_slice(&(frame_bytes as u16).to_le_bytes());
        out.extend_from_slice(&bytes);
    }

    /// The label, and the length of its frame.
    fn read(bytes: &[u8; LABEL_BYTES]) -> (Self, usize) {
        let (words, _) = bytes.as_chunks::<4>();
        let word = |at: usize| u32::from_le_bytes(words[at]);
        let flags = word(5) as u16;
        let conn = ConnId {
            slot: word(3),
            generation: word(4),
        };
        let label = Self {
            channel: ChannelId(u64::from(word(0)) | u64::from(word(1)) << 32),
            accepted: Moment::from_bits(word(2)),
            custom: flags & CUSTOM != 0,
            echo_of: (flags & ECHO != 0).then_some(conn),
        };
        (label, (word(5) >> 16) as usize)
    }
}

/// The frames of a bundle, in the order in which they were put in.
pub fn frames(mut bundle: &[u8]) -> impl Iterator<Item = (Label, &[u8])> {
    std::iter::from_fn(move || {
        let (label, rest) = bundle.split_first_chunk()?;
        let (label, len) = Label::read(label);
        let (frame, rest) = rest.split_at_checked(len)?;
        bundle = rest;
        Some((label, frame))
    })
}

/// What is on its way to each other shard.
pub struct Bundles {
    /// By shard; empty ones keep their memory.
    open: Vec<Vec<u8>>,
    /// Shards whose bundle is not empty.
    touched: Vec<ShardId>,
    /// Where those are that leave.
    closed: Frames,
}

impl Bundles {
    /// Nothing for any of so many shards.
    pub fn new(shards: u16) -> Self {
        Self {
            open: vec![Vec::new(); usize::from(shards)],
            touched: Vec::with_capacity(usize::from(shards)),
            closed: Frames::default(),
        }
    }

    /// Puts a frame of at most [`BUNDLED_FRAME_BYTES_MAX`] bytes into a shard's bundle;
    /// tells whether that is to leave now.
    pub fn add(&mut self, to: ShardId, label: Label, frame: &[u8]) -> bool {
        let bundle = &mut self.open[usize::from(to)];
        if bundle.is_empty() {
            self.touched.push(to);
        }
        label.write(frame.len(), bundle);
        bundle.extend_from_slice(frame);
        bundle.len() >= BUNDLE_BYTES_MAX
    }

    /// Sends what goes to this shard before anything else does.
    #[inline]
    pub(super) fn send(&mut self, to: ShardId, fx: &mut impl Effects) {
        if let Some(frames) = self.take(to) {
            fx.send(to, Delivery::Bundle { frames });
        }
    }

    /// What goes to this shard before anything else does.
    #[inline]
    pub fn take(&mut self, to: ShardId) -> Option<Bytes> {
        if self.touched.is_empty() || self.open[usize::from(to)].is_empty() {
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
    use super::*;

    fn label(channel: u64, custom: bool, echo_of: Option<ConnId>) -> Label {
        Label {
            channel: ChannelId(channel),
            accepted: Moment::from_us(channel.wrapping_mul(7)),
            custom,
            echo_of,
        }
    }

    fn conn(slot: u32) -> ConnId {
        ConnId {
            slot,
            generation: u32::MAX,
        }
    }

    #[test]
    fn frames_come_out_as_they_went_in() {
        let long = vec![b'x'; BUNDLED_FRAME_BYTES_MAX];
        let sent = [
            (label(1, true, None), &b"first"[..]),
            (label(u64::MAX - 9, false, Some(conn(u32::MAX))), b""),
            (label(3 << 32, true, Some(conn(0))), &long),
        ];
        let mut bundles = Bundles::new(3);
        for (label, frame) in sent {
            assert!(!bundles.add(2, label, frame));
        }
        assert_eq!(bundles.take(1), None);
        let bundle = bundles.take(2).expect("a bundle");
        assert_eq!(frames(&bundle).collect::<Vec<_>>(), sent);
        assert_eq!(bundles.take(2), None);
        assert_eq!(bundles.take_any(), None);
    }

    #[test]
    fn every_shard_is_given_its_own() {
        let mut bundles = Bundles::new(4);
        for shard in [3, 1, 3] {
            bundles.add(shard, label(u64::from(shard), true, None), b"frame");
        }
        let mut taken: Vec<_> = std::iter::from_fn(|| bundles.take_any()).collect();
        taken.sort_by_key(|(shard, _)| *shard);
        let counts: Vec<_> = taken
            .iter()
            .map(|(shard, bundle)| (*shard, frames(bundle).count()))
            .collect();
        assert_eq!(counts, [(1, 1), (3, 2)]);
    }

    #[test]
    fn leaves_at_its_bound() {
        let mut bundles = Bundles::new(2);
        let label = label(1, true, None);
        let frame = vec![b'x'; BUNDLED_FRAME_BYTES_MAX];
        let mut bytes = 0;
        while bytes + LABEL_BYTES + frame.len() < BUNDLE_BYTES_MAX {
            assert!(!bundles.add(1, label, &frame));
            bytes += LABEL_BYTES + frame.len();
        }
        let left = BUNDLE_BYTES_MAX - bytes - LABEL_BYTES;
        assert!(!bundles.add(1, label, &frame[..left - LABEL_BYTES - 1]));
        assert!(bundles.add(1, label, b"x"), "at the bound");
    }

    #[test]
    fn what_is_cut_off_is_no_frame() {
        let mut bundles = Bundles::new(2);
        bundles.add(1, label(1, true, None), b"frame");
        let bundle = bundles.take(1).expect("a bundle");
        for len in 0..bundle.len() {
            assert_eq!(frames(&bundle[..len]).count(), 0);
        }
    }
}
