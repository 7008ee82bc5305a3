//! Backend packets: lines of text, closed by two that hold a CR only (spec 4.1).
//!
//! ```text
//! client:  identity LF LF command LF frame LF ... frame LF CR LF CR LF
//! server:  command LF frame LF ... frame LF CR LF CR LF
//! ```

use bytes::BufMut;
use memchr::{memchr, memchr_iter, memchr2};
use smallvec::SmallVec;

use crate::limits::{PACKET_BYTES_MAX, PACKET_FRAMES_MAX};
use crate::model::{Sid, SingleAccessToken, Status, WorkerId};
use crate::wire::json::Members;

/// One packet from a backend.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Packet<'a> {
    /// The first frame, where an empty one follows it; see [`parse_identity`].
    pub identity: Option<&'a [u8]>,
    /// Empty where the packet names none.
    pub command: &'a [u8],
    /// What follows the command, at most [`PACKET_FRAMES_MAX`] of it ([BE-14]).
    pub frames: SmallVec<[&'a [u8]; 4]>,
}

/// Finds the end of a packet, looking at each byte once however they trickle in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Scanner {
    /// Bytes searched for LF.
    searched: u32,
    /// Where the line that is not yet whole begins.
    line: u32,
    /// The line before it was half a terminator.
    half: bool,
}

/// Why no packet can be read from here on; answered with `ER` 400 and a close.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PacketError {
    /// No end within [`PACKET_BYTES_MAX`] ([BE-27]).
    #[error("packet longer than {PACKET_BYTES_MAX} bytes")]
    TooLong,
}

// A position within a packet fits the scanner.
const _: () = assert!(PACKET_BYTES_MAX <= u32::MAX as usize);

impl Scanner {
    /// The packet at the front of `bytes` and the bytes it takes; `None` where
    /// its end is not there. Then the next call gives the same bytes with more
    /// behind them; after a packet it begins behind that.
    ///
    /// # Errors
    /// [`PacketError::TooLong`] as soon as no end can come within the bound.
    pub fn next<'a>(
        &mut self,
        bytes: &'a [u8],
    ) -> Result<Option<(Packet<'a>, usize)>, PacketError> {
        let within = &bytes[..bytes.len().min(PACKET_BYTES_MAX)];
        let searched = self.searched as usize;
        let mut ends = Ends::default();
        for offset in memchr_iter(b'\n', within.get(searched..).unwrap_or_default()) {
            let end = searched + offset;
            if searched == 0 {
                ends.note(end);
            }
            let terminator = &within[self.line as usize..end] == b"\r";
            self.line = end as u32 + 1;
            if terminator && self.half {
                *self = Self::default();
                return Ok(Some((split(&within[..=end], &ends), end + 1)));
            }
            self.half = terminator;
        }
        self.searched = within.len() as u32;
        if within.len() == PACKET_BYTES_MAX {
            Err(PacketError::TooLong)
        } else {
            Ok(None)
        }
    }
}

/// Where the first lines of a packet end: nothing is known of those that came
/// with bytes searched before.
#[derive(Default)]
struct Ends {
    at: [u32; 8],
    known: usize,
}

impl Ends {
    fn note(&mut self, end: usize) {
        if let Some(at) = self.at.get_mut(self.known) {
            *at = end as u32;
            self.known += 1;
        }
    }
}

/// Splits a whole packet at its lines.
fn split<'a>(packet: &'a [u8], ends: &Ends) -> Packet<'a> {
    let mut lines = Lines {
        packet,
        at: 0,
        ends: ends.at[..ends.known].iter(),
    };
    let first = lines.next();
    let second = lines.next();
    let (identity, command, mut frame) = match (first, second) {
        (Some(identity), Some(b"")) => (Some(identity), lines.next(), lines.next()),
        (command, ahead) => (None, command, ahead),
    };
    let mut frames = SmallVec::new();
    while let Some(line) = frame
        && frames.len() < PACKET_FRAMES_MAX
    {
        frames.push(line);
        frame = lines.next();
    }
    Packet {
        identity,
        command: command.unwrap_or_default(),
        frames,
    }
}

/// The lines of a packet that are frames: all but those that hold a CR only.
struct Lines<'a, 'e> {
    packet: &'a [u8],
    /// Where the next line begins.
    at: usize,
    /// Ends that need not be searched.
    ends: std::slice::Iter<'e, u32>,
}

impl<'a> Lines<'a, '_> {
    fn next(&mut self) -> Option<&'a [u8]> {
        loop {
            let rest = self.packet.get(self.at..)?;
            let bytes = match self.ends.next() {
                Some(&end) => end as usize - self.at,
                None => memchr(b'\n', rest)?,
            };
            let line = rest.get(..bytes)?;
            self.at += bytes + 1;
            if line != b"\r" {
                return Some(line);
            }
        }
    }
}

/// What a backend connection is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PeerKind {
    /// `req`: sends requests.
    Client,
    /// `dlr`: takes triggers.
    Worker,
}

/// Who a backend says it is; only the form has been checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity<'a> {
    /// What the connection is for.
    pub kind: PeerKind,
    /// The vhost's path.
    pub vhost: &'a str,
    /// 40 characters, to be compared in constant time with the vhost's token.
    pub token: &'a [u8],
    /// The id that the backend chose.
    pub id: WorkerId,
}

/// Reads `type:vhost:token:id` (spec 4.2); `None` for any other form.
pub fn parse_identity(line: &[u8]) -> Option<Identity<'_>> {
    let mut parts = str::from_utf8(line).ok()?.split(':');
    let kind = match parts.next()? {
        "req" => PeerKind::Client,
        "dlr" => PeerKind::Worker,
        _ => return None,
    };
    let vhost = parts.next().filter(|vhost| is_vhost(vhost))?;
    let token = parts.next()?.as_bytes();
    if token.len() != 40
        || !token
            .iter()
            .all(|&byte| byte.is_ascii_alphanumeric() || byte == b'_')
    {
        return None;
    }
    let id = WorkerId::parse(parts.next()?.as_bytes())?;
    if parts.next().is_some() {
        return None;
    }
    Some(Identity {
        kind,
        vhost,
        token,
        id,
    })
}

/// `(/[A-Za-z0-9_-]+)+` without the bound of a real vhost: a longer one has the
/// form and is unknown.
fn is_vhost(path: &str) -> bool {
    path.strip_prefix('/').is_some_and(|rest| {
        rest.split('/').all(|part| {
            !part.is_empty()
                && part
                    .bytes()
                    .all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-')
        })
    })
}

// The server joins the frames behind the command with LF and always adds one
// before the terminator, so that a packet without frames holds an empty line
// (quirk 1; the Go client counts on it).

/// The request was done.
pub const OK: &[u8] = b"OK\n\n\r\n\r\n";

/// The peer is alive.
pub const HEARTBEAT: &[u8] = b"HB\n\n\r\n\r\n";

/// The peer is to go.
pub const QUIT: &[u8] = b"QT\n\n\r\n\r\n";

const END: &[u8] = b"\n\r\n\r\n";

/// Appends `ER` with the status code.
pub fn write_error(out: &mut impl BufMut, status: Status) {
    out.put_slice(b"ER\n");
    out.put_slice(status.code().to_string().as_bytes());
    out.put_slice(END);
}

/// Appends `AT` with the token.
pub fn write_token(out: &mut impl BufMut, token: &SingleAccessToken) {
    out.put_slice(b"AT\n");
    out.put_slice(token.to_string().as_bytes());
    out.put_slice(END);
}

/// Appends `TR` with `{EVENT:{"sid":"S",data}}`, where `event` is a JSON string
/// as it stands in its text. The data can't forge the `sid`. With a `channel` the
/// trigger belongs to a broadcast there, and that can't be forged either
/// ([TG-06]); without one the data may name one ([TG-04]).
pub fn write_trigger(
    out: &mut impl BufMut,
    event: &str,
    data: Members<'_>,
    sid: &Sid,
    channel: Option<&str>,
) {
    out.put_slice(b"TR\n{");
    out.put_slice(event.as_bytes());
    out.put_slice(br#":{"sid":""#);
    out.put_slice(&sid.text());
    out.put_slice(b"\"");
    let data = if let Some(channel) = channel {
        out.put_slice(br#","channel":""#);
        out.put_slice(channel.as_bytes());
        out.put_slice(b"\"");
        data.without(&["sid", "channel"])
    } else {
        data.without(&["sid"])
    };
    if !data.is_empty() {
        out.put_slice(b",");
        write_line(out, data.as_bytes());
    }
    out.put_slice(b"}}");
    out.put_slice(END);
}

/// Appends JSON text as one line ([TG-05]). A string can't hold a bare line break, so
/// each one is white space between tokens, which never need it to stay apart.
fn write_line(out: &mut impl BufMut, mut json: &[u8]) {
    while let Some(at) = memchr2(b'\n', b'\r', json) {
        out.put_slice(&json[..at]);
        json = &json[at + 1..];
    }
    out.put_slice(json);
}

#[cfg(test)]
mod tests;
