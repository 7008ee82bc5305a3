//! Section 3.6: subscriptions, and the order in which they are refused.

use serde_json::json;

use crate::SHARDS;
use crate::raw::Raw;
use crate::support::Broker;

/// Enough that they have their homes on different shards.
const CHANNELS: [&str; 6] = ["room", "Room", "room.2", "a-b-c", "_", "9"];

#[test]
fn answers_to_the_byte_su_04_su_08_su_10() {
    for shards in SHARDS {
        let broker = Broker::with_channels(shards, &["room", "private-r", "presence-r"]);
        let token = broker.single_access_token("joe", ".*");
        let mut raw = Raw::upgraded(&broker);
        raw.send_text(r#"{"subscribe":{"channel":"room"}}"#);
        raw.expect_text(r#"{":subscribed":{"channel":"room"}}"#);
        raw.send_text(r#"{"unsubscribe":{"channel":"room"}}"#);
        raw.expect_text(r#"{":unsubscribed":{"channel":"room"}}"#);
        raw.send_text(&format!(r#"{{"auth":{{"token":"{token}"}}}}"#));
        raw.expect_text(r#"{":authenticated":{}}"#);
        raw.send_text(r#"{"subscribe":{"channel":"private-r"}}"#);
        raw.expect_text(r#"{":subscribed":{"channel":"private-r","uid":"joe"}}"#);
        raw.send_text(r#"{"subscribe":{"channel":"presence-r"}}"#);
        raw.expect_text(r#"{":subscribed":{"channel":"presence-r","uid":"joe","subscribers":[]}}"#);
        raw.expect_text(r#"{":memberJoined":{"uid":"joe","channel":"presence-r"}}"#);
        raw.send_text(r#"{"subscribe":{"channel":"none"}}"#);
        raw.expect_text(r#"{":error":{"code":454,"status":"Channel not found"}}"#);
        raw.send_text(r#"{"unsubscribe":{"channel":"room"}}"#);
        raw.expect_text(r#"{":error":{"code":453,"status":"Not subscribed"}}"#);
        raw.send_text(r#"{"auth":{"token":"bad"}}"#);
        raw.expect_text(r#"{":error":{"code":402,"status":"Unauthorized"}}"#);
        raw.send_text(r#"{"subscribe":{"channel":"private-r"}}"#);
        raw.expect_text(r#"{":error":{"code":403,"status":"Forbidden"}}"#);
    }
}

#[test]
fn unknown_channels_and_impossible_names_are_454_su_02_su_03_su_09() {
    for shards in SHARDS {
        let broker = Broker::with_channels(shards, &["room"]);
        let longest = "x".repeat(255);
        broker.open_channel(&longest);
        let mut browser = broker.browser();
        browser.subscribe(&longest);
        let longer = "x".repeat(256);
        for name in [
            "none",
            "ROOM",
            "room ",
            " room",
            "roo",
            "rooms",
            "-room",
            ".room",
            "ro/om",
            "ro\u{0}om",
            "räum",
            "private-none",
            "presence-none",
            &longer,
            &"x".repeat(100_000),
        ] {
            // Unknown comes before not permitted, and before not subscribed.
            for verb in ["subscribe", "unsubscribe"] {
                browser.send(json!({verb: {"channel": name}}));
                browser.expect_error(454);
            }
            browser.send(json!({"broadcast": {"channel": name, "event": "e", "trigger": "t"}}));
            browser.expect_error(454);
        }
        // Subscribing made none.
        assert_eq!(broker.request(&["CC", "none"]), "ER\n454\n\r\n\r\n");
    }
}

#[test]
fn private_channels_need_a_permission_that_matches() {
    for shards in SHARDS {
        let broker = Broker::with_channels(shards, &["private-a", "presence-a", "room"]);
        for channel in ["private-a", "presence-a"] {
            for hidden in [true, false] {
                let subscribe = json!({"subscribe": {"channel": channel, "hidden": hidden}});
                let mut nobody = broker.browser();
                nobody.send(subscribe.clone());
                nobody.expect_error(403);
                let mut other = broker.user("joe", "private-b|room");
                other.send(subscribe.clone());
                other.expect_error(403);
                // Not being allowed is no subscription.
                other.send(json!({"unsubscribe": {"channel": channel}}));
                other.expect_error(453);
                let mut user = broker.user("joe", "(private|presence)-a");
                user.send(subscribe);
                assert_eq!(user.receive()[":subscribed"]["uid"], "joe");
            }
        }
        // A normal channel asks for nothing, whatever the pattern.
        broker.user("joe", "private-b").subscribe("room");
    }
}

#[test]
fn the_kind_of_a_channel_comes_from_its_name_su_17_su_18() {
    let normal = [
        "private",
        "presence",
        "Private-x",
        "PRESENCE-x",
        "privatex-y",
        "my-private-x",
    ];
    let private = [
        "private-x",
        "private-",
        "private-x-y",
        "private--",
        "private-presence-x",
    ];
    let presence = ["presence-x", "presence-", "presence-private-x"];
    let broker = Broker::with_channels(2, &[&normal[..], &private, &presence].concat());
    let mut nobody = broker.browser();
    let mut user = broker.user("joe", ".*");
    for channel in normal {
        nobody.subscribe(channel);
    }
    for channel in private {
        nobody.send(json!({"subscribe": {"channel": channel}}));
        nobody.expect_error(403);
        user.send(json!({"subscribe": {"channel": channel}}));
        user.expect(json!({":subscribed": {"channel": channel, "uid": "joe"}}));
    }
    for channel in presence {
        nobody.send(json!({"subscribe": {"channel": channel}}));
        nobody.expect_error(403);
        user.send(json!({"subscribe": {"channel": channel}}));
        user.expect(json!({":subscribed": {"channel": channel, "uid": "joe", "subscribers": []}}));
        user.expect(json!({":memberJoined": {"uid": "joe", "channel": channel}}));
    }
    user.expect_nothing_before();
}

#[test]
fn subscribing_again_says_and_changes_nothing_su_11_su_12() {
    for shards in SHARDS {
        let broker = Broker::with_channels(shards, &["room", "presence-r"]);
        let mut watcher = broker.user("watcher", ".*");
        watcher.send(json!({"subscribe": {"channel": "presence-r", "hidden": true}}));
        watcher.receive();
        let mut browser = broker.user("joe", ".*");
        browser.subscribe("room");
        browser.send(json!({"subscribe": {"channel": "presence-r", "data": {"n": 1}}}));
        browser.receive();
        let joined = json!({":memberJoined": {"n": 1, "uid": "joe", "channel": "presence-r"}});
        browser.expect(joined.clone());
        watcher.expect(joined);
        for again in [
            json!({"subscribe": {"channel": "room"}}),
            json!({"subscribe": {"channel": "room", "hidden": true}}),
            json!({"subscribe": {"channel": "presence-r", "data": {"n": 2}}}),
            json!({"subscribe": {"channel": "presence-r", "hidden": true}}),
        ] {
            browser.send(again);
            browser.expect_nothing_before();
        }
        assert_eq!(broker.subscribers("room"), 1);
        assert_eq!(broker.subscribers("presence-r"), 2);
        // One event, not two; still visible; with the first data.
        browser.broadcast("room", "said", json!({}));
        let sid = browser.sid.clone();
        browser.expect(json!({"said": {"sid": sid, "channel": "room"}}));
        browser.send(json!({"unsubscribe": {"channel": "presence-r"}}));
        browser.expect(json!({":unsubscribed": {"channel": "presence-r"}}));
        watcher.expect(json!({":memberLeft": {"n": 1, "uid": "joe", "channel": "presence-r"}}));
        browser.expect_nothing_before();
        watcher.expect_nothing_before();
    }
}

#[test]
fn fields_of_a_wrong_type_count_as_absent_su_14_su_15() {
    let broker = Broker::with_channels(2, &["presence-r"]);
    let mut user = broker.user("joe", ".*");
    for odd in [
        json!(null),
        json!(1),
        json!("true"),
        json!([]),
        json!({"a": 1}),
    ] {
        user.send(json!({"subscribe": {"channel": "presence-r", "hidden": odd}}));
        user.receive();
        user.expect(json!({":memberJoined": {"uid": "joe", "channel": "presence-r"}}));
        user.send(json!({"unsubscribe": {"channel": "presence-r"}}));
        user.expect(json!({":unsubscribed": {"channel": "presence-r"}}));
    }
    let mut watcher = broker.user("watcher", ".*");
    watcher.send(json!({"subscribe": {"channel": "presence-r", "hidden": true}}));
    watcher.receive();
    for odd in [
        json!(null),
        json!(1),
        json!("x"),
        json!([{"a": 1}]),
        json!(true),
    ] {
        user.send(json!({"subscribe": {"channel": "presence-r", "data": odd}}));
        user.receive();
        user.expect(json!({":memberJoined": {"uid": "joe", "channel": "presence-r"}}));
        user.send(json!({"unsubscribe": {"channel": "presence-r", "data": odd}}));
        user.expect(json!({":unsubscribed": {"channel": "presence-r"}}));
        watcher.expect(json!({":memberJoined": {"uid": "joe", "channel": "presence-r"}}));
        watcher.expect(json!({":memberLeft": {"uid": "joe", "channel": "presence-r"}}));
    }
}

#[test]
fn data_is_of_no_account_but_on_presence_channels_su_16() {
    let broker = Broker::with_channels(2, &["room", "private-r"]);
    let mut watcher = broker.user("watcher", ".*");
    let mut user = broker.user("joe", ".*");
    for channel in ["room", "private-r"] {
        watcher.send(json!({"subscribe": {"channel": channel}}));
        watcher.receive();
        user.send(json!({"subscribe": {"channel": channel, "data": {"secret": 1}}}));
        assert_eq!(user.receive()[":subscribed"].get("secret"), None);
        user.send(json!({"unsubscribe": {"channel": channel, "data": {"secret": 1}}}));
        user.expect(json!({":unsubscribed": {"channel": channel}}));
        watcher.expect_nothing_before();
    }
}

#[test]
fn who_is_not_subscribed_is_told_453() {
    for shards in SHARDS {
        let broker = Broker::with_channels(shards, &CHANNELS);
        let mut browser = broker.browser();
        for channel in CHANNELS {
            for _ in 0..2 {
                browser.send(json!({"unsubscribe": {"channel": channel}}));
                browser.expect_error(453);
                browser.broadcast(channel, "e", json!({}));
                browser.expect_error(453);
                // Not subscribed comes before not authenticated.
                browser
                    .send(json!({"broadcast": {"channel": channel, "event": "e", "trigger": "t"}}));
                browser.expect_error(453);
                browser.subscribe(channel);
                browser.send(json!({"unsubscribe": {"channel": channel}}));
                browser.expect(json!({":unsubscribed": {"channel": channel}}));
            }
        }
        browser.expect_nothing_before();
    }
}

/// Once confirmed, nothing more of the channel comes, however busy it is.
#[test]
fn nothing_comes_after_the_confirmation() {
    for shards in SHARDS {
        let broker = Broker::with_channels(shards, &["room"]);
        let mut speaker = broker.browser();
        speaker.subscribe("room");
        let mut listeners: Vec<_> = (0..4).map(|_| broker.browser()).collect();
        for round in 0..50 {
            for listener in &mut listeners {
                listener.send(json!({"subscribe": {"channel": "room"}}));
                listener.send(json!({"unsubscribe": {"channel": "room"}}));
                listener.send_text("no JSON");
            }
            for n in 0..4 {
                speaker.broadcast("room", "e", json!({"n": n, "round": round}));
            }
            for n in 0..4 {
                assert_eq!(speaker.receive()["e"]["n"], n);
            }
            for listener in &mut listeners {
                listener.expect(json!({":subscribed": {"channel": "room"}}));
                loop {
                    let message = listener.receive();
                    if message == json!({":unsubscribed": {"channel": "room"}}) {
                        break;
                    }
                    assert!(message["e"]["round"].is_number(), "{message}");
                }
                listener.expect_error(400);
            }
        }
        assert_eq!(broker.subscribers("room"), 1);
    }
}
