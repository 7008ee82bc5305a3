#![forbid(unsafe_code)]

use std::io;

use thiserror::Error;

use super::socket::{Sent, Socket};
use super::spare::Spare;

/// A connection's bounded send queue: the bytes that its socket did not take,
/// in one contiguous piece. Owns no memory while it is empty.
#[derive(Debug, Default)]
pub struct Outbox {
    bytes: Vec<u8>,
    /// Bytes at the front that are sent already.
    sent: usize,
    /// Bytes that count not as deliveries: those of replies, while they may
    /// still be queued.
    replies: usize,
}

/// How far a [`Outbox::flush`] came.
#[derive(Debug)]
pub enum Flushed {
    /// All is sent.
    Empty,
    /// The socket is full; watch it for writability.
    Blocked,
    /// The connection is lost, and what was queued with it.
    Failed(io::Error),
}

/// The delivery does not fit: the consumer is slow. The caller evicts or drops.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("the outbox has no room")]
pub struct OutboxFull;

impl Outbox {
    /// An empty outbox.
    pub fn new() -> Self {
        Self::default()
    }

    /// Whether nothing is queued.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes queued.
    pub fn len(&self) -> usize {
        self.bytes.len() - self.sent
    }

    /// Queues bytes that must not be dropped: replies, pongs, closes. Their
    /// number is bounded by not reading a connection past [`OUTBOX_READ_PAUSE_BYTES`].
    ///
    /// [`OUTBOX_READ_PAUSE_BYTES`]: crate::limits::OUTBOX_READ_PAUSE_BYTES
    pub fn push(&mut self, bytes: &[u8], spare: &mut Spare) {
        self.replies += bytes.len();
        self.append(bytes, spare);
    }

    fn append(&mut self, bytes: &[u8], spare: &mut Spare) {
        if self.bytes.capacity() == 0 && !bytes.is_empty() {
            self.bytes = spare.take();
        }
        // Moving the rest to the front is paid by the bytes sent before it.
        let grows = self.bytes.len() + bytes.len() > self.bytes.capacity();
        if grows && self.sent >= self.len() {
            self.bytes.drain(..self.sent);
            self.sent = 0;
        }
        self.bytes.extend_from_slice(bytes);
    }

    /// Queues a delivery, all of it or nothing. A long reply before it, such as
    /// a roster, makes nobody a slow consumer: it is not counted.
    ///
    /// # Errors
    /// [`OutboxFull`] past `bytes_max` of deliveries; nothing is queued then.
    pub fn try_push(
        &mut self,
        bytes: &[u8],
        bytes_max: usize,
        spare: &mut Spare,
    ) -> Result<(), OutboxFull> {
        if !self.has_room(bytes.len(), bytes_max) {
            return Err(OutboxFull);
        }
        self.append(bytes, spare);
        Ok(())
    }

    /// Whether a delivery of so many bytes fits into `bytes_max` of them.
    pub fn has_room(&self, bytes: usize, bytes_max: usize) -> bool {
        let deliveries = self.len() - self.replies;
        bytes <= bytes_max.saturating_sub(deliveries)
    }

    /// Sends what the socket takes.
    pub fn flush(&mut self, socket: &Socket, spare: &mut Spare) -> Flushed {
        if self.is_empty() {
            return Flushed::Empty;
        }
        match socket.send(&self.bytes[self.sent..]) {
            Sent::Bytes(count) => {
                self.sent += count;
                // Which bytes are left is not known; never too few replies.
                self.replies = self.replies.min(self.len());
                if self.is_empty() {
                    self.clear(spare);
                    return Flushed::Empty;
                }
                // A short send: the socket is full.
                Flushed::Blocked
            }
            Sent::Full => Flushed::Blocked,
            Sent::Failed(error) => {
                self.clear(spare);
                Flushed::Failed(error)
            }
        }
    }

    /// Forgets what is queued and gives the memory back.
    pub fn clear(&mut self, spare: &mut Spare) {
        spare.give_back(std::mem::take(&mut self.bytes));
        self.sent = 0;
        self.replies = 0;
    }
}

#[cfg(test)]
impl Outbox {
    pub(super) fn bytes_reserved(&self) -> usize {
        self.bytes.capacity()
    }
}

const _: () = assert!(size_of::<Outbox>() <= 40);
