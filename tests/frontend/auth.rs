//! Section 3.5: who a session is, and what that allows.

use std::sync::{Arc, Barrier};

use serde_json::json;

use crate::SHARDS;
use crate::raw::Raw;
use crate::support::{Broker, Browser, fresh_id, read_to_end};

fn present(browser: &mut Browser, token: &str) {
    browser.send(json!({"auth": {"token": token}}));
}

fn expect_authenticated(browser: &mut Browser) {
    browser.expect(json!({":authenticated": {}}));
}

fn expect_unauthorized(browser: &mut Browser) {
    browser.expect(json!({":error": {"code": 402, "status": "Unauthorized"}}));
}

/// The uid that a private channel confirms.
fn expect_uid(browser: &mut Browser, uid: &str) {
    browser.send(json!({"subscribe": {"channel": "private-uid"}}));
    browser.expect(json!({":subscribed": {"channel": "private-uid", "uid": uid}}));
    browser.send(json!({"unsubscribe": {"channel": "private-uid"}}));
    browser.expect(json!({":unsubscribed": {"channel": "private-uid"}}));
}

#[test]
fn a_good_token_authenticates_to_the_byte_au_05() {
    for shards in SHARDS {
        let broker = Broker::start(shards);
        for _ in 0..8 {
            let token = broker.single_access_token("joe", ".*");
            let mut raw = Raw::upgraded(&broker);
            raw.send_text(&format!(r#"{{"auth":{{"token":"{token}"}}}}"#));
            raw.expect_text(r#"{":authenticated":{}}"#);
        }
    }
}

#[test]
fn a_token_works_once_au_04_au_06_au_10() {
    for shards in SHARDS {
        let broker = Broker::with_channels(shards, &["private-uid"]);
        for round in 0..6 {
            let uid = format!("user {round} \"ä\"");
            let token = broker.single_access_token(&uid, ".*");
            let mut browser = broker.browser();
            let zeros = "0".repeat(128);
            let upper = token.to_uppercase();
            for unknown in ["x", &zeros, &token[1..], &format!("{token}0"), &upper] {
                present(&mut browser, unknown);
                expect_unauthorized(&mut browser);
            }
            // It stays connected and may try again.
            present(&mut browser, &token);
            expect_authenticated(&mut browser);
            expect_uid(&mut browser, &uid);
            let mut other = broker.browser();
            present(&mut other, &token);
            expect_unauthorized(&mut other);
        }
    }
}

#[test]
fn of_racing_connections_one_gets_the_token_au_07() {
    for shards in SHARDS {
        let broker = Broker::start(shards);
        for _ in 0..4 {
            let token = broker.single_access_token("joe", ".*");
            let start = Arc::new(Barrier::new(8));
            let racers: Vec<_> = (0..8)
                .map(|_| {
                    let (mut browser, start) = (broker.browser(), Arc::clone(&start));
                    let token = token.clone();
                    std::thread::spawn(move || {
                        start.wait();
                        present(&mut browser, &token);
                        browser.receive()
                    })
                })
                .collect();
            let answers = racers
                .into_iter()
                .map(|racer| racer.join().expect("an answer"));
            let (good, bad): (Vec<_>, Vec<_>) =
                answers.partition(|answer| *answer == json!({":authenticated": {}}));
            assert_eq!(good.len(), 1, "of {bad:?}");
            assert!(bad.iter().all(|answer| answer[":error"]["code"] == 402));
        }
    }
}

#[test]
fn a_token_is_worth_nothing_in_another_vhost_and_is_kept_au_08() {
    for shards in SHARDS {
        let broker = Broker::start(shards);
        broker.add_vhost("/other");
        let token = broker.single_access_token("joe", ".*");
        for _ in 0..4 {
            let mut stranger = broker.browser_on("/other");
            present(&mut stranger, &token);
            expect_unauthorized(&mut stranger);
        }
        let mut browser = broker.browser();
        present(&mut browser, &token);
        expect_authenticated(&mut browser);
    }
}

#[test]
fn a_token_outlives_the_access_token_it_came_by_au_11() {
    let broker = Broker::start(2);
    let token = broker.single_access_token("joe", ".*");
    let mut browser = broker.browser();
    broker.replace_token();
    let mut stream = broker.backend();
    let old = format!(
        "req:/test:{}:{}\n\nAT\njoe\n.*\n\r\n\r\n",
        broker.token(),
        fresh_id()
    );
    std::io::Write::write_all(&mut stream, old.as_bytes()).expect("sent");
    assert_eq!(read_to_end(&mut stream), "ER\n402\n\r\n\r\n");
    present(&mut browser, &token);
    expect_authenticated(&mut browser);
}

#[test]
fn a_vhost_made_anew_forgets_its_tokens_and_sessions() {
    let broker = Broker::start(2);
    let token = broker.single_access_token("joe", ".*");
    broker.delete_vhost("/test");
    broker.add_vhost("/test");
    let mut browser = broker.browser();
    present(&mut browser, &token);
    expect_unauthorized(&mut browser);
}

#[test]
fn another_token_ends_the_session_before_it_is_checked_au_12_au_13_au_14() {
    for shards in SHARDS {
        let broker = Broker::with_channels(
            shards,
            &[
                "room",
                "private-uid",
                "private-x",
                "presence-x",
                "presence-y",
            ],
        );
        for good in [true, false] {
            let mut watcher = broker.user("watcher", ".*");
            for channel in ["presence-x", "presence-y"] {
                watcher.send(json!({"subscribe": {"channel": channel}}));
                watcher.expect(json!({":subscribed":
                    {"channel": channel, "uid": "watcher", "subscribers": []}}));
                watcher.expect(json!({":memberJoined": {"uid": "watcher", "channel": channel}}));
            }
            watcher.subscribe("room");
            let mut browser = broker.user("old", ".*");
            browser.subscribe("room");
            browser.send(json!({"subscribe": {"channel": "private-x"}}));
            browser.expect(json!({":subscribed": {"channel": "private-x", "uid": "old"}}));
            for channel in ["presence-x", "presence-y"] {
                browser.send(json!({"subscribe": {"channel": channel, "data": {"n": 1}}}));
                browser.expect(json!({":subscribed": {"channel": channel, "uid": "old",
                    "subscribers": [{"uid": "watcher", "channel": channel}]}}));
                let joined = json!({":memberJoined": {"n": 1, "uid": "old", "channel": channel}});
                browser.expect(joined.clone());
                watcher.expect(joined);
            }
            let token = broker.single_access_token("new", "private-uid");
            present(&mut browser, if good { &token } else { "nonsense" });
            if good {
                expect_authenticated(&mut browser);
                expect_uid(&mut browser, "new");
            } else {
                expect_unauthorized(&mut browser);
            }
            // Its members leave with their data, in any order of channels.
            let mut left: Vec<_> = (0..2).map(|_| watcher.receive()).collect();
            left.sort_by_key(|event| event[":memberLeft"]["channel"].to_string());
            for (event, channel) in left.iter().zip(["presence-x", "presence-y"]) {
                let expected = json!({":memberLeft": {"n": 1, "uid": "old", "channel": channel}});
                assert_eq!(*event, expected);
            }
            // No subscription is left, the normal one neither; nothing was said of it.
            watcher.broadcast("room", "marker", json!({}));
            let sid = watcher.sid.clone();
            watcher.expect(json!({"marker": {"sid": sid, "channel": "room"}}));
            for channel in ["room", "private-x", "presence-x"] {
                browser.send(json!({"unsubscribe": {"channel": channel}}));
                browser.expect_error(453);
            }
            // The old permission is gone.
            browser.send(json!({"subscribe": {"channel": "private-x"}}));
            browser.expect_error(403);
            if !good {
                browser.send(json!({"trigger": {"event": "e"}}));
                browser.expect_error(403);
            }
            browser.expect_nothing_before();
            watcher.send(json!({"auth": {"token": "ends its memberships"}}));
            expect_unauthorized(&mut watcher);
        }
    }
}

#[test]
fn a_first_auth_leaves_normal_subscriptions_alone() {
    let broker = Broker::with_channels(2, &["room"]);
    for first in ["nonsense", &broker.single_access_token("joe", ".*")] {
        let mut browser = broker.browser();
        browser.subscribe("room");
        present(&mut browser, first);
        browser.receive();
        browser.broadcast("room", "still", json!({}));
        let sid = browser.sid.clone();
        browser.expect(json!({"still": {"sid": sid, "channel": "room"}}));
    }
}

#[test]
fn a_malformed_auth_changes_nothing_au_15() {
    let broker = Broker::with_channels(2, &["room", "private-uid"]);
    let mut browser = broker.user("joe", ".*");
    browser.subscribe("room");
    for bad in [
        json!({"auth": {}}),
        json!({"auth": {"token": ""}}),
        json!({"auth": {"token": 1}}),
        json!({"auth": {"token": null}}),
        json!({"auth": null}),
        json!({"auth": "token"}),
    ] {
        browser.send(bad);
        browser.expect_error(400);
    }
    browser.broadcast("room", "still", json!({}));
    let sid = browser.sid.clone();
    browser.expect(json!({"still": {"sid": sid, "channel": "room"}}));
    expect_uid(&mut browser, "joe");
}

#[test]
fn the_pattern_matches_the_whole_name_au_16() {
    let channels = [
        "private-a",
        "private-b",
        "private-ab",
        "private-a.b",
        "private-a-x",
    ];
    let broker = Broker::with_channels(2, &channels);
    for (pattern, allowed) in [
        (".*", &channels[..]),
        ("private-a", &["private-a"]),
        ("private-a|private-b", &["private-a", "private-b"]),
        ("private-(a|b)", &["private-a", "private-b"]),
        ("^private-a$", &["private-a"]),
        ("private-a.b", &["private-a.b"]),
        (
            "private-a.*",
            &["private-a", "private-ab", "private-a.b", "private-a-x"],
        ),
        ("(?i)PRIVATE-A", &["private-a"]),
        ("private", &[]),
        ("-a", &[]),
        ("x|private-ab|y", &["private-ab"]),
    ] {
        let mut browser = broker.user("joe", pattern);
        for channel in channels {
            browser.send(json!({"subscribe": {"channel": channel}}));
            if allowed.contains(&channel) {
                browser.expect(json!({":subscribed": {"channel": channel, "uid": "joe"}}));
            } else {
                browser.expect_error(403);
            }
        }
    }
}
