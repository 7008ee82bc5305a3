//! Quotas replaced while the node runs: what is over them stays, what comes is
//! held to them.

use std::sync::Arc;
use std::time::Instant;

use serde_json::json;
use webrocket::meter::Refused;
use webrocket::model::Quotas;

use crate::support::backend::{OK, error};
use crate::support::{Broker, PATIENCE, unhurried};
use crate::{SHARDS, burst, refused, slow_browser, upgrade, with_default};

#[test]
fn a_reload_holds_for_who_is_there() {
    for shards in SHARDS {
        let broker = Broker::with_channels(shards, &["a", "b", "c"]);
        let handle = broker.node().handle();
        let set = |quotas| broker.wait(handle.set_quotas(Arc::new(quotas)));
        let mut browsers: Vec<_> = (0..4).map(|_| broker.browser()).collect();
        browsers.iter_mut().for_each(|it| it.subscribe("a"));
        let tight = with_default(|quota| {
            quota.connections_max = 1;
            quota.subscriptions_max = 1;
            quota.message_bytes_max = 100;
            quota.channels_max = 1;
        });
        set(tight).expect("applied");
        // All that was stays; nothing is added.
        for browser in &mut browsers {
            browser.send(json!({"subscribe": {"channel": "b"}}));
            browser.expect_error(403);
        }
        assert_eq!(upgrade(&broker, "/test", ""), "503");
        assert_eq!(broker.request(&["OC", "d"]), error(597));
        let mut first = browsers.remove(0);
        first.send_text(&"x".repeat(101));
        assert_eq!(first.expect_close().0, 1009);
        set(unhurried()).expect("applied");
        browsers.iter_mut().for_each(|it| it.subscribe("b"));
        browsers.push(broker.browser());
        assert_eq!(broker.request(&["OC", "d"]), OK);
        set(Quotas {
            connections_max: 1,
            ..unhurried()
        })
        .expect("applied");
        assert_eq!(upgrade(&broker, "/test", ""), "503");
        browsers[0].expect_nothing_before();
        drop((first, browsers));
        assert!(broker.stop());
    }
}

#[test]
fn a_reload_holds_for_the_rate_of_who_is_there() {
    let broker = Broker::start(2);
    let mut browser = broker.browser();
    burst(&mut browser, 25, 0);
    (0..25).for_each(|_| browser.expect_error(400));
    assert_eq!(refused(&broker, Refused::MessageRate), 0);
    let slower = with_default(|quota| quota.messages_per_second_max = 10);
    let handle = broker.node().handle();
    let set = broker.wait(handle.set_quotas(Arc::new(slower)));
    set.expect("applied");
    burst(&mut browser, 25, 0);
    (0..25).for_each(|_| browser.expect_error(400));
    assert!(refused(&broker, Refused::MessageRate) > 0);
    drop(browser);
    assert!(broker.stop());
}

#[test]
fn a_reload_holds_for_the_outbox_of_who_is_there() {
    let unbounded = with_default(|quota| quota.outbox_bytes_max = u32::MAX);
    let broker = Broker::with_quotas(2, unbounded);
    broker.open_channel("busy");
    let mut slow = slow_browser(&broker);
    slow.subscribe("busy");
    let mut speaker = broker.browser();
    speaker.subscribe("busy");
    let text = "x".repeat(50_000);
    let mut sent = 0;
    let mut speak = || {
        speaker.broadcast("busy", "said", json!({"n": sent, "text": text}));
        assert_eq!(speaker.receive()["said"]["n"], sent);
        sent += 1;
    };
    // Far more than the default.
    (0..200).for_each(|_| speak());
    assert_eq!(refused(&broker, Refused::OutboxBytes), 0);
    let tight = with_default(|quota| quota.outbox_bytes_max = 1000);
    let handle = broker.node().handle();
    let set = broker.wait(handle.set_quotas(Arc::new(tight)));
    set.expect("applied");
    let begun = Instant::now();
    while refused(&broker, Refused::OutboxBytes) == 0 {
        assert!(begun.elapsed() < PATIENCE, "never evicted");
        speak();
    }
    drop((slow, speaker));
    assert!(broker.stop());
}
