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
    sent: u32,
    /// Bytes that count not as deliveries: those of replies, while they may
    /// still be queued.
    replies: u32,
    /// Where a frame begins, as far as the owner has told; only for queues that
    /// may be cut there.
    mark: u32,
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
        self.bytes.len() - self.sent as usize
    }

    /// Queues bytes that must not be dropped: replies, pongs, closes. Their
    /// number is bounded by not reading a connection past [`OUTBOX_READ_PAUSE_BYTES`].
    ///
    /// [`OUTBOX_READ_PAUSE_BYTES`]: crate::limits::OUTBOX_READ_PAUSE_BYTES
    pub fn push(&mut self, bytes: &[u8], spare: &mut Spare) {
        self.replies += bytes.len() as u32;
        self.append(bytes, spare);
    }

    /// Bytes of deliveries queued: never more than there are. What is left of a
    /// partly sent queue counts as replies as long as it may be.
    pub fn deliveries(&self) -> usize {
        self.len() - self.replies as usize
    }

    /// Queues the rest of a delivery that has begun: whatever the bound, half a
    /// frame is worse.
    pub fn finish(&mut self, rest: &[u8], spare: &mut Spare) {
        self.append(rest, spare);
    }

    /// So many bytes from the front on begins a frame.
    pub fn set_mark(&mut self, at: usize) {
        self.mark = self.sent + at as u32;
    }

    /// What was queued from the mark on, and how much of that is sent.
    pub fn since_mark(&self) -> (&[u8], usize) {
        let mark = self.mark as usize;
        let sent = (self.sent as usize).saturating_sub(mark);
        (&self.bytes[mark..], sent)
    }

    /// Forgets all but the first `kept` bytes of [`Self::since_mark`], of which
    /// those that are sent must be part; gives the number of bytes forgotten.
    pub fn truncate(&mut self, kept: usize) -> usize {
        let kept = (self.mark as usize + kept).clamp(self.sent as usize, self.bytes.len());
        let forgotten = self.bytes.len() - kept;
        self.bytes.truncate(kept);
        self.bytes.drain(..self.sent as usize);
        self.bytes.shrink_to_fit();
        self.sent = 0;
        self.replies = self.replies.min(self.bytes.len() as u32);
        self.set_mark(self.len());
        forgotten
    }

    fn append(&mut self, bytes: &[u8], spare: &mut Spare) {
        if self.bytes.capacity() == 0 && !bytes.is_empty() {
            self.bytes = spare.take();
        }
        // Moving the rest to the front is paid by the bytes sent before it.
        let grows = self.bytes.len() + bytes.len() > self.bytes.capacity();
        if grows && self.sent as usize >= self.len() {
            self.bytes.drain(..self.sent as usize);
            self.mark = self.mark.saturating_sub(self.sent);
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
        bytes <= bytes_max.saturating_sub(self.deliveries())
    }

    /// Sends what the socket takes.
    pub fn flush(&mut self, socket: &Socket, spare: &mut Spare) -> Flushed {
        if self.is_empty() {
            return Flushed::Empty;
        }
        match socket.send(&self.bytes[self.sent as usize..]) {
            Sent::Bytes(count) => {
                self.sent += count as u32;
                // Which bytes are left is not known; never too few replies.
                self.replies = self.replies.min(self.len() as u32);
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
        self.mark = 0;
    }
}

#[cfg(test)]
impl Outbox {
    pub(super) fn bytes_reserved(&self) -> usize {
        self.bytes.capacity()
    }
}

const _: () = assert!(size_of::<Outbox>() <= 40);
