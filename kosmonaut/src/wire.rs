//! Packets of the backend protocol, as a backend sees them (section 4.1):
//!
//! ```text
//! sent:      [identity LF LF] command LF frame LF ... CR LF CR LF
//! received:  command LF frame LF ... CR LF CR LF
//! ```

use std::ops::Range;

use bytes::{BufMut, Bytes, BytesMut};

use crate::limits::{PACKET_FRAMES_MAX, PACKET_RECEIVED_BYTES_MAX, READ_BYTES};

/// Whether a value can travel as a frame: no line feed in it, and not the line
/// that is half a terminator.
pub(crate) fn is_frame(value: &[u8]) -> bool {
    value != b"\r" && memchr::memchr(b'\n', value).is_none()
}

/// One packet, without an identity.
pub(crate) fn encode(command: &str, frames: &[&[u8]]) -> BytesMut {
    let length = command.len() + frames.iter().map(|frame| frame.len() + 1).sum::<usize>() + 5;
    let mut packet = BytesMut::with_capacity(length);
    packet.put_slice(command.as_bytes());
    packet.put_u8(b'\n');
    for frame in frames {
        debug_assert!(is_frame(frame), "checked by the caller");
        packet.put_slice(frame);
        packet.put_u8(b'\n');
    }
    packet.put_slice(b"\r\n\r\n");
    packet
}

/// The same packet as the first of its connection.
pub(crate) fn with_identity(identity: &str, packet: &[u8]) -> BytesMut {
    let mut first = BytesMut::with_capacity(identity.len() + 2 + packet.len());
    first.put_slice(identity.as_bytes());
    first.put_slice(b"\n\n");
    first.put_slice(packet);
    first
}

/// What a broker sends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Packet {
    /// `OK`
    Done,
    /// `ER` and its code.
    Refused(u16),
    /// `AT` and the token.
    Token(Bytes),
    /// `HB`
    Heartbeat,
    /// `QT`
    Quit,
    /// `TR` and its JSON.
    Trigger(Bytes),
    /// Anything else.
    Other,
}

/// The packet received exceeds [`PACKET_RECEIVED_BYTES_MAX`].
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct PacketTooLarge;

/// Takes bytes as they arrive and gives whole packets.
#[derive(Default)]
pub(crate) struct Decoder {
    buffer: BytesMut,
    /// Up to here the buffer was searched for line feeds.
    searched: usize,
    line_start: usize,
    /// Frames of the packet so far; the first is never empty.
    frames: Vec<Range<usize>>,
    /// Whether the line before was half a terminator.
    half: bool,
}

impl Decoder {
    /// The buffer to read into, with room in it.
    pub(crate) fn read_buffer(&mut self) -> &mut BytesMut {
        self.buffer.reserve(READ_BYTES);
        &mut self.buffer
    }

    /// The next packet, or `None` until more bytes have come.
    ///
    /// Empty lines before the command are skipped (a blank line too many does no
    /// harm), those behind it are the empty frames of quirk 1 and mean nothing.
    pub(crate) fn next_packet(&mut self) -> Result<Option<Packet>, PacketTooLarge> {
        while let Some(found) = memchr::memchr(b'\n', &self.buffer[self.searched..]) {
            let line = self.line_start..self.searched + found;
            let end = line.end + 1;
            (self.searched, self.line_start) = (end, end);
            if end > PACKET_RECEIVED_BYTES_MAX {
                return Err(PacketTooLarge);
            }
            if &self.buffer[line.clone()] != b"\r" {
                self.half = false;
                let blank = self.frames.is_empty() && line.is_empty();
                if !blank && self.frames.len() < PACKET_FRAMES_MAX {
                    self.frames.push(line);
                }
                continue;
            }
            if !self.half {
                self.half = true;
                continue;
            }
            if let Some(packet) = self.take_packet(end) {
                return Ok(Some(packet));
            }
        }
        self.searched = self.buffer.len();
        if self.searched >= PACKET_RECEIVED_BYTES_MAX {
            return Err(PacketTooLarge);
        }
        Ok(None)
    }

    /// Cuts the packet that ends at `end`; `None` for a terminator with nothing before it.
    fn take_packet(&mut self, end: usize) -> Option<Packet> {
        let bytes = self.buffer.split_to(end).freeze();
        (self.searched, self.line_start, self.half) = (0, 0, false);
        let mut frames = self.frames.drain(..).map(|range| bytes.slice(range));
        let command = frames.next()?;
        Some(parse(&command, frames.next().unwrap_or_default()))
    }
}

fn parse(command: &[u8], frame: Bytes) -> Packet {
    match command {
        b"OK" => Packet::Done,
        b"ER" => str::from_utf8(&frame)
            .ok()
            .and_then(|code| code.trim().parse().ok())
            .map_or(Packet::Other, Packet::Refused),
        b"AT" => Packet::Token(frame),
        b"HB" => Packet::Heartbeat,
        b"QT" => Packet::Quit,
        b"TR" => Packet::Trigger(frame),
        _ => Packet::Other,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn decode(chunks: &[&[u8]]) -> Result<Vec<Packet>, PacketTooLarge> {
        let mut decoder = Decoder::default();
        let mut packets = Vec::new();
        for chunk in chunks {
            decoder.read_buffer().put_slice(chunk);
            while let Some(packet) = decoder.next_packet()? {
                packets.push(packet);
            }
        }
        Ok(packets)
    }

    #[test]
    fn packets_sent_section_4_1() {
        assert_eq!(&encode("RD", &[])[..], b"RD\n\r\n\r\n");
        assert_eq!(&encode("OC", &[b"news"])[..], b"OC\nnews\n\r\n\r\n");
        assert_eq!(
            &with_identity("req:/v:t:i", &encode("BC", &[b"a", b"b", b"{}"]))[..],
            b"req:/v:t:i\n\nBC\na\nb\n{}\n\r\n\r\n"
        );
    }

    #[test]
    fn what_cannot_travel_as_a_frame() {
        for good in [&b""[..], b"a", b"a\r", b"\r\r", b" "] {
            assert!(is_frame(good), "{good:?}");
        }
        for bad in [&b"\r"[..], b"\n", b"a\nb", b"a\n"] {
            assert!(!is_frame(bad), "{bad:?}");
        }
    }

    #[test]
    fn packets_received_with_the_empty_frame_of_quirk_1() {
        let transcript = b"OK\n\n\r\n\r\nHB\n\n\r\n\r\nQT\n\n\r\n\r\nER\n454\n\r\n\r\nAT\nabc\n\r\n\r\nTR\n{\"a\":{}}\n\r\n\r\n";
        assert_eq!(
            decode(&[transcript]),
            Ok(vec![
                Packet::Done,
                Packet::Heartbeat,
                Packet::Quit,
                Packet::Refused(454),
                Packet::Token(Bytes::from_static(b"abc")),
                Packet::Trigger(Bytes::from_static(b"{\"a\":{}}")),
            ])
        );
    }

    #[test]
    fn blank_lines_and_missing_empty_frames_do_no_harm() {
        for (text, packets) in [
            (&b"OK\n\r\n\r\n"[..], vec![Packet::Done]),
            (b"\n\nOK\n\n\n\r\n\r\n", vec![Packet::Done]),
            (b"\r\n\r\nOK\n\n\r\n\r\n", vec![Packet::Done]),
            (b"\r\nOK\n\n\r\n\r\n\n", vec![Packet::Done]),
            // Half a terminator followed by another line is dropped.
            (b"ER\n\r\n451\n\r\n\r\n", vec![Packet::Refused(451)]),
            (b"ER\nmany\n\r\n\r\n", vec![Packet::Other]),
            (b"ER\n\r\n\r\n", vec![Packet::Other]),
            (b"WHAT\n\r\n\r\n", vec![Packet::Other]),
            (b"OK\n1\n2\n3\n4\n5\n6\n\r\n\r\n", vec![Packet::Done]),
            (b"OK\n\n\r\n", vec![]),
        ] {
            assert_eq!(
                decode(&[text]),
                Ok(packets),
                "{}",
                String::from_utf8_lossy(text)
            );
        }
    }

    #[test]
    fn packet_bound() {
        let of_length = |length: usize| {
            let mut packet = b"TR\n".to_vec();
            packet.resize(length - 5, b'x');
            packet.extend_from_slice(b"\n\r\n\r\n");
            packet
        };
        let at_bound = of_length(PACKET_RECEIVED_BYTES_MAX);
        assert_eq!(decode(&[&at_bound]).map(|packets| packets.len()), Ok(1));
        let past = of_length(PACKET_RECEIVED_BYTES_MAX + 1);
        assert_eq!(decode(&[&past]), Err(PacketTooLarge));
        let endless = vec![b'x'; PACKET_RECEIVED_BYTES_MAX];
        assert_eq!(decode(&[&endless[1..]]), Ok(vec![]));
        assert_eq!(decode(&[&endless]), Err(PacketTooLarge));
    }

    proptest! {
        #[test]
        fn split_reads_change_nothing(
            frames in prop::collection::vec("[^\r\n]{0,12}", 1..6),
            cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..8),
        ) {
            let mut stream = Vec::new();
            for frame in &frames {
                stream.extend_from_slice(&encode("TR", &[frame.as_bytes()]));
                stream.extend_from_slice(b"HB\n\n\r\n\r\n");
            }
            let mut at: Vec<usize> = cuts.iter().map(|cut| cut.index(stream.len())).collect();
            at.extend([0, stream.len()]);
            at.sort_unstable();
            let chunks: Vec<&[u8]> = at.windows(2).map(|pair| &stream[pair[0]..pair[1]]).collect();
            let expected: Vec<Packet> = frames
                .iter()
                .flat_map(|frame| {
                    [Packet::Trigger(Bytes::copy_from_slice(frame.as_bytes())), Packet::Heartbeat]
                })
                .collect();
            prop_assert_eq!(decode(&chunks), Ok(expected));
        }

        #[test]
        fn junk_never_panics(chunks in prop::collection::vec(prop::collection::vec(prop::sample::select(b"\r\nOKTR4".to_vec()), 0..20), 0..20)) {
            let chunks: Vec<&[u8]> = chunks.iter().map(Vec::as_slice).collect();
            prop_assert!(decode(&chunks).is_ok());
        }
    }
}
