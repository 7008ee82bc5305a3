//! Control over real rings: its handle, its store, drain and end.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::time::sleep;

use super::shard::{Node, SUBSCRIBERS};
use super::{name, path};
use crate::control::{Error, MemoryStore, Record, Snapshot, Store};
use crate::hub::envelope::{Ask, Delivery, Grant, Outcome, ToControl};
use crate::limits::RING_ENVELOPES_MAX;
use crate::model::{ConnId, Peer, VhostId, WorkerId};

const CONN: ConnId = ConnId {
    slot: 3,
    generation: 1,
};

fn ask(request: u32, ask: Ask) -> ToControl {
    ToControl::Backend {
        from: Peer {
            shard: 0,
            conn: CONN,
        },
        request,
        vhost: VhostId(0),
        ask,
    }
}

/// Waits until the first shard has this many answers.
async fn answers(node: &Node, count: usize) {
    while node.shards[0].answers.lock().expect("lock").len() < count {
        sleep(Duration::from_millis(1)).await;
    }
}

#[tokio::test]
async fn a_handle_changes_and_sees() {
    let node = Node::start(2, MemoryStore::default()).await;
    let handle = &node.handle;
    let vhost = handle.create_vhost(path("/v")).await.expect("created");
    assert_eq!(vhost.channels, 0);
    for shard in &node.shards {
        assert_eq!(shard.changes.load(Ordering::Relaxed), 1, "applied by all");
    }
    let again = handle.create_vhost(path("/v")).await;
    assert!(matches!(again, Err(Error::VhostExists)));
    handle
        .open_channel(path("/v"), name("b"))
        .await
        .expect("opened");
    handle
        .open_channel(path("/v"), name("a"))
        .await
        .expect("opened");
    let listed = handle.channels(path("/v")).await.expect("there");
    assert_eq!(listed, [name("a"), name("b")]);
    let count = handle.subscribers(path("/v"), name("a")).await;
    assert_eq!(count.expect("counted"), SUBSCRIBERS);
    let count = handle.subscribers(path("/v"), name("c")).await;
    assert!(matches!(count, Err(Error::ChannelNotFound)));
    handle.replace_token(path("/v")).await.expect("replaced");
    let seen = handle.vhost(path("/v")).await.expect("there");
    assert_ne!(seen.token, vhost.token);
    assert_eq!(seen.channels, 2);
    handle
        .close_channel(path("/v"), name("a"))
        .await
        .expect("closed");
    handle.clear_channels(path("/v")).await.expect("cleared");
    assert!(handle.channels(path("/v")).await.expect("there").is_empty());
    handle.delete_vhost(path("/v")).await.expect("deleted");
    handle.clear_vhosts().await.expect("nothing to do");
    assert!(handle.vhosts().await.expect("listed").is_empty());
    node.stop().await;
}

#[tokio::test]
async fn what_was_acknowledged_outlives_control_st_01_st_04() {
    let store = MemoryStore::default();
    let node = Node::start(2, store.clone()).await;
    let vhost = node.handle.create_vhost(path("/v")).await.expect("created");
    node.handle
        .open_channel(path("/v"), name("a"))
        .await
        .expect("opened");
    let grant = || {
        Ask::Token(Box::new(Grant {
            uid: "u".into(),
            pattern: ".*".into(),
        }))
    };
    let mut outbox = vec![ask(1, grant()), ask(2, grant())];
    node.shards[0]
        .outbox
        .lock()
        .expect("lock")
        .append(&mut outbox);
    answers(&node, 2).await;
    let token = match &node.shards[0].answers.lock().expect("lock")[0] {
        Delivery::Answer {
            conn,
            outcome: Outcome::Token(token),
            ..
        } => {
            assert_eq!(*conn, CONN);
            token.clone()
        }
        other => panic!("{other:?}"),
    };
    let bearer = None;
    let spent = ToControl::Spent { token, bearer };
    node.shards[0].outbox.lock().expect("lock").push(spent);
    let handle = node.handle.clone();
    // The shard's turn after this one has taken its outbox.
    while !node.shards[0].outbox.lock().expect("lock").is_empty() {
        sleep(Duration::from_millis(1)).await;
    }
    sleep(Duration::from_millis(1)).await;
    node.stop().await;
    assert!(matches!(handle.vhosts().await, Err(Error::Stopped)));

    let node = Node::start(2, store.clone()).await;
    node.handle.settle().await.expect("settled");
    let seen = node.handle.vhost(path("/v")).await.expect("there");
    assert_eq!((seen.token, seen.channels), (vhost.token, 1));
    let changes = node.shards.iter();
    let changes: usize = changes.map(|it| it.changes.load(Ordering::Relaxed)).sum();
    // Vhost and channel on both shards, the one unspent token on its home.
    assert_eq!(changes, 5);
    node.stop().await;
}

#[tokio::test]
async fn a_worker_gets_its_first_heartbeat_and_is_listed_wk_01() {
    let node = Node::start(2, MemoryStore::default()).await;
    node.handle.create_vhost(path("/v")).await.expect("created");
    let worker = WorkerId::parse(&[b'w'; 36]).expect("valid");
    let from = Peer {
        shard: 0,
        conn: CONN,
    };
    let vhost = VhostId(0);
    let ready = ToControl::WorkerReady {
        vhost,
        worker,
        from,
    };
    node.shards[0].outbox.lock().expect("lock").push(ready);
    answers(&node, 1).await;
    let first = node.shards[0].answers.lock().expect("lock").pop();
    assert!(matches!(first, Some(Delivery::WorkerReady { conn }) if conn == CONN));
    let listed = node.handle.workers(path("/v")).await.expect("there");
    assert_eq!(listed, [worker]);
    let gone = ToControl::WorkerGone { vhost, from };
    node.shards[0].outbox.lock().expect("lock").push(gone);
    while !node
        .handle
        .workers(path("/v"))
        .await
        .expect("there")
        .is_empty()
    {
        sleep(Duration::from_millis(1)).await;
    }
    node.stop().await;
}

#[tokio::test]
async fn a_full_ring_loses_no_answer() {
    let node = Node::start(2, MemoryStore::default()).await;
    node.handle.create_vhost(path("/v")).await.expect("created");
    *node.shards[0].stalled.lock().expect("lock") = true;
    // Unknown channels: answered at once, twice what the ring takes.
    let asks = 2 * RING_ENVELOPES_MAX;
    for request in 0..asks as u32 {
        let close = ask(request, Ask::Close(name("missing")));
        node.shards[0].outbox.lock().expect("lock").push(close);
    }
    // Control answers others meanwhile; the last ask is behind this many turns.
    while !node.shards[0].outbox.lock().expect("lock").is_empty() {
        node.handle.vhosts().await.expect("listed");
        sleep(Duration::from_millis(1)).await;
    }
    *node.shards[0].stalled.lock().expect("lock") = false;
    answers(&node, asks).await;
    let answers = std::mem::take(&mut *node.shards[0].answers.lock().expect("lock"));
    for (expected, answer) in (0..).zip(answers) {
        assert!(matches!(answer, Delivery::Answer { request, .. } if request == expected));
    }
    node.stop().await;
}

#[tokio::test]
async fn a_drain_ends_when_all_shards_have_drained() {
    let node = Node::start(3, MemoryStore::default()).await;
    *node.shards[1].stalled.lock().expect("lock") = true;
    let handle = node.handle.clone();
    let mut drain = tokio::spawn(async move { handle.drain(Duration::ZERO).await });
    let early = tokio::time::timeout(Duration::from_millis(30), &mut drain).await;
    assert!(early.is_err(), "one shard has connections left");
    *node.shards[1].stalled.lock().expect("lock") = false;
    drain.await.expect("no panic").expect("drained");
    node.handle
        .drain(Duration::ZERO)
        .await
        .expect("drained already");
    node.stop().await;
}

/// Refuses as long as it is told to.
#[derive(Default)]
struct Failing {
    inner: MemoryStore,
    fails: Arc<AtomicBool>,
}

fn failing() -> Error {
    Error::Storage {
        path: "store".into(),
        source: std::io::ErrorKind::StorageFull.into(),
    }
}

impl Store for Failing {
    async fn load(&mut self) -> Result<Snapshot, Error> {
        if self.fails.load(Ordering::Relaxed) {
            return Err(failing());
        }
        self.inner.load().await
    }

    async fn commit(&mut self, records: Vec<Record>) -> Result<(), Error> {
        // A store that takes its time.
        sleep(Duration::from_millis(2)).await;
        if self.fails.load(Ordering::Relaxed) {
            return Err(failing());
        }
        self.inner.commit(records).await
    }
}

#[tokio::test]
async fn a_failing_store_refuses_changes_and_stops_nothing_else() {
    let store = Failing::default();
    let fails = Arc::clone(&store.fails);
    let node = Node::start(2, store).await;
    node.handle.create_vhost(path("/v")).await.expect("created");
    fails.store(true, Ordering::Relaxed);
    for _ in 0..2 {
        let refused = node.handle.create_vhost(path("/w")).await;
        assert!(matches!(refused, Err(Error::NotStored)));
    }
    assert_eq!(node.handle.vhosts().await.expect("listed").len(), 1);
    fails.store(false, Ordering::Relaxed);
    node.handle.create_vhost(path("/w")).await.expect("created");
    node.stop().await;
}

#[tokio::test]
async fn an_unreadable_store_is_told_at_the_start() {
    let store = Failing::default();
    store.fails.store(true, Ordering::Relaxed);
    let (_ports, port) = crate::mesh::build(1).expect("ports");
    let loaded = crate::control::Control::load(port, store).await;
    assert!(matches!(loaded.err(), Some(Error::Storage { .. })));
}

#[tokio::test]
async fn a_probe_is_answered_by_its_own_shard() {
    let node = Node::start(3, MemoryStore::default()).await;
    *node.shards[1].stalled.lock().expect("lock") = true;
    for shard in [0, 2, 0] {
        node.handle.probe(shard).await.expect("alive");
    }
    // Those who gave up and those who wait share the one that is under way.
    for _ in 0..2 * RING_ENVELOPES_MAX {
        let given_up = node.handle.probe(1);
        assert!(
            tokio::time::timeout(Duration::ZERO, given_up)
                .await
                .is_err()
        );
    }
    let waiting = node.handle.probe(1);
    let alive = async {
        node.handle.probe(0).await.expect("alive");
        *node.shards[1].stalled.lock().expect("lock") = false;
    };
    let (answer, ()) = tokio::join!(waiting, alive);
    answer.expect("alive again");
    node.handle.probe(1).await.expect("alive still");
    assert!(node.handle.probe(3).await.is_err(), "no such shard");
    node.stop().await;
}
