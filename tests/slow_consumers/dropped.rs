//! The policy `drop`: what a session gets and what it is told it missed make up
//! all there was.

use std::sync::Arc;

use serde_json::json;
use webrocket::meter::{Refused, Slow};
use webrocket::model::SlowConsumers;

use crate::raw::{PING, PONG, TEXT, masked};
use crate::support::Broker;
use crate::{broker, count_of, dropped, expect, outbox_bytes, quotas, slow, slow_browser};

const EVENT_BYTES: usize = 20_000;
const OUTBOX_BYTES: u32 = 100_000;

/// Broadcasts until the broker has dropped so many; tells how many that took.
fn flood(broker: &Broker, channel: &str, first: u64, missed: u64) -> u64 {
    let mut speaker = broker.browser();
    let text = "x".repeat(EVENT_BYTES);
    let before = dropped(broker);
    let mut n = first;
    // Hidden ones hear nothing themselves.
    speaker.send(json!({"subscribe": {"channel": channel, "hidden": true}}));
    assert!(speaker.receive().get(":subscribed").is_some());
    while dropped(broker) < before + missed {
        speaker.broadcast(channel, "said", json!({"n": n, "text": text}));
        n += 1;
        assert!(n < first + 5000, "nothing is ever dropped");
    }
    // All that was sent is with the subscriber's shard once this is answered.
    speaker.send(json!({"unsubscribe": {"channel": channel}}));
    assert!(speaker.receive().get(":unsubscribed").is_some());
    n
}

#[test]
fn a_session_is_told_how_many_it_missed_where_it_missed_them() {
    for shards in [1, 2] {
        let broker = broker(shards, quotas(OUTBOX_BYTES, SlowConsumers::Drop), &["room"]);
        let mut reader = slow_browser(&broker, &["room"]);
        let mut next = 0;
        let mut told = 0;
        // Gap after gap.
        for round in 0..3 {
            let sent = flood(&broker, "room", next, 3 + round);
            // What has come until then, and then the word about the rest.
            while next < sent {
                let message = reader.receive();
                if let Some(count) = count_of(&message) {
                    next += count;
                    told += count;
                } else {
                    assert_eq!(message["said"]["n"], next, "in order, without a gap");
                    next += 1;
                }
            }
            assert_eq!(next, sent, "neither more nor less");
        }
        assert_eq!(told, dropped(&broker));
        assert!(slow(&broker, Slow::Dropped) >= 3);
        assert_eq!(slow(&broker, Slow::Evicted), 0);
        let refused = broker
            .node()
            .meters()
            .iter()
            .map(|it| it.refused(Refused::OutboxBytes));
        assert_eq!(refused.sum::<u64>(), 0);
        expect("empty outboxes", || outbox_bytes(&broker) == 0);
    }
}

#[test]
fn replies_pongs_and_the_close_are_never_dropped() {
    let broker = broker(1, quotas(OUTBOX_BYTES, SlowConsumers::Drop), &["room"]);
    let mut reader = slow_browser(&broker, &["room"]);
    flood(&broker, "room", 0, 10);
    let missed = dropped(&broker);
    // It asks while it is full: read before its outbox passed 64 KiB or not, all is answered.
    let mut asked = Vec::new();
    for n in 0..20 {
        asked.extend(masked(TEXT, b"?"));
        asked.extend(masked(PING, format!("ping {n}").as_bytes()));
    }
    asked.extend(masked(TEXT, br#"{"close":{}}"#));
    reader.write(&asked);
    let (mut errors, mut pongs, mut told) = (0, 0, 0);
    loop {
        let (first, payload) = reader.frame();
        if first == PONG {
            assert_eq!(payload, format!("ping {pongs}").as_bytes());
            pongs += 1;
            continue;
        }
        if first != TEXT {
            assert_eq!(payload[..2], 1000_u16.to_be_bytes());
            break;
        }
        let message: serde_json::Value = serde_json::from_slice(&payload).expect("JSON");
        told += count_of(&message).unwrap_or(0);
        errors += usize::from(message.get(":error").is_some());
    }
    assert_eq!((errors, pongs, told), (20, 20, missed));
}

/// Several channels share an outbox; in one turn their frames travel joined.
#[test]
fn frames_of_several_channels_are_counted_one_by_one() {
    let channels = ["a", "b", "c"];
    for shards in [1, 2] {
        let broker = broker(shards, quotas(OUTBOX_BYTES, SlowConsumers::Drop), &channels);
        let mut reader = slow_browser(&broker, &channels);
        let mut speaker = broker.browser();
        for channel in channels {
            speaker.send(json!({"subscribe": {"channel": channel, "hidden": true}}));
            assert!(speaker.receive().get(":subscribed").is_some());
        }
        let text = "x".repeat(3_000);
        let mut sent = 0_u64;
        while dropped(&broker) < 100 {
            for channel in channels {
                speaker.broadcast(channel, "said", json!({"n": sent, "text": text}));
                sent += 1;
            }
            assert!(sent < 20_000, "nothing is ever dropped");
        }
        for channel in channels {
            speaker.send(json!({"unsubscribe": {"channel": channel}}));
            assert!(speaker.receive().get(":unsubscribed").is_some());
        }
        let (mut got, mut told) = (0, 0);
        let mut last = [None; 3];
        while got + told < sent {
            let message = reader.receive();
            if let Some(count) = count_of(&message) {
                told += count;
                continue;
            }
            let said = &message["said"];
            let at = channels.iter().position(|name| said["channel"] == *name);
            let at = at.expect("a channel of ours");
            let n = said["n"].as_u64();
            assert!(last[at] < n, "out of order");
            last[at] = n;
            got += 1;
        }
        assert_eq!((got + told, told), (sent, dropped(&broker)));
    }
}

/// An operator who goes over to `evict` means those who are there, too.
#[test]
fn a_reload_changes_what_becomes_of_who_is_there() {
    let broker = broker(2, quotas(OUTBOX_BYTES, SlowConsumers::Drop), &["room"]);
    let mut reader = slow_browser(&broker, &["room"]);
    flood(&broker, "room", 0, 5);
    let handle = broker.node().handle();
    let evicting = quotas(OUTBOX_BYTES, SlowConsumers::Evict);
    broker
        .wait(handle.set_quotas(Arc::new(evicting)))
        .expect("set");
    let mut speaker = broker.browser();
    speaker.send(json!({"subscribe": {"channel": "room", "hidden": true}}));
    assert!(speaker.receive().get(":subscribed").is_some());
    speaker.broadcast("room", "said", json!({"n": "last"}));
    expect("evicted", || slow(&broker, Slow::Evicted) == 1);
    // What had come before, without what waited, and the reason.
    let (messages, code) = reader.until_close();
    assert_eq!(code, Some(1013));
    for (n, message) in messages.iter().enumerate() {
        assert_eq!(message["said"]["n"], n);
    }
}
