//! Section 3.6: hidden subscribers see presence and are not seen.

use serde_json::json;

use crate::SHARDS;
use crate::support::{Broker, Browser};

fn hide(browser: &mut Browser, channel: &str) {
    browser.send(json!({"subscribe": {"channel": channel, "hidden": true, "data": {"x": 1}}}));
}

#[test]
fn nobody_hears_of_a_hidden_member_pr_07_pr_08_pr_10() {
    for shards in SHARDS {
        let channel = "presence-room";
        let broker = Broker::with_channels(shards, &[channel]);
        let mut seen = broker.user("seen", ".*");
        seen.send(json!({"subscribe": {"channel": channel}}));
        seen.receive();
        seen.receive();
        let listed = json!([{"uid": "seen", "channel": channel}]);
        let subscribed =
            |uid| json!({":subscribed": {"channel": channel, "uid": uid, "subscribers": listed}});
        for _ in 0..3 {
            // Three ways to go; in each the hidden one is told of itself only.
            for way in 0..3 {
                let mut hidden = broker.user("hidden", ".*");
                hide(&mut hidden, channel);
                hidden.expect(subscribed("hidden"));
                hidden.expect_nothing_before();
                let mut late = broker.user("late", ".*");
                hide(&mut late, channel);
                late.expect(subscribed("late"));
                late.expect_nothing_before();
                assert_eq!(broker.subscribers(channel), 3);
                match way {
                    0 => {
                        hidden.send(json!({"unsubscribe": {"channel": channel, "data": {"y": 1}}}));
                        hidden.expect(json!({":unsubscribed": {"channel": channel}}));
                        hidden.expect_nothing_before();
                    }
                    1 => {
                        hidden.send(json!({"close": {}}));
                        let sid = hidden.sid.clone();
                        hidden.expect(json!({":closed": {"sid": sid}}));
                        assert_eq!(hidden.expect_close().0, 1000);
                    }
                    _ => {
                        hidden.send(json!({"auth": {"token": "bad"}}));
                        hidden.expect_error(402);
                        hidden.expect_nothing_before();
                    }
                }
                late.send(json!({"unsubscribe": {"channel": channel}}));
                late.expect(json!({":unsubscribed": {"channel": channel}}));
                seen.expect_nothing_before();
                broker.expect_subscribers(channel, 1);
            }
        }
    }
}

#[test]
fn a_hidden_member_hears_of_the_others_pr_09() {
    for shards in SHARDS {
        let channel = "presence-room";
        let broker = Broker::with_channels(shards, &[channel]);
        let mut hidden = broker.user("hidden", ".*");
        hide(&mut hidden, channel);
        hidden.expect(
            json!({":subscribed": {"channel": channel, "uid": "hidden", "subscribers": []}}),
        );
        for n in 0..4 {
            let mut other = broker.user("other", ".*");
            other.send(json!({"subscribe": {"channel": channel, "data": {"n": n}}}));
            other.receive();
            let record = json!({"n": n, "uid": "other", "channel": channel});
            other.expect(json!({":memberJoined": record}));
            other.send(json!({"unsubscribe": {"channel": channel}}));
            other.expect(json!({":unsubscribed": {"channel": channel}}));
            hidden.expect(json!({":memberJoined": record}));
            hidden.expect(json!({":memberLeft": record}));
        }
        hidden.expect_nothing_before();
    }
}

/// On every kind of channel; from browsers, itself included, and from backends.
#[test]
fn a_hidden_subscriber_gets_no_custom_events_pr_11_pr_12() {
    for shards in SHARDS {
        let channels = ["room", "room.2", "private-room", "presence-room"];
        let broker = Broker::with_channels(shards, &channels);
        for channel in channels {
            let mut seen = broker.user("seen", ".*");
            seen.send(json!({"subscribe": {"channel": channel}}));
            seen.receive();
            let mut hidden: Vec<_> = (0..4).map(|_| broker.user("hidden", ".*")).collect();
            for browser in &mut hidden {
                hide(browser, channel);
                assert_eq!(browser.receive()[":subscribed"]["channel"], channel);
            }
            if channel.starts_with("presence") {
                seen.receive();
            }
            seen.broadcast(channel, "said", json!({}));
            let sid = seen.sid.clone();
            seen.expect(json!({"said": {"sid": sid, "channel": channel}}));
            assert_eq!(
                broker.request(&["BC", channel, "news", "{}"]),
                "OK\n\n\r\n\r\n"
            );
            seen.expect(json!({"news": {"channel": channel}}));
            // It may broadcast, and does not hear itself.
            for browser in &mut hidden {
                browser.broadcast(channel, "whisper", json!({"n": 1}));
                let sid = browser.sid.clone();
                seen.expect(json!({"whisper": {"n": 1, "sid": sid, "channel": channel}}));
            }
            hidden.iter_mut().for_each(Browser::expect_nothing_before);
            seen.expect_nothing_before();
        }
    }
}

#[test]
fn who_subscribes_anew_may_hide_or_show_itself() {
    for shards in SHARDS {
        let channel = "presence-room";
        let broker = Broker::with_channels(shards, &[channel]);
        let mut browser = broker.user("joe", ".*");
        for _ in 0..3 {
            hide(&mut browser, channel);
            browser.receive();
            browser.send(json!({"unsubscribe": {"channel": channel}}));
            browser.expect(json!({":unsubscribed": {"channel": channel}}));
            browser.send(json!({"subscribe": {"channel": channel, "hidden": false}}));
            browser.receive();
            browser.expect(json!({":memberJoined": {"uid": "joe", "channel": channel}}));
            browser.broadcast(channel, "said", json!({}));
            let sid = browser.sid.clone();
            browser.expect(json!({"said": {"sid": sid, "channel": channel}}));
            browser.send(json!({"unsubscribe": {"channel": channel}}));
            browser.expect(json!({":unsubscribed": {"channel": channel}}));
        }
        assert_eq!(broker.subscribers(channel), 0);
    }
}

/// Hidden on one channel and not on another: each keeps its own rule.
#[test]
fn hidden_is_a_matter_of_one_subscription() {
    for shards in SHARDS {
        let broker = Broker::with_channels(shards, &["a", "b", "c", "d"]);
        let mut browser = broker.browser();
        let mut speaker = broker.browser();
        for channel in ["a", "b", "c", "d"] {
            let hidden = ["a", "c"].contains(&channel);
            browser.send(json!({"subscribe": {"channel": channel, "hidden": hidden}}));
            browser.expect(json!({":subscribed": {"channel": channel}}));
            speaker.subscribe(channel);
        }
        for n in 0..20 {
            for channel in ["a", "b", "c", "d"] {
                speaker.broadcast(channel, "said", json!({"n": n}));
                speaker.receive();
            }
        }
        // Each channel has its order, the two together have none.
        let events: Vec<_> = (0..40).map(|_| browser.receive()["said"].take()).collect();
        for channel in ["b", "d"] {
            let heard = events.iter().filter(|event| event["channel"] == channel);
            let numbers: Vec<_> = heard.map(|event| event["n"].as_u64()).collect();
            assert_eq!(numbers, (0..20).map(Some).collect::<Vec<_>>());
        }
        browser.expect_nothing_before();
    }
}
