//! Section 3.9: the two shapes that shipped clients get wrong, and no third.

use serde_json::json;

use crate::support::Broker;

#[test]
fn hidden_beside_subscribe_counts_as_inside_su_20() {
    let broker = Broker::with_channels(2, &["presence-room"]);
    let mut watcher = broker.user("watcher", ".*");
    watcher.send(json!({"subscribe": {"channel": "presence-room", "hidden": true}}));
    watcher.receive();
    let mut browser = broker.user("joe", ".*");
    for (beside, hidden) in [
        ("true", true),
        ("false", false),
        ("1", false),
        ("null", false),
    ] {
        browser.send_text(&format!(
            r#"{{"subscribe":{{"channel":"presence-room"}},"hidden":{beside}}}"#
        ));
        let subscribed = browser.receive();
        assert_eq!(subscribed[":subscribed"]["channel"], "presence-room");
        browser.send(json!({"unsubscribe": {"channel": "presence-room"}}));
        if !hidden {
            let joined = json!({":memberJoined": {"uid": "joe", "channel": "presence-room"}});
            browser.expect(joined.clone());
            watcher.expect(joined);
            watcher.expect(json!({":memberLeft": {"uid": "joe", "channel": "presence-room"}}));
        }
        browser.expect(json!({":unsubscribed": {"channel": "presence-room"}}));
        watcher.expect_nothing_before();
    }
}

#[test]
fn trigger_beside_broadcast_counts_as_inside_br_18() {
    let broker = Broker::with_channels(2, &["room"]);
    let mut nobody = broker.browser();
    nobody.subscribe("room");
    let sid = nobody.sid.clone();
    let said = json!({"said": {"sid": sid, "channel": "room"}});
    // One that is no string, or empty, is none.
    for beside in ["true", "null", "1", "{}", "[]", "\"\""] {
        nobody.send_text(&format!(
            r#"{{"broadcast":{{"channel":"room","event":"said"}},"trigger":{beside}}}"#
        ));
        nobody.expect(said.clone());
    }
    let shape = r#"{"broadcast":{"channel":"room","event":"said"},"trigger":"work"}"#;
    nobody.send_text(shape);
    nobody.expect_error(403);
    // A trigger it is: with nobody to take it, and only then.
    let mut user = broker.user("joe", ".*");
    user.subscribe("room");
    user.send_text(shape);
    let sid = user.sid.clone();
    let said = json!({"said": {"sid": sid, "channel": "room"}});
    user.expect(said.clone());
    user.expect_error(503);
    nobody.expect(said);
    nobody.expect_nothing_before();
}

#[test]
fn any_other_second_member_is_400_er_05() {
    let broker = Broker::with_channels(2, &["room"]);
    let mut browser = broker.user("joe", ".*");
    browser.subscribe("room");
    for shape in [
        r#"{"broadcast":{"channel":"room","event":"said"},"hidden":true}"#,
        r#"{"subscribe":{"channel":"room"},"trigger":"work"}"#,
        r#"{"unsubscribe":{"channel":"room"},"hidden":true}"#,
        r#"{"trigger":{"event":"work"},"trigger":"work"}"#,
        r#"{"auth":{"token":"x"},"hidden":true}"#,
        r#"{"close":{},"hidden":true}"#,
        r#"{"pong":{},"trigger":"work"}"#,
        r#"{"broadcast":{"channel":"room","event":"said"},"data":{}}"#,
        r#"{"broadcast":{"channel":"room","event":"said"},"Trigger":"work"}"#,
        r#"{"broadcast":{"channel":"room","event":"said"},"trigger":"a","trigger":"b"}"#,
        r#"{"broadcast":{"channel":"room","event":"said"},"trigger":"a","x":1}"#,
        r#"{"broadcast":{"channel":"room","event":"said"},"trigger"}"#,
        r#"{"broadcast":{"channel":"room","event":":said"},"trigger":true}"#,
        r#"{"broadcast":null,"trigger":true}"#,
        r#"{"subscribe":{},"hidden":true}"#,
    ] {
        browser.send_text(shape);
        browser.expect_error(400);
        browser.expect_nothing_before();
    }
    assert_eq!(broker.subscribers("room"), 1);
}
