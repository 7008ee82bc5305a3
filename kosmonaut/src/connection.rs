//! One connection to a broker: queues packets, writes and reads them.

use std::future::poll_fn;
use std::io;
use std::task::{Context, Poll, ready};

use bytes::{Buf, BytesMut};
use tokio::time::Instant;

use crate::limits::READ_BYTES;
use crate::stream::Stream;
use crate::url::Url;
use crate::wire::{self, Decoder, Packet};

/// The call order: [`open`](Self::open) queues the identified first packet;
/// then [`queue`](Self::queue) as one likes, and
/// [`next_packet`](Self::next_packet) or [`progress`](Self::progress), which
/// alone do I/O.
pub(crate) struct Connection {
    stream: Stream,
    decoder: Decoder,
    outgoing: BytesMut,
    queued_bytes: u64,
    written_bytes: u64,
    heard: Instant,
}

/// What the identity line calls this side.
#[derive(Clone, Copy)]
pub(crate) enum Role {
    Client,
    Worker,
}

pub(crate) enum Progress {
    Packet(Packet),
    /// The queue is empty again.
    Written,
}

/// Why nothing more comes from a connection.
#[derive(Debug)]
pub(crate) enum Broken {
    /// End of stream, or a reset.
    Closed,
    /// The other side sent a packet past the bound.
    TooLarge,
}

impl Connection {
    /// Connects and queues `first` behind a fresh identity.
    pub(crate) async fn open(url: &Url, role: Role, first: &[u8]) -> io::Result<Self> {
        let identity = url.identity(role.name(), &fresh_id()?);
        let mut connection = Self {
            stream: Stream::connect(url).await?,
            decoder: Decoder::default(),
            outgoing: BytesMut::new(),
            queued_bytes: 0,
            written_bytes: 0,
            heard: Instant::now(),
        };
        connection.queue(&wire::with_identity(&identity, first));
        Ok(connection)
    }

    /// Appends a packet to what is to be written; gives the stream position at
    /// which it ends, for [`has_written`](Self::has_written).
    pub(crate) fn queue(&mut self, packet: &[u8]) -> u64 {
        self.outgoing.extend_from_slice(packet);
        self.queued_bytes += packet.len() as u64;
        self.queued_bytes
    }

    /// Bytes queued and not yet given to the kernel.
    pub(crate) fn unwritten_bytes(&self) -> usize {
        self.outgoing.len()
    }

    /// Whether everything up to a stream position was given to the kernel. A
    /// packet cut short is not executed ([BE-21]).
    pub(crate) fn has_written(&self, position: u64) -> bool {
        self.written_bytes >= position
    }

    /// When bytes last came, whole packets or not: on a slow link a large one
    /// may take longer than any silence we accept.
    pub(crate) fn heard(&self) -> Instant {
        self.heard
    }

    /// Counts silence from now on, after a time without reading.
    pub(crate) fn restart_silence(&mut self) {
        self.heard = Instant::now();
    }

    /// Writes what is queued and waits for the next packet. Cancel safe.
    pub(crate) async fn next_packet(&mut self) -> Result<Packet, Broken> {
        loop {
            if let Progress::Packet(packet) = self.progress(true).await? {
                return Ok(packet);
            }
        }
    }

    /// Writes what is queued and, where `reading`, reads; returns with the next
    /// packet, or when the last queued byte has been written.
    ///
    /// Cancel safe: what was read or written stays accounted for.
    pub(crate) async fn progress(&mut self, reading: bool) -> Result<Progress, Broken> {
        // Packets that are already here come without an await; a flood of them
        // must not keep the task on its thread.
        tokio::task::coop::consume_budget().await;
        poll_fn(|cx| self.poll_progress(cx, reading)).await
    }

    fn poll_progress(
        &mut self,
        cx: &mut Context<'_>,
        reading: bool,
    ) -> Poll<Result<Progress, Broken>> {
        loop {
            if reading
                && let Some(packet) = self.decoder.next_packet().map_err(|_| Broken::TooLarge)?
            {
                return Poll::Ready(Ok(Progress::Packet(packet)));
            }
            if self.poll_write(cx).is_ready() {
                return Poll::Ready(Ok(Progress::Written));
            }
            if !reading {
                return Poll::Pending;
            }
            ready!(self.poll_read(cx))?;
        }
    }

    /// Ready where the last queued byte has gone.
    fn poll_write(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let had_some = !self.outgoing.is_empty();
        while !self.outgoing.is_empty() {
            match ready!(self.stream.poll_write(cx, &self.outgoing)) {
                Ok(count) if count > 0 => {
                    self.outgoing.advance(count);
                    self.written_bytes += count as u64;
                }
                // The other side may have said why before it closed; what it
                // said is read first.
                _ => self.outgoing.clear(),
            }
        }
        if self.outgoing.capacity() > READ_BYTES {
            // A burst does not stay in memory.
            self.outgoing = BytesMut::new();
        }
        let flushed = ready!(self.stream.poll_flush(cx)).unwrap_or(false);
        match had_some || flushed {
            true => Poll::Ready(()),
            false => Poll::Pending,
        }
    }

    /// Ready when something came.
    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Broken>> {
        match ready!(self.stream.poll_read(cx, self.decoder.read_buffer())) {
            Ok(1..) => {
                self.heard = Instant::now();
                Poll::Ready(Ok(()))
            }
            Ok(0) | Err(_) => Poll::Ready(Err(Broken::Closed)),
        }
    }
}

impl Role {
    fn name(self) -> &'static str {
        match self {
            Self::Client => "req",
            Self::Worker => "dlr",
        }
    }
}

/// A fresh id of 36 characters, shaped like a UUID ([BE-05]).
fn fresh_id() -> io::Result<String> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes)?;
    let mut id = String::with_capacity(36);
    for (index, byte) in bytes.iter().enumerate() {
        if matches!(index, 4 | 6 | 8 | 10) {
            id.push('-');
        }
        for digit in [byte >> 4, byte & 15] {
            id.extend(char::from_digit(digit.into(), 16));
        }
    }
    Ok(id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_have_36_characters_and_differ_be_05() {
        let (one, other) = (
            fresh_id().expect("randomness"),
            fresh_id().expect("randomness"),
        );
        assert_eq!(one.len(), 36);
        assert!(
            one.bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
        );
        assert_ne!(one, other);
    }
}
