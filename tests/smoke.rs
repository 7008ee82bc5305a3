//! The narrow path from end to end: browsers and backends meet through one,
//! two and four shards.

mod support;

use std::io::{Read, Write};

use serde_json::json;
use support::Broker;

#[test]
fn browsers_and_backends_meet() {
    for shards in [1, 2, 4] {
        let broker = Broker::start(shards);
        assert_eq!(broker.request(&["OC", "room"]), "OK\n\n\r\n\r\n");
        let mut browsers: Vec<_> = (0..8).map(|_| broker.browser()).collect();
        browsers
            .iter_mut()
            .for_each(|browser| browser.subscribe("room"));
        let sid = browsers[0].sid.clone();
        browsers[0].broadcast("room", "said", json!({"text": "hello", "sid": "forged"}));
        for browser in &mut browsers {
            browser.expect(json!({"said": {"text": "hello", "sid": sid, "channel": "room"}}));
        }
        assert_eq!(
            broker.request(&["BC", "room", "news", r#"{"n":1.50}"#]),
            "OK\n\n\r\n\r\n"
        );
        for browser in &mut browsers {
            browser.expect(json!({"news": {"n": 1.50, "channel": "room"}}));
        }
        assert!(broker.stop());
    }
}

#[test]
fn triggers_reach_a_worker() {
    for shards in [1, 2, 4] {
        let broker = Broker::start(shards);
        let mut worker = broker.backend();
        worker
            .write_all(&broker.packet("dlr", &["RD"]))
            .expect("sent");
        let mut first = [0; 8];
        worker.read_exact(&mut first).expect("a heartbeat");
        assert_eq!(&first, b"HB\n\n\r\n\r\n");
        let mut user = broker.user("joe", ".*");
        user.send(json!({"trigger": {"event": "work", "data": {"n": 1}}}));
        let mut packet = vec![0; 200];
        let count = loop {
            let count = worker.read(&mut packet).expect("a packet");
            if !packet.starts_with(b"HB") {
                break count;
            }
        };
        let expected = format!(
            "TR\n{{\"work\":{{\"sid\":\"{}\",\"n\":1}}}}\n\r\n\r\n",
            user.sid
        );
        assert_eq!(String::from_utf8_lossy(&packet[..count]), expected);
        assert!(broker.stop());
    }
}
