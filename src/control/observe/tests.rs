//! Health and pages over stand-in shards that stall when they are told to.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::time::sleep;

use super::exposition;
use super::health::{Health, progress, readiness};
use crate::control::MemoryStore;
use crate::control::tests::path;
use crate::control::tests::shard::Node;
use crate::meter::{Kind, Refused};
use crate::model::Quotas;

fn stall(node: &Node, shard: usize, stalled: bool) {
    *node.shards[shard].stalled.lock().expect("lock") = stalled;
}

#[tokio::test]
async fn a_shard_that_makes_no_progress_is_named() {
    let node = Node::start(3, MemoryStore::default()).await;
    assert_eq!(progress(&node.observer).await, Health::Ok);
    stall(&node, 1, true);
    assert_eq!(
        progress(&node.observer).await,
        Health::ShardsStalled(vec![1])
    );
    stall(&node, 2, true);
    assert_eq!(
        progress(&node.observer).await,
        Health::ShardsStalled(vec![1, 2])
    );
    stall(&node, 1, false);
    stall(&node, 2, false);
    assert_eq!(progress(&node.observer).await, Health::Ok);
    node.stop().await;
}

#[tokio::test]
async fn a_stuck_shard_is_sent_one_probe_however_many_ask() {
    let node = Node::start(1, MemoryStore::default()).await;
    stall(&node, 0, true);
    let asking: Vec<_> = (0..20)
        .map(|_| {
            let observer = node.observer.clone();
            tokio::spawn(async move { progress(&observer).await })
        })
        .collect();
    for asked in asking {
        assert_eq!(
            asked.await.expect("no panic"),
            Health::ShardsStalled(vec![0])
        );
    }
    stall(&node, 0, false);
    assert_eq!(progress(&node.observer).await, Health::Ok);
    // The one that all waited for may have answered the last one as well.
    let probes = node.shards[0].probes.load(Ordering::Relaxed);
    assert!((1..=2).contains(&probes), "{probes}");
    node.stop().await;
}

#[tokio::test]
async fn a_node_is_ready_once_every_shard_knows_the_store_and_until_it_drains() {
    let store = MemoryStore::default();
    let node = Node::start(2, store.clone()).await;
    assert_eq!(
        readiness(&node.observer).await,
        Health::Ok,
        "nothing to restore"
    );
    node.handle.create_vhost(path("/v")).await.expect("created");
    node.stop().await;

    let node = Node::start_stalled(2, store).await;
    assert_eq!(readiness(&node.observer).await, Health::Starting);
    stall(&node, 0, false);
    // The other shard does not know it yet.
    while node.shards[0].changes.load(Ordering::Relaxed) == 0 {
        sleep(Duration::from_millis(1)).await;
    }
    assert_eq!(readiness(&node.observer).await, Health::Starting);
    stall(&node, 1, false);
    node.handle.settle().await.expect("settled");
    assert_eq!(readiness(&node.observer).await, Health::Ok);
    node.handle.drain(Duration::ZERO).await.expect("drained");
    assert_eq!(readiness(&node.observer).await, Health::Draining);
    node.stop().await;
}

#[tokio::test]
async fn without_control_nothing_is_well() {
    let node = Node::start(1, MemoryStore::default()).await;
    let observer = node.observer.clone();
    node.stop().await;
    assert_eq!(progress(&observer).await, Health::ControlStalled);
    assert_eq!(readiness(&observer).await, Health::ControlStalled);
    assert!(observer.look().await.is_err());
}

#[tokio::test]
async fn what_meters_hold_is_on_the_page() {
    let node = Node::start(2, MemoryStore::default()).await;
    node.handle.create_vhost(path("/v")).await.expect("created");
    let meters = &node.observer.0.shards;
    let quotas = Quotas {
        connections_max: 1_000,
        ..Quotas::default()
    };
    let replaced = node.handle.set_quotas(Arc::new(quotas)).await;
    replaced.expect("replaced");
    meters[0].refuse(Refused::Origin);
    meters[1].refuse(Refused::Origin);
    meters[1].refuse(Refused::Origin);
    meters[1].connections(Kind::Frontend).set(250);
    meters[1].latency.record(100);
    let page = exposition::render(node.observer.look().await.expect("a look"));
    for line in [
        r#"webrocket_refused_total{shard="0",cause="origin"} 1"#,
        r#"webrocket_refused_total{shard="1",cause="origin"} 2"#,
        r#"webrocket_refused_total{shard="1",cause="upgrade"} 0"#,
        r#"webrocket_connections{shard="1",kind="frontend"} 250"#,
        r#"webrocket_fanout_latency_seconds_bucket{shard="1",le="6.4e-05"} 0"#,
        r#"webrocket_fanout_latency_seconds_bucket{shard="1",le="0.000128"} 1"#,
        r#"webrocket_fanout_latency_seconds_sum{shard="1"} 0.0001"#,
        r#"webrocket_vhost_frontends{vhost="/v"} 0"#,
        r#"webrocket_headroom_ratio{limit="connections"} 0.75"#,
        "webrocket_ready 1",
    ] {
        assert!(page.lines().any(|it| it == line), "{line} in\n{page}");
    }
    node.stop().await;
}
