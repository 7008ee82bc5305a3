//! A stand-in for a shard: applies every change and answers every question.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio::time::sleep;

use crate::control::{Control, Handle, NodeFacts, Observer, Store};
use crate::hub::envelope::{Delivery, ToControl};
use crate::hub::question::{Errand, Finding, Question};
use crate::mesh::{self, ShardPort};
use crate::meter::Clock;

/// Subscribers that every stand-in says a channel has.
pub(crate) const SUBSCRIBERS: u32 = 7;

/// Control with stand-in shards.
pub(crate) struct Node {
    pub(crate) handle: Handle,
    pub(crate) observer: Observer,
    pub(crate) shards: Vec<Arc<Shard>>,
    shard_tasks: Vec<JoinHandle<()>>,
    control: JoinHandle<()>,
}

/// What a stand-in saw, and what it is to do.
#[derive(Default)]
pub(crate) struct Shard {
    pub(crate) changes: AtomicUsize,
    pub(crate) probes: AtomicUsize,
    pub(crate) questions: AtomicUsize,
    /// Deliveries that were neither changes nor questions.
    pub(crate) answers: Mutex<Vec<Delivery>>,
    /// To be sent to control.
    pub(crate) outbox: Mutex<Vec<ToControl>>,
    /// Takes nothing from its ring as long as this is held.
    pub(crate) stalled: Mutex<bool>,
}

impl Node {
    pub(crate) async fn start(shards: u16, store: impl Store) -> Self {
        Self::start_with(shards, store, false).await
    }

    /// With shards that take nothing in before they are told to.
    pub(crate) async fn start_stalled(shards: u16, store: impl Store) -> Self {
        Self::start_with(shards, store, true).await
    }

    async fn start_with(shards: u16, store: impl Store, stalled: bool) -> Self {
        let (ports, port) = mesh::build(shards).expect("ports");
        let (control, handle) = Control::load(port, store).await.expect("loaded");
        let control = tokio::spawn(control.run());
        let meters = ports.iter().map(|_| Arc::default()).collect();
        let facts = NodeFacts {
            name: "node".into(),
            websocket_addr: ([127, 0, 0, 1], 8080).into(),
        };
        let observer = Observer::new(facts, Clock::start(), meters, handle.clone());
        let (shards, shard_tasks) = ports
            .into_iter()
            .map(|port| {
                let shard = Arc::new(Shard::default());
                *shard.stalled.lock().expect("lock") = stalled;
                let task = tokio::spawn(run(port, Arc::clone(&shard)));
                (shard, task)
            })
            .unzip();
        Self {
            handle,
            observer,
            shards,
            shard_tasks,
            control,
        }
    }

    /// Ends the shards; control ends by itself. Nothing looks at the clock every
    /// millisecond then.
    pub(crate) fn end_shards(&self) {
        for task in &self.shard_tasks {
            task.abort();
        }
    }

    /// Ends the shards and sees that control ends with them.
    pub(crate) async fn stop(self) {
        self.end_shards();
        self.control.await.expect("control ends by itself");
    }
}

async fn run(mut port: ShardPort, shard: Arc<Shard>) {
    loop {
        let outbox = std::mem::take(&mut *shard.outbox.lock().expect("lock"));
        outbox.into_iter().for_each(|it| port.control(it));
        if !*shard.stalled.lock().expect("lock") {
            while let Some(delivery) = port.take_delivery() {
                handle(&mut port, &shard, delivery);
            }
        }
        port.flush();
        sleep(Duration::from_millis(1)).await;
    }
}

fn handle(port: &mut ShardPort, shard: &Shard, delivery: Delivery) {
    let id = port.id();
    match delivery {
        Delivery::Change { version, .. } => {
            shard.changes.fetch_add(1, Ordering::Relaxed);
            port.control(ToControl::Applied { shard: id, version });
        }
        Delivery::Query { query, question } => {
            shard.questions.fetch_add(1, Ordering::Relaxed);
            let finding = match *question {
                Question::Sizes(channels) => Finding::Sizes(vec![SUBSCRIBERS; channels.len()]),
                // Two pages, each with one session and two subscriptions.
                Question::Sessions {
                    from,
                    errand: Errand::Count | Errand::Disconnect,
                    ..
                } => Finding::Counted {
                    sessions: 1,
                    subscriptions: 2,
                    next: (from == 0).then_some(1),
                },
                other => panic!("not to be asked here: {other:?}"),
            };
            let finding = Box::new(finding);
            port.control(ToControl::Answered { query, finding });
        }
        Delivery::Probe => {
            shard.probes.fetch_add(1, Ordering::Relaxed);
            port.control(ToControl::Alive { shard: id });
        }
        Delivery::Drain { .. } => port.control(ToControl::Drained { shard: id }),
        other => shard.answers.lock().expect("lock").push(other),
    }
}
