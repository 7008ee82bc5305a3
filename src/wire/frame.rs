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
    /// Whether it begins a compressed message (RFC 7692 section 6).
    pub is_compressed: bool,
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

    pub(super) const NOT_DEFLATED: Self = Self {
        code: CloseCode::INVALID_PAYLOAD,
        reason: "message is not deflate data",
    };

    pub(super) const TOO_BIG: Self = Self {
        code: CloseCode::TOO_BIG,
        reason: "message too big",
    };
}

/// The bit that marks a compressed message (RFC 7692 section 6).
const RSV1: u8 = 0x40;

/// Bytes of a control frame's payload (RFC 6455 section 5.5).
const CONTROL_BYTES_MAX: usize = 125;

/// The header at the front of what a client sent; `None` where it is not all there.
/// A client that `may_compress` has agreed on `permessage-deflate`.
///
/// # Errors
/// 1002 for what RFC 6455 forbids, 1009 for a payload over `message_bytes_max`,
/// each as soon as it shows.
pub fn parse_client_header(
    bytes: &[u8],
    message_bytes_max: usize,
    may_compress: bool,
) -> Result<Option<Header>, Violation> {
    parse_header(bytes, true, may_compress, message_bytes_max)
}

/// The header at the front of what a server sent; `None` where it is not all there.
///
/// # Errors
/// 1002 for what RFC 6455 forbids.
pub fn parse_server_header(bytes: &[u8]) -> Result<Option<Header>, Violation> {
    parse_header(bytes, false, false, usize::MAX)
}

/// ```text
/// byte 0      1            2..4 or 2..10       then 4, from a client
/// F RSV opco  M length     126: u16, 127: u64  mask                   payload
/// ```
fn parse_header(
    bytes: &[u8],
    from_client: bool,
    may_compress: bool,
    payload_bytes_max: usize,
) -> Result<Option<Header>, Violation> {
    let [first, second, rest @ ..] = bytes else {
        return Ok(None);
    };
    let is_compressed = may_compress && first & RSV1 != 0;
    if first & 0x30 != 0 || (first & RSV1 != 0 && !is_compressed) {
        return Err(Violation::protocol("reserved bits without an extension"));
    }
    let Some(opcode) = Opcode::from_bits(first & 0x0f) else {
        return Err(Violation::protocol("reserved opcode"));
    };
    if is_compressed && !matches!(opcode, Opcode::Text | Opcode::Binary) {
        return Err(Violation::protocol(
            "compressed frame that begins no message",
        ));
    }
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
    // A control frame is no message: its own bound, above, is all it has.
    let Some(payload_bytes) = usize::try_from(payload_bytes)
        .ok()
        .filter(|&bytes| bytes <= payload_bytes_max || opcode.is_control())
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
        is_compressed,
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
    write_header(out, 0, Opcode::Text, None, payload_bytes);
    for piece in pieces {
        out.put_slice(piece);
    }
}

/// Appends one unmasked frame with a whole message, text or binary.
pub fn write_message(out: &mut impl BufMut, opcode: Opcode, payload: &[u8]) {
    write_header(out, 0, opcode, None, payload.len());
    out.put_slice(payload);
}

/// Appends one unmasked frame with a whole message that is deflated already.
pub fn write_compressed(out: &mut impl BufMut, opcode: Opcode, deflated: &[u8]) {
    write_header(out, RSV1, opcode, None, deflated.len());
    out.put_slice(deflated);
}

/// Appends a close frame; the reason is cut at a character where it is too long.
pub fn write_close(out: &mut impl BufMut, code: CloseCode, reason: &str) {
    let mut end = reason.len().min(CONTROL_BYTES_MAX - 2);
    while !reason.is_char_boundary(end) {
        end -= 1;
    }
    let reason = &reason[..end];
    write_header(out, 0, Opcode::Close, None, 2 + reason.len());
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
    write_header(out, 0, opcode, None, payload.len());
    out.put_slice(payload);
}

/// Appends a frame as a client sends it: the last of its message, masked.
pub fn write_client_frame(out: &mut Vec<u8>, opcode: Opcode, mask: [u8; 4], payload: &[u8]) {
    write_header(out, 0, opcode, Some(mask), payload.len());
    let start = out.len();
    out.extend_from_slice(payload);
    unmask(&mut out[start..], mask);
}

fn write_header(
    out: &mut impl BufMut,
    rsv: u8,
    opcode: Opcode,
    mask: Option<[u8; 4]>,
    payload_bytes: usize,
) {
    let masked = if mask.is_some() { 0x80 } else { 0 };
    out.put_u8(0x80 | rsv | opcode as u8);
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn code(bytes: &[u8]) -> Option<CloseCode> {
        parse_client_header(bytes, 1000, false)
            .err()
            .map(|violation| violation.code)
    }

    #[test]
    fn the_examples_of_rfc_6455() {
        let mut out = Vec::new();
        write_client_frame(&mut out, Opcode::Text, [0x37, 0xfa, 0x21, 0x3d], b"Hello");
        assert_eq!(
            out,
            [
                0x81, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58
            ]
        );
        let header = parse_client_header(&out, 5, false)
            .expect("valid")
            .expect("whole");
        let expected = Header {
            fin: true,
            opcode: Opcode::Text,
            mask: [0x37, 0xfa, 0x21, 0x3d],
            payload_bytes: 5,
            header_bytes: 6,
            is_compressed: false,
        };
        assert_eq!(header, expected);
        let mut out = Vec::new();
        write_text(&mut out, &[b"Hel", b"", b"lo"]);
        assert_eq!(out, [0x81, 0x05, 0x48, 0x65, 0x6c, 0x6c, 0x6f]);
    }

    #[test]
    fn lengths_at_each_border() {
        for (bytes, header_bytes) in [
            (0, 2),
            (125, 2),
            (126, 4),
            (0xffff, 4),
            (0x1_0000, 10),
            (0x2_0000, 10),
        ] {
            let mut out = Vec::new();
            write_text(&mut out, &[&vec![b'x'; bytes]]);
            assert_eq!(out.len(), header_bytes + bytes);
            let header = parse_server_header(&out).expect("valid").expect("whole");
            assert_eq!(
                (header.payload_bytes, header.header_bytes),
                (bytes, header_bytes)
            );
            out.clear();
            write_client_frame(&mut out, Opcode::Binary, [1, 2, 3, 4], &vec![b'x'; bytes]);
            let header = parse_client_header(&out, bytes, false)
                .expect("valid")
                .expect("whole");
            assert_eq!(
                (header.payload_bytes, header.header_bytes),
                (bytes, header_bytes + 4)
            );
            for end in 0..header.header_bytes {
                assert_eq!(
                    parse_client_header(&out[..end], bytes, false),
                    Ok(None),
                    "{end}"
                );
            }
        }
    }

    #[test]
    fn unmasked_client_frames_fr_05() {
        assert_eq!(code(&[0x81, 0x01, b'a']), Some(CloseCode::PROTOCOL_ERROR));
        assert!(parse_server_header(&[0x81, 0x81, 1, 2, 3, 4, 5]).is_err());
    }

    #[test]
    fn what_rfc_6455_forbids_is_1002() {
        let forbidden: &[&[u8]] = &[
            &[0xc1, 0x80], // RSV1
            &[0xa1, 0x80], // RSV2
            &[0x91, 0x80], // RSV3
            &[0x83, 0x80], // reserved data opcode
            &[0x87, 0x80],
            &[0x8b, 0x80], // reserved control opcode
            &[0x8f, 0x80],
            &[0x09, 0x80], // fragmented ping
            &[0x08, 0x80], // fragmented close
            &[0x89, 0xfe], // ping over 125 bytes
            &[0x8a, 0xff],
            &[0x81, 0xfe, 0, 125],                       // two bytes for 125
            &[0x81, 0xff, 0, 0, 0, 0, 0, 0, 0xff, 0xff], // eight bytes for 65,535
            &[0x81, 0xff, 0x80, 0, 0, 0, 0, 0, 0, 0],    // top bit set
        ];
        for bytes in forbidden {
            assert_eq!(code(bytes), Some(CloseCode::PROTOCOL_ERROR), "{bytes:x?}");
        }
    }

    #[test]
    fn only_who_has_agreed_may_compress_and_only_the_begin_of_a_message() {
        for opcode in [Opcode::Text, Opcode::Binary] {
            let bytes = [0xc0 | opcode as u8, 0x80, 1, 2, 3, 4];
            assert_eq!(code(&bytes), Some(CloseCode::PROTOCOL_ERROR));
            let header = parse_client_header(&bytes, 0, true).expect("valid");
            assert!(header.expect("whole").is_compressed);
            let mut out = Vec::new();
            write_compressed(&mut out, opcode, b"z");
            assert_eq!(out, [0xc0 | opcode as u8, 1, b'z']);
        }
        for first in [0xc0, 0xc8, 0xc9, 0xca, 0xa1, 0x91, 0xe1, 0xd1] {
            assert!(parse_client_header(&[first, 0x80], 0, true).is_err());
        }
        let plain = parse_client_header(&[0x81, 0x80, 1, 2, 3, 4], 0, true);
        assert!(!plain.expect("valid").expect("whole").is_compressed);
    }

    #[test]
    fn payloads_at_the_bound_and_past_it_fr_09() {
        assert_eq!(code(&[0x81, 0xfe, 0x03, 0xe8]), None);
        assert_eq!(code(&[0x81, 0xfe, 0x03, 0xe9]), Some(CloseCode::TOO_BIG));
        let largest = [0x81, 0xff, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff];
        assert_eq!(code(&largest), Some(CloseCode::TOO_BIG));
    }

    #[test]
    fn close_reasons_are_cut_at_a_character() {
        let mut out = Vec::new();
        write_close(&mut out, CloseCode::GOING_AWAY, "bye");
        assert_eq!(out, b"\x88\x05\x03\xe9bye");
        for (reason, kept) in [
            ("r".repeat(123), 123),
            ("r".repeat(124), 123),
            ("é".repeat(62), 122),
        ] {
            out.clear();
            write_close(&mut out, CloseCode::NORMAL, &reason);
            assert_eq!(out.len(), 4 + kept);
            assert!(std::str::from_utf8(&out[4..]).is_ok());
        }
    }

    #[test]
    fn pings_and_pongs() {
        let mut out = Vec::new();
        write_ping(&mut out, b"ab");
        write_pong(&mut out, &[b'x'; 125]);
        write_pong(&mut out, &[b'x'; 126]);
        assert_eq!(out.len(), 4 + 127 + 127);
        assert_eq!(&out[..6], b"\x89\x02ab\x8a\x7d");
    }

    #[test]
    fn sendable_close_codes() {
        for good in [1000, 1003, 1007, 1011, 1012, 1014, 3000, 4999] {
            assert!(CloseCode(good).is_sendable(), "{good}");
        }
        for bad in [
            0, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65535,
        ] {
            assert!(!CloseCode(bad).is_sendable(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn unmasking_is_byte_by_byte(payload in prop::collection::vec(any::<u8>(), 0..100), mask: [u8; 4]) {
            let mut fast = payload.clone();
            unmask(&mut fast, mask);
            let slow: Vec<u8> = payload.iter().enumerate().map(|(at, byte)| byte ^ mask[at % 4]).collect();
            prop_assert_eq!(fast, slow);
        }
    }
}
