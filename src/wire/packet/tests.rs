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
            let Some((packet, consumed)) = next.map(|(packet, end)| (parts(&packet), end)) else {
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

/// As many lines as have their ends noted, and more, wherever the stream is cut.
#[test]
fn lines_at_the_edge_of_what_is_noted() {
    for lines in 0..20 {
        for first in ["", "\n", "\r\n"] {
            let packet: String = (0..lines).map(|line| format!("line{line}\n")).collect();
            let packet = format!("{first}{packet}\r\n\r\n");
            let stream = packet.repeat(2).into_bytes();
            let expected = read_plainly(&stream);
            assert!(expected.len() >= 2);
            assert_eq!(read(std::iter::once(&stream[..])), expected);
            for cut in 0..packet.len() {
                let (front, back) = stream.split_at(cut);
                assert_eq!(read([front, back].into_iter()), expected, "cut at {cut}");
            }
        }
    }
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
