//! Questions to shards: their pages are put together, and a shard that is stuck
//! is an error in time.

use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::shard::{Node, SUBSCRIBERS};
use super::{name, path};
use crate::control::{Error, MemoryStore, Traffic, VhostCounts, Whom};
use crate::limits::{INQUIRIES_MAX, QUESTION_TIMEOUT, QUESTION_VISITS_MAX};

async fn node() -> Node {
    let node = Node::start(2, MemoryStore::default()).await;
    let vhost = node.handle.create_vhost(path("/v")).await;
    vhost.expect("created");
    node
}

#[tokio::test(start_paused = true)]
async fn the_pages_of_all_shards_are_put_together() {
    let node = node().await;
    let opened = node.handle.open_channel(path("/v"), name("a")).await;
    opened.expect("opened");
    let counts = node.handle.vhost_counts(path("/v")).await.expect("counted");
    let expected = VhostCounts {
        sessions: 4,
        subscriptions: 8,
        channels: 1,
        workers: 0,
        unused_tokens: 0,
        traffic: Some(Traffic::default()),
    };
    assert_eq!(counts, expected);
    let joe = Whom::User("joe".into());
    let gone = node.handle.disconnect(path("/v"), joe).await;
    assert_eq!(gone.expect("asked"), 4);
    let sizes = node.handle.channel_sizes(path("/v")).await;
    assert_eq!(sizes.expect("counted"), [(name("a"), SUBSCRIBERS)]);
    node.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_stuck_shard_is_an_error_in_time() {
    let node = node().await;
    *node.shards[1].stalled.lock().expect("lock") = true;
    let begun = Instant::now();
    let counts = node.handle.vhost_counts(path("/v")).await;
    assert!(matches!(counts, Err(Error::NoAnswer)));
    assert!(
        (QUESTION_TIMEOUT..QUESTION_TIMEOUT + Duration::from_secs(1)).contains(&begun.elapsed())
    );
    // What asks no shard goes on, and so does all once the shard does.
    assert_eq!(node.handle.vhosts().await.expect("listed").len(), 1);
    *node.shards[1].stalled.lock().expect("lock") = false;
    let counts = node.handle.vhost_counts(path("/v")).await;
    assert_eq!(counts.expect("counted").sessions, 4);
    node.stop().await;
}

#[tokio::test(start_paused = true)]
async fn so_many_ask_at_once_and_no_more() {
    let node = node().await;
    *node.shards[1].stalled.lock().expect("lock") = true;
    let asking: Vec<_> = (0..=INQUIRIES_MAX)
        .map(|_| {
            let handle = node.handle.clone();
            tokio::spawn(async move { handle.vhost_counts(path("/v")).await })
        })
        .collect();
    // The clock goes on only when nothing else is to be done.
    sleep(QUESTION_TIMEOUT / 2).await;
    let asked = node.shards[0].questions.load(Ordering::Relaxed);
    assert_eq!(asked, INQUIRIES_MAX, "the last one has no seat");
    *node.shards[1].stalled.lock().expect("lock") = false;
    for counts in asking {
        let counts = counts.await.expect("no panic").expect("counted");
        assert_eq!(counts.sessions, 4);
    }
    node.stop().await;
}

#[tokio::test(start_paused = true)]
async fn sizes_of_many_channels_are_asked_for_in_pages() {
    let node = node().await;
    let count = 2 * QUESTION_VISITS_MAX + 2;
    let names: Vec<_> = (0..count)
        .map(|number| name(&format!("c{number}")))
        .collect();
    let opened: Vec<_> = names
        .iter()
        .map(|name| {
            let (handle, name) = (node.handle.clone(), name.clone());
            tokio::spawn(async move { handle.open_channel(path("/v"), name).await })
        })
        .collect();
    for opened in opened {
        opened.await.expect("no panic").expect("opened");
    }
    let sizes = node
        .handle
        .channel_sizes(path("/v"))
        .await
        .expect("counted");
    assert_eq!(sizes.len(), count);
    assert!(sizes.iter().all(|(_, size)| *size == SUBSCRIBERS));
    let asked = node
        .shards
        .iter()
        .map(|it| it.questions.load(Ordering::Relaxed));
    assert!((3..=4).contains(&asked.sum::<usize>()));
    node.stop().await;
}
