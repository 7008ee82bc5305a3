//! Section 3.8: how sessions, channels and connections end.

use serde_json::{Value, json};

use crate::SHARDS;
use crate::raw::{CLOSE, Raw, TEXT, masked};
use crate::support::{Broker, Browser};

#[test]
fn a_close_is_confirmed_then_the_connection_ends_cl_01_cl_02() {
    for shards in SHARDS {
        let broker = Broker::with_channels(shards, &["room"]);
        for payload in ["{}", r#"{"reason":"bye"}"#] {
            let mut browser = broker.browser();
            browser.subscribe("room");
            browser.send_text(&format!(r#"{{"close":{payload}}}"#));
            let sid = browser.sid.clone();
            browser.expect(json!({":closed": {"sid": sid}}));
            assert_eq!(browser.expect_close(), (1000, String::new()));
            broker.expect_subscribers("room", 0);
        }
        // To the byte; what stands behind it is not handled.
        let mut raw = Raw::upgraded(&broker);
        let mut stream = masked(TEXT, br#"{"close":{}}"#);
        stream.extend(masked(TEXT, br#"{"subscribe":{"channel":"room"}}"#));
        raw.write(&stream);
        let (first, payload) = raw.frame();
        assert_eq!(first, TEXT);
        let text = String::from_utf8(payload).expect("text");
        assert!(
            text.starts_with(r#"{":closed":{"sid":""#) && text.ends_with(r#""}}"#),
            "{text}"
        );
        raw.expect(CLOSE, b"\x03\xe8");
        raw.expect_end();
        broker.expect_subscribers("room", 0);
    }
}

/// What the JS client's `close()` without argument really sends.
#[test]
fn a_close_without_its_name_is_malformed() {
    let broker = Broker::start(1);
    let mut browser = broker.browser();
    browser.send_text("{}");
    browser.expect_error(400);
    browser.expect_nothing_before();
}

#[test]
fn the_payload_of_a_close_is_merged_into_the_departure_cl_04() {
    for shards in SHARDS {
        let channels = ["presence-a", "presence-b", "presence-c"];
        let broker = Broker::with_channels(shards, &channels);
        let mut watchers = channels.map(|channel| {
            let mut watcher = broker.user("watcher", ".*");
            watcher.send(json!({"subscribe": {"channel": channel, "hidden": true}}));
            watcher.receive();
            watcher
        });
        for (payload, expected) in [
            (json!({}), json!({"a": 1, "b": 1})),
            (json!({"b": 2, "c": 3}), json!({"a": 1, "b": 2, "c": 3})),
            (json!({"uid": "x", "channel": "y"}), json!({"a": 1, "b": 1})),
        ] {
            let mut leaver = broker.user("joe", ".*");
            for (channel, watcher) in channels.iter().zip(&mut watchers) {
                leaver.send(json!({"subscribe": {"channel": channel, "data": {"a": 1, "b": 1}}}));
                leaver.receive();
                leaver.receive();
                watcher.receive();
            }
            leaver.send(json!({"close": payload}));
            let sid = leaver.sid.clone();
            // Nothing of its own departure comes before.
            leaver.expect(json!({":closed": {"sid": sid}}));
            assert_eq!(leaver.expect_close().0, 1000);
            for (channel, watcher) in channels.iter().zip(&mut watchers) {
                let mut left = expected.clone();
                left["uid"] = "joe".into();
                left["channel"] = (*channel).into();
                watcher.expect(json!({":memberLeft": left}));
                watcher.expect_nothing_before();
            }
        }
    }
}

/// A second `CC` finds it gone, and so does everyone else.
#[test]
fn a_channel_closed_under_its_subscribers_cc_06() {
    for shards in SHARDS {
        let channels = ["room", "private-room", "presence-room"];
        let broker = Broker::with_channels(shards, &channels);
        for channel in channels {
            let mut browsers: Vec<_> = (0..6).map(|n| joined(&broker, channel, n == 5)).collect();
            // The last one is hidden and heard of no join after its own.
            drain_joins(&mut browsers[..5], channel);
            assert_eq!(broker.request(&["CC", channel]), "OK\n\n\r\n\r\n");
            for browser in &mut browsers {
                // Once, and no `:memberLeft`.
                browser.expect(json!({":unsubscribed": {"channel": channel}}));
                for verb in ["subscribe", "unsubscribe"] {
                    browser.send(json!({verb: {"channel": channel}}));
                    browser.expect_error(454);
                }
                browser.broadcast(channel, "e", json!({}));
                browser.expect_error(454);
                browser.expect_nothing_before();
            }
            assert_eq!(broker.request(&["CC", channel]), "ER\n454\n\r\n\r\n");
        }
    }
}

#[test]
fn a_channel_opened_again_starts_empty_cc_05() {
    for shards in SHARDS {
        let channels = ["room", "presence-room"];
        let broker = Broker::with_channels(shards, &channels);
        for channel in channels {
            let mut browsers: Vec<_> = (0..4).map(|_| joined(&broker, channel, false)).collect();
            drain_joins(&mut browsers, channel);
            broker.close_channel(channel);
            broker.open_channel(channel);
            assert_eq!(broker.subscribers(channel), 0);
            for browser in &mut browsers {
                browser.expect(json!({":unsubscribed": {"channel": channel}}));
                browser.broadcast(channel, "e", json!({}));
                browser.expect_error(453);
            }
            let mut late = broker.user("late", ".*");
            late.send(json!({"subscribe": {"channel": channel}}));
            let subscribed = late.receive();
            let members = subscribed[":subscribed"].get("subscribers");
            assert!(members.is_none_or(|members| *members == json!([])));
            browsers.iter_mut().for_each(Browser::expect_nothing_before);
        }
    }
}

/// Closed and opened while subscribers come, go and speak: every request is
/// answered, and nobody is left with half a subscription.
#[test]
fn a_channel_closed_amid_everything_leaves_nobody_hanging() {
    for shards in [2, 4] {
        let broker = Broker::with_channels(shards, &["presence-room"]);
        let busy: Vec<_> = (0..4)
            .map(|_| {
                let mut browser = broker.user("joe", ".*");
                std::thread::spawn(move || {
                    for round in 0..100 {
                        browser.send(json!({"subscribe": {"channel": "presence-room"}}));
                        browser.broadcast("presence-room", "said", json!({"round": round}));
                        browser.send(json!({"unsubscribe": {"channel": "presence-room"}}));
                        browser.send_text("no JSON");
                        until_bad_request(&mut browser);
                    }
                    browser
                })
            })
            .collect();
        for _ in 0..20 {
            broker.close_channel("presence-room");
            broker.open_channel("presence-room");
        }
        for browser in busy {
            let mut browser = browser.join().expect("every answer came");
            browser.send(json!({"subscribe": {"channel": "presence-room"}}));
            browser.send(json!({"unsubscribe": {"channel": "presence-room"}}));
            browser.send_text("no JSON");
            let answers = until_bad_request(&mut browser);
            assert!(
                answers.iter().any(|a| a.get(":subscribed").is_some()),
                "{answers:?}"
            );
            assert!(
                answers.iter().any(|a| a.get(":unsubscribed").is_some()),
                "{answers:?}"
            );
        }
        assert_eq!(broker.subscribers("presence-room"), 0);
    }
}

fn until_bad_request(browser: &mut Browser) -> Vec<Value> {
    let mut messages = Vec::new();
    loop {
        let message = browser.receive();
        if message[":error"]["code"] == 400 {
            return messages;
        }
        messages.push(message);
    }
}

fn joined(broker: &Broker, channel: &str, hidden: bool) -> Browser {
    let mut browser = broker.user("joe", ".*");
    browser.send(json!({"subscribe": {"channel": channel, "hidden": hidden}}));
    assert_eq!(browser.receive()[":subscribed"]["channel"], channel);
    browser
}

/// An event behind which all of these have heard of each other.
fn drain_joins(browsers: &mut [Browser], channel: &str) {
    browsers[0].broadcast(channel, "marker", json!({}));
    for browser in browsers {
        while browser.receive().get("marker").is_none() {}
    }
}

#[test]
fn a_drain_closes_every_browser_with_1001() {
    for shards in SHARDS {
        let broker = Broker::with_channels(shards, &["room", "presence-room"]);
        let browsers: Vec<_> = (0..8)
            .map(|_| {
                let mut browser = joined(&broker, "presence-room", true);
                browser.subscribe("room");
                std::thread::spawn(move || browser.expect_close().0)
            })
            .collect();
        assert!(broker.stop());
        for browser in browsers {
            assert_eq!(browser.join().expect("a close frame"), 1001);
        }
    }
}
