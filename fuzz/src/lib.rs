//! What each target does with its bytes. A broken promise panics.
//!
//! `tests/fuzz_seeds.rs` runs the same functions, so that none rots.

#[path = "../../tests/simulation/world/mod.rs"]
#[allow(dead_code, reason = "a fuzzer records nothing and reads no totals")]
mod world;

use serde::de::IgnoredAny;
use serde_json::Value;
use webrocket::limits::MESSAGE_BYTES_MAX;
use webrocket::model::Sid;
use webrocket::wire::deflate::{Agreement, Deflater, Inflater, PARAMS_COUNT};
use webrocket::wire::event::{self, Message};
use webrocket::wire::frame::{Opcode, parse_server_header};
use webrocket::wire::http::{
    Refusal, Script, ScriptAnswer, clean_path, parse_request, write_switching_protocols,
};
use webrocket::wire::json::{Members, merge, parse_members};
use webrocket::wire::message::{Incoming, Reader};
use webrocket::wire::packet::{Scanner, parse_identity, write_trigger};
use world::{Choices, World};

/// Hubs keep their promises whatever happens to them: the simulation's world,
/// with the bytes for its seed, a line a step (`tests/simulation`).
pub fn hub(bytes: &[u8]) {
    let mut world = World::new(Choices::given(bytes));
    while world.step() {}
    world.finish();
}

/// A request is read whole or not at all, what follows it changes nothing, and
/// no answer can be split by what the client sent.
pub fn http(bytes: &[u8]) {
    let outcome = parse_request(bytes);
    let refusal = match &outcome {
        Ok(None) => return,
        Ok(Some((request, consumed))) => {
            let again = parse_request(&bytes[..*consumed]);
            assert_eq!(again, outcome, "depends on what follows");
            if let Some(clean) = clean_path(request.path) {
                assert_eq!(clean_path(&clean), None, "cleaning is not done at once");
                assert!(clean.starts_with('/') && !clean.starts_with("//"));
            }
            if let Some((script, _)) = Script::at(request.path)
                && let Ok(answer) = ScriptAnswer::to(request, script)
            {
                let mut out = Vec::new();
                answer.write(&mut out);
                let head = out.strip_suffix(script.bytes()).unwrap_or(&out);
                assert!(
                    head.ends_with(b"\r\n\r\n"),
                    "a script is whole or not there"
                );
            }
            match (request.redirect(), &request.upgrade) {
                (Some(moved), _) => moved,
                (None, Err(refusal)) => refusal.clone(),
                (None, Ok(key)) => {
                    let mut out = Vec::new();
                    write_switching_protocols(key, None, &mut out);
                    assert!(out.ends_with(b"=\r\n\r\n"));
                    out.clear();
                    write_switching_protocols(key, request.deflate, &mut out);
                    assert!(!out[..out.len() - 4].windows(4).any(|it| it == b"\r\n\r\n"));
                    return;
                }
            }
        }
        Err(refusal) => refusal.clone(),
    };
    let mut out = Vec::new();
    refusal.write(&mut out);
    let lines = String::from_utf8(out)
        .expect("a response is text")
        .split("\r\n")
        .count();
    let more = match refusal {
        Refusal::MovedPermanently(_) | Refusal::MethodNotAllowed { .. } => 1,
        Refusal::WrongVersion => 2,
        _ => 0,
    };
    assert_eq!(lines, 6 + more, "a header was put in");
}

/// The stream gives the same messages whole and byte by byte.
pub fn frame(bytes: &[u8]) {
    let whole = read_messages(std::iter::once(bytes));
    let trickled = read_messages(bytes.chunks(1));
    assert_eq!(whole, trickled);
    let _ = parse_server_header(bytes);
}

/// No offer and no compressed message gets past its bounds, and what is
/// deflated comes back.
pub fn deflate(bytes: &[u8]) {
    if let Some(agreed) = Agreement::choose(bytes) {
        assert!(agreed.params.index() < PARAMS_COUNT);
        assert_eq!(Agreement::choose(agreed.answer().as_bytes()), Some(agreed));
    }
    let mut inflater = Inflater::default();
    for bytes_max in [0, 1, 1000, MESSAGE_BYTES_MAX] {
        if let Ok(message) = inflater.inflate(bytes, bytes_max) {
            assert!(message.len() <= bytes_max);
        }
    }
    let Some(agreed) = Agreement::choose(b"permessage-deflate") else {
        return;
    };
    let mut frame = Vec::new();
    Deflater::new(agreed.params).write_message(Opcode::Binary, bytes, &mut frame);
    frame[0] &= !0x40;
    let header = parse_server_header(&frame).ok().flatten().expect("a frame");
    let back = inflater.inflate(&frame[header.header_bytes..], bytes.len());
    assert_eq!(back, Ok(bytes));
}

/// What the reader gives, as text, up to the first violation or close.
fn read_messages<'a>(pieces: impl Iterator<Item = &'a [u8]>) -> Vec<String> {
    let mut reader = Reader::default();
    let (mut kept, mut seen) = (Vec::new(), Vec::new());
    for piece in pieces {
        kept.extend_from_slice(piece);
        loop {
            let mut consumed = 0;
            let next = match reader.next(&mut kept, MESSAGE_BYTES_MAX, &mut consumed) {
                Ok(next) => next,
                Err(violation) => {
                    assert!(violation.code.is_sendable());
                    seen.push(format!("{violation:?}"));
                    return seen;
                }
            };
            let Some(incoming) = next else {
                assert!(consumed <= kept.len());
                kept.drain(..consumed);
                assert!(
                    Reader::needs(&kept) > kept.len(),
                    "stopped with enough at hand"
                );
                break;
            };
            seen.push(format!("{incoming:?}"));
            if let Incoming::Message { text, .. } = incoming {
                event(text);
            }
            if let Incoming::Close { .. } = incoming {
                return seen;
            }
            kept.drain(..consumed);
        }
    }
    seen
}

/// What is taken for a message is JSON, and what is spliced from it stays JSON.
pub fn event(bytes: &[u8]) {
    let text = str::from_utf8(bytes).ok();
    if let Some(text) = text {
        let object = text
            .trim_start_matches([' ', '\t', '\n', '\r'])
            .starts_with('{');
        let valid = object && serde_json::from_str::<IgnoredAny>(text).is_ok();
        let members = parse_members(text);
        // Only the bound on nesting may make a difference.
        assert!(members.is_none() || valid, "took what is no JSON");
        assert!(
            members.is_some() || !valid || deep(text),
            "refused what is JSON"
        );
        if let Some(members) = members {
            splice(members);
        }
    }
    let Ok(message) = event::decode(bytes) else {
        return;
    };
    assert!(text.is_some_and(|text| serde_json::from_str::<IgnoredAny>(text).is_ok()));
    match message {
        Message::Broadcast {
            event,
            data,
            trigger,
            ..
        } => {
            assert!(!event.is_empty() && !event.starts_with_colon());
            assert!(trigger.is_none_or(|trigger| !trigger.is_empty()));
            custom(event.raw(), data);
        }
        Message::Trigger { event, data } => custom(event.raw(), data),
        Message::Subscribe { data, .. }
        | Message::Unsubscribe { data, .. }
        | Message::Close { data } => splice(data),
        Message::Auth { token } => assert!(!token.is_empty()),
        Message::Pong => {}
    }
}

/// More opening brackets than the bound allows, wherever they stand.
fn deep(text: &str) -> bool {
    text.matches(['[', '{']).count() > webrocket::limits::JSON_DEPTH_MAX
}

fn custom(event: &str, data: Members<'_>) {
    let sid = Sid::from_random([7; 16]);
    let mut out = Vec::new();
    event::custom(&mut out, event, data, Some(&sid), "c");
    let header = parse_server_header(&out).expect("valid").expect("whole");
    assert_eq!(out.len(), header.header_bytes + header.payload_bytes);
    is_signed(&out[header.header_bytes..], &sid.to_string());

    let mut packet = Vec::new();
    write_trigger(&mut packet, event, data, &sid, Some("c"));
    let (read, consumed) = Scanner::default()
        .next(&packet)
        .expect("short")
        .expect("whole");
    assert_eq!(
        (consumed, read.command, read.frames.len()),
        (packet.len(), &b"TR"[..], 1)
    );
    is_signed(read.frames[0], &sid.to_string());
}

/// One event whose `sid` and `channel` are ours.
fn is_signed(json: &[u8], sid: &str) {
    assert!(
        serde_json::from_slice::<IgnoredAny>(json).is_ok(),
        "not JSON"
    );
    // A tree refuses half a surrogate pair, numbers beyond a double and deep nesting.
    if let Ok(Value::Object(events)) = serde_json::from_slice(json) {
        assert_eq!(events.len(), 1);
        assert!(
            events
                .values()
                .all(|data| data["sid"] == sid && data["channel"] == "c")
        );
    }
}

fn splice(members: Members<'_>) {
    let record = event::presence_record(members, "u", "c");
    let departure = event::departure_record(&record, members, "u", "c");
    for text in [&record, &departure, &merge(members, members)] {
        assert!(parse_members(&format!("{{{text}}}")).is_some(), "{text}");
    }
    for record in [&record, &departure] {
        let names = Members::trusted(record);
        let count = |name| names.iter().filter(|(other, _)| other.is(name)).count();
        assert_eq!((count("uid"), count("channel")), (1, 1), "{record}");
    }
}

/// The stream gives the same packets whole and byte by byte.
pub fn packet(bytes: &[u8]) {
    let whole = read_packets(std::iter::once(bytes));
    let trickled = read_packets(bytes.chunks(1));
    assert_eq!(whole, trickled);
}

fn read_packets<'a>(pieces: impl Iterator<Item = &'a [u8]>) -> Vec<String> {
    let mut scanner = Scanner::default();
    let (mut kept, mut seen) = (Vec::new(), Vec::new());
    for piece in pieces {
        kept.extend_from_slice(piece);
        loop {
            let consumed = match scanner.next(&kept) {
                Ok(Some((packet, consumed))) => {
                    seen.push(format!("{packet:?}"));
                    let lines = packet.frames.iter().chain([&packet.command]);
                    assert!(
                        lines
                            .chain(&packet.identity)
                            .all(|line| !line.contains(&b'\n'))
                    );
                    if let Some(identity) = packet.identity.and_then(parse_identity) {
                        seen.push(format!("{identity:?}"));
                    }
                    consumed
                }
                Ok(None) => break,
                Err(refused) => {
                    seen.push(format!("{refused:?}"));
                    return seen;
                }
            };
            kept.drain(..consumed);
        }
    }
    seen
}
