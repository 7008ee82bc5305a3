use serde_json::json;
use webrocket::limits::OUTBOX_BYTES_MAX;

use crate::support::backend::{Backend, OK, Worker, bare};
use crate::support::{Broker, Browser};
use crate::{expect, leave_page, scrape, stats};

const SUBSCRIBERS: u64 = 6;
const EVENTS: u64 = 50;

fn browsers(broker: &Broker, vhost: &str) -> Vec<Browser> {
    (0..SUBSCRIBERS).map(|_| broker.browser_on(vhost)).collect()
}

#[test]
fn every_broadcast_and_every_delivery_is_counted_once() {
    for shards in [1, 2, 4] {
        let broker = Broker::with_channels(shards, &["room", "hall"]);
        let mut browsers = browsers(&broker, "/test");
        browsers.iter_mut().for_each(|it| it.subscribe("room"));
        // One of two channels: its frames are joined in another way.
        browsers[0].subscribe("hall");
        let mut client = Backend::kept(&broker);
        for n in 0..EVENTS {
            browsers[1].broadcast("room", "said", json!({ "n": n }));
            client.send(&bare(&["BC", "room", "told", "{}"]));
            client.send(&bare(&["BC", "hall", "told", "{}"]));
        }
        (0..2 * EVENTS).for_each(|_| client.expect(OK));
        for (at, browser) in browsers.iter_mut().enumerate() {
            let hall = if at == 0 { EVENTS } else { 0 };
            (0..2 * EVENTS + hall).for_each(|_| drop(browser.receive()));
        }
        let (broadcasts, deliveries) = (3 * EVENTS, 2 * EVENTS * SUBSCRIBERS + EVENTS);
        let vhost = &[("vhost", "/test")][..];
        expect(
            &broker,
            &[
                ("webrocket_broadcasts_total", &[], broadcasts),
                ("webrocket_deliveries_total", &[], deliveries),
                ("webrocket_vhost_broadcasts_total", vhost, broadcasts),
                ("webrocket_vhost_deliveries_total", vhost, deliveries),
                ("webrocket_vhost_frontends", vhost, SUBSCRIBERS),
                ("webrocket_vhost_channels", vhost, 2),
                (
                    "webrocket_connections",
                    &[("kind", "frontend")],
                    SUBSCRIBERS,
                ),
                ("webrocket_connections", &[("kind", "client")], 1),
                ("webrocket_outbox_bytes", &[], 0),
                ("webrocket_unfinished_bytes", &[], 0),
            ],
        );
        leave_page(&broker);
        let page = scrape(&broker);
        let latencies = page.sum("webrocket_fanout_latency_seconds_count", &[]) as u64;
        // Each event once for each shard that has subscribers.
        assert!(latencies >= broadcasts && latencies <= broadcasts * u64::from(shards));
        let seen = stats(&broker);
        let of_shards = |key| -> u64 {
            let shards = seen["shards"].as_array().expect("shards");
            shards
                .iter()
                .map(|it| it[key].as_u64().expect("a number"))
                .sum()
        };
        assert_eq!(of_shards("deliveries"), deliveries);
        assert_eq!(of_shards("broadcasts"), broadcasts);
        assert_eq!(of_shards("frontends"), SUBSCRIBERS);
        assert_eq!(of_shards("backends"), 1);
        assert_eq!(seen["vhosts"][0]["deliveries"], deliveries);
        let buckets = seen["latency"].as_array().expect("buckets");
        let counts = buckets
            .iter()
            .map(|it| it["count"].as_u64().expect("a count"));
        assert_eq!(counts.sum::<u64>(), latencies);
        drop((browsers, client));
        expect(
            &broker,
            &[
                ("webrocket_connections", &[], 0),
                ("webrocket_vhost_frontends", vhost, 0),
            ],
        );
        assert!(broker.stop());
    }
}

#[test]
fn bytes_are_those_of_the_wire() {
    let broker = Broker::with_channels(1, &["room"]);
    let mut client = Backend::connect(&broker);
    let packet = broker.packet("req", &["KA"]);
    client.send(&packet);
    client.expect(OK);
    let (received, sent) = (packet.len() as u64, OK.len() as u64);
    expect(
        &broker,
        &[
            ("webrocket_received_bytes_total", &[], received),
            ("webrocket_sent_bytes_total", &[], sent),
            ("webrocket_sends_total", &[], 1),
            ("webrocket_connections_accepted_total", &[], 1),
        ],
    );
    drop(client);
    assert!(broker.stop());
}

#[test]
fn triggers_are_counted_where_they_end() {
    for shards in [1, 2, 4] {
        let broker = Broker::start(shards);
        let mut browser = broker.user("u", ".*");
        browser.send(json!({"trigger": {"event": "work", "data": {}}}));
        browser.expect_error(503);
        expect(&broker, &[("webrocket_triggers_refused_total", &[], 1)]);
        let mut workers: Vec<_> = (0..3).map(|_| Worker::ready(&broker)).collect();
        for n in 0..30 {
            browser.send(json!({"trigger": {"event": "work", "data": {"n": n}}}));
        }
        for worker in &mut workers {
            (0..10).for_each(|_| drop(worker.trigger()));
        }
        let vhost = &[("vhost", "/test")][..];
        expect(
            &broker,
            &[
                ("webrocket_triggers_total", &[], 30),
                ("webrocket_vhost_triggers_total", vhost, 30),
                ("webrocket_trigger_wait_seconds_count", &[], 30),
                ("webrocket_triggers_refused_total", &[], 1),
                ("webrocket_vhost_workers", vhost, 3),
                ("webrocket_workers", &[], 3),
                ("webrocket_connections", &[("kind", "worker")], 3),
            ],
        );
        drop((workers, browser));
        assert!(broker.stop());
    }
}

#[test]
fn a_silent_worker_is_counted_when_it_is_sent_away_wk_06() {
    let broker = Broker::start(1);
    let mut worker = Worker::silent(
        &broker,
        "/test",
        broker.token(),
        &crate::support::fresh_id(),
    );
    worker.expect_quit();
    expect(&broker, &[("webrocket_heartbeats_expired_total", &[], 1)]);
    drop(worker);
    assert!(broker.stop());
}

#[test]
fn a_slow_consumer_is_counted_by_its_cause() {
    let broker = Broker::with_channels(1, &["room"]);
    let mut slow = broker.browser();
    slow.subscribe("room");
    let mut client = Backend::kept(&broker);
    let data = format!("{{\"d\":\"{}\"}}", "x".repeat(500_000));
    let evicted = || scrape(&broker).sum("webrocket_slow_consumers_total", &[("cause", "evicted")]);
    let begun = std::time::Instant::now();
    let mut peak = 0.0_f64;
    while evicted() == 0.0 {
        peak = peak.max(scrape(&broker).sum("webrocket_outbox_peak_bytes", &[]));
        client.send(&bare(&["BC", "room", "said", &data]));
        client.expect(OK);
        assert!(begun.elapsed() < crate::support::PATIENCE, "never evicted");
    }
    assert_eq!(evicted(), 1.0);
    // The last event that still fit had to fit beside all those before it.
    let bound = OUTBOX_BYTES_MAX as f64;
    assert!(peak > bound - 1_000_000.0 && peak <= bound, "{peak}");
    let seen = stats(&broker);
    assert_eq!(seen["shards"][0]["evicted"], 1);
    drop((slow, client));
    expect(
        &broker,
        &[
            ("webrocket_outbox_bytes", &[], 0),
            ("webrocket_unfinished_bytes", &[], 0),
            ("webrocket_outbox_peak_bytes", &[], 0),
        ],
    );
    assert!(broker.stop());
}

#[test]
fn the_store_and_the_registry_are_counted() {
    let broker = Broker::with_channels(2, &["a", "b", "c"]);
    broker.single_access_token("u", ".*");
    broker.close_channel("a");
    expect(
        &broker,
        &[
            ("webrocket_vhosts", &[], 1),
            ("webrocket_channels", &[], 2),
            ("webrocket_single_access_tokens", &[], 1),
            ("webrocket_changes_waiting", &[], 0),
            // A vhost, three channels, one of them closed, a token.
            ("webrocket_store_records_total", &[], 6),
            ("webrocket_store_failures_total", &[], 0),
        ],
    );
    let page = scrape(&broker);
    let commits = page.sum("webrocket_store_commits_total", &[]);
    assert!((1.0..=6.0).contains(&commits), "{commits}");
    assert_eq!(
        page.sum("webrocket_store_commit_seconds_count", &[]),
        commits
    );
    assert!(broker.stop());
}

#[test]
fn shards_process_and_headroom_are_on_the_page() {
    let broker = Broker::start(3);
    let page = scrape(&broker);
    assert_eq!(page.values("webrocket_deliveries_total", "shard").len(), 3);
    assert_eq!(
        page.sum("webrocket_build_info", &[("node", "test-node")]),
        1.0
    );
    for name in [
        "process_resident_memory_bytes",
        "process_open_fds",
        "process_max_fds",
        "process_cpu_seconds_total",
        "process_start_time_seconds",
        "webrocket_turn_seconds_count",
        "webrocket_busy_seconds_total",
    ] {
        assert!(page.sum(name, &[]) > 0.0, "{name}");
    }
    let limits = page.values("webrocket_headroom_ratio", "limit");
    for limit in [
        "core_time",
        "connections",
        "descriptors",
        "memory",
        "outboxes",
        "outbox_memory",
        "unfinished_memory",
        // The test's node listens on the loopback address.
        "ports",
    ] {
        assert!(limits.contains(limit), "{limit} in {limits:?}");
        assert!(page.sum("webrocket_headroom_ratio", &[("limit", limit)]) <= 1.0);
    }
    let seen = stats(&broker);
    let headroom = seen["headroom"].as_array().expect("headroom");
    let share = |it: &serde_json::Value| {
        it["used"].as_f64().expect("a number") / it["max"].as_f64().expect("a number")
    };
    assert_eq!(headroom.len(), limits.len());
    assert!(
        headroom.is_sorted_by(|a, b| share(a) >= share(b)),
        "{headroom:?}"
    );
    assert_eq!(seen["node"], "test-node");
    assert!(broker.stop());
}
