use bytes::{Bytes, BytesMut};

use crate::limits::UID_BYTES_MAX;

/// Where frames that cross cores are encoded. A frame shares the buffer by
/// reference, and the buffer is used anew once all its frames are gone.
#[derive(Default)]
pub(super) struct Frames(BytesMut);

/// A frame on its way to the subscribers of a channel.
pub(super) enum Encoded<'a> {
    /// May go to other shards as it is.
    Shared(Bytes),
    /// Was encoded where its channel is at home, for this shard alone unless
    /// others have subscribers too: counting references costs more than a copy.
    Here(&'a [u8]),
}

impl Encoded<'_> {
    pub(super) fn bytes(&self) -> &[u8] {
        match self {
            Self::Shared(frame) => frame,
            Self::Here(frame) => frame,
        }
    }

    /// The frame for another shard; copied once.
    pub(super) fn share(&mut self, frames: &mut Frames) -> Bytes {
        match self {
            Self::Shared(frame) => frame.clone(),
            Self::Here(frame) => {
                let copy = frames.encode(frame.len(), |out| out.extend_from_slice(frame));
                *self = Self::Shared(copy.clone());
                copy
            }
        }
    }
}

/// Frames share buffers of this size: one allocation serves hundreds of events.
const CHUNK_BYTES: usize = 64 * 1024;

/// Room for header, event name, sid and channel around the data.
const OVERHEAD_BYTES: usize = 1024;

const _: () = assert!(UID_BYTES_MAX <= OVERHEAD_BYTES);

impl Frames {
    /// One frame; `len` is about how long its data gets.
    pub(super) fn encode(&mut self, len: usize, write: impl FnOnce(&mut BytesMut)) -> Bytes {
        let needed = len + OVERHEAD_BYTES;
        if self.0.capacity() < needed {
            self.0.reserve(needed.max(CHUNK_BYTES));
        }
        write(&mut self.0);
        self.0.split().freeze()
    }
}

#[cfg(test)]
mod tests {
    use super::super::batch::KEPT_BYTES_MAX;
    use super::super::tests::World;
    use super::*;

    #[test]
    fn a_frame_encoded_here_is_copied_for_other_shards_and_a_shared_one_is_not() {
        let mut frames = Frames::default();
        let here = b"frame";
        let mut frame = Encoded::Here(here);
        let copy = frame.share(&mut frames);
        assert_eq!((&copy[..], frame.bytes()), (&here[..], &here[..]));
        assert_ne!(copy.as_ptr(), here.as_ptr());
        for shared in [frame.share(&mut frames), frame.share(&mut frames)] {
            assert_eq!(shared.as_ptr(), copy.as_ptr(), "copied once");
        }
    }

    #[test]
    fn buffers_are_kept_up_to_their_bound_and_not_past_it() {
        let mut hub = World::new().hub;
        for (bytes, kept) in [(KEPT_BYTES_MAX, KEPT_BYTES_MAX), (KEPT_BYTES_MAX + 1, 0)] {
            hub.with_frame(|out| out.reserve_exact(bytes), |_, _| ());
            assert_eq!(hub.scratch.capacity(), kept);
            hub.name = String::new();
            hub.keep_name(String::with_capacity(bytes));
            assert_eq!(hub.name.capacity(), kept);
        }
    }
}
