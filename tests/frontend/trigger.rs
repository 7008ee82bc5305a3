//! Section 3.7: triggers, and broadcasts that trigger.

use std::io::{Read, Write};
use std::net::TcpStream;

use serde_json::{Value, json};

use crate::SHARDS;
use crate::support::{Broker, Browser};

/// A registered worker that answers each heartbeat.
struct Worker {
    stream: TcpStream,
    bytes: Vec<u8>,
}

impl Worker {
    fn ready(broker: &Broker) -> Self {
        let mut stream = broker.backend();
        stream
            .write_all(&broker.packet("dlr", &["RD"]))
            .expect("sent");
        let mut worker = Self {
            stream,
            bytes: Vec::new(),
        };
        assert_eq!(worker.packet(), "HB\n");
        worker
    }

    /// The next packet, without its terminator.
    fn packet(&mut self) -> String {
        let end = b"\n\r\n\r\n";
        loop {
            if let Some(at) = self
                .bytes
                .windows(end.len())
                .position(|window| window == end)
            {
                let rest = self.bytes.split_off(at + end.len());
                let packet = std::mem::replace(&mut self.bytes, rest);
                return String::from_utf8(packet[..at].to_vec()).expect("text");
            }
            let mut buffer = [0; 4096];
            let count = self.stream.read(&mut buffer).expect("a packet");
            assert!(count > 0, "the worker was closed");
            self.bytes.extend_from_slice(&buffer[..count]);
        }
    }

    fn trigger(&mut self) -> Value {
        loop {
            let packet = self.packet();
            if packet == "HB\n" {
                self.stream.write_all(b"HB\n\r\n\r\n").expect("sent");
                continue;
            }
            let json = packet.strip_prefix("TR\n");
            let json = json.unwrap_or_else(|| panic!("no trigger: {packet:?}"));
            return serde_json::from_str(json).expect("JSON");
        }
    }

    /// What came before is all: the next trigger is this one's.
    fn expect_marker(&mut self, user: &mut Browser) {
        user.send(json!({"trigger": {"event": "marker"}}));
        let sid = user.sid.clone();
        assert_eq!(self.trigger(), json!({"marker": {"sid": sid}}));
    }
}

fn expect_unavailable(browser: &mut Browser) {
    browser.expect(json!({":error": {"code": 503, "status": "Service unavailable"}}));
}

#[test]
fn a_trigger_reaches_one_worker_tg_03_tg_04() {
    for shards in SHARDS {
        let broker = Broker::start(shards);
        let mut worker = Worker::ready(&broker);
        for _ in 0..4 {
            let mut user = broker.user("joe", "nothing");
            let sid = user.sid.clone();
            for (data, expected) in [
                (json!({"n": 1}), json!({"n": 1, "sid": sid})),
                (json!({"sid": "forged"}), json!({"sid": sid})),
                // yodachat relies on it.
                (
                    json!({"channel": "room"}),
                    json!({"channel": "room", "sid": sid}),
                ),
                (json!(null), json!({"sid": sid})),
                (json!([1]), json!({"sid": sid})),
                (
                    json!({"text": "line\nfeed"}),
                    json!({"text": "line\nfeed", "sid": sid}),
                ),
            ] {
                user.send(json!({"trigger": {"event": "work", "data": data}}));
                assert_eq!(worker.trigger(), json!({"work": expected}));
            }
            user.send(json!({"trigger": {"event": "work"}}));
            assert_eq!(worker.trigger(), json!({"work": {"sid": sid}}));
            // No receipt.
            user.expect_nothing_before();
        }
    }
}

#[test]
fn a_trigger_needs_authentication_and_is_checked_before_the_workers() {
    for shards in SHARDS {
        let broker = Broker::start(shards);
        let mut nobody = broker.browser();
        let mut user = broker.user("joe", ".*");
        for event in [json!(""), json!(1)] {
            nobody.send(json!({"trigger": {"event": event}}));
            nobody.expect_error(400);
        }
        nobody.send(json!({"trigger": {"event": "work"}}));
        nobody.expect_error(403);
        user.send(json!({"trigger": {"event": "work"}}));
        expect_unavailable(&mut user);
        let mut worker = Worker::ready(&broker);
        nobody.send(json!({"trigger": {"event": "work"}}));
        nobody.expect_error(403);
        worker.expect_marker(&mut user);
    }
}

#[test]
fn a_broadcast_with_trigger_does_both_tg_06_br_14() {
    for shards in SHARDS {
        let channels = ["room", "room.2", "room.3"];
        let broker = Broker::with_channels(shards, &channels);
        let mut worker = Worker::ready(&broker);
        for channel in channels {
            // Any authentication will do.
            let mut user = broker.user("joe", "private-x");
            let mut other = broker.browser();
            user.subscribe(channel);
            other.subscribe(channel);
            let sid = user.sid.clone();
            user.send(json!({"broadcast": {"channel": channel, "event": "said",
                "trigger": "work", "data": {"n": 1, "sid": "x", "channel": "y"}}}));
            let data = json!({"n": 1, "sid": sid, "channel": channel});
            assert_eq!(worker.trigger(), json!({"work": data}));
            user.expect(json!({"said": data}));
            other.expect(json!({"said": data}));
            for none in [json!(""), json!(null), json!(1), json!({}), json!(["work"])] {
                user.send(json!({"broadcast":
                    {"channel": channel, "event": "said", "trigger": none}}));
                let said = json!({"said": {"sid": sid, "channel": channel}});
                user.expect(said.clone());
                other.expect(said);
            }
            worker.expect_marker(&mut user);
            user.expect_nothing_before();
            other.expect_nothing_before();
        }
    }
}

#[test]
fn without_authentication_nothing_is_delivered_br_13() {
    for shards in SHARDS {
        let broker = Broker::with_channels(shards, &["room"]);
        let mut worker = Worker::ready(&broker);
        let mut nobody = broker.browser();
        let mut user = broker.user("joe", ".*");
        nobody.subscribe("room");
        user.subscribe("room");
        nobody.send(json!({"broadcast": {"channel": "room", "event": "said", "trigger": "work"}}));
        nobody.expect_error(403);
        // No trigger, no need of it.
        nobody.send(json!({"broadcast": {"channel": "room", "event": "said", "trigger": ""}}));
        let sid = nobody.sid.clone();
        for browser in [&mut nobody, &mut user] {
            browser.expect(json!({"said": {"sid": sid, "channel": "room"}}));
            browser.expect_nothing_before();
        }
        worker.expect_marker(&mut user);
    }
}

#[test]
fn without_a_worker_it_is_503_and_the_members_get_the_event_tg_08_tg_09_tg_10() {
    for shards in SHARDS {
        let channels = ["room", "room.2", "room.3", "room.4"];
        let broker = Broker::with_channels(shards, &channels);
        broker.add_vhost("/other");
        for with_past in [false, true] {
            if with_past {
                // One that was there and left is none.
                let mut worker = Worker::ready(&broker);
                worker.stream.write_all(b"QT\n\r\n\r\n").expect("sent");
                while worker
                    .stream
                    .read(&mut [0; 64])
                    .is_ok_and(|count| count > 0)
                {}
                broker.expect_no_workers();
            }
            for channel in channels {
                let mut user = broker.user("joe", ".*");
                let mut other = broker.browser();
                user.subscribe(channel);
                other.subscribe(channel);
                user.send(json!({"trigger": {"event": "work"}}));
                expect_unavailable(&mut user);
                user.send(json!({"broadcast":
                    {"channel": channel, "event": "said", "trigger": "work"}}));
                user.send_text("no JSON");
                let sid = user.sid.clone();
                let said = json!({"said": {"sid": sid, "channel": channel}});
                user.expect(said.clone());
                expect_unavailable(&mut user);
                user.expect_error(400);
                other.expect(said);
                user.expect_nothing_before();
                other.expect_nothing_before();
            }
        }
    }
}

#[test]
fn triggers_of_one_browser_keep_their_order() {
    for shards in SHARDS {
        let broker = Broker::start(shards);
        let mut worker = Worker::ready(&broker);
        let mut user = broker.user("joe", ".*");
        for n in 0..500 {
            user.send(json!({"trigger": {"event": "work", "data": {"n": n}}}));
        }
        for n in 0..500 {
            assert_eq!(worker.trigger()["work"]["n"], n);
        }
        user.expect_nothing_before();
    }
}
