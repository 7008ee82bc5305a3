//! Section 3.2: malformed messages are answered and end nothing.

use serde_json::json;
use webrocket::limits::JSON_DEPTH_MAX;

use crate::SHARDS;
use crate::raw::{BAD_REQUEST, PING, PONG, Raw, TEXT, masked};
use crate::support::Broker;

/// Each of these alone gets one 400.
const MALFORMED: &[&str] = &[
    // No JSON [ER-01].
    "",
    " ",
    "hello",
    "{",
    "}",
    "{\"pong\":{}",
    "{'pong':{}}",
    "{\"pong\":{},}",
    "{pong:{}}",
    "\u{feff}{\"pong\":{}}",
    "{\"pong\":{}}x",
    "{\"pong\":{}} {\"pong\":{}}",
    "{\"pong\":01}",
    "{\"pong\":\"\\x\"}",
    "{\"pong\":\"\n\"}",
    "{\"pong\":nul}",
    "{\"pong\"}",
    "{\"pong\":}",
    // JSON that is no object.
    "\"pong\"",
    "1",
    "-0.5e3",
    "[]",
    "[{\"pong\":{}}]",
    "null",
    "true",
    "false",
    // No member, or more than one [ER-05].
    "{}",
    "{ }",
    "{\"pong\":{},\"pong\":{}}",
    "{\"subscribe\":{\"channel\":\"room\"},\"unsubscribe\":{\"channel\":\"room\"}}",
    "{\"subscribe\":{\"channel\":\"room\"},\"broadcast\":{\"channel\":\"room\",\"event\":\"e\"}}",
    "{\"subscribe\":{\"channel\":\"room\"},\"pong\":{},\"x\":1}",
    // A payload that is no object.
    "{\"subscribe\":null}",
    "{\"subscribe\":\"room\"}",
    "{\"subscribe\":[]}",
    "{\"auth\":1}",
    "{\"broadcast\":true}",
    "{\"trigger\":false}",
    "{\"unsubscribe\":0}",
    "{\"close\":null}",
    "{\"close\":[]}",
    // Unknown events, server events, draft names; case counts [ER-08].
    "{\"unknown\":{}}",
    "{\"\":{}}",
    "{\":connected\":{}}",
    "{\":error\":{}}",
    "{\":ping\":{}}",
    "{\"__connected\":{}}",
    "{\"__subscribe\":{}}",
    "{\"Subscribe\":{\"channel\":\"room\"}}",
    "{\"SUBSCRIBE\":{\"channel\":\"room\"}}",
    "{\" subscribe\":{\"channel\":\"room\"}}",
    "{\"error\":{}}",
    "{\"ping\":{}}",
];

#[test]
fn each_malformed_message_gets_one_error_er_01_to_er_14() {
    for shards in SHARDS {
        let broker = Broker::with_channels(shards, &["room"]);
        let mut raw = Raw::upgraded(&broker);
        for text in MALFORMED {
            raw.send_text(text);
            raw.send(PING, b"then");
            // The whole message, exactly [ER-02], and no second one.
            raw.expect_text(BAD_REQUEST);
            raw.expect(PONG, b"then");
        }
        // None of it had an effect.
        raw.send_text(r#"{"unsubscribe":{"channel":"room"}}"#);
        raw.expect_text(r#"{":error":{"code":453,"status":"Not subscribed"}}"#);
    }
}

#[test]
fn any_number_of_errors_may_follow_each_other_er_10() {
    let broker = Broker::start(2);
    let mut raw = Raw::upgraded(&broker);
    let count = 5000;
    let stream: Vec<_> = (0..count).flat_map(|_| masked(TEXT, b"nonsense")).collect();
    let mut writer = raw.stream.try_clone().expect("the same socket");
    let sending = std::thread::spawn(move || {
        std::io::Write::write_all(&mut writer, &stream).expect("sent");
    });
    (0..count).for_each(|_| raw.expect_text(BAD_REQUEST));
    sending.join().expect("all sent");
    raw.send(PING, b"alive");
    raw.expect(PONG, b"alive");
}

#[test]
fn required_strings_that_are_absent_empty_or_no_strings_are_400() {
    let broker = Broker::with_channels(2, &["room"]);
    let mut browser = broker.browser();
    browser.subscribe("room");
    for bad in [
        json!(null),
        json!(1),
        json!(true),
        json!({}),
        json!(["room"]),
        json!(""),
    ] {
        for message in [
            json!({"auth": {"token": bad}}),
            json!({"subscribe": {"channel": bad}}),
            json!({"unsubscribe": {"channel": bad}}),
            json!({"broadcast": {"channel": bad, "event": "e"}}),
            json!({"broadcast": {"channel": "room", "event": bad}}),
            json!({"trigger": {"event": bad}}),
        ] {
            browser.send(message.clone());
            browser.expect_error(400);
        }
    }
    for message in [
        json!({"auth": {}}),
        json!({"subscribe": {}}),
        json!({"unsubscribe": {"data": {}}}),
        json!({"broadcast": {}}),
        json!({"broadcast": {"channel": "room"}}),
        json!({"broadcast": {"event": "e"}}),
        json!({"trigger": {"data": {}}}),
    ] {
        browser.send(message);
        browser.expect_error(400);
    }
    browser.expect_nothing_before();
}

#[test]
fn unknown_members_of_a_payload_are_ignored_er_11() {
    let broker = Broker::with_channels(2, &["room"]);
    let mut browser = broker.browser();
    browser.send(json!({"subscribe": {"x": [1], "channel": "room", "event": "e", "token": "t"}}));
    browser.expect(json!({":subscribed": {"channel": "room"}}));
    browser.send(json!({"unsubscribe": {"channel": "room", "hidden": true, "y": null}}));
    browser.expect(json!({":unsubscribed": {"channel": "room"}}));
    browser.expect_nothing_before();
}

#[test]
fn white_space_and_the_order_of_members_are_free_er_13() {
    let broker = Broker::with_channels(2, &["room"]);
    let mut browser = broker.browser();
    browser.send_text(
        " \t\r\n{ \n\"subscribe\" :\t{ \"hidden\":false ,\r\"channel\" : \"room\" } }\n",
    );
    browser.expect(json!({":subscribed": {"channel": "room"}}));
    browser.send_text(
        r#"{"broadcast":{"data":{"n":1},"event":"said","trigger":null,"channel":"room"}}"#,
    );
    let sid = browser.sid.clone();
    browser.expect(json!({"said": {"n": 1, "sid": sid, "channel": "room"}}));
    browser.send_text("{\"\\u0075nsubscribe\":{\"ch\\u0061nnel\":\"\\u0072oom\"}}");
    browser.expect(json!({":unsubscribed": {"channel": "room"}}));
}

#[test]
fn nesting_at_its_bound_and_past_it_er_14() {
    let broker = Broker::with_channels(2, &["room"]);
    let mut browser = broker.browser();
    browser.subscribe("room");
    let nested = |levels: usize| {
        let inner = levels - 3;
        format!(
            r#"{{"broadcast":{{"channel":"room","event":"deep","data":{{"x":{}{}}}}}}}"#,
            "[".repeat(inner),
            "]".repeat(inner)
        )
    };
    browser.send_text(&nested(JSON_DEPTH_MAX + 1));
    browser.expect_error(400);
    browser.send_text(&nested(1_000_000 / 2));
    browser.expect_error(400);
    browser.send_text(&nested(JSON_DEPTH_MAX));
    let text = browser.receive_raw().into_text().expect("text").to_string();
    assert!(text.starts_with(r#"{"deep":{"x":[["#), "{text}");
    assert_eq!(text.matches('[').count(), JSON_DEPTH_MAX - 3);
    browser.expect_nothing_before();
}

#[test]
fn a_pong_event_is_taken_and_not_answered_er_15() {
    let broker = Broker::start(2);
    let mut browser = broker.browser();
    for pong in [
        "{}",
        "null",
        "1",
        "\"x\"",
        "[]",
        "true",
        "{\"a\":{\"b\":1}}",
    ] {
        browser.send_text(&format!("{{\"pong\":{pong}}}"));
    }
    browser.expect_nothing_before();
}

/// The answers are more than is queued before a connection is no longer read.
#[test]
fn messages_before_the_end_of_the_stream_are_all_handled() {
    for shards in SHARDS {
        let broker = Broker::with_channels(shards, &["room"]);
        let mut other = broker.browser();
        other.subscribe("room");
        let mut raw = Raw::upgraded(&broker);
        raw.send_text(r#"{"subscribe":{"channel":"room"}}"#);
        raw.expect_text(r#"{":subscribed":{"channel":"room"}}"#);
        let mut messages: Vec<u8> = (0..5000).flat_map(|_| masked(TEXT, b"x")).collect();
        let last = br#"{"broadcast":{"channel":"room","event":"last"}}"#;
        messages.extend(masked(TEXT, last));
        raw.write(&messages);
        raw.stream
            .shutdown(std::net::Shutdown::Write)
            .expect("connected");
        let event = other.receive();
        assert_eq!(event["last"]["channel"], json!("room"));
    }
}
