//! What admin changes while browsers and backends are connected, and that it
//! holds on every shard as soon as it is acknowledged.

mod support;

use serde_json::json;
use support::admin::admin;
use support::backend::{Backend, OK, Worker, bare, error};
use support::{Broker, Browser, fresh_id};

/// So many that all shards have some.
const BROWSERS: usize = 16;

fn browsers(broker: &Broker) -> Vec<Browser> {
    (0..BROWSERS).map(|_| broker.browser()).collect()
}

fn size(broker: &Broker, channel: &str) -> u64 {
    let shown = admin(broker, "GET", &format!("/test/channels/{channel}")).json();
    shown["channel"]["subscribers"]["size"]
        .as_u64()
        .expect("a number")
}

#[test]
fn a_channel_can_be_used_everywhere_once_it_is_acknowledged_ad_15() {
    for shards in [2, 4] {
        let broker = Broker::start(shards);
        let mut browsers = browsers(&broker);
        for round in 0..40 {
            let channel = format!("room{round}");
            match round % 3 {
                0 => assert_eq!(broker.request(&["OC", &channel]), OK),
                1 => {
                    let path = format!("/test/channels/{channel}");
                    admin(&broker, "POST", &path).expect_found(&path);
                }
                // Also who hears that it exists may rely on it.
                _ => {
                    let mut client = Backend::kept(&broker);
                    let twice = bare(&["OC", &channel]).repeat(2);
                    client.send(&twice);
                    assert_eq!(broker.request(&["OC", &channel]), OK);
                }
            }
            let subscribe = json!({"subscribe": {"channel": channel}});
            browsers
                .iter_mut()
                .for_each(|it| it.send(subscribe.clone()));
            for browser in &mut browsers {
                browser.expect(json!({":subscribed": {"channel": channel}}));
            }
            assert_eq!(broker.request(&["BC", &channel, "e", "{}"]), OK);
            for browser in &mut browsers {
                browser.expect(json!({"e": {"channel": channel}}));
            }
            assert_eq!(broker.request(&["CC", &channel]), OK);
            browsers
                .iter_mut()
                .for_each(|it| it.send(subscribe.clone()));
            for browser in &mut browsers {
                browser.expect(json!({":unsubscribed": {"channel": channel}}));
                browser.expect_error(454);
            }
        }
    }
}

#[test]
fn a_vhost_can_be_used_everywhere_once_it_is_acknowledged_hs_19() {
    for shards in [1, 2, 4] {
        let broker = Broker::start(shards);
        for round in 0..8 {
            let path = format!("/new{round}");
            admin(&broker, "POST", &path).expect_found(&path);
            let shown = admin(&broker, "GET", &path).json();
            let token = shown["vhost"]["accessToken"].as_str().expect("a token");
            for _ in 0..4 {
                broker.browser_on(&path);
                Worker::silent(&broker, &path, token, &fresh_id());
            }
        }
    }
}

#[test]
fn subscribers_are_counted_with_the_hidden_ones_ad_20() {
    for shards in [1, 2, 4] {
        let broker = Broker::with_channels(shards, &["room", "presence-room"]);
        let mut users: Vec<_> = (0..8)
            .map(|n| broker.user(&format!("u{n}"), ".*"))
            .collect();
        for channel in ["room", "presence-room"] {
            assert_eq!(size(&broker, channel), 0);
            for (n, user) in users.iter_mut().enumerate() {
                let hidden = n % 2 == 0;
                user.send(json!({"subscribe": {"channel": channel, "hidden": hidden}}));
                while user.receive()[":subscribed"].is_null() {}
                assert_eq!(size(&broker, channel), n as u64 + 1);
            }
            for (n, user) in users.iter_mut().enumerate() {
                user.send(json!({"unsubscribe": {"channel": channel}}));
                while user.receive()[":unsubscribed"].is_null() {}
                assert_eq!(size(&broker, channel), 7 - n as u64);
            }
        }
        // A connection that is lost counts no more, however it ended.
        users.iter_mut().for_each(|user| user.subscribe("room"));
        for (n, mut user) in users.into_iter().enumerate() {
            match n % 3 {
                0 => user.send(json!({"close": {}})),
                1 => user.broadcast("room", "last", json!({})),
                _ => {}
            }
            drop(user);
        }
        while size(&broker, "room") > 0 {}
    }
}

#[test]
fn a_closed_channel_tells_its_subscribers_on_every_shard_ad_24() {
    for shards in [1, 2, 4] {
        for all in [false, true] {
            let broker = Broker::with_channels(shards, &["room", "other"]);
            let mut browsers = browsers(&broker);
            browsers.iter_mut().for_each(|it| it.subscribe("room"));
            let path = if all {
                "/test/channels"
            } else {
                "/test/channels/room"
            };
            assert_eq!(admin(&broker, "DELETE", path).status, 202);
            for browser in &mut browsers {
                browser.expect(json!({":unsubscribed": {"channel": "room"}}));
                browser.send(json!({"subscribe": {"channel": "room"}}));
                browser.expect_error(454);
                browser.send(json!({"subscribe": {"channel": "other"}}));
                if all {
                    browser.expect_error(454);
                } else {
                    browser.expect(json!({":subscribed": {"channel": "other"}}));
                }
            }
        }
    }
}

#[test]
fn a_deleted_vhost_takes_everything_with_it_ad_11_ad_12_hs_18_wk_26() {
    for shards in [1, 2, 4] {
        for path in ["/test", "/"] {
            let broker = Broker::with_channels(shards, &["room"]);
            let unused = broker.single_access_token("late", ".*");
            let mut browsers = browsers(&broker);
            browsers.iter_mut().for_each(|it| it.subscribe("room"));
            let mut workers: Vec<_> = (0..4).map(|_| Worker::ready(&broker)).collect();
            assert_eq!(admin(&broker, "DELETE", path).status, 202);
            for browser in &mut browsers {
                assert_eq!(browser.expect_close(), (1001, "vhost deleted".into()));
            }
            workers.iter_mut().for_each(Worker::expect_quit);
            assert_eq!(broker.request(&["OC", "room"]), error(402));
            // Another of that name knows nothing of it.
            admin(&broker, "POST", "/test").expect_found("/test");
            let shown = admin(&broker, "GET", "/test").json();
            assert_eq!(shown["vhost"]["channels"]["size"], 0);
            let none = json!({"workers": []});
            assert_eq!(admin(&broker, "GET", "/test/workers").json(), none);
            let mut late = broker.browser();
            late.send(json!({"auth": {"token": unused}}));
            late.expect_error(402);
            late.send(json!({"subscribe": {"channel": "room"}}));
            late.expect_error(454);
            assert_eq!(broker.request(&["OC", "room"]), error(402));
        }
    }
}

#[test]
fn another_vhost_does_not_notice_ad_11() {
    let broker = Broker::with_channels(2, &["room"]);
    let _ = broker.add_vhost("/other");
    let mut strangers: Vec<_> = (0..4).map(|_| broker.browser_on("/other")).collect();
    let mut browsers = browsers(&broker);
    browsers.iter_mut().for_each(|it| it.subscribe("room"));
    assert_eq!(admin(&broker, "DELETE", "/other").status, 202);
    for stranger in &mut strangers {
        assert_eq!(stranger.expect_close().0, 1001);
    }
    assert_eq!(broker.request(&["BC", "room", "e", "{}"]), OK);
    for browser in &mut browsers {
        browser.expect(json!({"e": {"channel": "room"}}));
        browser.expect_nothing_before();
    }
}

#[test]
fn a_regenerated_token_replaces_the_old_one() {
    let broker = Broker::with_channels(2, &["room"]);
    let mut browser = broker.browser();
    browser.subscribe("room");
    for _ in 0..4 {
        admin(&broker, "PUT", "/test/token").expect_found("/test");
        assert_eq!(broker.request(&["BC", "room", "e", "{}"]), error(402));
    }
    let shown = admin(&broker, "GET", "/test").json();
    let token = shown["vhost"]["accessToken"].as_str().expect("a token");
    let packet = format!(
        "req:/test:{token}:{}\n\nBC\nroom\ne\n{{}}\n\r\n\r\n",
        fresh_id()
    );
    let mut client = Backend::connect(&broker);
    client.send(packet.as_bytes());
    client.expect(OK);
    browser.expect(json!({"e": {"channel": "room"}}));
}
