//! Frames of RFC 6455: one header at a time, and whole frames to send.

use bytes::BufMut;

/// What a frame is for (RFC 6455 section 11.8).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Opcode {
    /// Goes on with the message begun before.
    Continuation = 0,
    /// Begins a text message.
    Text = 1,
    /// Begins a binary message.
    Binary = 2,
    /// Ends the connection.
    Close = 8,
    /// Asks for a pong.
    Ping = 9,
    /// Answers a ping.
    Pong = 10,
}

impl Opcode {
    /// Whether it may stand between the fragments of a message.
    pub fn is_control(self) -> bool {
        self as u8 >= 8
    }

    fn from_bits(bits: u8) -> Option<Self> {
        Some(match bits {
            0 => Self::Continuation,
            1 => Self::Text,
            2 => Self::Binary,
            8 => Self::Close,
            9 => Self::Ping,
            10 => Self::Pong,
            _ => return None,
        })
    }
}

/// A frame's header; the payload stands `header_bytes` behind its start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Whether the frame is the last of its message.
    pub fin: bool,
    /// What the frame is for.
    pub opcode: Opcode,
    /// Zero where the frame is not masked.
    pub mask: [u8; 4],
    /// Bytes of the payload.
    pub payload_bytes: usize,
    /// Bytes of the header: 2 to 14.
    pub header_bytes: usize,
}

/// Why a connection ends (RFC 6455 section 7.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CloseCode(pub u16);

impl CloseCode {
    /// Done.
    pub const NORMAL: Self = Self(1000);
    /// The server stops, or the vhost is gone.
    pub const GOING_AWAY: Self = Self(1001);
    /// Not RFC 6455.
    pub const PROTOCOL_ERROR: Self = Self(1002);
    /// Text that is no UTF-8.
    pub const INVALID_PAYLOAD: Self = Self(1007);
    /// Not allowed here.
    pub const POLICY: Self = Self(1008);
    /// A message past its bound.
    pub const TOO_BIG: Self = Self(1009);
    /// The server failed.
    pub const INTERNAL: Self = Self(1011);
    /// The server restarts.
    pub const SERVICE_RESTART: Self = Self(1012);
    /// A slow consumer, or no room.
    pub const TRY_AGAIN_LATER: Self = Self(1013);

    /// Whether a close frame may carry it: those registered but the ones that
    /// only an end of its own may see (1004 to 1006, 1015), and private ones.
    pub fn is_sendable(self) -> bool {
        matches!(self.0, 1000..=1003 | 1007..=1014 | 3000..=4999)
    }
}

/// What a peer did against RFC 6455, as the close code and reason that answer it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{reason} ({})", code.0)]
pub struct Violation {
    /// The code of the close frame.
    pub code: CloseCode,
    /// The reason in the close frame.
    pub reason: &'static str,
}

impl Violation {
    pub(super) const fn protocol(reason: &'static str) -> Self {
        Self {
            code: CloseCode::PROTOCOL_ERROR,
            reason,
        }
    }

    pub(super) const INVALID_TEXT: Self = Self {
        code: CloseCode::INVALID_PAYLOAD,
        reason: "text is not UTF-8",
    };

    pub(super) const TOO_BIG: Self = Self {
        code: CloseCode::TOO_BIG,
        reason: "message too big",
    };
}

/// Bytes of a control frame's payload (RFC 6455 section 5.5).
const CONTROL_BYTES_MAX: usize = 125;

/// The header at the front of what a client sent; `None` where it is not all there.
///
/// # Errors
/// 1002 for what RFC 6455 forbids, 1009 for a payload over `message_bytes_max`,
/// each as soon as it shows.
pub fn parse_client_header(
    bytes: &[u8],
    message_bytes_max: usize,
) -> Result<Option<Header>, Violation> {
    parse_header(bytes, true, message_bytes_max)
}

/// The header at the front of what a server sent; `None` where it is not all there.
///
/// # Errors
/// 1002 for what RFC 6455 forbids.
pub fn parse_server_header(bytes: &[u8]) -> Result<Option<Header>, Violation> {
    parse_header(bytes, false, usize::MAX)
}

/// ```text
/// byte 0      1            2..4 or 2..10       then 4, from a client
/// F RSV opco  M length     126: u16, 127: u64  mask                   payload
/// ```
fn parse_header(
    bytes: &[u8],
    from_client: bool,
    payload_bytes_max: usize,
) -> Result<Option<Header>, Violation> {
    let [first, second, rest @ ..] = bytes else {
        return Ok(None);
    };
    if first & 0x70 != 0 {
        return Err(Violation::protocol("reserved bits without an extension"));
    }
    let Some(opcode) = Opcode::from_bits(first & 0x0f) else {
        return Err(Violation::protocol("reserved opcode"));
    };
    let fin = first & 0x80 != 0;
    match (second & 0x80 != 0, from_client) {
        (false, true) => return Err(Violation::protocol("client frame without a mask")),
        (true, false) => return Err(Violation::protocol("server frame with a mask")),
        _ => {}
    }
    let short = second & 0x7f;
    if opcode.is_control() && !fin {
        return Err(Violation::protocol("fragmented control frame"));
    }
    if opcode.is_control() && usize::from(short) > CONTROL_BYTES_MAX {
        return Err(Violation::protocol("control frame too long"));
    }
    let (payload_bytes, shortest, length_bytes) = match short {
        126 => match rest.first_chunk() {
            Some(length) => (u64::from(u16::from_be_bytes(*length)), 126, 2),
            None => return Ok(None),
        },
        127 => match rest.first_chunk() {
            Some(length) => (u64::from_be_bytes(*length), 0x1_0000, 8),
            None => return Ok(None),
        },
        length => (u64::from(length), 0, 0),
    };
    if payload_bytes < shortest {
        return Err(Violation::protocol("length not in its shortest form"));
    }
    if payload_bytes >> 63 != 0 {
        return Err(Violation::protocol("length with its top bit set"));
    }
    let Some(payload_bytes) = usize::try_from(payload_bytes)
        .ok()
        .filter(|&bytes| bytes <= payload_bytes_max)
    else {
        return Err(Violation::TOO_BIG);
    };
    let mask = match (from_client, rest[length_bytes..].first_chunk()) {
        (false, _) => [0; 4],
        (true, Some(mask)) => *mask,
        (true, None) => return Ok(None),
    };
    let header_bytes = 2 + length_bytes + if from_client { 4 } else { 0 };
    Ok(Some(Header {
        fin,
        opcode,
        mask,
        payload_bytes,
        header_bytes,
    }))
}

/// Masks, or unmasks: the payload's bytes are combined with the mask in turn.
pub fn unmask(payload: &mut [u8], mask: [u8; 4]) {
    let [a, b, c, d] = mask;
    let wide = u64::from_ne_bytes([a, b, c, d, a, b, c, d]);
    let (words, tail) = payload.as_chunks_mut::<8>();
    for word in words {
        *word = (u64::from_ne_bytes(*word) ^ wide).to_ne_bytes();
    }
    for (byte, mask) in tail.iter_mut().zip(mask.into_iter().cycle()) {
        *byte ^= mask;
    }
}

/// Appends one unmasked text frame with the pieces joined as its payload. The
/// buffer must be one that grows.
pub fn write_text(out: &mut impl BufMut, pieces: &[&[u8]]) {
    let payload_bytes = pieces.iter().map(|piece| piece.len()).sum();
    write_header(out, Opcode::Text, None, payload_bytes);
    for piece in pieces {
        out.put_slice(piece);
    }
}

/// Appends a close frame; the reason is cut at a character where it is too long.
pub fn write_close(out: &mut impl BufMut, code: CloseCode, reason: &str) {
    let mut end = reason.len().min(CONTROL_BYTES_MAX - 2);
    while !reason.is_char_boundary(end) {
        end -= 1;
    }
    let reason = &reason[..end];
    write_header(out, Opcode::Close, None, 2 + reason.len());
    out.put_u16(code.0);
    out.put_slice(reason.as_bytes());
}

/// Appends a ping; at most 125 bytes of the payload are sent.
pub fn write_ping(out: &mut impl BufMut, payload: &[u8]) {
    write_control(out, Opcode::Ping, payload);
}

/// Appends a pong; at most 125 bytes of the payload are sent.
pub fn write_pong(out: &mut impl BufMut, payload: &[u8]) {
    write_control(out, Opcode::Pong, payload);
}

fn write_control(out: &mut impl BufMut, opcode: Opcode, payload: &[u8]) {
    let payload = &payload[..payload.len().min(CONTROL_BYTES_MAX)];
    write_header(out, opcode, None, payload.len());
    out.put_slice(payload);
}

/// Appends a frame as a client sends it: the last of its message, masked.
pub fn write_client_frame(out: &mut Vec<u8>, opcode: Opcode, mask: [u8; 4], payload: &[u8]) {
    write_header(out, opcode, Some(mask), payload.len());
    let start = out.len();
    out.extend_from_slice(payload);
    unmask(&mut out[start..], mask);
}

fn write_header(
    out: &mut impl BufMut,
    opcode: Opcode,
    mask: Option<[u8; 4]>,
    payload_bytes: usize,
) {
    let masked = if mask.is_some() { 0x80 } else { 0 };
    out.put_u8(0x80 | opcode as u8);
    match payload_bytes {
        0..=125 => out.put_u8(masked | payload_bytes as u8),
        126..=0xffff => {
            out.put_u8(masked | 126);
            out.put_u16(payload_bytes as u16);
        }
        _ => {
            out.put_u8(masked | 127);
            out.put_u64(payload_bytes as u64);
        }
    }
    if let Some(mask) = mask {
        out.put_slice(&mask);
    }
}
