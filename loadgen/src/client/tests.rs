use webrocket::model::{Sid, Status};
use webrocket::wire::frame::{
    CloseCode, parse_client_header, unmask, write_close, write_ping, write_text,
};
use webrocket::wire::{event, http};

use super::*;
use crate::payload::write_broadcast;

const STAMP: Stamp = Stamp {
    run: 1,
    publisher: 2,
    sequence: 3,
    intended_ns: 4,
    sent_ns: 5,
};

const WISH: Wish<'_> = Wish {
    channel: "load-0",
    authenticates: false,
};

/// What a broker sends that likes this client, up to `:subscribed`.
fn welcome() -> Vec<u8> {
    let mut request = Vec::new();
    Client::default().start(&Door::new("broker:8080", "/vhost"), &mut request);
    let (request, _) = http::parse_request(&request)
        .expect("valid")
        .expect("whole");
    assert_eq!(request.path, "/vhost");
    let mut out = Vec::new();
    http::write_switching_protocols(&request.upgrade.expect("an upgrade"), None, &mut out);
    event::connected(&mut out, &Sid::from_random([7; 16]));
    event::subscribed(&mut out, "load-0", None, None);
    out
}

fn load(out: &mut Vec<u8>, stamp: &Stamp) {
    let mut request = Vec::new();
    write_broadcast(&mut request, "load-0", stamp, 100);
    let request: serde_json::Value = serde_json::from_slice(&request).expect("JSON");
    let text = serde_json::json!({"load": request["broadcast"]["data"]}).to_string();
    write_text(out, &[text.as_bytes()]);
}

/// The client, all it has seen and all it has answered, its bytes taken
/// `piece_bytes` at a time.
fn feed(bytes: &[u8], piece_bytes: usize) -> (Client, Vec<Seen>, Vec<u8>, Result<(), Fault>) {
    let (mut client, mut seen, mut out) = (Client::default(), Vec::new(), Vec::new());
    for piece in bytes.chunks(piece_bytes) {
        let result = client.handle_bytes(piece, WISH, &mut out, &mut |one| seen.push(one));
        if result.is_err() {
            return (client, seen, out, result);
        }
    }
    (client, seen, out, Ok(()))
}

fn fault(bytes: &[u8]) -> Option<Fault> {
    feed(bytes, bytes.len()).3.err()
}

/// The frames that a client sent.
fn frames(mut bytes: &[u8]) -> Vec<(Opcode, Vec<u8>)> {
    let mut frames = Vec::new();
    while let Some(header) = parse_client_header(bytes, 1 << 20, false).expect("valid") {
        let end = header.header_bytes + header.payload_bytes;
        let mut payload = bytes[header.header_bytes..end].to_vec();
        unmask(&mut payload, header.mask);
        frames.push((header.opcode, payload));
        bytes = &bytes[end..];
    }
    assert!(bytes.is_empty());
    frames
}

#[test]
fn joins_and_receives_however_the_bytes_are_cut() {
    let mut bytes = welcome();
    load(&mut bytes, &STAMP);
    event::error(&mut bytes, Status::NotSubscribed);
    load(
        &mut bytes,
        &Stamp {
            sequence: 9,
            ..STAMP
        },
    );
    for piece_bytes in 1..=bytes.len() {
        let (client, seen, out, result) = feed(&bytes, piece_bytes);
        assert_eq!(result, Ok(()));
        let second = Stamp {
            sequence: 9,
            ..STAMP
        };
        let expected = [
            Seen::Connected,
            Seen::Subscribed,
            Seen::Load(STAMP),
            Seen::Error(453),
            Seen::Load(second),
        ];
        assert_eq!(seen, expected, "{piece_bytes} bytes at a time");
        let subscribe = br#"{"subscribe":{"channel":"load-0"}}"#.to_vec();
        assert_eq!(frames(&out), [(Opcode::Text, subscribe)]);
        assert_eq!(client.tail.capacity(), 0, "an idle client owns no bytes");
    }
}

#[test]
fn pings_are_answered_fr_01() {
    let mut bytes = welcome();
    write_ping(&mut bytes, b"still there?");
    let (_, _, out, _) = feed(&bytes, bytes.len());
    assert_eq!(frames(&out)[1], (Opcode::Pong, b"still there?".to_vec()));
}

#[test]
fn closes_are_answered_and_end_it_fr_06() {
    let mut bytes = welcome();
    write_close(&mut bytes, CloseCode::TRY_AGAIN_LATER, "slow consumer");
    load(&mut bytes, &STAMP);
    let (mut client, seen, out, result) = feed(&bytes, bytes.len());
    assert_eq!(result, Ok(()));
    assert_eq!(
        seen,
        [Seen::Connected, Seen::Subscribed, Seen::Closed(1013)]
    );
    assert!(client.has_joined());
    assert_eq!(frames(&out)[1], (Opcode::Close, vec![0x03, 0xf5]));
    let mut more = Vec::new();
    client.leave(&mut more);
    assert!(more.is_empty(), "one close frame is enough");
}

#[test]
fn a_close_without_a_code_is_1005() {
    let mut bytes = welcome();
    bytes.extend_from_slice(&[0x88, 0]);
    assert_eq!(
        feed(&bytes, 1).1,
        [Seen::Connected, Seen::Subscribed, Seen::Closed(1005)]
    );
}

#[test]
fn a_close_before_the_subscription_is_no_joining() {
    let mut bytes = welcome();
    let subscribed = br#"{":subscribed":{"channel":"load-0"}}"#.len() + 2;
    bytes.truncate(bytes.len() - subscribed);
    write_close(&mut bytes, CloseCode::GOING_AWAY, "");
    let (client, seen, ..) = feed(&bytes, bytes.len());
    assert_eq!(seen, [Seen::Connected, Seen::Closed(1001)]);
    assert!(!client.has_joined());
}

#[test]
fn leaving_is_a_close_with_1000() {
    let (mut client, ..) = feed(&welcome(), 10);
    let mut out = Vec::new();
    client.leave(&mut out);
    assert_eq!(frames(&out), [(Opcode::Close, vec![0x03, 0xe8])]);
    let mut bytes = Vec::new();
    write_ping(&mut bytes, b"");
    write_close(&mut bytes, CloseCode::NORMAL, "");
    let (mut more, mut seen) = (Vec::new(), Vec::new());
    let result = client.handle_bytes(&bytes, WISH, &mut more, &mut |one| seen.push(one));
    assert_eq!(result, Ok(()));
    assert_eq!(seen, [Seen::Closed(1000)]);
    assert!(more.is_empty(), "nothing follows a close frame");
}

#[test]
fn leaving_before_the_upgrade_is_silent() {
    let mut out = Vec::new();
    Client::default().leave(&mut out);
    assert!(out.is_empty());
}

#[test]
fn answers_that_are_no_upgrade() {
    let mut refused = Vec::new();
    http::Refusal::NotFound.write(&mut refused);
    assert_eq!(fault(&refused), Some(Fault::Status(404)));
    assert_eq!(fault(b"SSH-2.0-OpenSSH\r\n"), Some(Fault::NotWebSocket));
    let forged = String::from_utf8_lossy(&welcome()).replace("s3pPLM", "s3pPLN");
    assert_eq!(fault(forged.as_bytes()), Some(Fault::NotWebSocket));
    let unproven = b"HTTP/1.1 101 Switching Protocols\r\n\r\n";
    assert_eq!(fault(unproven), Some(Fault::NotWebSocket));
}

#[test]
fn answers_at_the_bound_and_past_it() {
    let head = |bytes: usize| {
        let mut head = b"HTTP/1.1 101 Switching Protocols\r\nX: ".to_vec();
        head.resize(bytes, b'x');
        head
    };
    assert_eq!(fault(&head(RESPONSE_BYTES_MAX - 1)), None);
    assert_eq!(fault(&head(RESPONSE_BYTES_MAX)), Some(Fault::NotWebSocket));
}

#[test]
fn a_refused_subscription_is_the_end_of_it() {
    let mut bytes = welcome();
    let subscribed = br#"{":subscribed":{"channel":"load-0"}}"#.len() + 2;
    bytes.truncate(bytes.len() - subscribed);
    event::error(&mut bytes, Status::ChannelNotFound);
    let (client, seen, _, result) = feed(&bytes, bytes.len());
    assert_eq!(seen, [Seen::Connected, Seen::Error(454)]);
    assert!(!client.has_joined());
    assert_eq!(result, Err(Fault::Refused(454)));
}

#[test]
fn broken_protocols() {
    let after = |frame: &[u8]| fault(&[&welcome(), frame].concat());
    let broken = |frame: &[u8]| matches!(after(frame), Some(Fault::Protocol(_)));
    assert!(broken(&[0x81, 0x81, 1, 2, 3, 4, 5]), "masked");
    assert!(broken(&[0x01, 0x01, b'a']), "fragmented");
    assert!(broken(&[0x80, 0x01, b'a']), "continued");
    assert!(broken(&[0x82, 0x01, b'a']), "binary");
    let large = |bytes: usize| {
        let mut header = vec![0x81, 127];
        header.extend_from_slice(&(bytes as u64).to_be_bytes());
        header
    };
    assert!(!broken(&large(FRAME_BYTES_MAX)));
    assert!(broken(&large(FRAME_BYTES_MAX + 1)));
}

#[test]
fn nothing_comes_before_connected_hs_01() {
    let bytes = welcome();
    let head = bytes
        .windows(4)
        .position(|four| four == b"\r\n\r\n")
        .expect("a head")
        + 4;
    let mut bytes = bytes[..head].to_vec();
    load(&mut bytes, &STAMP);
    assert!(matches!(fault(&bytes), Some(Fault::Protocol(_))));
}

/// As `feed`, for a client that authenticates; the token comes as soon as it may.
fn feed_authenticating(texts: &[&str]) -> (Vec<Seen>, Vec<u8>, Result<(), Fault>) {
    let wish = Wish {
        authenticates: true,
        ..WISH
    };
    let (mut client, mut seen, mut out) = (Client::default(), Vec::new(), Vec::new());
    let welcome = welcome();
    let head = welcome.windows(4).position(|four| four == b"\r\n\r\n");
    let head = &welcome[..head.expect("a head") + 4];
    let mut result = client.handle_bytes(head, wish, &mut out, &mut |one| seen.push(one));
    for text in texts {
        let mut bytes = Vec::new();
        write_text(&mut bytes, &[text.as_bytes()]);
        result = client.handle_bytes(&bytes, wish, &mut out, &mut |one| seen.push(one));
        client.authenticate("a-token", &mut out);
    }
    (seen, out, result)
}

#[test]
fn authenticates_before_it_subscribes() {
    let (seen, out, result) = feed_authenticating(&[
        r#"{":connected":{"sid":"s"}}"#,
        r#"{":authenticated":{}}"#,
        r#"{":subscribed":{"channel":"c","uid":"load-3","subscribers":[{"uid":"load-1"},{"uid":"joe"},{"uid":"load-2","x":1}]}}"#,
        r#"{":memberJoined":{"uid":"load-3","channel":"c"}}"#,
        r#"{":memberLeft":{"uid":"load-1","channel":"c"}}"#,
    ]);
    assert_eq!(result, Ok(()));
    let expected = [
        Seen::Connected,
        Seen::Authenticated,
        Seen::Subscribed,
        Seen::Member(1),
        Seen::Member(2),
        Seen::Member(3),
        Seen::MemberLeft(1),
    ];
    assert_eq!(seen, expected);
    let sent: Vec<String> = frames(&out)
        .into_iter()
        .map(|(_, text)| String::from_utf8(text).expect("text"))
        .collect();
    let expected = [
        r#"{"auth":{"token":"a-token"}}"#,
        r#"{"subscribe":{"channel":"load-0"}}"#,
    ];
    assert_eq!(sent, expected);
}

#[test]
fn a_token_that_is_refused_ends_it() {
    let (_, _, result) = feed_authenticating(&[
        r#"{":connected":{"sid":"s"}}"#,
        r#"{":error":{"code":402,"status":"Unauthorized"}}"#,
    ]);
    assert_eq!(result, Err(Fault::Unauthorized(402)));
}
