//! Messages from the frames of a client, without a copy where one frame holds
//! the whole message.

use std::ops::Range;

use crate::limits::CONFIGURED_MESSAGE_BYTES_MAX;
use crate::wire::frame::{CloseCode, Header, Opcode, Violation, parse_client_header, unmask};

/// Reassembles what one client sends. Owns no allocation but between the
/// fragments of a message.
///
/// Call [`Reader::next`] until it gives `None`: a reassembled message is freed
/// by the call that follows it.
#[derive(Debug, Default)]
pub struct Reader {
    fragments: Vec<u8>,
    state: State,
    may_compress: bool,
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
        /// The same as text, where it has been found to be that: unless `binary`.
        checked: Option<&'a str>,
    },
    /// A whole message, compressed: to be inflated, and then to be told from
    /// other bytes with [`expect_text`] unless `binary`.
    Compressed {
        /// As it came.
        payload: &'a [u8],
        /// Whether it came as a binary message.
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

impl<'a> Incoming<'a> {
    /// A whole message that is, or was, not compressed.
    ///
    /// # Errors
    /// 1007 where it should be text and is no UTF-8.
    pub fn message(payload: &'a [u8], binary: bool) -> Result<Self, Violation> {
        let checked = match binary {
            true => None,
            false => Some(expect_text(payload)?),
        };
        Ok(Self::Message {
            text: payload,
            binary,
            checked,
        })
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    #[default]
    Idle,
    /// A message has begun; the rest of it comes in continuation frames.
    Fragmented { kind: Kind },
    /// `fragments` was given out as a message and is no longer needed.
    Delivered,
}

/// What a message's first frame says of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Kind {
    binary: bool,
    compressed: bool,
}

impl Reader {
    /// A reader of a client that has agreed on `permessage-deflate`.
    pub fn may_compress() -> Self {
        Self {
            may_compress: true,
            ..Self::default()
        }
    }

    /// What the frames at the front of `bytes` complete; `None` where more bytes
    /// are needed. Payloads are unmasked in place. `consumed` is set to the bytes
    /// eaten, which are not to be given again; fragments are eaten also where
    /// they complete nothing. `message_bytes_max` bounds the whole message.
    ///
    /// # Errors
    /// The client broke RFC 6455 (1002), sent text that is no UTF-8 (1007), or
    /// a message past its bound (1009). The connection is to be closed.
    pub fn next<'a>(
        &'a mut self,
        bytes: &'a mut [u8],
        message_bytes_max: usize,
        consumed: &mut usize,
    ) -> Result<Option<Incoming<'a>>, Violation> {
        *consumed = 0;
        if self.state == State::Delivered {
            self.fragments = Vec::new();
            self.state = State::Idle;
        }
        while let Some((frame, payload)) = take_frame(
            bytes,
            consumed,
            self.fragments.len(),
            message_bytes_max,
            self.may_compress,
        )? {
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
                    let kind = Kind {
                        binary: frame.opcode == Opcode::Binary,
                        compressed: frame.is_compressed,
                    };
                    if frame.fin {
                        return message(&bytes[payload], kind).map(Some);
                    }
                    self.fragments.extend_from_slice(&bytes[payload]);
                    self.state = State::Fragmented { kind };
                }
                (Opcode::Continuation, State::Fragmented { kind }) => {
                    self.fragments.extend_from_slice(&bytes[payload]);
                    if frame.fin {
                        self.state = State::Delivered;
                        return message(&self.fragments, kind).map(Some);
                    }
                }
                (Opcode::Continuation, _) => {
                    return Err(Violation::protocol("continuation of nothing"));
                }
            }
        }
        Ok(None)
    }

    /// Bytes of the message that has begun and is not whole, as far as they were eaten.
    pub fn unfinished_bytes(&self) -> usize {
        match self.state {
            State::Fragmented { .. } => self.fragments.len(),
            State::Idle | State::Delivered => 0,
        }
    }

    /// Bytes of memory in which fragments are, also where they were given out.
    pub fn kept_bytes(&self) -> usize {
        self.fragments.capacity()
    }

    /// How many bytes must stand at the front of `bytes` before [`Reader::next`]
    /// makes progress, as far as these tell. At most the bytes given where
    /// there is something to tell already.
    pub fn needs(bytes: &[u8]) -> usize {
        match parse_client_header(bytes, CONFIGURED_MESSAGE_BYTES_MAX, true) {
            Ok(Some(header)) => header.header_bytes + header.payload_bytes,
            Ok(None) => bytes.len() + 1,
            Err(_) => bytes.len(),
        }
    }
}

/// The next whole frame behind `consumed`, unmasked and consumed, and where its
/// payload stands.
fn take_frame(
    bytes: &mut [u8],
    consumed: &mut usize,
    message_bytes: usize,
    message_bytes_max: usize,
    may_compress: bool,
) -> Result<Option<(Header, Range<usize>)>, Violation> {
    let rest = &mut bytes[*consumed..];
    let Some(header) = parse_client_header(rest, message_bytes_max, may_compress)? else {
        return Ok(None);
    };
    if !header.opcode.is_control() && message_bytes + header.payload_bytes > message_bytes_max {
        return Err(Violation::TOO_BIG);
    }
    let Some(payload) = rest[header.header_bytes..].get_mut(..header.payload_bytes) else {
        return Ok(None);
    };
    unmask(payload, header.mask);
    let start = *consumed + header.header_bytes;
    *consumed = start + header.payload_bytes;
    Ok(Some((header, start..*consumed)))
}

fn message(payload: &[u8], kind: Kind) -> Result<Incoming<'_>, Violation> {
    let binary = kind.binary;
    if kind.compressed {
        return Ok(Incoming::Compressed { payload, binary });
    }
    Incoming::message(payload, binary)
}

/// That a text message is text.
///
/// # Errors
/// 1007 where it is no UTF-8.
pub fn expect_text(payload: &[u8]) -> Result<&str, Violation> {
    simdutf8::basic::from_utf8(payload).map_err(|_| Violation::INVALID_TEXT)
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::limits::MESSAGE_BYTES_MAX;
    use crate::wire::frame::write_client_frame;

    const MASK: [u8; 4] = [0x12, 0x34, 0x56, 0x78];

    /// What a test saw, as it must outlive the bytes.
    #[derive(Clone, Debug, PartialEq, Eq)]
    enum Seen {
        Message(Vec<u8>, bool),
        Compressed(Vec<u8>, bool),
        Ping(Vec<u8>),
        Pong,
        Close(Option<u16>),
        Violation(u16),
    }

    fn frame(out: &mut Vec<u8>, fin: bool, opcode: Opcode, payload: &[u8]) {
        let start = out.len();
        write_client_frame(out, opcode, MASK, payload);
        if !fin {
            out[start] &= 0x7f;
        }
    }

    /// Feeds `stream` in the given pieces, keeping a tail as a connection would.
    fn read<'a>(pieces: impl Iterator<Item = &'a [u8]>) -> Vec<Seen> {
        read_with(Reader::default(), pieces)
    }

    fn read_with<'a>(mut reader: Reader, pieces: impl Iterator<Item = &'a [u8]>) -> Vec<Seen> {
        let (mut kept, mut seen) = (Vec::new(), Vec::new());
        for piece in pieces {
            kept.extend_from_slice(piece);
            loop {
                let mut consumed = 0;
                let next = match reader.next(&mut kept, MESSAGE_BYTES_MAX, &mut consumed) {
                    Ok(next) => next,
                    Err(violation) => {
                        seen.push(Seen::Violation(violation.code.0));
                        return seen;
                    }
                };
                let done = next.is_none();
                seen.extend(next.map(|incoming| match incoming {
                    Incoming::Message {
                        text,
                        binary,
                        checked,
                    } => {
                        let expected = (!binary).then(|| str::from_utf8(text).expect("text"));
                        assert_eq!(checked, expected);
                        Seen::Message(text.to_vec(), binary)
                    }
                    Incoming::Compressed { payload, binary } => {
                        Seen::Compressed(payload.to_vec(), binary)
                    }
                    Incoming::Ping(payload) => Seen::Ping(payload.to_vec()),
                    Incoming::Pong => Seen::Pong,
                    Incoming::Close { code } => Seen::Close(code.map(|code| code.0)),
                }));
                kept.drain(..consumed);
                if done {
                    assert!(Reader::needs(&kept) > kept.len(), "needs more than it has");
                    break;
                }
            }
        }
        seen
    }

    fn read_whole(stream: &[u8]) -> Vec<Seen> {
        read(std::iter::once(stream))
    }

    fn text(text: &str) -> Seen {
        Seen::Message(text.into(), false)
    }

    #[test]
    fn is_small_when_idle() {
        assert!(size_of::<Reader>() <= 40);
        assert_eq!(Reader::default().fragments.capacity(), 0);
    }

    #[test]
    fn frames_give_messages_wherever_the_stream_is_cut_fr_01_to_fr_04() {
        let mut stream = Vec::new();
        frame(&mut stream, true, Opcode::Text, "grüß".as_bytes());
        frame(&mut stream, false, Opcode::Text, b"gr\xc3");
        frame(&mut stream, true, Opcode::Ping, b"between");
        frame(&mut stream, false, Opcode::Continuation, b"");
        frame(&mut stream, true, Opcode::Continuation, b"\xbc\xc3\x9f");
        frame(&mut stream, true, Opcode::Binary, b"\xff");
        frame(&mut stream, true, Opcode::Pong, b"unasked");
        frame(&mut stream, true, Opcode::Text, b"");
        frame(&mut stream, true, Opcode::Close, b"\x03\xe8bye");
        let expected = [
            text("grüß"),
            Seen::Ping(b"between".into()),
            text("grüß"),
            Seen::Message(b"\xff".into(), true),
            Seen::Pong,
            text(""),
            Seen::Close(Some(1000)),
        ];
        assert_eq!(read_whole(&stream), expected);
        assert_eq!(read(stream.chunks(1)), expected);
        for cut in 0..stream.len() {
            let (front, back) = stream.split_at(cut);
            assert_eq!(read([front, back].into_iter()), expected, "cut at {cut}");
        }
    }

    #[test]
    fn compressed_messages_are_given_as_they_came() {
        let mut stream = Vec::new();
        let mut begin = |fin, opcode, payload: &[u8]| {
            let start = stream.len();
            frame(&mut stream, fin, opcode, payload);
            stream[start] |= 0x40;
        };
        begin(true, Opcode::Text, b"\xff not yet text");
        begin(true, Opcode::Binary, b"");
        begin(false, Opcode::Text, b"be");
        frame(&mut stream, true, Opcode::Ping, b"");
        frame(&mut stream, true, Opcode::Continuation, b"gun");
        frame(&mut stream, true, Opcode::Text, b"plain");
        let expected = [
            Seen::Compressed(b"\xff not yet text".into(), false),
            Seen::Compressed(b"".into(), true),
            Seen::Ping(b"".into()),
            Seen::Compressed(b"begun".into(), false),
            text("plain"),
        ];
        let seen = read_with(Reader::may_compress(), stream.chunks(1));
        assert_eq!(seen, expected);
        // Who has not agreed may not.
        assert_eq!(read_whole(&stream), [Seen::Violation(1002)]);
    }

    #[test]
    fn a_reassembled_message_is_freed() {
        let mut stream = Vec::new();
        frame(&mut stream, false, Opcode::Text, b"a");
        frame(&mut stream, true, Opcode::Continuation, b"b");
        let mut reader = Reader::default();
        let mut consumed = 0;
        assert!(matches!(
            reader.next(&mut stream, MESSAGE_BYTES_MAX, &mut consumed),
            Ok(Some(_))
        ));
        assert_eq!(consumed, stream.len());
        assert_eq!(
            reader.next(&mut [], MESSAGE_BYTES_MAX, &mut consumed),
            Ok(None)
        );
        assert_eq!(reader.fragments.capacity(), 0);
    }

    #[test]
    fn broken_sequences_are_1002() {
        let sequences: [&[(bool, Opcode)]; 4] = [
            &[(true, Opcode::Continuation)],
            &[(false, Opcode::Continuation)],
            &[(false, Opcode::Text), (true, Opcode::Text)],
            &[
                (false, Opcode::Text),
                (true, Opcode::Continuation),
                (true, Opcode::Continuation),
            ],
        ];
        for sequence in sequences {
            let mut stream = Vec::new();
            for &(fin, opcode) in sequence {
                frame(&mut stream, fin, opcode, b"x");
            }
            assert_eq!(
                read_whole(&stream).last(),
                Some(&Seen::Violation(1002)),
                "{sequence:?}"
            );
        }
    }

    #[test]
    fn text_that_is_no_utf_8_is_1007_fr_11() {
        let mut whole = Vec::new();
        frame(&mut whole, true, Opcode::Text, b"\xc3");
        assert_eq!(read_whole(&whole), [Seen::Violation(1007)]);
        let mut parts = Vec::new();
        frame(&mut parts, false, Opcode::Text, b"\xc3");
        frame(&mut parts, true, Opcode::Continuation, b"(");
        assert_eq!(read_whole(&parts), [Seen::Violation(1007)]);
    }

    #[test]
    fn close_payloads_fr_06() {
        let close = |payload: &[u8]| {
            let mut stream = Vec::new();
            frame(&mut stream, true, Opcode::Close, payload);
            read_whole(&stream)
        };
        assert_eq!(close(b""), [Seen::Close(None)]);
        assert_eq!(close(b"\x0f\xa0"), [Seen::Close(Some(4000))]);
        assert_eq!(close(b"\x03"), [Seen::Violation(1002)]);
        assert_eq!(close(b"\x03\xed"), [Seen::Violation(1002)]);
        assert_eq!(close(b"\x03\xe8\xff"), [Seen::Violation(1007)]);
    }

    #[test]
    fn messages_at_the_bound_and_past_it_fr_09() {
        let half = vec![b'x'; MESSAGE_BYTES_MAX / 2];
        let read_parts = |more: usize| {
            let mut stream = Vec::new();
            frame(&mut stream, false, Opcode::Text, &half);
            frame(
                &mut stream,
                true,
                Opcode::Continuation,
                &half[..half.len() - 1 + more],
            );
            read_whole(&stream)
        };
        assert_eq!(
            read_parts(1),
            [Seen::Message([&half[..], &half].concat(), false)]
        );
        let mut stream = Vec::new();
        frame(&mut stream, false, Opcode::Text, &half);
        frame(&mut stream, false, Opcode::Continuation, &half);
        frame(&mut stream, true, Opcode::Ping, b"still fine");
        frame(&mut stream, true, Opcode::Continuation, b"x");
        assert_eq!(
            read_whole(&stream),
            [Seen::Ping(b"still fine".into()), Seen::Violation(1009)]
        );
        stream.clear();
        frame(
            &mut stream,
            true,
            Opcode::Text,
            &vec![b'x'; MESSAGE_BYTES_MAX],
        );
        assert_eq!(read_whole(&stream).len(), 1);
        stream.clear();
        frame(
            &mut stream,
            true,
            Opcode::Text,
            &vec![b'x'; MESSAGE_BYTES_MAX + 1],
        );
        assert_eq!(
            read_whole(&stream[..10]),
            [Seen::Violation(1009)],
            "before the payload comes"
        );
    }

    #[test]
    fn a_small_bound_is_for_messages_and_not_for_control_frames() {
        let read = |opcode, payload: &[u8], message_bytes_max| {
            let (mut stream, mut consumed) = (Vec::new(), 0);
            frame(&mut stream, true, opcode, payload);
            let mut reader = Reader::default();
            let read = reader.next(&mut stream, message_bytes_max, &mut consumed);
            read.map(|incoming| incoming.is_some())
        };
        assert_eq!(read(Opcode::Text, b"four", 4), Ok(true));
        assert_eq!(read(Opcode::Text, b"four", 3), Err(Violation::TOO_BIG));
        assert_eq!(read(Opcode::Ping, &[b'x'; 125], 3), Ok(true));
    }

    proptest! {
        /// However messages are cut into frames and frames into reads.
        #[test]
        fn fragments_and_cuts_change_nothing(
            messages in prop::collection::vec((any::<String>(), any::<bool>(), prop::collection::vec(0_usize..20, 0..4)), 0..6),
            piece in 1_usize..40,
        ) {
            let (mut stream, mut expected) = (Vec::new(), Vec::new());
            for (text, binary, cuts) in &messages {
                let mut rest = text.as_bytes();
                let mut opcode = if *binary { Opcode::Binary } else { Opcode::Text };
                for &cut in cuts {
                    let (part, after) = rest.split_at(cut.min(rest.len()));
                    frame(&mut stream, false, opcode, part);
                    frame(&mut stream, true, Opcode::Ping, part);
                    expected.push(Seen::Ping(part.to_vec()));
                    (rest, opcode) = (after, Opcode::Continuation);
                }
                frame(&mut stream, true, opcode, rest);
                expected.push(Seen::Message(text.as_bytes().to_vec(), *binary));
            }
            prop_assert_eq!(read(stream.chunks(piece)), expected);
        }
    }
}
