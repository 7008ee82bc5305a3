use std::borrow::Cow;
use std::collections::HashMap;

use proptest::prelude::*;
use serde::de::IgnoredAny;
use serde_json::{Value, json};

use super::*;
use crate::limits::JSON_DEPTH_MAX;
use crate::model::{Sid, Status};
use crate::wire::arbitrary;
use crate::wire::frame::parse_server_header;
use crate::wire::json::{Members, parse_members};

const SID: &str = "01010101-0101-4101-8101-010101010101";

fn sid() -> Sid {
    Sid::from_random([1; 16])
}

fn is_malformed(text: &str) -> bool {
    decode(text.as_bytes()) == Err(Malformed)
}

fn message(text: &str) -> Message<'_> {
    decode(text.as_bytes()).unwrap_or_else(|_| panic!("malformed: {text}"))
}

fn data(text: &str) -> Members<'_> {
    parse_members(text).unwrap_or_else(|| panic!("no object: {text}"))
}

/// The payload of the one frame that was written, as text.
fn frame(write: impl FnOnce(&mut Vec<u8>)) -> String {
    let mut out = Vec::new();
    write(&mut out);
    let header = parse_server_header(&out).expect("a frame").expect("whole");
    assert_eq!(header.header_bytes + header.payload_bytes, out.len());
    String::from_utf8(out.split_off(header.header_bytes)).expect("UTF-8")
}

/// The members that a broadcast's data, event and trigger were taken from.
fn broadcast(text: &str) -> (String, String, String, Option<String>) {
    match message(text) {
        Message::Broadcast {
            channel,
            event,
            data,
            trigger,
        } => (
            channel.into_owned(),
            event.raw().into(),
            data.as_str().into(),
            trigger.map(|trigger| trigger.raw().into()),
        ),
        other => panic!("{other:?}"),
    }
}

#[test]
fn malformed_input_er_01_to_er_09() {
    for bad in [
        "",
        " ",
        "x",
        "{",
        r#"{"pong":{}} x"#,
        r#"{"pong":{}}{}"#,
        r#""pong""#,
        "1",
        "[]",
        "null",
        "true",
        "{}",
        r#"{"subscribe":null}"#,
        r#"{"subscribe":"a"}"#,
        r#"{"subscribe":[]}"#,
        r#"{"close":null}"#,
        r#"{"nonsense":{}}"#,
        r#"{"Subscribe":{"channel":"a"}}"#,
        r#"{":connected":{}}"#,
        r#"{"__connected":{}}"#,
        r#"{"":{}}"#,
    ] {
        assert!(is_malformed(bad), "{bad}");
    }
    assert!(decode(b"{\"pong\":{\"a\":\"\xff\"}}").is_err(), "[FR-11]");
}

#[test]
fn a_second_member_is_malformed_er_05() {
    for bad in [
        r#"{"subscribe":{"channel":"a"},"subscribe":{"channel":"a"}}"#,
        r#"{"subscribe":{"channel":"a"},"data":{}}"#,
        r#"{"subscribe":{"channel":"a"},"trigger":"x"}"#,
        r#"{"broadcast":{"channel":"a","event":"b"},"hidden":true}"#,
        r#"{"trigger":{"event":"b"},"trigger":"x"}"#,
        r#"{"trigger":"x","broadcast":{"channel":"a","event":"b"}}"#,
        r#"{"hidden":true,"subscribe":{"channel":"a"}}"#,
        r#"{"broadcast":{"channel":"a","event":"b"},"trigger":"x","trigger":"x"}"#,
        r#"{"subscribe":{"channel":"a"},"hidden":true,"data":{}}"#,
        r#"{"subscribe":{"channel":"a"},}"#,
    ] {
        assert!(is_malformed(bad), "{bad}");
    }
}

#[test]
fn the_lenient_shapes_br_18_su_20() {
    let beside = |trigger: &str| {
        broadcast(&format!(
            r#"{{"broadcast":{{"channel":"c","event":"e"}} , "trigger" : {trigger} }}"#
        ))
        .3
    };
    assert_eq!(beside(r#""t""#).as_deref(), Some(r#""t""#));
    assert_eq!(beside("true"), None);
    assert_eq!(beside(r#""""#), None);
    let inside_and_beside =
        r#"{"broadcast":{"channel":"c","event":"e","trigger":"in"},"trigger":"out"}"#;
    assert_eq!(
        broadcast(inside_and_beside).3.as_deref(),
        Some(r#""out""#),
        "the last counts"
    );
    let ignored = r#"{"broadcast":{"channel":"c","event":"e","trigger":"in"},"trigger":true}"#;
    assert_eq!(broadcast(ignored).3.as_deref(), Some(r#""in""#));
    let hidden = |beside: &str| {
        let text = format!(r#"{{"subscribe":{{"channel":"c"}},"hidden":{beside}}}"#);
        matches!(message(&text), Message::Subscribe { hidden: true, .. })
    };
    assert!(hidden("true"));
    assert!(!hidden("false"));
    assert!(!hidden("1"));
}

#[test]
fn auth_needs_a_token_au_15() {
    assert_eq!(
        message(r#"{"auth":{"token":"t"}}"#),
        Message::Auth { token: "t".into() }
    );
    for bad in [
        "{}",
        r#"{"token":""}"#,
        r#"{"token":1}"#,
        r#"{"token":null}"#,
        r#"{"Token":"t"}"#,
    ] {
        assert!(is_malformed(&format!(r#"{{"auth":{bad}}}"#)), "{bad}");
    }
}

#[test]
fn subscribe_su_14_su_15() {
    let full =
        r#" { "subscribe" : {"hidden":true, "data" : { "a": 1 } ,"x":[], "channel" : "c" } } "#;
    assert_eq!(
        message(full),
        Message::Subscribe {
            channel: "c".into(),
            hidden: true,
            data: data(r#"{"a": 1}"#)
        }
    );
    for other in ["null", "1", r#""a""#, "[]", "true"] {
        let text = format!(r#"{{"subscribe":{{"channel":"c","data":{other},"hidden":"true"}}}}"#);
        assert_eq!(
            message(&text),
            Message::Subscribe {
                channel: "c".into(),
                hidden: false,
                data: Members::EMPTY
            }
        );
    }
    for bad in ["{}", r#"{"channel":""}"#, r#"{"channel":7}"#] {
        assert!(is_malformed(&format!(r#"{{"subscribe":{bad}}}"#)), "{bad}");
        assert!(
            is_malformed(&format!(r#"{{"unsubscribe":{bad}}}"#)),
            "{bad}"
        );
    }
}

#[test]
fn names_and_strings_may_be_escaped() {
    assert_eq!(
        message(r#"{"\u0073ubscribe":{"ch\u0061nnel":"\u0063"}}"#),
        Message::Subscribe {
            channel: "c".into(),
            hidden: false,
            data: Members::EMPTY
        }
    );
    let Message::Auth { token } = message(r#"{"auth":{"token":"plain"}}"#) else {
        panic!()
    };
    assert!(matches!(token, Cow::Borrowed("plain")));
}

#[test]
fn the_last_of_two_members_counts() {
    let twice = r#"{"unsubscribe":{"channel":"a","data":{"x":1},"data":{"y":2},"channel":"b"}}"#;
    assert_eq!(
        message(twice),
        Message::Unsubscribe {
            channel: "b".into(),
            data: data(r#"{"y":2}"#)
        }
    );
    assert!(is_malformed(r#"{"subscribe":{"channel":"a","channel":1}}"#));
}

#[test]
fn broadcast_br_07_br_14() {
    let (channel, event, data, trigger) =
        broadcast(r#"{"broadcast":{"channel":"c","event":"e\n","data":{"n":1.0},"trigger":"t"}}"#);
    assert_eq!(
        (&*channel, &*event, &*data),
        ("c", r#""e\n""#, r#""n":1.0"#)
    );
    assert_eq!(trigger.as_deref(), Some(r#""t""#));
    for none in [r#""""#, "1", "null", "true", "{}"] {
        let text = format!(r#"{{"broadcast":{{"channel":"c","event":"e","trigger":{none}}}}}"#);
        assert_eq!(broadcast(&text).3, None, "{none}");
    }
    for bad in [
        r#"{"event":"e"}"#,
        r#"{"channel":"c"}"#,
        r#"{"channel":"","event":"e"}"#,
        r#"{"channel":"c","event":""}"#,
        r#"{"channel":"c","event":1}"#,
    ] {
        assert!(is_malformed(&format!(r#"{{"broadcast":{bad}}}"#)), "{bad}");
    }
}

#[test]
fn reserved_event_names_br_10() {
    for event in [":error", ":x", r"\u003aerror", ":"] {
        let text = format!(r#"{{"broadcast":{{"channel":"c","event":"{event}"}}}}"#);
        assert!(is_malformed(&text), "{event}");
    }
    // Triggers go to workers, which know no server events.
    assert!(!is_malformed(r#"{"trigger":{"event":":x"}}"#));
    assert!(!is_malformed(
        r#"{"broadcast":{"channel":"c","event":"e","trigger":":x"}}"#
    ));
}

#[test]
fn trigger_pong_and_close() {
    let Message::Trigger {
        event,
        data: members,
    } = message(r#"{"trigger":{"event":"e","data":{"channel":"x"}}}"#)
    else {
        panic!()
    };
    assert_eq!(
        (event.raw(), members.as_str()),
        (r#""e""#, r#""channel":"x""#)
    );
    assert!(is_malformed(r#"{"trigger":{}}"#));
    for anything in ["{}", "null", "[1]", "1", r#"{"a":{}}"#] {
        assert_eq!(
            message(&format!(r#"{{"pong":{anything}}}"#)),
            Message::Pong,
            "[ER-15]"
        );
    }
    assert_eq!(
        message(r#"{"close":{}}"#),
        Message::Close {
            data: Members::EMPTY
        }
    );
    assert_eq!(
        message(r#"{"close":{"bye":1,"channel":2}}"#),
        Message::Close {
            data: data(r#"{"bye":1,"channel":2}"#)
        }
    );
}

#[test]
fn nesting_at_the_bound_and_past_it_er_14() {
    // Message, payload and data are three of the levels.
    let nested = |depth: usize| {
        let (open, end) = ("[".repeat(depth - 3), "]".repeat(depth - 3));
        format!(r#"{{"broadcast":{{"channel":"c","event":"e","data":{{"a":{open}{end}}}}}}}"#)
    };
    assert!(!is_malformed(&nested(JSON_DEPTH_MAX)));
    assert!(is_malformed(&nested(JSON_DEPTH_MAX + 1)));
    assert!(is_malformed(&format!(
        r#"{{"pong":{}"#,
        "[".repeat(100_000)
    )));
}

#[test]
fn server_events_have_exactly_these_members() {
    assert_eq!(
        frame(|out| connected(out, &sid())),
        format!(r#"{{":connected":{{"sid":"{SID}"}}}}"#)
    );
    assert_eq!(frame(authenticated), r#"{":authenticated":{}}"#);
    assert_eq!(
        frame(|out| subscribed(out, "c", None, None)),
        r#"{":subscribed":{"channel":"c"}}"#
    );
    assert_eq!(
        frame(|out| subscribed(out, "private-c", Some("u\"\n"), None)),
        r#"{":subscribed":{"channel":"private-c","uid":"u\"\n"}}"#
    );
    assert_eq!(
        frame(|out| subscribed(out, "presence-c", Some("u"), Some(b"[{\"uid\":\"v\"}]"))),
        r#"{":subscribed":{"channel":"presence-c","uid":"u","subscribers":[{"uid":"v"}]}}"#
    );
    assert_eq!(
        frame(|out| unsubscribed(out, "c")),
        r#"{":unsubscribed":{"channel":"c"}}"#
    );
    assert_eq!(
        frame(|out| member_joined(out, r#""uid":"u""#)),
        r#"{":memberJoined":{"uid":"u"}}"#
    );
    assert_eq!(
        frame(|out| member_left(out, r#""uid":"u""#)),
        r#"{":memberLeft":{"uid":"u"}}"#
    );
    assert_eq!(
        frame(|out| error(out, Status::ChannelNotFound)),
        r#"{":error":{"code":454,"status":"Channel not found"}}"#
    );
    assert_eq!(
        frame(|out| closed(out, &sid())),
        format!(r#"{{":closed":{{"sid":"{SID}"}}}}"#)
    );
}

#[test]
fn frames_grow_in_both_kinds_of_buffer() {
    let mut bytes = bytes::BytesMut::new();
    let mut vec = Vec::new();
    for _ in 0..3 {
        authenticated(&mut bytes);
        authenticated(&mut vec);
    }
    assert_eq!(&bytes[..], &vec[..]);
    assert_eq!(vec.len(), 3 * (2 + 21));
}

#[test]
fn custom_events_br_04_br_06_br_11() {
    let out = |text: &str| frame(|out| custom(out, r#""e\u00e9""#, data(text), Some(&sid()), "c"));
    assert_eq!(
        out("{}"),
        format!(r#"{{"e\u00e9":{{"sid":"{SID}","channel":"c"}}}}"#)
    );
    assert_eq!(
        out(r#"{"n":1.50e3,"sid":"forged","ch\u0061nnel":"forged","z":null}"#),
        format!(r#"{{"e\u00e9":{{"n":1.50e3,"z":null,"sid":"{SID}","channel":"c"}}}}"#)
    );
}

#[test]
fn backend_events_keep_a_sid_bc_01_bc_07() {
    let out = |text: &str| frame(|out| custom(out, r#""e""#, data(text), None, "c"));
    assert_eq!(out("{}"), r#"{"e":{"channel":"c"}}"#);
    assert_eq!(
        out(r#"{"sid":"x","channel":"y"}"#),
        r#"{"e":{"sid":"x","channel":"c"}}"#
    );
}

#[test]
fn presence_records_can_not_be_forged_pr_03_pr_14_pr_15() {
    let record = presence_record(
        data(r#"{"uid":"x","name":"n","channel":1}"#),
        "u\"",
        "presence-c",
    );
    assert_eq!(record, r#""name":"n","uid":"u\"","channel":"presence-c""#);
    assert_eq!(
        presence_record(Members::EMPTY, "u", "c"),
        r#""uid":"u","channel":"c""#
    );
    assert_eq!(
        departure_record(
            &record,
            data(r#"{"name":"m","uid":"x","channel":"y","bye":1}"#),
            "u\"",
            "presence-c"
        ),
        r#""name":"m","bye":1,"uid":"u\"","channel":"presence-c""#
    );
}

proptest! {
    /// What is decoded and spliced is what a tree would say.
    #[test]
    fn broadcasts_pass_data_through(
        object in arbitrary::object_text(),
        event in "[^:].{0,20}",
        forged in any::<bool>(),
    ) {
        let event_text = Value::String(event.clone()).to_string();
        let text = format!(r#"{{"broadcast":{{"data":{object},"event":{event_text},"channel":"c"}}}}"#);
        let Ok(Message::Broadcast { event: raw, data, .. }) = decode(text.as_bytes()) else {
            return Err(TestCaseError::fail(text));
        };
        let sid = sid();
        let out = frame(|out| custom(out, raw.raw(), data, forged.then_some(&sid), "c"));
        let mut expected: Value = serde_json::from_str(&object).expect("an object");
        expected["channel"] = json!("c");
        if forged {
            expected["sid"] = json!(SID);
        }
        prop_assert_eq!(serde_json::from_str::<Value>(&out).expect("JSON"), json!({ event: expected }));
    }

    #[test]
    fn decodes_only_json(text in arbitrary::broken_json_text()) {
        let text = format!(r#"{{"close":{text}}}"#);
        // Not a tree of values: that would refuse numbers beyond a double.
        let tree = serde_json::from_str::<HashMap<String, HashMap<String, IgnoredAny>>>(&text);
        let expected = tree.is_ok_and(|tree| tree.len() == 1 && tree.contains_key("close"));
        // Nor does it show a name given twice, or take half a surrogate pair in one.
        prop_assume!(!text.contains("\\u") && text.matches("\"close\"").count() == 1);
        prop_assert_eq!(!is_malformed(&text), expected, "{}", text);
    }
}
