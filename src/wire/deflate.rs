//! The extension `permessage-deflate` (RFC 7692): what is agreed on, messages
//! inflated, messages deflated.
//!
//! Neither side keeps its window from one message to the next. So an idle
//! connection costs no memory, one [`Inflater`] reads all connections of a
//! shard, and what one [`Deflater`] writes fits every peer of the same
//! parameters.

use std::ops::RangeInclusive;

use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress, Status};

use super::frame::{Opcode, Violation, parse_server_header, write_compressed, write_message};
use crate::limits::{
    DEFLATE_BYTES_MAX, DEFLATE_BYTES_MIN, DEFLATE_KEPT_BYTES_MAX, DEFLATE_WINDOW_BITS_MIN,
};

const NAME: &[u8] = b"permessage-deflate";

/// With which every flush ends; left out of a message (RFC 7692 section 7.2.1).
const TAIL: [u8; 4] = [0, 0, 0xff, 0xff];

/// The largest window, which is the one where none is asked for.
const WINDOW_BITS_MAX: u8 = 15;

/// How the messages for a client are deflated: what those who share it are all
/// given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Params {
    window_bits: u8,
}

/// The windows that there are. Whoever asks for one between is given the next
/// smaller one, as RFC 7692 section 7.1.2.1 allows: each kind is work of its own
/// for every broadcast.
const WINDOWS: [u8; 3] = [DEFLATE_WINDOW_BITS_MIN, 12, WINDOW_BITS_MAX];

/// How many kinds of [`Params`] there are.
pub const PARAMS_COUNT: usize = WINDOWS.len();

/// What the server and one client have agreed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Agreement {
    /// How the client's messages are deflated.
    pub params: Params,
    /// Whether the client asked for a window, and has to be told of it.
    window_asked: bool,
}

impl Agreement {
    /// The first offer in a `Sec-WebSocket-Extensions` header that can be taken.
    /// One with a parameter that is unknown, repeated or out of its range is
    /// declined, and the next one looked at (RFC 7692 section 7.1).
    pub fn choose(header: &[u8]) -> Option<Self> {
        split(header, b',').find_map(Self::of_offer)
    }

    fn of_offer(offer: &[u8]) -> Option<Self> {
        let mut parts = split(offer, b';');
        if !parts.next()?.eq_ignore_ascii_case(NAME) {
            return None;
        }
        let mut known = [false; 4];
        let mut asked = None;
        for part in parts {
            let mut sides = part.splitn(2, |&byte| byte == b'=');
            let name = sides.next()?.trim_ascii();
            let value = sides.next().map(unquoted);
            let place = match (name.to_ascii_lowercase().as_slice(), value) {
                (b"server_no_context_takeover", None) => 0,
                (b"client_no_context_takeover", None) => 1,
                (b"server_max_window_bits", Some(value)) => {
                    asked = Some(bits(value)?);
                    2
                }
                // Whatever the client's window, the largest one reads it.
                (b"client_max_window_bits", None) => 3,
                (b"client_max_window_bits", Some(value)) => bits(value).map(|_| 3)?,
                _ => return None,
            };
            if std::mem::replace(&mut known[place], true) {
                return None;
            }
        }
        let most = asked.unwrap_or(WINDOW_BITS_MAX);
        let window_bits = WINDOWS.into_iter().rfind(|&bits| bits <= most)?;
        Some(Self {
            params: Params { window_bits },
            window_asked: asked.is_some(),
        })
    }

    /// What the answer's `Sec-WebSocket-Extensions` header says.
    pub fn answer(self) -> String {
        let mut answer =
            "permessage-deflate; server_no_context_takeover; client_no_context_takeover".to_owned();
        if self.window_asked {
            let bits = self.params.window_bits;
            answer.push_str(&format!("; server_max_window_bits={bits}"));
        }
        answer
    }
}

impl Params {
    /// Its place among all kinds, below [`PARAMS_COUNT`].
    pub fn index(self) -> usize {
        WINDOWS
            .iter()
            .position(|&bits| bits == self.window_bits)
            .unwrap_or_default()
    }
}

/// The parts of a header's value, trimmed; separators in quotes don't separate.
fn split(value: &[u8], separator: u8) -> impl Iterator<Item = &[u8]> {
    let mut quoted = false;
    value
        .split(move |&byte| {
            quoted ^= byte == b'"';
            byte == separator && !quoted
        })
        .map(<[u8]>::trim_ascii)
}

fn unquoted(value: &[u8]) -> &[u8] {
    let value = value.trim_ascii();
    value
        .strip_prefix(b"\"")
        .and_then(|rest| rest.strip_suffix(b"\""))
        .unwrap_or(value)
}

/// 8 to 15, without a leading zero.
fn bits(value: &[u8]) -> Option<u8> {
    match value {
        [digit @ b'8'..=b'9'] => Some(digit - b'0'),
        [b'1', digit @ b'0'..=b'5'] => Some(10 + digit - b'0'),
        _ => None,
    }
}

/// Inflates the messages of any number of clients, one after another. Owns no
/// memory before the first.
#[derive(Default)]
pub struct Inflater {
    state: Option<Box<Decompress>>,
    message: Vec<u8>,
}

impl Inflater {
    /// The message that a client compressed to this.
    ///
    /// # Errors
    /// 1009 as soon as it is past its bound, 1007 where it is no deflate data.
    pub fn inflate(
        &mut self,
        payload: &[u8],
        message_bytes_max: usize,
    ) -> Result<&[u8], Violation> {
        self.message.clear();
        self.message.shrink_to(DEFLATE_KEPT_BYTES_MAX);
        let state = self
            .state
            .get_or_insert_with(|| Box::new(Decompress::new(false)));
        state.reset(false);
        for mut rest in [payload, &TAIL] {
            loop {
                let room = message_bytes_max.saturating_sub(self.message.len());
                if self.message.len() == self.message.capacity() {
                    // One more than the bound: to see that it is passed.
                    let step = self.message.len().max(INFLATE_STEP).min(room + 1);
                    self.message.reserve_exact(step);
                }
                let before = (state.total_in(), self.message.len());
                let flush = FlushDecompress::Sync;
                let status = state.decompress_vec(rest, &mut self.message, flush);
                let taken = (state.total_in() - before.0) as usize;
                rest = &rest[taken..];
                if self.message.len() > message_bytes_max {
                    return Err(Violation::TOO_BIG);
                }
                match status {
                    Err(_) => return Err(Violation::NOT_DEFLATED),
                    // A client may end a block as the last one and begin anew.
                    Ok(Status::StreamEnd) => state.reset(false),
                    Ok(_) if taken == 0 && self.message.len() == before.1 => break,
                    Ok(_) => {}
                }
                if rest.is_empty() && self.message.len() < self.message.capacity() {
                    break;
                }
            }
        }
        Ok(&self.message)
    }
}

/// What an inflated message has room for at first.
const INFLATE_STEP: usize = 4096;

/// The lowest level that counts letters: twice the time of the one below for a
/// sixth less; those above take more and save a hundredth (decision 0017).
const LEVEL: Compression = Compression::new(2);

/// Bytes of the messages that are worth it, and not too long for a turn.
const DEFLATED_BYTES: RangeInclusive<usize> = DEFLATE_BYTES_MIN..=DEFLATE_BYTES_MAX;

/// Deflates messages, each for itself, so that all peers of the same
/// parameters can be given what it writes.
pub struct Deflater {
    state: Box<Compress>,
    deflated: Vec<u8>,
}

impl Deflater {
    /// For the peers of these parameters; takes some 300 KiB.
    pub fn new(params: Params) -> Self {
        Self {
            state: Box::new(Compress::new_with_window_bits(
                LEVEL,
                false,
                params.window_bits,
            )),
            deflated: Vec::new(),
        }
    }

    /// Appends a server's frame, which holds a whole message, as one that is
    /// compressed; as it is where it is short or long, or would not get smaller. Tells whether
    /// it is compressed.
    pub fn write_frame(&mut self, frame: &[u8], out: &mut Vec<u8>) -> bool {
        let header = parse_server_header(frame).ok().flatten();
        let message = header.filter(|it| it.fin && !it.opcode.is_control());
        let worth = message.filter(|it| DEFLATED_BYTES.contains(&it.payload_bytes));
        if let Some(header) = worth
            && self.deflate(&frame[header.header_bytes..])
            && self.deflated.len() < header.payload_bytes
        {
            write_compressed(out, header.opcode, &self.deflated);
            return true;
        }
        out.extend_from_slice(frame);
        false
    }

    /// Appends a frame with the message compressed, whether or not that makes it
    /// smaller; as it is where it can't be.
    pub fn write_message(&mut self, opcode: Opcode, message: &[u8], out: &mut Vec<u8>) {
        if self.deflate(message) {
            write_compressed(out, opcode, &self.deflated);
        } else {
            write_message(out, opcode, message);
        }
    }

    /// Fills `deflated`; tells whether that worked.
    fn deflate(&mut self, mut rest: &[u8]) -> bool {
        self.deflated.clear();
        self.deflated.shrink_to(DEFLATE_KEPT_BYTES_MAX);
        self.state.reset();
        loop {
            self.deflated.reserve(rest.len() / 2 + 64);
            let before = self.state.total_in();
            let flush = FlushCompress::Sync;
            if self
                .state
                .compress_vec(rest, &mut self.deflated, flush)
                .is_err()
            {
                return false;
            }
            rest = &rest[(self.state.total_in() - before) as usize..];
            if rest.is_empty() && self.deflated.len() < self.deflated.capacity() {
                break;
            }
        }
        // A flush that ends right where the room did is not repeated.
        let Some(end) = self.deflated.len().checked_sub(TAIL.len()) else {
            return false;
        };
        let ends = self.deflated[end..] == TAIL;
        self.deflated.truncate(end);
        ends
    }
}

#[cfg(test)]
mod tests;
