#![forbid(unsafe_code)]

use crate::limits::{SPARE_BUFFER_BYTES_MAX, SPARE_BUFFERS_MAX};

/// A shard's spare send buffers: a connection that queues and empties again
/// and again allocates nothing.
#[derive(Debug, Default)]
pub struct Spare {
    buffers: Vec<Vec<u8>>,
}

impl Spare {
    /// No buffers yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// An empty buffer, with room where one is spare.
    pub(super) fn take(&mut self) -> Vec<u8> {
        self.buffers.pop().unwrap_or_default()
    }

    /// Keeps the buffer, unless there are enough or it is too large.
    pub(super) fn give_back(&mut self, mut buffer: Vec<u8>) {
        let fits = (1..=SPARE_BUFFER_BYTES_MAX).contains(&buffer.capacity());
        if fits && self.buffers.len() < SPARE_BUFFERS_MAX {
            buffer.clear();
            self.buffers.push(buffer);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_no_more_than_its_bound() {
        let mut spare = Spare::new();
        for _ in 0..=SPARE_BUFFERS_MAX {
            spare.give_back(Vec::with_capacity(16));
        }
        assert_eq!(spare.buffers.len(), SPARE_BUFFERS_MAX);
    }

    #[test]
    fn keeps_none_past_its_size() {
        let mut spare = Spare::new();
        spare.give_back(Vec::with_capacity(SPARE_BUFFER_BYTES_MAX));
        assert_eq!(spare.buffers.len(), 1);
        spare.give_back(Vec::with_capacity(SPARE_BUFFER_BYTES_MAX + 1));
        assert_eq!(spare.buffers.len(), 1);
        spare.give_back(Vec::new());
        assert_eq!(spare.buffers.len(), 1);
    }

    #[test]
    fn hands_out_what_it_keeps_and_empty() {
        let mut spare = Spare::new();
        spare.give_back(b"old".to_vec());
        let buffer = spare.take();
        assert!(buffer.is_empty() && buffer.capacity() >= 3);
        assert_eq!(spare.take().capacity(), 0);
    }
}
