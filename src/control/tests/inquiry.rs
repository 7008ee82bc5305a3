//! Questions to shards: their pages are put together, and a shard that is stuck
//! is an error in time.

use std::time::Duration;

use tokio::time::Instant;

use super::shard::{Node, SUBSCRIBERS};
use super::{name, path};
use crate::control::{Error, MemoryStore, VhostCounts, Whom};
use crate::limits::QUESTION_TIMEOUT;

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
