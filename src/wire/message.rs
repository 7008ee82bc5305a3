//! Messages from the frames of a client, without a copy where one frame holds
//! the whole message.

use std::ops::Range;

use crate::limits::MESSAGE_BYTES_MAX;
use crate::wire::frame::{CloseCode, Opcode, Violation, parse_client_header, unmask};

/// Reassembles what one client sends. Owns no allocation but between the
/// fragments of a message.
///
/// Call [`Reader::next`] until it gives `None`: a reassembled message is freed
/// by the call that follows it.
#[derive(Debug, Default)]
pub struct Reader {
    fragments: Vec<u8>,
    state: State,
}

/// What one or more frames complete.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Incoming<'a> {
    /// A whole message.
    Message {
        /// The payload; UTF-8 unless `binary`.
        text: &'a [u8],
        /// Whether it came as a binary message ([FR-04]).
        binary: bool,
    },
    /// To be answered with a pong of the same bytes ([FR-01]).
    Ping(&'a [u8]),
    /// To be ignored ([FR-02]).
    Pong,
    /// To be answered with a close ([FR-06]); nothing after it counts.
    Close {
        /// What the client gave as its reason, if it gave one.
        code: Option<CloseCode>,
    },
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    #[default]
    Idle,
    /// A message has begun; the rest of it comes in continuation frames.
    Fragmented { binary: bool },
    /// `fragments` was given out as a message and is no longer needed.
    Delivered,
}

impl Reader {
    /// What the frames at the front of `bytes` complete; `None` where more bytes
    /// are needed. Payloads are unmasked in place. `consumed` is set to the bytes
    /// eaten, which are not to be given again; fragments are eaten also where
    /// they complete nothing.
    ///
    /// # Errors
    /// The client broke RFC 6455 (1002), sent text that is no UTF-8 (1007), or
    /// a message over [`MESSAGE_BYTES_MAX`] (1009). The connection is to be closed.
    pub fn next<'a>(
        &'a mut self,
        bytes: &'a mut [u8],
        consumed: &mut usize,
    ) -> Result<Option<Incoming<'a>>, Violation> {
        *consumed = 0;
        if self.state == State::Delivered {
            self.fragments = Vec::new();
            self.state = State::Idle;
        }
        while let Some((frame, payload)) = take_frame(bytes, consumed, self.fragments.len())? {
            match (frame.opcode, self.state) {
                (Opcode::Ping, _) => return Ok(Some(Incoming::Ping(&bytes[payload]))),
                (Opcode::Pong, _) => return Ok(Some(Incoming::Pong)),
                (Opcode::Close, _) => {
                    let code = close_code(&bytes[payload])?;
                    return Ok(Some(Incoming::Close { code }));
                }
                (Opcode::Text | Opcode::Binary, State::Fragmented { .. }) => {
                    return Err(Violation::protocol("message inside another"));
                }
                (Opcode::Text | Opcode::Binary, _) => {
                    let binary = frame.opcode == Opcode::Binary;
                    if frame.fin {
                        return message(&bytes[payload], binary).map(Some);
                    }
                    self.fragments.extend_from_slice(&bytes[payload]);
                    self.state = State::Fragmented { binary };
                }
                (Opcode::Continuation, State::Fragmented { binary }) => {
                    self.fragments.extend_from_slice(&bytes[payload]);
                    if frame.fin {
                        self.state = State::Delivered;
                        return message(&self.fragments, binary).map(Some);
                    }
                }
                (Opcode::Continuation, _) => {
                    return Err(Violation::protocol("continuation of nothing"));
                }
            }
        }
        Ok(None)
    }

    /// How many bytes must stand at the front of `bytes` before [`Reader::next`]
    /// makes progress, as far as these tell. At most the bytes given where
    /// there is something to tell already.
    pub fn needs(bytes: &[u8]) -> usize {
        match parse_client_header(bytes, MESSAGE_BYTES_MAX) {
            Ok(Some(header)) => header.header_bytes + header.payload_bytes,
            Ok(None) => bytes.len() + 1,
            Err(_) => bytes.len(),
        }
    }
}

struct Frame {
    opcode: Opcode,
    fin: bool,
}

/// The next whole frame behind `consumed`, unmasked and consumed, and where its
/// payload stands.
fn take_frame(
    bytes: &mut [u8],
    consumed: &mut usize,
    message_bytes: usize,
) -> Result<Option<(Frame, Range<usize>)>, Violation> {
    let rest = &mut bytes[*consumed..];
    let Some(header) = parse_client_header(rest, MESSAGE_BYTES_MAX)? else {
        return Ok(None);
    };
    if !header.opcode.is_control() && message_bytes + header.payload_bytes > MESSAGE_BYTES_MAX {
        return Err(Violation::TOO_BIG);
    }
    let Some(payload) = rest[header.header_bytes..].get_mut(..header.payload_bytes) else {
        return Ok(None);
    };
    unmask(payload, header.mask);
    let start = *consumed + header.header_bytes;
    *consumed = start + header.payload_bytes;
    Ok(Some((
        Frame {
            opcode: header.opcode,
            fin: header.fin,
        },
        start..*consumed,
    )))
}

fn message(payload: &[u8], binary: bool) -> Result<Incoming<'_>, Violation> {
    if !binary && simdutf8::basic::from_utf8(payload).is_err() {
        return Err(Violation::INVALID_TEXT);
    }
    Ok(Incoming::Message {
        text: payload,
        binary,
    })
}

fn close_code(payload: &[u8]) -> Result<Option<CloseCode>, Violation> {
    let (code, reason) = match payload {
        [] => return Ok(None),
        [high, low, reason @ ..] => (CloseCode(u16::from_be_bytes([*high, *low])), reason),
        [_] => return Err(Violation::protocol("half a close code")),
    };
    if !code.is_sendable() {
        return Err(Violation::protocol("close code that no frame may carry"));
    }
    if simdutf8::basic::from_utf8(reason).is_err() {
        return Err(Violation::INVALID_TEXT);
    }
    Ok(Some(code))
}
