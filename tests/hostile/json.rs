//! JSON that is deep, doubled or forged.

use std::sync::atomic::{AtomicU64, Ordering};

use serde_json::Value;
use webrocket::limits::{JSON_DEPTH_MAX, MESSAGE_BYTES_MAX};

use crate::bystanders::report;
use crate::raw::{Raw, TEXT, masked};
use crate::stage::Stage;

const BAD_REQUEST: &str = r#"{":error":{"code":400,"status":"Bad request"}}"#;

/// A broadcast whose data nests so deep, its own objects included.
fn nested(depth: usize) -> String {
    let arrays = depth - 3;
    let (open, close) = ("[".repeat(arrays), "]".repeat(arrays));
    format!(r#"{{"broadcast":{{"channel":"room","event":"e","data":{{"n":{open}{close}}}}}}}"#)
}

#[test]
fn depth_and_doubles() {
    let stage = Stage::start("");
    stage.open("/test", "room");
    stage.open("/test", "other");
    let frontends = stage.frontends();
    let mut browser = stage.browser("/test");
    browser.subscribe("room");
    browser.send_text(&nested(JSON_DEPTH_MAX));
    assert_eq!(
        browser
            .receive_raw()
            .into_text()
            .expect("text")
            .matches('[')
            .count(),
        JSON_DEPTH_MAX - 3
    );
    for past in [
        nested(JSON_DEPTH_MAX + 1),
        nested(100_000),
        "[".repeat(MESSAGE_BYTES_MAX),
        r#"{"a":"#.repeat(100_000),
    ] {
        browser.send_text(&past);
        browser.expect_error(400);
    }

    // A message says one thing: no second member, be it the same one.
    for doubled in [
        r#"{"subscribe":{"channel":"other"},"subscribe":{"channel":"other"}}"#,
        r#"{"broadcast":{"channel":"room","event":"e"},"auth":{"token":"x"}}"#,
    ] {
        browser.send_text(doubled);
        browser.expect_error(400);
    }
    // What the broker vouches for can't be written by a client, however it spells it.
    for forged in [
        r#""sid":"forged","channel":"forged""#,
        r#""s\u0069d":"forged","ch\u0061nnel":"forged""#,
        r#""sid":1,"sid":"forged","sid":"forged","channel":"forged","channel":{}"#,
        r#""\u0073\u0069\u0064":"forged","channel":"forged""#,
    ] {
        let text =
            format!(r#"{{"broadcast":{{"channel":"room","event":"e","data":{{{forged}}}}}}}"#);
        browser.send_text(&text);
        let received = browser.receive_raw().into_text().expect("text");
        assert!(!received.contains("forged"), "{received}");
        let value: Value = serde_json::from_str(&received).expect("JSON");
        assert_eq!(value["e"]["sid"], *browser.sid);
        assert_eq!(value["e"]["channel"], "room");
        assert_eq!(received.matches(&*browser.sid).count(), 1);
    }

    // A megabyte of depth, and of members, again and again.
    let members = (0..60_000)
        .map(|n| format!(r#""{n}":0"#))
        .collect::<Vec<_>>();
    let members = members.join(",");
    let texts = [
        "[".repeat(500_000),
        format!(r#"{{"trigger":{{"event":"e","data":{{{members}}}}}}}"#),
    ];
    let bombs = texts.map(|text| masked(TEXT, text.as_bytes()));
    let sent = AtomicU64::new(0);
    let turns = stage.by_turns(vec![Box::new(|gate| {
        let mut raw = Raw::upgraded(frontends, "/test");
        while gate.is_open() {
            let number = sent.fetch_add(1, Ordering::Relaxed) as usize;
            raw.write(&bombs[number % 2]);
            let expected = [
                BAD_REQUEST,
                r#"{":error":{"code":403,"status":"Forbidden"}}"#,
            ];
            assert_eq!(raw.text(), expected[number % 2]);
        }
    })]);
    let sent = sent.into_inner();
    report(
        "JSON depth and doubles",
        &format!("{sent} bombs of half a MiB"),
        &format!("depth {JSON_DEPTH_MAX}, one member a message, no forged sid; 400 each"),
        &turns,
    );
}
