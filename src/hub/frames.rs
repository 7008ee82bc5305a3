use bytes::{Bytes, BytesMut};

use crate::limits::UID_BYTES_MAX;

/// Where frames that may cross cores are encoded. A frame that does shares the
/// buffer by reference, and the buffer is used anew once all its frames are gone;
/// one that does not leaves its bytes, warm, to the next.
#[derive(Default)]
pub(super) struct Frames(BytesMut);

/// Frames share buffers of this size: one allocation serves hundreds of events.
const CHUNK_BYTES: usize = 64 * 1024;

/// Room for header, event name, sid and channel around the data.
const OVERHEAD_BYTES: usize = 1024;

const _: () = assert!(UID_BYTES_MAX <= OVERHEAD_BYTES);

/// A frame that is shared only where another core gets it. Once it is where it
/// has to go it is given back with [`Frames::reclaim`].
pub(super) struct Draft {
    /// The frame, unless it is shared, and the rest of its buffer.
    chunk: BytesMut,
    shared: Option<Bytes>,
}

impl Frames {
    /// One frame; `len` is about how long its data gets.
    pub(super) fn draft(&mut self, len: usize, write: impl FnOnce(&mut BytesMut)) -> Draft {
        let needed = len + OVERHEAD_BYTES;
        let mut chunk = std::mem::take(&mut self.0);
        if chunk.capacity() < needed {
            chunk.reserve(needed.max(CHUNK_BYTES));
        }
        write(&mut chunk);
        Draft {
            chunk,
            shared: None,
        }
    }

    /// The draft is done with.
    pub(super) fn reclaim(&mut self, draft: Draft) {
        // That of another core brings no buffer.
        if draft.chunk.capacity() > 0 {
            self.0 = draft.chunk;
            self.0.clear();
        }
    }
}

impl Draft {
    pub(super) fn bytes(&self) -> &[u8] {
        self.shared.as_deref().unwrap_or(&self.chunk)
    }

    /// The frame for another core.
    pub(super) fn share(&mut self) -> Bytes {
        let chunk = &mut self.chunk;
        let shared = self.shared.get_or_insert_with(|| chunk.split().freeze());
        shared.clone()
    }
}

/// A frame of another core.
impl From<Bytes> for Draft {
    fn from(frame: Bytes) -> Self {
        Self {
            chunk: BytesMut::new(),
            shared: Some(frame),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn draft(frames: &mut Frames, text: &[u8]) -> Draft {
        frames.draft(text.len(), |out| out.extend_from_slice(text))
    }

    #[test]
    fn one_that_is_shared_keeps_its_bytes() {
        let mut frames = Frames::default();
        let mut first = draft(&mut frames, b"first");
        let shared = [first.share(), first.share()];
        assert_eq!(first.bytes(), b"first");
        frames.reclaim(first);
        let second = draft(&mut frames, b"second");
        assert_eq!(second.bytes(), b"second");
        assert_eq!(shared, [&b"first"[..]; 2]);
        assert_eq!(shared[0].as_ptr(), shared[1].as_ptr(), "encoded once");
    }

    #[test]
    fn one_that_is_not_leaves_its_place_to_the_next() {
        let mut frames = Frames::default();
        let first = draft(&mut frames, b"first");
        let at = first.bytes().as_ptr();
        frames.reclaim(first);
        frames.reclaim(Bytes::from_static(b"of another core").into());
        let second = draft(&mut frames, b"second");
        assert_eq!(
            (second.bytes(), second.bytes().as_ptr()),
            (&b"second"[..], at)
        );
    }
}
