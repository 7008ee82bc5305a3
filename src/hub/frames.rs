use bytes::{Bytes, BytesMut};

use crate::limits::UID_BYTES_MAX;

/// Where frames that may cross cores are encoded. A frame shares the buffer by
/// reference, and the buffer is used anew once all its frames are gone.
#[derive(Default)]
pub(super) struct Frames(BytesMut);

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
