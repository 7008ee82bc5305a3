//! Metrics, health and stats of a real node.
//!
//! Traffic of a known size goes through it; then every number has to be exactly
//! that. A counter is written a moment after its frame, so a test waits until
//! it is right, and then sees that it stays.

#[path = "../support/mod.rs"]
mod support;

mod counters;
mod exposition;
mod health;
mod vhosts;

use std::time::Instant;

use exposition::Page;
use serde_json::Value;
use support::admin::{Answer, admin, admin_with};
use support::{Broker, PATIENCE};

/// As a scraper asks: without the cookie.
fn open(broker: &Broker, path: &str) -> Answer {
    admin_with(broker, "GET", path, "", "")
}

fn scrape(broker: &Broker) -> Page {
    let answer = open(broker, "/metrics");
    assert_eq!(answer.status, 200, "{answer:?}");
    let kind = answer.header("content-type");
    assert_eq!(kind, Some("text/plain; version=0.0.4; charset=utf-8"));
    Page::parse(&answer.body)
}

/// Leaves a page that shows traffic for `promtool check metrics`.
fn leave_page(broker: &Broker) {
    let path = concat!(env!("CARGO_TARGET_TMPDIR"), "/metrics.prom");
    std::fs::write(path, open(broker, "/metrics").body).expect("written");
}

fn stats(broker: &Broker) -> Value {
    let answer = admin(broker, "GET", "/stats.json");
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.json()
}

/// A name, the labels that its samples have to have, and the sum of their values.
type Sum<'a> = (&'a str, &'a [(&'a str, &'a str)], u64);

/// Waits until all these sums are on the page, and sees that they stay.
fn expect(broker: &Broker, sums: &[Sum<'_>]) {
    let begun = Instant::now();
    let all = |page: &Page| {
        let value = |(name, labels, _): &Sum<'_>| page.sum(name, labels);
        sums.iter().map(value).collect::<Vec<_>>()
    };
    let expected: Vec<f64> = sums.iter().map(|(.., value)| *value as f64).collect();
    loop {
        let found = all(&scrape(broker));
        if found == expected {
            break;
        }
        assert!(begun.elapsed() < PATIENCE, "{found:?} of {sums:?}");
        std::thread::yield_now();
    }
    assert_eq!(all(&scrape(broker)), expected, "{sums:?}");
}
