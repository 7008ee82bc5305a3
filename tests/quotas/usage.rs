//! What a connection that is in, or a vhost, may use.

use std::time::{Duration, Instant};

use serde_json::json;
use webrocket::control;
use webrocket::meter::Refused;
use webrocket::model::{ChannelName, Quotas, VhostQuota};

use crate::support::backend::{OK, error};
use crate::support::{Broker, unhurried};
use crate::{SHARDS, burst, expect, expect_refused, path, refused, slow_browser, with_default};

#[test]
fn subscriptions_of_a_session() {
    for shards in SHARDS {
        let broker = Broker::with_quotas(shards, with_default(|it| it.subscriptions_max = 2));
        for channel in ["a", "b", "c", "d"] {
            broker.open_channel(channel);
        }
        let mut browser = broker.browser();
        browser.subscribe("a");
        browser.subscribe("b");
        for (count, channel) in [(1, "c"), (2, "d")] {
            browser.send(json!({"subscribe": {"channel": channel}}));
            browser.expect_error(403);
            expect_refused(&broker, Refused::Subscriptions, count);
        }
        browser.send(json!({"unsubscribe": {"channel": "a"}}));
        browser.expect(json!({":unsubscribed": {"channel": "a"}}));
        browser.subscribe("c");
        let mut other = broker.browser();
        other.subscribe("d");
        drop((browser, other));
        assert!(broker.stop());
    }
}

#[test]
fn bytes_of_a_message_fr_09() {
    let broker = Broker::with_quotas(1, with_default(|it| it.message_bytes_max = 1000));
    let mut browser = broker.browser();
    browser.send_text(&"x".repeat(1000));
    browser.expect_error(400);
    browser.send_text(&"x".repeat(1001));
    assert_eq!(browser.expect_close().0, 1009);
    expect_refused(&broker, Refused::MessageBytes, 1);
    assert!(broker.stop());
}

#[test]
fn messages_in_a_second() {
    for (texts, pings) in [(10, 0), (3, 7)] {
        let broker = Broker::with_quotas(1, with_default(|it| it.messages_per_second_max = 10));
        let mut browser = broker.browser();
        burst(&mut browser, texts, pings);
        (0..texts).for_each(|_| browser.expect_error(400));
        assert_eq!(refused(&broker, Refused::MessageRate), 0);
        drop(browser);
        assert!(broker.stop());
    }
    let broker = Broker::with_quotas(1, with_default(|it| it.messages_per_second_max = 10));
    let (mut fast, mut other) = (broker.browser(), broker.browser());
    burst(&mut fast, 8, 17);
    // Nothing is lost, and nobody else waits.
    other.expect_nothing_before();
    (0..8).for_each(|_| fast.expect_error(400));
    expect("held back", || refused(&broker, Refused::MessageRate) == 2);
    fast.expect_nothing_before();
    drop((fast, other));
    assert!(broker.stop());
}

#[test]
fn bytes_in_a_second() {
    let text = "x".repeat(90_000);
    for (count, is_held_back) in [(10, false), (40, true)] {
        let broker = Broker::with_quotas(1, with_default(|it| it.bytes_per_second_max = 1_000_000));
        let (mut fast, mut other) = (broker.browser(), broker.browser());
        let begun = Instant::now();
        (0..count).for_each(|_| fast.send_text(&text));
        // Nothing is lost, and nobody else waits.
        other.expect_nothing_before();
        (0..count).for_each(|_| fast.expect_error(400));
        assert_eq!(refused(&broker, Refused::MessageRate) > 0, is_held_back);
        if is_held_back {
            // All but a second's worth has taken its time.
            assert!(begun.elapsed() >= Duration::from_millis(2_500));
        }
        drop((fast, other));
        assert!(broker.stop());
    }
}

#[test]
fn bytes_of_an_outbox() {
    for shards in SHARDS {
        let quotas = with_default(|it| it.outbox_bytes_max = 100_000);
        let broker = Broker::with_quotas(shards, quotas);
        broker.open_channel("busy");
        let mut slow = slow_browser(&broker);
        slow.subscribe("busy");
        let mut speaker = broker.browser();
        speaker.subscribe("busy");
        let text = "x".repeat(50_000);
        let mut sent = 0;
        while refused(&broker, Refused::OutboxBytes) == 0 {
            speaker.broadcast("busy", "said", json!({"n": sent, "text": text}));
            assert_eq!(speaker.receive()["said"]["n"], sent);
            sent += 1;
            assert!(sent < 2000, "never evicted");
        }
        expect_refused(&broker, Refused::OutboxBytes, 1);
        broker.expect_subscribers("busy", 1);
        drop((slow, speaker));
        assert!(broker.stop());
    }
}

#[test]
fn channels_of_a_vhost() {
    for shards in SHARDS {
        let own = VhostQuota {
            channels_max: 2,
            ..VhostQuota::default()
        };
        let quotas = Quotas {
            vhosts: [(path("/test"), own)].into(),
            ..unhurried()
        };
        let broker = Broker::with_quotas(shards, quotas);
        broker.open_channel("a");
        assert_eq!(broker.request(&["OC", "b"]), OK);
        assert_eq!(broker.request(&["OC", "c"]), error(597));
        assert_eq!(broker.request(&["OC", "a"]), OK, "it is open");
        let handle = broker.node().handle();
        let name = ChannelName::parse("c").expect("a name");
        let opened = broker.wait(handle.open_channel(path("/test"), name.clone()));
        assert!(matches!(opened, Err(control::Error::Full)), "{opened:?}");
        broker.add_vhost("/other");
        for name in ["a", "b", "c"] {
            let name = ChannelName::parse(name).expect("a name");
            let opened = broker.wait(handle.open_channel(path("/other"), name));
            opened.expect("the other vhost has its own");
        }
        broker.close_channel("a");
        assert_eq!(broker.request(&["OC", "c"]), OK);
        assert!(broker.stop());
    }
}
