//! Bounds of a message, of a session's subscriptions and of a roster: at the
//! bound all is well, past it the peer is told.

use serde_json::json;
use tokio_tungstenite::tungstenite::Message;
use webrocket::limits::{MESSAGE_BYTES_MAX, ROSTER_BYTES_MAX, SUBSCRIPTIONS_MAX};

use crate::SHARDS;
use crate::raw::{Raw, TEXT, masked};
use crate::support::{Broker, Browser};

/// A broadcast that is exactly so long, and the text it carries.
fn broadcast_of(bytes: usize) -> String {
    let (front, back) = (
        r#"{"broadcast":{"channel":"room","event":"e","data":{"t":""#,
        r#""}}}"#,
    );
    format!(
        "{front}{}{back}",
        "x".repeat(bytes - front.len() - back.len())
    )
}

fn expect_text_of(browser: &mut Browser, bytes: usize) {
    let message = browser.receive();
    let text = message["e"]["t"].as_str().expect("a text");
    let around = broadcast_of(100).replace('x', "").len();
    assert_eq!(text.len(), bytes - around);
    assert!(text.bytes().all(|byte| byte == b'x'));
}

#[test]
fn large_messages_pass_up_to_the_bound_fr_08_fr_09() {
    for shards in SHARDS {
        let broker = Broker::with_channels(shards, &["room"]);
        let (mut one, mut two) = (broker.browser(), broker.browser());
        one.subscribe("room");
        two.subscribe("room");
        for bytes in [
            60_000,
            65_535,
            65_536,
            300_000,
            MESSAGE_BYTES_MAX - 1,
            MESSAGE_BYTES_MAX,
        ] {
            one.send_text(&broadcast_of(bytes));
            expect_text_of(&mut one, bytes);
            expect_text_of(&mut two, bytes);
        }
        one.expect_nothing_before();
        two.expect_nothing_before();
    }
}

#[test]
fn a_message_past_the_bound_closes_with_1009_fr_09() {
    let broker = Broker::with_channels(2, &["room"]);
    let mut watcher = broker.browser();
    watcher.subscribe("room");
    let whole = masked(TEXT, broadcast_of(MESSAGE_BYTES_MAX + 1).as_bytes());
    let mut raw = Raw::upgraded(&broker);
    raw.write(&whole);
    raw.expect_close(1009);
    // Its header tells enough.
    let mut raw = Raw::upgraded(&broker);
    raw.write(&whole[..14]);
    raw.expect_close(1009);
    // A length that no memory holds.
    let mut raw = Raw::upgraded(&broker);
    raw.write(b"\x81\xff\x7f\xff\xff\xff\xff\xff\xff\xff\x00\x00\x00\x00");
    raw.expect_close(1009);
    // In fragments that are within it one by one.
    let text = broadcast_of(MESSAGE_BYTES_MAX + 1).into_bytes();
    let mut raw = Raw::upgraded(&broker);
    let (front, back) = text.split_at(MESSAGE_BYTES_MAX);
    raw.write(&[masked(0x01, front), masked(0x80, back)].concat());
    raw.expect_close(1009);
    watcher.expect_nothing_before();
    // In fragments that are at it together.
    let text = broadcast_of(MESSAGE_BYTES_MAX).into_bytes();
    let mut raw = Raw::upgraded(&broker);
    raw.send_text(r#"{"subscribe":{"channel":"room"}}"#);
    raw.expect_text(r#"{":subscribed":{"channel":"room"}}"#);
    let (front, back) = text.split_at(MESSAGE_BYTES_MAX / 3);
    raw.write(&[masked(0x01, front), masked(0x80, back)].concat());
    assert!(raw.receive()["e"]["sid"].is_string());
    expect_text_of(&mut watcher, MESSAGE_BYTES_MAX);
}

#[test]
fn subscriptions_of_a_session_up_to_their_bound() {
    let broker = Broker::start(2);
    let names: Vec<_> = (0..=SUBSCRIPTIONS_MAX).map(|n| format!("c{n}")).collect();
    broker.open_channels(&names);
    let mut browser = broker.browser();
    let (last, fitting) = names.split_last().expect("names");
    for name in fitting {
        browser.send(json!({"subscribe": {"channel": name}}));
    }
    for name in fitting {
        browser.expect(json!({":subscribed": {"channel": name}}));
    }
    browser.send(json!({"subscribe": {"channel": last}}));
    browser.expect_error(403);
    // What is subscribed already is no further subscription.
    browser.send(json!({"subscribe": {"channel": names[0]}}));
    browser.expect_nothing_before();
    browser.send(json!({"unsubscribe": {"channel": names[7]}}));
    browser.expect(json!({":unsubscribed": {"channel": names[7]}}));
    browser.subscribe(last);
    let sid = browser.sid.clone();
    browser.broadcast(last, "e", json!({}));
    browser.expect(json!({"e": {"sid": sid, "channel": last}}));
}

/// Members whose records fill the roster to the byte. Each joiner is told of
/// all before it in one message, larger than an outbox may get from deliveries.
#[test]
fn a_roster_up_to_its_bound() {
    const MEMBERS: usize = 16;
    let broker = Broker::with_channels(2, &["presence-full"]);
    let around = r#""t":"","uid":"u","channel":"presence-full""#.len();
    let data = json!({"t": "x".repeat(ROSTER_BYTES_MAX / MEMBERS - around)});
    let join = json!({"subscribe": {"channel": "presence-full", "data": data}}).to_string();
    let mut members: Vec<Browser> = Vec::new();
    for count in 0..MEMBERS {
        let mut joiner = broker.user("u", ".*");
        joiner.send_text(&join);
        let subscribed = text_of(&mut joiner);
        assert!(subscribed.starts_with(r#"{":subscribed":"#));
        assert_eq!(subscribed.matches(r#""uid":"u","channel":"#).count(), count);
        members.push(joiner);
        for member in &mut members {
            assert!(text_of(member).starts_with(r#"{":memberJoined":"#));
        }
    }
    let mut late = broker.user("late", ".*");
    late.send(json!({"subscribe": {"channel": "presence-full"}}));
    late.expect_error(403);
    // One who is not listed takes no room.
    late.send(json!({"subscribe": {"channel": "presence-full", "hidden": true}}));
    assert!(text_of(&mut late).starts_with(r#"{":subscribed":"#));
    late.send(json!({"unsubscribe": {"channel": "presence-full"}}));
    late.expect(json!({":unsubscribed": {"channel": "presence-full"}}));
    let mut leaver = members.pop().expect("members");
    leaver.send(json!({"unsubscribe": {"channel": "presence-full"}}));
    leaver.expect(json!({":unsubscribed": {"channel": "presence-full"}}));
    late.send(json!({"subscribe": {"channel": "presence-full"}}));
    assert!(text_of(&mut late).starts_with(r#"{":subscribed":"#));
    late.expect(json!({":memberJoined": {"uid": "late", "channel": "presence-full"}}));
    for member in &mut members {
        assert!(text_of(member).starts_with(r#"{":memberLeft":"#));
        assert!(text_of(member).starts_with(r#"{":memberJoined":"#));
        member.expect_nothing_before();
    }
}

/// The next message unparsed: half a megabyte each would take its time.
fn text_of(browser: &mut Browser) -> String {
    match browser.receive_raw() {
        Message::Text(text) => text.to_string(),
        other => panic!("no text: {other:?}"),
    }
}
