use std::mem;

use rustls::server::UnbufferedServerConnection;
use rustls::unbuffered::{
    ConnectionState, EncodeError, EncryptError, InsufficientSizeError, UnbufferedStatus,
};
use rustls::{HandshakeKind, ProtocolVersion, SupportedCipherSuite};

use super::TlsError;
use crate::limits::{TLS_PARTIAL_BYTES_MAX, TLS_RECORDS_RESERVED, TLS_SEALED_BYTES_MAX};

/// Most plain bytes in one record (RFC 8446 section 5.1).
const RECORD_BYTES_MAX: usize = 16 * 1024;

/// What a record adds to them at the most: header, explicit nonce or content
/// type, tag.
const RECORD_OVERHEAD_BYTES: usize = 5 + 8 + 1 + 16;

/// The TLS of one connection. See the module for the order of calls.
pub struct Transport {
    connection: UnbufferedServerConnection,
    /// What came of an unfinished record, or of a handshake message in many.
    /// Owns no memory while empty.
    partial: Vec<u8>,
    stage: Stage,
    /// `close_notify` is made.
    finished: bool,
    /// The peer is to prove who it is.
    asks_certificate: bool,
    /// Records that the keys may still seal.
    records_left: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// Nothing came yet.
    Fresh,
    Handshake,
    Open,
    /// The peer has said `close_notify`.
    Ended,
    Failed,
}

impl Transport {
    pub(super) fn new(connection: UnbufferedServerConnection, asks_certificate: bool) -> Self {
        Self {
            connection,
            partial: Vec::new(),
            stage: Stage::Fresh,
            finished: false,
            asks_certificate,
            records_left: u64::MAX,
        }
    }

    /// Whether the handshake is done, so that something can be said.
    pub fn is_open(&self) -> bool {
        matches!(self.stage, Stage::Open | Stage::Ended)
    }

    /// Whether what comes next may cost a signature: the peer's hello was not
    /// answered, or it was asked for another, or it has yet to prove who it is.
    pub fn is_costly(&self) -> bool {
        let begun = matches!(self.stage, Stage::Fresh | Stage::Handshake);
        let asked_again = Some(HandshakeKind::FullWithHelloRetryRequest);
        let answered = self.connection.protocol_version().is_some()
            && self.connection.handshake_kind() != asked_again;
        // With TLS 1.2 the keys are agreed on in the next flight.
        let old = self.connection.protocol_version() == Some(ProtocolVersion::TLSv1_2);
        begun && (!answered || old || self.asks_certificate)
    }

    /// Whether the keys are nearly used up and the connection has to end, while
    /// there are records left to say so.
    pub fn is_worn(&self) -> bool {
        self.records_left < TLS_RECORDS_RESERVED
    }

    /// Whether the peer has said that it sends no more.
    pub fn has_ended(&self) -> bool {
        self.stage == Stage::Ended
    }

    /// Bytes that wait for the rest of their record or message.
    pub fn partial_bytes(&self) -> usize {
        self.partial.len()
    }

    /// Bytes of memory in which they do.
    pub fn kept_bytes(&self) -> usize {
        self.partial.capacity()
    }

    /// Takes what the socket gave; it is opened in its place. Appends to `plain`
    /// what the peer said, and to `out` what it is owed: handshake and alerts.
    ///
    /// # Errors
    /// The connection is of no more use. An alert for the peer may stand in `out`,
    /// and what was said before in `plain`.
    pub fn handle_bytes(
        &mut self,
        bytes: &mut [u8],
        plain: &mut Vec<u8>,
        out: &mut Vec<u8>,
    ) -> Result<(), TlsError> {
        if self.stage == Stage::Fresh && !bytes.is_empty() {
            // A method; a handshake begins with 22 (RFC 8446 section 5.1).
            if bytes[0].is_ascii_uppercase() {
                self.stage = Stage::Failed;
                return Err(TlsError::PlainHttp);
            }
            self.stage = Stage::Handshake;
        }
        if self.finished || matches!(self.stage, Stage::Ended | Stage::Failed) {
            // Nothing counts behind the end (RFC 8446 section 6.1).
            return Ok(());
        }
        let handled = if self.partial.is_empty() {
            self.open(bytes, plain, out).map(|done| {
                self.partial = bytes[done..].to_vec();
            })
        } else {
            let mut waiting = mem::take(&mut self.partial);
            waiting.extend_from_slice(bytes);
            self.open(&mut waiting, plain, out).map(|done| {
                // A byte that completes nothing moves nothing.
                self.partial = match done {
                    0 => waiting,
                    _ => waiting[done..].to_vec(),
                };
            })
        };
        let handled = handled.and_then(|()| match self.partial.len() {
            0..=TLS_PARTIAL_BYTES_MAX => Ok(()),
            _ => Err(TlsError::TooLarge),
        });
        if handled.is_err() {
            self.stage = Stage::Failed;
            self.partial = Vec::new();
        }
        handled
    }

    /// Opens what is whole; tells how many bytes that was.
    fn open(
        &mut self,
        bytes: &mut [u8],
        plain: &mut Vec<u8>,
        out: &mut Vec<u8>,
    ) -> Result<usize, TlsError> {
        let mut done = 0;
        loop {
            let UnbufferedStatus { discard, state } =
                self.connection.process_tls_records(&mut bytes[done..]);
            let mut more = 0;
            let state = match state {
                Ok(state) => state,
                Err(error) => {
                    self.take_alert(&mut bytes[done + discard..], out);
                    return Err(error.into());
                }
            };
            let state = match state {
                ConnectionState::ReadTraffic(mut records) => {
                    while let Some(record) = records.next_record() {
                        let record = record?;
                        plain.extend_from_slice(record.payload);
                        more += record.discard;
                    }
                    None
                }
                ConnectionState::EncodeTlsData(mut data) => {
                    append(out, 0, |room| match data.encode(room) {
                        Err(EncodeError::InsufficientSize(size)) => Err(Some(size)),
                        encoded => encoded.map_err(|_| None),
                    });
                    None
                }
                ConnectionState::TransmitTlsData(data) => {
                    data.done();
                    None
                }
                ConnectionState::WriteTraffic(_) => Some(Stage::Open),
                ConnectionState::PeerClosed | ConnectionState::Closed => Some(Stage::Ended),
                // No early data is ever accepted.
                _ => Some(Stage::Handshake),
            };
            done += discard + more;
            match state {
                None => {}
                Some(Stage::Ended) => {
                    self.stage = Stage::Ended;
                    return Ok(bytes.len());
                }
                // A server may write before its client has proved who it is.
                Some(Stage::Open) if !self.connection.is_handshaking() => {
                    if self.stage != Stage::Open {
                        self.stage = Stage::Open;
                        self.records_left = self.records_max();
                    }
                    return Ok(done);
                }
                Some(_) => return Ok(done),
            }
        }
    }

    /// Records that its keys may seal; TLS 1.3 changes them in time (RFC 8446
    /// section 5.5), TLS 1.2 can't.
    fn records_max(&self) -> u64 {
        match self.connection.negotiated_cipher_suite() {
            Some(SupportedCipherSuite::Tls12(suite)) => suite.common.confidentiality_limit,
            _ => u64::MAX,
        }
    }

    /// The alert that tells the peer why, after something failed, behind what was
    /// already on its way. `rest` is what has not been discarded: rustls may hold
    /// places in it.
    fn take_alert(&mut self, rest: &mut [u8], out: &mut Vec<u8>) {
        // No further: it would come upon the same mistake again.
        while self.connection.wants_write() {
            let status = self.connection.process_tls_records(rest);
            match status.state {
                Ok(ConnectionState::EncodeTlsData(mut data)) => {
                    append(out, 0, |room| match data.encode(room) {
                        Err(EncodeError::InsufficientSize(size)) => Err(Some(size)),
                        encoded => encoded.map_err(|_| None),
                    });
                }
                _ => return,
            }
        }
    }

    /// Appends `plain` to `out` as records. Nothing comes of it before the
    /// handshake is done, or after [`Self::finish`].
    ///
    /// # Errors
    /// [`TlsError::Exhausted`]: the connection is of no more use.
    pub fn seal(&mut self, plain: &[u8], out: &mut Vec<u8>) -> Result<(), TlsError> {
        if !self.is_open() || self.finished {
            return Ok(());
        }
        for piece in plain.chunks(TLS_SEALED_BYTES_MAX) {
            loop {
                let Self {
                    connection,
                    partial,
                    ..
                } = self;
                // With what waits: rustls may hold places in it.
                let status = connection.process_tls_records(partial);
                match status.state? {
                    ConnectionState::WriteTraffic(mut traffic) => {
                        let records = piece.len().div_ceil(RECORD_BYTES_MAX);
                        let guess = piece.len() + records * RECORD_OVERHEAD_BYTES;
                        let sealed =
                            append(out, guess, |room| match traffic.encrypt(piece, room) {
                                Err(EncryptError::InsufficientSize(size)) => Err(Some(size)),
                                sealed => sealed.map_err(|_| None),
                            });
                        if !sealed {
                            return Err(TlsError::Exhausted);
                        }
                        self.records_left = self.records_left.saturating_sub(records as u64);
                        break;
                    }
                    // A queued handshake message (a change of keys) goes first.
                    ConnectionState::EncodeTlsData(mut data) => {
                        append(out, 0, |room| match data.encode(room) {
                            Err(EncodeError::InsufficientSize(size)) => Err(Some(size)),
                            encoded => encoded.map_err(|_| None),
                        });
                    }
                    ConnectionState::TransmitTlsData(data) => data.done(),
                    // Seen already where it matters.
                    ConnectionState::PeerClosed => {}
                    _ => return Err(TlsError::Exhausted),
                }
            }
        }
        Ok(())
    }

    /// Bytes that `plain` bytes take at the most as records.
    pub fn sealed_len(plain: usize) -> usize {
        let whole = plain / TLS_SEALED_BYTES_MAX * (TLS_SEALED_BYTES_MAX / RECORD_BYTES_MAX);
        let rest = (plain % TLS_SEALED_BYTES_MAX).div_ceil(RECORD_BYTES_MAX);
        plain + (whole + rest) * RECORD_OVERHEAD_BYTES
    }

    /// Appends the `close_notify` after which nothing more can be said; nothing
    /// where the handshake is not done, or the second time. What still comes is
    /// not looked at.
    pub fn finish(&mut self, out: &mut Vec<u8>) {
        let finished = mem::replace(&mut self.finished, true);
        // The records in it are of no more use once this is over.
        let mut partial = mem::take(&mut self.partial);
        if !self.is_open() || finished {
            return;
        }
        let status = self.connection.process_tls_records(&mut partial);
        if let Ok(ConnectionState::WriteTraffic(mut traffic)) = status.state {
            append(out, 64, |room| match traffic.queue_close_notify(room) {
                Err(EncryptError::InsufficientSize(size)) => Err(Some(size)),
                sealed => sealed.map_err(|_| None),
            });
        }
    }
}

/// Lets `write` write behind the end of `out`, with room for `guess` bytes and then
/// for as many as it asks for; tells whether it could.
fn append(
    out: &mut Vec<u8>,
    guess: usize,
    mut write: impl FnMut(&mut [u8]) -> Result<usize, Option<InsufficientSizeError>>,
) -> bool {
    let start = out.len();
    let mut room = guess;
    // Told once how many they are, it asks for no more.
    for _ in 0..2 {
        out.resize(start + room, 0);
        match write(&mut out[start..]) {
            Ok(count) => {
                out.truncate(start + count);
                return true;
            }
            Err(Some(InsufficientSizeError { required_size })) => room = required_size,
            Err(None) => break,
        }
    }
    out.truncate(start);
    false
}
