use std::thread;
use std::time::Instant;

use serde_json::json;

use crate::support::admin::request_open;
use crate::support::{Broker, PATIENCE};
use crate::{open, scrape};

#[test]
fn a_node_is_healthy_and_ready_until_it_drains() {
    for shards in [1, 4] {
        let broker = Broker::start(shards);
        for path in ["/healthz", "/readyz"] {
            let answer = open(&broker, path);
            assert_eq!(
                (answer.status, answer.json()),
                (200, json!({"status": "ok"}))
            );
            assert_eq!(answer.header("content-type"), Some("application/json"));
        }
        assert_eq!(scrape(&broker).sum("webrocket_ready", &[]), 1.0);
        // A browser that does not take its leave keeps the drain waiting a while.
        let browser = broker.browser();
        let addr = broker.node().admin_addr();
        let stopped = thread::spawn(move || broker.stop());
        let begun = Instant::now();
        let answer = loop {
            let answer = request_open(addr, "/readyz");
            if answer.status != 200 {
                break answer;
            }
            assert!(begun.elapsed() < PATIENCE, "still ready");
            thread::yield_now();
        };
        let expected = json!({"status": "draining", "reason": "the node is stopping"});
        assert_eq!((answer.status, answer.json()), (503, expected));
        drop(browser);
        assert!(stopped.join().expect("no panic"));
    }
}
