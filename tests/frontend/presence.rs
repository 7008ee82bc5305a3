//! Section 3.6: who is told of whom, when, and with what.

use std::io::Write;
use std::net::Shutdown;

use serde_json::{Value, json};

use crate::SHARDS;
use crate::raw::{CLOSE, Raw, TEXT, masked};
use crate::support::{Broker, Browser};

fn subscribe(browser: &mut Browser, channel: &str, data: &Value) {
    browser.send(json!({"subscribe": {"channel": channel, "data": data}}));
}

fn unsubscribe(browser: &mut Browser, channel: &str, data: &Value) {
    browser.send(json!({"unsubscribe": {"channel": channel, "data": data}}));
}

/// A user who has joined a channel with these members, in this order.
fn join(broker: &Broker, uid: &str, channel: &str, data: &Value, before: &[Value]) -> Browser {
    let mut browser = broker.user(uid, ".*");
    subscribe(&mut browser, channel, data);
    browser.expect(json!({":subscribed": {"channel": channel, "uid": uid, "subscribers": before}}));
    browser.expect(json!({":memberJoined": record(uid, channel, data)}));
    browser
}

fn record(uid: &str, channel: &str, data: &Value) -> Value {
    let mut record = data.clone();
    record["uid"] = uid.into();
    record["channel"] = channel.into();
    record
}

#[test]
fn the_joiner_hears_of_the_others_then_of_itself_pr_01_su_10() {
    for shards in SHARDS {
        let channel = "presence-room";
        let broker = Broker::with_channels(shards, &[channel]);
        let mut members: Vec<Browser> = Vec::new();
        let mut records = Vec::new();
        for n in 0..10 {
            let (uid, data) = (
                format!("user-{n}"),
                json!({"n": n, "deep": {"a": [n, null]}}),
            );
            let joiner = join(&broker, &uid, channel, &data, &records);
            let joined = record(&uid, channel, &data);
            for member in &mut members {
                member.expect(json!({":memberJoined": joined}));
            }
            members.push(joiner);
            records.push(joined);
        }
        while let Some(mut leaver) = members.pop() {
            unsubscribe(&mut leaver, channel, &json!({}));
            leaver.expect(json!({":unsubscribed": {"channel": channel}}));
            leaver.expect_nothing_before();
            let left = records.pop().expect("its record");
            for member in &mut members {
                member.expect(json!({":memberLeft": left}));
            }
        }
    }
}

/// A presence channel is private too, and others on it are told nothing of
/// what the members of another are.
#[test]
fn members_of_another_channel_hear_nothing() {
    let broker = Broker::with_channels(2, &["presence-a", "presence-b"]);
    let mut other = join(&broker, "other", "presence-b", &json!({}), &[]);
    let mut one = join(&broker, "one", "presence-a", &json!({}), &[]);
    one.broadcast("presence-a", "said", json!({"x": 1}));
    let sid = one.sid.clone();
    one.expect(json!({"said": {"x": 1, "sid": sid, "channel": "presence-a"}}));
    unsubscribe(&mut one, "presence-a", &json!({}));
    one.expect(json!({":unsubscribed": {"channel": "presence-a"}}));
    other.expect_nothing_before();
}

#[test]
fn uid_and_channel_of_a_record_cannot_be_forged_pr_03() {
    for shards in SHARDS {
        let broker = Broker::with_channels(shards, &["presence-room"]);
        let mut watcher = join(&broker, "watcher", "presence-room", &json!({}), &[]);
        let known = [json!({"uid": "watcher", "channel": "presence-room"})];
        let mut browser = broker.user("joe", ".*");
        let forged = json!({"uid": "admin", "channel": "x", "sid": "s", "n": 1});
        let true_record = json!({"uid": "joe", "channel": "presence-room", "sid": "s", "n": 1});
        subscribe(&mut browser, "presence-room", &forged);
        browser.expect(json!({":subscribed":
            {"channel": "presence-room", "uid": "joe", "subscribers": known}}));
        for member in [&mut browser, &mut watcher] {
            member.expect(json!({":memberJoined": true_record}));
        }
        let late = [&known[..], &[true_record]].concat();
        join(&broker, "late", "presence-room", &json!({}), &late);
    }
}

#[test]
fn who_unsubscribes_leaves_with_both_data_pr_04_pr_05_pr_14_pr_15() {
    for shards in SHARDS {
        let channel = "presence-room";
        let broker = Broker::with_channels(shards, &[channel]);
        let mut watcher = join(&broker, "watcher", channel, &json!({}), &[]);
        let known = [record("watcher", channel, &json!({}))];
        for (joined, left, expected) in [
            (json!({"a": 1}), json!({}), json!({"a": 1})),
            (json!({}), json!({"b": 2}), json!({"b": 2})),
            (
                json!({"a": 1, "b": 1}),
                json!({"b": 2, "c": 3}),
                json!({"a": 1, "b": 2, "c": 3}),
            ),
            (
                json!({"a": {"x": 1}}),
                json!({"a": null}),
                json!({"a": null}),
            ),
            (
                json!({"a": 1}),
                json!({"uid": "admin", "channel": "x"}),
                json!({"a": 1}),
            ),
        ] {
            let mut leaver = join(&broker, "joe", channel, &joined, &known);
            watcher.expect(json!({":memberJoined": record("joe", channel, &joined)}));
            unsubscribe(&mut leaver, channel, &left);
            leaver.expect(json!({":unsubscribed": {"channel": channel}}));
            watcher.expect(json!({":memberLeft": record("joe", channel, &expected)}));
            leaver.expect_nothing_before();
        }
        watcher.expect_nothing_before();
    }
}

/// However a connection ends: in order, without a word, or by a reset.
#[test]
fn who_is_lost_leaves_with_the_subscription_data_pr_06_fr_07_cl_03() {
    for shards in SHARDS {
        let channels = ["presence-a", "presence-b"];
        let broker = Broker::with_channels(shards, &channels);
        let mut watchers =
            channels.map(|channel| join(&broker, "watcher", channel, &json!({}), &[]));
        let ends: [fn(&mut Raw); 4] = [
            |raw| raw.send(CLOSE, b"\x03\xe8"),
            |raw| raw.stream.shutdown(Shutdown::Both).expect("shut"),
            |raw| {
                socket2::SockRef::from(&raw.stream)
                    .set_linger(Some(std::time::Duration::ZERO))
                    .expect("set");
            },
            |raw| raw.send(TEXT, b"\xff"),
        ];
        for end in ends {
            let token = broker.single_access_token("joe", ".*");
            let mut raw = Raw::upgraded(&broker);
            raw.send_text(&json!({"auth": {"token": token}}).to_string());
            raw.receive();
            for channel in channels {
                let subscribe = json!({"subscribe": {"channel": channel, "data": {"n": 1}}});
                raw.send_text(&subscribe.to_string());
                assert_eq!(raw.receive()[":subscribed"]["channel"], channel);
                assert_eq!(raw.receive()[":memberJoined"]["n"], 1);
            }
            end(&mut raw);
            drop(raw);
            for (watcher, channel) in watchers.iter_mut().zip(channels) {
                let record = json!({"n": 1, "uid": "joe", "channel": channel});
                watcher.expect(json!({":memberJoined": record}));
                watcher.expect(json!({":memberLeft": record}));
            }
        }
        for (watcher, channel) in watchers.iter_mut().zip(channels) {
            watcher.expect_nothing_before();
            assert_eq!(broker.subscribers(channel), 1);
        }
    }
}

/// The end of the stream may come with the last message, in one segment or
/// while the shard is busy; it must not be overlooked.
#[test]
fn an_end_right_behind_a_message_is_noticed_pr_06() {
    for shards in [1, 2] {
        let broker = Broker::with_channels(shards, &["presence-room"]);
        let mut watcher = join(&broker, "watcher", "presence-room", &json!({}), &[]);
        for round in 0..100 {
            let token = broker.single_access_token("joe", ".*");
            let mut raw = Raw::upgraded(&broker);
            let auth = json!({"auth": {"token": token}}).to_string();
            let join = r#"{"subscribe":{"channel":"presence-room"}}"#;
            raw.send_text(&auth);
            raw.expect_text(r#"{":authenticated":{}}"#);
            raw.write(&masked(TEXT, join.as_bytes()));
            if round % 2 == 0 {
                raw.stream.shutdown(Shutdown::Write).expect("shut");
            }
            // Half of them stay open on this side until the broker has let go.
            let open = (round % 4 == 0).then_some(raw);
            let record = json!({"uid": "joe", "channel": "presence-room"});
            watcher.expect(json!({":memberJoined": record}));
            watcher.expect(json!({":memberLeft": record}));
            drop(open);
        }
    }
}

/// The same where the shard finds message and end together.
#[test]
fn an_end_behind_a_flood_is_noticed_pr_06() {
    let broker = Broker::with_channels(1, &["presence-room"]);
    let mut watcher = join(&broker, "watcher", "presence-room", &json!({}), &[]);
    let leavers: Vec<_> = (0..50)
        .map(|_| {
            let token = broker.single_access_token("joe", ".*");
            let mut raw = Raw::upgraded(&broker);
            raw.send_text(&json!({"auth": {"token": token}}).to_string());
            raw.expect_text(r#"{":authenticated":{}}"#);
            raw
        })
        .collect();
    // Long work for the shard, in the middle of which the others come and go.
    let mut busy = Raw::upgraded(&broker);
    let flood: Vec<_> = (0..20_000)
        .flat_map(|_| masked(TEXT, b"nonsense"))
        .collect();
    let mut writer = busy.stream.try_clone().expect("the same socket");
    let flooding = std::thread::spawn(move || writer.write_all(&flood));
    for mut raw in leavers {
        raw.write(&masked(
            TEXT,
            br#"{"subscribe":{"channel":"presence-room"}}"#,
        ));
        raw.stream.shutdown(Shutdown::Write).expect("shut");
        std::mem::forget(raw);
    }
    let (mut joined, mut left) = (0, 0);
    while left < 50 {
        let event = watcher.receive();
        joined += u32::from(event.get(":memberJoined").is_some());
        left += u32::from(event.get(":memberLeft").is_some());
    }
    assert_eq!(joined, 50);
    (0..20_000).for_each(|_| assert_eq!(busy.receive()[":error"]["code"], 400));
    flooding.join().expect("no panic").expect("sent");
}

#[test]
fn one_uid_on_two_connections_is_two_members_pr_13() {
    for shards in SHARDS {
        let channel = "presence-room";
        let broker = Broker::with_channels(shards, &[channel]);
        let mut first = join(&broker, "joe", channel, &json!({"n": 1}), &[]);
        let one = record("joe", channel, &json!({"n": 1}));
        let mut second = join(
            &broker,
            "joe",
            channel,
            &json!({"n": 2}),
            std::slice::from_ref(&one),
        );
        let two = record("joe", channel, &json!({"n": 2}));
        first.expect(json!({":memberJoined": two}));
        unsubscribe(&mut first, channel, &json!({}));
        first.expect(json!({":unsubscribed": {"channel": channel}}));
        second.expect(json!({":memberLeft": one}));
        join(&broker, "late", channel, &json!({}), &[two]);
    }
}

#[test]
fn who_comes_back_starts_from_fresh_data_pr_16() {
    for shards in SHARDS {
        let channel = "presence-room";
        let broker = Broker::with_channels(shards, &[channel]);
        let mut browser = broker.user("joe", ".*");
        let mut watcher = join(&broker, "watcher", channel, &json!({}), &[]);
        for data in [json!({"a": 1}), json!({"b": 2}), json!({})] {
            subscribe(&mut browser, channel, &data);
            browser.receive();
            let joined = json!({":memberJoined": record("joe", channel, &data)});
            browser.expect(joined.clone());
            watcher.expect(joined);
            unsubscribe(&mut browser, channel, &json!({}));
            browser.expect(json!({":unsubscribed": {"channel": channel}}));
            watcher.expect(json!({":memberLeft": record("joe", channel, &data)}));
        }
    }
}

/// All members see one order of joins, leaves and events.
#[test]
fn all_members_see_one_order() {
    let channel = "presence-room";
    let broker = Broker::with_channels(4, &[channel]);
    let mut members: Vec<Browser> = Vec::new();
    for n in 0..6 {
        let mut member = broker.user(&format!("m{n}"), ".*");
        subscribe(&mut member, channel, &json!({}));
        member.receive();
        member.receive();
        members
            .iter_mut()
            .for_each(|earlier| drop(earlier.receive()));
        members.push(member);
    }
    let speakers: Vec<_> = (0..4)
        .map(|n| {
            let mut speaker = broker.user(&format!("s{n}"), ".*");
            std::thread::spawn(move || {
                for round in 0..20 {
                    subscribe(&mut speaker, channel, &json!({"round": round}));
                    speaker.broadcast(channel, "said", json!({"round": round}));
                    unsubscribe(&mut speaker, channel, &json!({}));
                    while speaker.receive().get(":unsubscribed").is_none() {}
                }
            })
        })
        .collect();
    speakers
        .into_iter()
        .for_each(|speaker| speaker.join().expect("spoken"));
    let seen: Vec<Vec<Value>> = members
        .iter_mut()
        .map(|member| (0..4 * 20 * 3).map(|_| member.receive()).collect())
        .collect();
    seen.iter().for_each(|events| assert_eq!(*events, seen[0]));
    members.iter_mut().for_each(Browser::expect_nothing_before);
}
