//! What travels with each frame of a bundle.

use bytes::Bytes;

use super::bundle::Label;
use super::envelope::{Delivery, Receipt, Request};
use crate::limits::BUNDLED_FRAME_BYTES_MAX;
use crate::meter::Moment;
use crate::model::{ChannelId, ConnId, Peer};

/// With a frame from its channel's home to a shard with subscribers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameLabel {
    /// Its channel.
    pub channel: ChannelId,
    /// When it was accepted from its sender.
    pub accepted: Moment,
    /// Custom events are kept from hidden subscribers.
    pub custom: bool,
    /// The sender, where it is on that shard.
    pub echo_of: Option<ConnId>,
}

/// With a frame from its sender's shard to its channel's home.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PublishLabel {
    /// Its channel.
    pub channel: ChannelId,
    /// When it was accepted from its sender.
    pub accepted: Moment,
    /// Who sent it, and how the sender learns that it has its place.
    pub receipt: Receipt,
}

// Beside the length of a frame, in its sixteen bits.
const CUSTOM: u16 = 1 << 15;
const ECHO: u16 = 1 << 14;
const ANSWER: u16 = 1 << 15;
const LENGTH: u16 = ECHO - 1;

const _: () = assert!(BUNDLED_FRAME_BYTES_MAX <= LENGTH as usize);

const NOBODY: ConnId = ConnId {
    slot: 0,
    generation: 0,
};

impl FrameLabel {
    /// Channel, moment, connection, flags and length.
    const BYTES: usize = 22;

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
}

impl Label for FrameLabel {
    #[inline]
    fn write(self, frame_bytes: usize, out: &mut Vec<u8>) {
        let custom = if self.custom { CUSTOM } else { 0 };
        let echo = if self.echo_of.is_some() { ECHO } else { 0 };
        let conn = self.echo_of.unwrap_or(NOBODY);
        let mut bytes = [0; Self::BYTES];
        bytes[..20].copy_from_slice(&head(self.channel, self.accepted, conn));
        bytes[20..].copy_from_slice(&(custom | echo | frame_bytes as u16).to_le_bytes());
        out.extend_from_slice(&bytes);
    }

    #[inline]
    fn read(bundle: &[u8]) -> Option<(Self, usize, &[u8])> {
        let (bytes, rest) = bundle.split_first_chunk::<{ Self::BYTES }>()?;
        let (channel, accepted, conn) = read_head(bytes.first_chunk()?);
        let last = u16::from_le_bytes([bytes[20], bytes[21]]);
        let label = Self {
            channel,
            accepted,
            custom: last & CUSTOM != 0,
            echo_of: (last & ECHO != 0).then_some(conn),
        };
        Some((label, usize::from(last & LENGTH), rest))
    }
}

impl PublishLabel {
    /// Channel, moment, connection, its shard, flag and length, and request.
    const BYTES: usize = 28;

    /// The frame by itself, in an envelope of its own.
    pub fn with(self, frame: Bytes) -> Request {
        let Self {
            channel,
            accepted,
            receipt,
        } = self;
        Request::Publish {
            channel,
            receipt,
            accepted,
            frame,
        }
    }
}

impl Label for PublishLabel {
    #[inline]
    fn write(self, frame_bytes: usize, out: &mut Vec<u8>) {
        let (peer, answer, request) = match self.receipt {
            Receipt::Echo(peer) => (peer, 0, 0),
            Receipt::Answer(peer, request) => (peer, ANSWER, request),
        };
        let mut bytes = [0; Self::BYTES];
        bytes[..20].copy_from_slice(&head(self.channel, self.accepted, peer.conn));
        bytes[20..22].copy_from_slice(&(answer | frame_bytes as u16).to_le_bytes());
        bytes[22..24].copy_from_slice(&peer.shard.to_le_bytes());
        bytes[24..].copy_from_slice(&request.to_le_bytes());
        out.extend_from_slice(&bytes);
    }

    #[inline]
    fn read(bundle: &[u8]) -> Option<(Self, usize, &[u8])> {
        let (bytes, rest) = bundle.split_first_chunk::<{ Self::BYTES }>()?;
        let (channel, accepted, conn) = read_head(bytes.first_chunk()?);
        let last = u16::from_le_bytes([bytes[20], bytes[21]]);
        let shard = u16::from_le_bytes([bytes[22], bytes[23]]);
        let peer = Peer { shard, conn };
        let receipt = match last & ANSWER {
            0 => Receipt::Echo(peer),
            _ => Receipt::Answer(peer, u32::from_le_bytes(*bytes.last_chunk()?)),
        };
        let label = Self {
            channel,
            accepted,
            receipt,
        };
        Some((label, usize::from(last & LENGTH), rest))
    }
}

/// What both kinds begin with.
#[inline]
fn head(channel: ChannelId, accepted: Moment, conn: ConnId) -> [u8; 20] {
    let mut bytes = [0; 20];
    bytes[..8].copy_from_slice(&channel.0.to_le_bytes());
    bytes[8..12].copy_from_slice(&accepted.to_bits().to_le_bytes());
    bytes[12..16].copy_from_slice(&conn.slot.to_le_bytes());
    bytes[16..].copy_from_slice(&conn.generation.to_le_bytes());
    bytes
}

#[inline]
fn read_head(bytes: &[u8; 20]) -> (ChannelId, Moment, ConnId) {
    let (words, _) = bytes.as_chunks::<4>();
    let word = |at: usize| u32::from_le_bytes(words[at]);
    let channel = ChannelId(u64::from(word(0)) | u64::from(word(1)) << 32);
    let conn = ConnId {
        slot: word(3),
        generation: word(4),
    };
    (channel, Moment::from_bits(word(2)), conn)
}
