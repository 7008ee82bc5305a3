//! Section 3.7: broadcasts reach every subscriber, whole and in order.

use serde_json::{Value, json};

use crate::SHARDS;
use crate::raw::Raw;
use crate::support::{Broker, Browser};

const CHANNELS: [&str; 4] = ["room", "room.2", "room.3", "room.4"];

#[test]
fn every_subscriber_and_nobody_else_gets_the_event_br_04_br_05() {
    for shards in SHARDS {
        let broker = Broker::with_channels(shards, &CHANNELS);
        broker.add_vhost("/other");
        let mut stranger = broker.browser_on("/other");
        let mut groups: Vec<Vec<Browser>> = CHANNELS
            .iter()
            .map(|channel| {
                let mut group: Vec<_> = (0..5).map(|_| broker.browser()).collect();
                group
                    .iter_mut()
                    .for_each(|browser| browser.subscribe(channel));
                group
            })
            .collect();
        let mut idle = broker.browser();
        for (group, channel) in groups.iter_mut().zip(CHANNELS) {
            for sender in 0..group.len() {
                let data = json!({"n": sender, "deep": {"x": [1, {"y": null}]}});
                group[sender].broadcast(channel, "said", data.clone());
                let mut expected = data;
                expected["sid"] = group[sender].sid.clone().into();
                expected["channel"] = channel.into();
                for browser in group.iter_mut() {
                    browser.expect(json!({"said": expected}));
                }
            }
        }
        groups
            .iter_mut()
            .flatten()
            .for_each(Browser::expect_nothing_before);
        idle.expect_nothing_before();
        stranger.expect_nothing_before();
    }
}

#[test]
fn an_event_to_the_byte() {
    let broker = Broker::with_channels(2, &["room"]);
    let mut raw = Raw::connect(&broker);
    raw.write(format!("GET /test HTTP/1.1\r\n{}\r\n", crate::raw::UPGRADE).as_bytes());
    raw.read(crate::raw::SWITCHING.len());
    let connected = raw.receive();
    let sid = connected[":connected"]["sid"].as_str().expect("a sid");
    raw.send_text(r#"{"subscribe":{"channel":"room"}}"#);
    raw.expect_text(r#"{":subscribed":{"channel":"room"}}"#);
    // The data as it was written, white space inside its values included.
    raw.send_text(
        r#"{"broadcast":{"channel":"room","event":"said","data":{"n":1.50,"a":[1, 2]}}}"#,
    );
    let expected = format!(r#"{{"said":{{"n":1.50,"a":[1, 2],"sid":"{sid}","channel":"room"}}}}"#);
    raw.expect_text(&expected);
    raw.send_text(r#"{"broadcast":{"channel":"room","event":"said"}}"#);
    raw.expect_text(&format!(r#"{{"said":{{"sid":"{sid}","channel":"room"}}}}"#));
}

#[test]
fn sid_and_channel_cannot_be_forged_br_06() {
    let broker = Broker::with_channels(2, &["room"]);
    let (mut one, mut two) = (broker.browser(), broker.browser());
    one.subscribe("room");
    two.subscribe("room");
    let sid = one.sid.clone();
    for forged in [
        r#"{"sid":"forged","channel":"elsewhere","n":1}"#,
        r#"{"n":1,"sid":{"a":1},"channel":null}"#,
        r#"{"sid":"a","n":1,"sid":"b","channel":"c","channel":"d"}"#,
        r#"{"\u0073id":"forged","n":1,"chann\u0065l":"x"}"#,
    ] {
        one.send_text(&format!(
            r#"{{"broadcast":{{"channel":"room","event":"e","data":{forged}}}}}"#
        ));
        for browser in [&mut one, &mut two] {
            let text = browser.receive_raw().into_text().expect("text").to_string();
            let event: Value = serde_json::from_str(&text).expect("JSON");
            assert_eq!(event, json!({"e": {"n": 1, "sid": sid, "channel": "room"}}));
            // Once each: a client that takes the first of two would be fooled.
            assert_eq!(text.matches("id\":").count(), 1, "{text}");
            assert_eq!(text.matches("l\":").count(), 1, "{text}");
        }
    }
}

#[test]
fn data_of_a_wrong_type_counts_as_empty_br_07() {
    let broker = Broker::with_channels(2, &["room"]);
    let mut browser = broker.browser();
    browser.subscribe("room");
    for odd in [
        json!(null),
        json!("x"),
        json!(1),
        json!([{"a": 1}]),
        json!(true),
        json!({}),
    ] {
        browser.broadcast("room", "said", odd);
        let sid = browser.sid.clone();
        browser.expect(json!({"said": {"sid": sid, "channel": "room"}}));
    }
}

/// Each sender's events come in its order, and all receivers see one order.
#[test]
fn events_come_whole_and_in_order_br_08_br_09_br_17() {
    const EVENTS: usize = 200;
    for shards in SHARDS {
        let broker = Broker::with_channels(shards, &["room"]);
        let mut browsers: Vec<_> = (0..6).map(|_| broker.browser()).collect();
        browsers
            .iter_mut()
            .for_each(|browser| browser.subscribe("room"));
        let talking: Vec<_> = browsers
            .into_iter()
            .map(|mut browser| {
                std::thread::spawn(move || {
                    for n in 0..EVENTS {
                        let padding = "x".repeat(n * 7 % 500);
                        browser.broadcast("room", "said", json!({"n": n, "padding": padding}));
                    }
                    let heard: Vec<_> = (0..6 * EVENTS)
                        .map(|_| browser.receive()["said"].take())
                        .collect();
                    browser.expect_nothing_before();
                    (browser.sid, heard)
                })
            })
            .collect();
        let results: Vec<_> = talking
            .into_iter()
            .map(|t| t.join().expect("heard"))
            .collect();
        let (_, order) = &results[0];
        for (_, heard) in &results {
            assert!(heard == order, "another order");
        }
        for (sid, _) in &results {
            let own = order.iter().filter(|event| event["sid"] == **sid);
            for (n, event) in own.enumerate() {
                assert_eq!(event["n"], n);
                assert_eq!(event["padding"].as_str().map(str::len), Some(n * 7 % 500));
            }
        }
    }
}

#[test]
fn reserved_names_are_refused_br_10() {
    for shards in SHARDS {
        let broker = Broker::with_channels(shards, &["room"]);
        let (mut one, mut two) = (broker.browser(), broker.browser());
        one.subscribe("room");
        two.subscribe("room");
        for name in [":memberJoined", ":error", ":", ":x", "\\u003ax"] {
            one.send_text(&format!(
                r#"{{"broadcast":{{"channel":"room","event":"{name}","data":{{}}}}}}"#
            ));
            one.expect_error(400);
        }
        for name in [
            "x:",
            "a:b",
            " :x",
            "subscribe",
            "__connected",
            "grüß",
            "\u{0}",
            "\"",
            "é\n",
        ] {
            one.broadcast("room", name, json!({}));
            let sid = one.sid.clone();
            for browser in [&mut one, &mut two] {
                browser.expect(json!({name: {"sid": sid, "channel": "room"}}));
            }
        }
        two.expect_nothing_before();
    }
}

/// What JSON values are made of passes as it was written.
#[test]
fn values_pass_unchanged_br_11() {
    let broker = Broker::with_channels(2, &["room"]);
    let (mut one, mut two) = (broker.browser(), broker.browser());
    one.subscribe("room");
    two.subscribe("room");
    for value in [
        "0",
        "-0",
        "1.0",
        "1e400",
        "-1.5E-7",
        "9007199254740993",
        "123456789012345678901234567890",
        "0.1000000000000000055511151231257827",
        "true",
        "false",
        "null",
        r#""""#,
        r#""\u0000""#,
        r#""\ud83d\ude00 \/ \b\f\n\r\t\"\\""#,
        "\"grüße \u{1f600} \u{2028}\"",
        r#""<script>&'""#,
        "[]",
        "{}",
        "[[],[{}],[null,1.50]]",
        r#"{"a":{"b":{"c":[1e5]}},"sid":"inner","":0}"#,
        "\"\u{7f}\"",
    ] {
        one.send_text(&format!(
            r#"{{"broadcast":{{"channel":"room","event":"e","data":{{"v":{value}}}}}}}"#
        ));
        for browser in [&mut one, &mut two] {
            let text = browser.receive_raw().into_text().expect("text").to_string();
            assert!(
                text.contains(&format!(r#""v":{value}"#)),
                "{value} became {text}"
            );
        }
    }
}

/// `BC` from a backend, beside events of browsers: no `sid` is added, one in
/// the data passes through.
#[test]
fn backend_events_have_no_sid() {
    for shards in SHARDS {
        let broker = Broker::with_channels(shards, &["room"]);
        let mut browsers: Vec<_> = (0..4).map(|_| broker.browser()).collect();
        browsers
            .iter_mut()
            .for_each(|browser| browser.subscribe("room"));
        for (data, expected) in [
            (r#"{"n":1}"#, json!({"n": 1, "channel": "room"})),
            (
                r#"{"sid":"s","channel":"x"}"#,
                json!({"sid": "s", "channel": "room"}),
            ),
            ("{}", json!({"channel": "room"})),
        ] {
            assert_eq!(
                broker.request(&["BC", "room", "news", data]),
                "OK\n\n\r\n\r\n"
            );
            for browser in &mut browsers {
                browser.expect(json!({"news": expected}));
            }
        }
    }
}
