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
        for offset in memchr_iter(b'\n', within.get(searched..).unwrap_or_default()) {
            let end = searched + offset;
            let terminator = &within[self.line as usize..end] == b"\r";
            self.line = end as u32 + 1;
            if terminator && self.half {
                *self = Self::default();
                return Ok(Some((split(&within[..=end]), end + 1)));
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

/// Splits a whole packet at its lines.
fn split(packet: &[u8]) -> Packet<'_> {
    let mut lines = Lines(packet);
    let first = lines.next();
    let second = lines.next();
    let (identity, command, ahead) = match (first, second) {
        (Some(identity), Some(b"")) => (Some(identity), lines.next(), None),
        (command, ahead) => (None, command, ahead),
    };
    let frames = ahead
        .into_iter()
        .chain(lines)
        .take(PACKET_FRAMES_MAX)
        .collect();
    Packet {
        identity,
        command: command.unwrap_or_default(),
        frames,
    }
}

/// The lines of a packet that are frames: all but those that hold a CR only.
struct Lines<'a>(&'a [u8]);

impl<'a> Iterator for Lines<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        loop {
            let end = memchr(b'\n', self.0)?;
            let line = &self.0[..end];
            self.0 = &self.0[end + 1..];
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
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::wire::json::parse_members;

    const TOKEN: &str = "0123456789abcdef0123456789abcdef01234567";
    const ID: &str = "0123456789abcdef-0123456789_ABCDEFGH";
    const SID: &str = "02020202-0202-4202-8202-020202020202";

    type Parts = (Option<Vec<u8>>, Vec<u8>, Vec<Vec<u8>>);

    fn parts(packet: &Packet<'_>) -> Parts {
        let frames = packet.frames.iter().map(|frame| frame.to_vec()).collect();
        (
            packet.identity.map(<[u8]>::to_vec),
            packet.command.to_vec(),
            frames,
        )
    }

    /// All packets of a stream that comes in the given pieces.
    fn read<'a>(pieces: impl Iterator<Item = &'a [u8]>) -> Vec<Parts> {
        let mut scanner = Scanner::default();
        let (mut kept, mut seen) = (Vec::new(), Vec::new());
        for piece in pieces {
            kept.extend_from_slice(piece);
            loop {
                let next = scanner.next(&kept).expect("short");
                let Some((packet, consumed)) = next.map(|(packet, end)| (parts(&packet), end))
                else {
                    break;
                };
                seen.push(packet);
                kept.drain(..consumed);
            }
        }
        seen
    }

    fn packet(identity: Option<&str>, command: &str, frames: &[&str]) -> Parts {
        let bytes = |text: &str| text.as_bytes().to_vec();
        (
            identity.map(bytes),
            bytes(command),
            frames.iter().map(|frame| bytes(frame)).collect(),
        )
    }

    fn one(bytes: &str) -> Parts {
        let seen = read(std::iter::once(bytes.as_bytes()));
        assert_eq!(seen.len(), 1, "{bytes:?}");
        seen.into_iter().next().expect("one")
    }

    #[test]
    fn packets_wherever_the_stream_is_cut_be_17_to_be_19_wk_22() {
        let stream: &[u8] = b"id\n\nBC\nch\nev\n{}\n\r\n\r\nRD\n\r\n\r\nHB\n\n\r\n\r\n\r\n\r\n";
        let expected = [
            packet(Some("id"), "BC", &["ch", "ev", "{}"]),
            packet(None, "RD", &[]),
            // An empty second frame makes the first an identity.
            packet(Some("HB"), "", &[]),
            packet(None, "", &[]),
        ];
        assert_eq!(read(std::iter::once(stream)), expected);
        assert_eq!(read(stream.chunks(1)), expected);
        for cut in 0..stream.len() {
            let (front, back) = stream.split_at(cut);
            assert_eq!(read([front, back].into_iter()), expected, "cut at {cut}");
        }
    }

    #[test]
    fn lines_and_terminators() {
        assert_eq!(
            one("OC\na\n\r\nb\n\r\n\r\n"),
            packet(None, "OC", &["a", "b"]),
            "half dropped"
        );
        assert_eq!(
            one("OC\na\r\n\r\n\r\n"),
            packet(None, "OC", &["a\r"]),
            "[OC-05k]"
        );
        assert_eq!(
            one("i\n\nOC\na\n\n\r\n\r\n"),
            packet(Some("i"), "OC", &["a", ""]),
            "[BE-15]"
        );
        assert_eq!(one("\n\nOC\n\r\n\r\n"), packet(Some(""), "OC", &[]));
        assert_eq!(one("\r\n\r\n"), packet(None, "", &[]), "[BE-13]");
        assert_eq!(one("\n\r\n\r\n"), packet(None, "", &[]));
        assert_eq!(one("\r\nRD\n\r\n\r\n"), packet(None, "RD", &[]));
        assert_eq!(one("\r\r\n\r\n\r\n"), packet(None, "\r\r", &[]));
        assert!(read(std::iter::once(&b"RD\n\r\n\r"[..])).is_empty());
        assert!(
            read(std::iter::once(&b"RD\r\n\r\n"[..])).is_empty(),
            "not at a line's beginning"
        );
    }

    #[test]
    fn frames_at_the_bound_and_past_it_be_14() {
        let with = |frames: usize| {
            one(&format!("i\n\nOC\n{}\r\n\r\n", "f\n".repeat(frames)))
                .2
                .len()
        };
        assert_eq!(with(PACKET_FRAMES_MAX), PACKET_FRAMES_MAX);
        assert_eq!(with(PACKET_FRAMES_MAX + 1), PACKET_FRAMES_MAX);
        assert_eq!(with(10_000), PACKET_FRAMES_MAX);
    }

    #[test]
    fn packets_at_the_bound_and_past_it_be_27() {
        let of = |bytes: usize| {
            let mut packet = vec![b'x'; bytes - 5];
            packet.extend_from_slice(b"\n\r\n\r\n");
            packet
        };
        let at_bound = of(PACKET_BYTES_MAX);
        let next = Scanner::default()
            .next(&at_bound)
            .expect("within the bound");
        assert_eq!(next.map(|(_, consumed)| consumed), Some(PACKET_BYTES_MAX));
        let past = of(PACKET_BYTES_MAX + 1);
        assert_eq!(Scanner::default().next(&past), Err(PacketError::TooLong));
        let mut scanner = Scanner::default();
        assert_eq!(scanner.next(&past[..PACKET_BYTES_MAX - 1]), Ok(None));
        assert_eq!(
            scanner.next(&past[..PACKET_BYTES_MAX]),
            Err(PacketError::TooLong)
        );
    }

    #[test]
    fn identities_be_04_be_07() {
        let good = format!("dlr:/a/b-c_9:{TOKEN}:{ID}");
        let identity = parse_identity(good.as_bytes()).expect("valid");
        assert_eq!(
            (identity.kind, identity.vhost),
            (PeerKind::Worker, "/a/b-c_9")
        );
        assert_eq!(
            (identity.token, identity.id.as_str()),
            (TOKEN.as_bytes(), ID)
        );
        let client = format!("req:/a:{}:{ID}", "Z_".repeat(20));
        assert_eq!(
            parse_identity(client.as_bytes()).map(|it| it.kind),
            Some(PeerKind::Client)
        );
        for bad in [
            String::new(),
            "req".into(),
            format!("REQ:/a:{TOKEN}:{ID}"),
            format!("sub:/a:{TOKEN}:{ID}"),
            format!("req::{TOKEN}:{ID}"),
            format!("req:/:{TOKEN}:{ID}"),
            format!("req:a:{TOKEN}:{ID}"),
            format!("req:/a/:{TOKEN}:{ID}"),
            format!("req:/a.b:{TOKEN}:{ID}"),
            format!("req:/a:{}:{ID}", &TOKEN[1..]),
            format!("req:/a:{TOKEN}0:{ID}"),
            format!("req:/a:{}-:{ID}", &TOKEN[1..]),
            format!("req:/a:{TOKEN}:{}", &ID[1..]),
            format!("req:/a:{TOKEN}:{ID}x"),
            format!("req:/a:{TOKEN}:{ID}:"),
            format!("req:/a:{TOKEN}:{ID}\r"),
            format!(" req:/a:{TOKEN}:{ID}"),
        ] {
            assert_eq!(parse_identity(bad.as_bytes()), None, "{bad:?}");
        }
        assert_eq!(parse_identity(b"req:/\xff:"), None);
    }

    #[test]
    fn layouts_of_quirk_1() {
        assert_eq!(OK, [0x4f, 0x4b, 0x0a, 0x0a, 0x0d, 0x0a, 0x0d, 0x0a]);
        assert_eq!(HEARTBEAT, b"HB\n\n\r\n\r\n");
        assert_eq!(QUIT, b"QT\n\n\r\n\r\n");
        let mut out = Vec::new();
        write_error(&mut out, Status::ChannelNotFound);
        assert_eq!(out, b"ER\n454\n\r\n\r\n");
        out.clear();
        write_token(&mut out, &SingleAccessToken::from_random([0xa5; 64]));
        assert_eq!(out, format!("AT\n{}\n\r\n\r\n", "a5".repeat(64)).as_bytes());
    }

    fn trigger(data: &str, channel: Option<&str>) -> String {
        let mut out = Vec::new();
        let data = parse_members(data).expect("an object");
        write_trigger(
            &mut out,
            r#""e\n""#,
            data,
            &Sid::from_random([2; 16]),
            channel,
        );
        String::from_utf8(out).expect("UTF-8")
    }

    #[test]
    fn triggers_tg_03_tg_04_tg_06() {
        let expected =
            |inside: &str| format!("TR\n{{\"e\\n\":{{\"sid\":\"{SID}\"{inside}}}}}\n\r\n\r\n");
        assert_eq!(trigger("{}", None), expected(""));
        assert_eq!(
            trigger(r#"{"sid":"x","channel":"y","n":1.0}"#, None),
            expected(r#","channel":"y","n":1.0"#)
        );
        assert_eq!(trigger("{}", Some("c")), expected(r#","channel":"c""#));
        assert_eq!(
            trigger(r#"{"s\u0069d":"x","channel":"y","n":1}"#, Some("c")),
            expected(r#","channel":"c","n":1"#)
        );
    }

    #[test]
    fn triggers_stay_on_one_line_tg_05() {
        let packet = trigger("{ \"a\" :\r\n[1,\n2\r],\r\r\"b\":\"\\r\\n\"\n}", None);
        let body = packet.strip_suffix("\n\r\n\r\n").expect("a terminator");
        let json = body.strip_prefix("TR\n").expect("a command");
        assert!(!json.contains(['\r', '\n']), "{json:?}");
        let tree: serde_json::Value = serde_json::from_str(json).expect("JSON");
        assert_eq!(tree["e\n"]["a"], serde_json::json!([1, 2]));
        assert_eq!(tree["e\n"]["b"], "\r\n");
    }

    /// Section 4.1 word by word: all lines first, then packets.
    fn read_plainly(stream: &[u8]) -> Vec<Parts> {
        let (mut packets, mut frames, mut half) = (Vec::new(), Vec::new(), false);
        for line in stream
            .split_inclusive(|&byte| byte == b'\n')
            .filter(|l| l.ends_with(b"\n"))
        {
            match (line, half) {
                (b"\r\n", false) => half = true,
                (b"\r\n", true) => {
                    half = false;
                    let mut rest = std::mem::take(&mut frames).into_iter().peekable();
                    let first: Option<Vec<u8>> = rest.next();
                    let identified = first.is_some() && rest.next_if(Vec::is_empty).is_some();
                    let (identity, command) = if identified {
                        (first, rest.next())
                    } else {
                        (None, first)
                    };
                    let frames = rest.take(PACKET_FRAMES_MAX).collect();
                    packets.push((identity, command.unwrap_or_default(), frames));
                }
                (frame, _) => {
                    half = false;
                    frames.push(frame[..frame.len() - 1].to_vec());
                }
            }
        }
        packets
    }

    proptest! {
        #[test]
        fn agrees_with_the_plain_reading(
            stream in prop::collection::vec(prop::sample::select(b"\n\n\r\r\na".to_vec()), 0..80),
            piece in 1_usize..20,
        ) {
            prop_assert_eq!(read(stream.chunks(piece)), read_plainly(&stream));
        }

        #[test]
        fn identities_of_any_bytes(line in prop::collection::vec(any::<u8>(), 0..120)) {
            parse_identity(&line);
        }

        #[test]
        fn triggers_read_back_as_one_packet(object in crate::wire::arbitrary::object_text()) {
            let packet = one(&trigger(&object, Some("c")));
            prop_assert_eq!((packet.1.as_slice(), packet.2.len()), (&b"TR"[..], 1));
            let tree: serde_json::Value = serde_json::from_slice(&packet.2[0]).expect("JSON");
            let mut expected: serde_json::Value = serde_json::from_str(&object).expect("JSON");
            expected["sid"] = SID.into();
            expected["channel"] = "c".into();
            prop_assert_eq!(&tree["e\n"], &expected);
        }
    }
}
