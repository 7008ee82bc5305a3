//! The requests of backend clients: opening and closing channels, broadcasts,
//! single access tokens. Every answer and every order of checks.

mod support;

use serde_json::{Value, json};
use support::backend::{OK, error};
use support::{Broker, Browser};
use webrocket::limits::{CHANNEL_NAME_BYTES_MAX, PATTERN_BYTES_MAX, UID_BYTES_MAX};

/// So many that all shards have some.
const BROWSERS: usize = 12;

fn subscribers(broker: &Broker, channel: &str) -> Vec<Browser> {
    let mut browsers: Vec<_> = (0..BROWSERS).map(|_| broker.browser()).collect();
    browsers.iter_mut().for_each(|it| it.subscribe(channel));
    browsers
}

fn expect_all(browsers: &mut [Browser], message: &Value) {
    for browser in browsers {
        browser.expect(message.clone());
    }
}

#[test]
fn opens_a_channel_and_leaves_an_open_one_alone_oc_01_oc_02() {
    for shards in [1, 2, 4] {
        let broker = Broker::start(shards);
        assert_eq!(broker.request(&["OC", "room"]), OK);
        let mut browsers = subscribers(&broker, "room");
        assert_eq!(broker.request(&["OC", "room"]), OK);
        assert_eq!(broker.request(&["BC", "room", "news", "{}"]), OK);
        expect_all(&mut browsers, &json!({"news": {"channel": "room"}}));
    }
}

#[test]
fn channel_names_oc_05_oc_06() {
    let broker = Broker::start(2);
    let longest = "n".repeat(CHANNEL_NAME_BYTES_MAX);
    let two_hundred = "n".repeat(200);
    for name in [
        "a",
        "_",
        "9",
        "a.b-c_d",
        "a-",
        "a.",
        "_.-",
        "private",
        "presence",
        "private-",
        "presence-x",
        "Private-x",
        &two_hundred,
        &longest,
    ] {
        assert_eq!(broker.request(&["OC", name]), OK, "{name}");
        assert_eq!(broker.request(&["BC", name, "e", "{}"]), OK, "{name}");
    }
    let too_long = format!("{longest}n");
    for name in [
        "-a", ".a", "a b", " a", "a ", "a/b", "a:b", "a%20b", "a\r", "a\0", "ä", "a\u{a0}", "*",
        "a,b", "\"a\"", "@a", "a\t", &too_long,
    ] {
        assert_eq!(broker.request(&["OC", name]), error(451), "{name:?}");
        assert_eq!(broker.request(&["CC", name]), error(454), "{name:?}");
        assert_eq!(
            broker.request(&["BC", name, "e", "{}"]),
            error(454),
            "{name:?}"
        );
    }
    // Names are told apart by case.
    assert_eq!(broker.request(&["BC", "A", "e", "{}"]), error(454));
    for frames in [
        &["OC"][..],
        &["OC", ""],
        &["OC", "", "room"],
        &["CC"],
        &["CC", ""],
    ] {
        assert_eq!(broker.request(frames), error(400), "{frames:?}");
    }
}

#[test]
fn closes_a_channel_under_its_subscribers_cc_05_cc_06() {
    for shards in [1, 2, 4] {
        let broker = Broker::with_channels(shards, &["room"]);
        let mut browsers = subscribers(&broker, "room");
        assert_eq!(broker.request(&["CC", "room"]), OK);
        for browser in &mut browsers {
            browser.expect(json!({":unsubscribed": {"channel": "room"}}));
            browser.broadcast("room", "late", json!({}));
            browser.expect_error(454);
            browser.send(json!({"unsubscribe": {"channel": "room"}}));
            browser.expect_error(454);
        }
        assert_eq!(broker.request(&["BC", "room", "late", "{}"]), error(454));
        assert_eq!(broker.request(&["CC", "room"]), error(454));
        // Of the same name and empty.
        assert_eq!(broker.request(&["OC", "room"]), OK);
        assert_eq!(broker.request(&["BC", "room", "unheard", "{}"]), OK);
        for browser in &mut browsers {
            browser.broadcast("room", "early", json!({}));
            browser.expect_error(453);
            browser.subscribe("room");
            browser.expect_nothing_before();
        }
    }
}

#[test]
fn a_closed_presence_channel_says_no_farewell_for_its_members_cc_06() {
    let broker = Broker::with_channels(2, &["presence-room"]);
    let mut users: Vec<_> = (0..4)
        .map(|n| broker.user(&format!("u{n}"), ".*"))
        .collect();
    for browser in &mut users {
        browser.send(json!({"subscribe": {"channel": "presence-room"}}));
    }
    for browser in &mut users {
        // Each of them, for they are of several shards: who comes behind `CC` is refused.
        let first = browser.receive();
        assert!(first[":subscribed"].is_object(), "{first}");
    }
    for browser in &mut users {
        // All that joins say; the other messages of this test stand behind them.
        browser.send(json!({"broadcast": {"channel": "presence-room", "event": "joined"}}));
    }
    let broker_says_ok = broker.request(&["CC", "presence-room"]);
    assert_eq!(broker_says_ok, OK);
    for browser in &mut users {
        let mut last = browser.receive();
        while last[":unsubscribed"].is_null() {
            assert!(last[":memberLeft"].is_null(), "{last}");
            last = browser.receive();
        }
        assert_eq!(last, json!({":unsubscribed": {"channel": "presence-room"}}));
    }
    // Who comes to a new channel of that name finds nobody.
    assert_eq!(broker.request(&["OC", "presence-room"]), OK);
    let mut joiner = broker.user("joe", ".*");
    joiner.send(json!({"subscribe": {"channel": "presence-room"}}));
    joiner.expect(json!({":subscribed": {
        "channel": "presence-room", "uid": "joe", "subscribers": []
    }}));
}

#[test]
fn broadcasts_reach_every_subscriber_as_they_were_sent_bc_01_bc_07_bc_08() {
    for shards in [1, 2, 4] {
        let broker = Broker::with_channels(shards, &["room", "empty"]);
        let mut browsers = subscribers(&broker, "room");
        let mut stranger = broker.browser();
        let data = r#"{"a":[1,null,{"b":"ü\u0000"}],"sid":"mine","channel":"forged","n":1.50e3}"#;
        assert_eq!(broker.request(&["BC", "room", "news", data]), OK);
        let expected = json!({"news": {
            "a": [1, null, {"b": "ü\u{0}"}], "sid": "mine", "channel": "room", "n": 1.50e3
        }});
        expect_all(&mut browsers, &expected);
        stranger.expect_nothing_before();
        assert_eq!(broker.request(&["BC", "empty", "news", data]), OK);
    }
}

#[test]
fn numbers_and_event_names_pass_unchanged_bc_01() {
    let broker = Broker::with_channels(2, &["room"]);
    let mut browser = broker.browser();
    browser.subscribe("room");
    let data = r#"{"n":1.50,"big":123456789012345678901234567890,"e":1E5}"#;
    let event = "quote\" back\\slash \u{1} ünïcode :colon";
    assert_eq!(broker.request(&["BC", "room", event, data]), OK);
    let message = browser.receive_raw().into_text().expect("text");
    let whole: Value = serde_json::from_str(&message).expect("JSON");
    assert_eq!(
        whole
            .as_object()
            .expect("an object")
            .keys()
            .collect::<Vec<_>>(),
        [event]
    );
    for number in ["1.50", "123456789012345678901234567890", "1E5"] {
        assert!(message.contains(number), "{message}");
    }
}

#[test]
fn data_that_is_no_object_counts_as_empty_bc_05_bc_06() {
    let broker = Broker::with_channels(2, &["room"]);
    let mut browser = broker.browser();
    browser.subscribe("room");
    for data in [
        "null", "[]", "1", "\"x\"", "true", "", "{", "{}x", "nonsense", "{\"a\":}",
    ] {
        assert_eq!(broker.request(&["BC", "room", "news", data]), OK, "{data}");
        browser.expect(json!({"news": {"channel": "room"}}));
    }
    browser.expect_nothing_before();
}

#[test]
fn broadcasts_are_checked_in_order_bc_14() {
    let broker = Broker::with_channels(2, &["room"]);
    let mut browser = broker.browser();
    browser.subscribe("room");
    for frames in [
        &["BC"][..],
        &["BC", "room"],
        &["BC", "room", "e"],
        &["BC", "none", "e"],
        &["BC", "", "e", "{}"],
        &["BC", "room", "", "{}"],
        &["BC", "none", "", "{}"],
        &["BC", "room", ":memberJoined", "{}"],
        &["BC", "none", ":e", "{}"],
        &["BC", "room", ":", "{}"],
    ] {
        assert_eq!(broker.request(frames), error(400), "{frames:?}");
    }
    assert_eq!(broker.request(&["BC", "none", "e", "{}"]), error(454));
    assert_eq!(broker.request(&["BC", "none", "e", "nonsense"]), error(454));
    browser.expect_nothing_before();
}

#[test]
fn hidden_subscribers_do_not_hear_backends_bc_01() {
    let broker = Broker::with_channels(2, &["room"]);
    let mut hidden = broker.browser();
    hidden.send(json!({"subscribe": {"channel": "room", "hidden": true}}));
    hidden.expect(json!({":subscribed": {"channel": "room"}}));
    let mut browser = broker.browser();
    browser.subscribe("room");
    assert_eq!(broker.request(&["BC", "room", "news", "{}"]), OK);
    browser.expect(json!({"news": {"channel": "room"}}));
    hidden.expect_nothing_before();
}

#[test]
fn requests_one_after_the_other_arrive_in_that_order_bc_13() {
    for shards in [1, 2, 4] {
        let broker = Broker::with_channels(shards, &["room"]);
        let mut browsers = subscribers(&broker, "room");
        for n in 0..100 {
            let data = json!({"n": n}).to_string();
            assert_eq!(broker.request(&["BC", "room", "news", &data]), OK);
        }
        for n in 0..100 {
            expect_all(&mut browsers, &json!({"news": {"n": n, "channel": "room"}}));
        }
    }
}

#[test]
fn tokens_are_new_each_time_and_carry_any_uid_at_01_at_05_at_06() {
    let broker = Broker::with_channels(2, &["presence-room"]);
    let mut seen = std::collections::HashSet::new();
    let longest = "u".repeat(UID_BYTES_MAX);
    for uid in [
        "joe",
        " joe ",
        "a:b:c",
        "ünï \"quoted\" \\ {}",
        "\u{1}",
        "'",
        &longest,
    ] {
        let token = broker.single_access_token(uid, "presence-.*");
        assert!(seen.insert(token.clone()));
        let mut browser = broker.browser();
        browser.send(json!({"auth": {"token": token}}));
        browser.expect(json!({":authenticated": {}}));
        browser.send(json!({"subscribe": {"channel": "presence-room"}}));
        browser.expect(json!({":subscribed": {
            "channel": "presence-room", "uid": uid, "subscribers": []
        }}));
        browser.expect(json!({":memberJoined": {"channel": "presence-room", "uid": uid}}));
        browser.send(json!({"unsubscribe": {"channel": "presence-room"}}));
        browser.expect(json!({":unsubscribed": {"channel": "presence-room"}}));
    }
}

#[test]
fn token_requests_are_checked_in_order_at_07() {
    let broker = Broker::start(2);
    let too_long = "u".repeat(UID_BYTES_MAX + 1);
    for frames in [
        &["AT"][..],
        &["AT", "joe"],
        &["AT", "", ".*"],
        &["AT", "joe", ""],
        &["AT", "", "("],
        &["AT", &too_long, ".*"],
    ] {
        assert_eq!(broker.request(frames), error(400), "{frames:?}");
    }
    let (longest, past) = (
        "p".repeat(PATTERN_BYTES_MAX),
        "p".repeat(PATTERN_BYTES_MAX + 1),
    );
    // Only what can be matched in linear time is a pattern.
    for pattern in [
        "(",
        "[",
        "*",
        "a**(",
        r"(a)\1",
        "(?=a)b",
        "(?<!a)b",
        "(.{1000}){1000}",
        &past,
    ] {
        assert_eq!(
            broker.request(&["AT", "joe", pattern]),
            error(597),
            "{pattern:?}"
        );
    }
    for pattern in [".*", "a|b", r"\w+", "(a+)+$", "(?i)room", "", &longest] {
        let expected = if pattern.is_empty() { "ER" } else { "AT" };
        assert!(
            broker
                .request(&["AT", "joe", pattern])
                .starts_with(expected),
            "{pattern:?}"
        );
    }
}

#[test]
fn a_new_token_works_at_once_on_every_shard_at_01() {
    for shards in [1, 2, 4] {
        let broker = Broker::start(shards);
        for n in 0..24 {
            broker.user(&format!("u{n}"), ".*");
        }
    }
}
