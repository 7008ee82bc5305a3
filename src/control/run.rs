use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use rustc_hash::FxHashMap;
use tokio::sync::mpsc;
use tokio::time::{MissedTickBehavior, interval, sleep};

use super::Error;
use super::handle::{Answer, Command, Handle};
use super::registry::{Registry, Reply};
use super::store::{Record, Store};
use crate::hub::envelope::ToControl;
use crate::hub::question::Finding;
use crate::limits::{
    ADMIN_REQUESTS_WAITING_MAX, CONTROL_RETRY_INTERVAL, STORE_RETRY_INTERVAL, TOKEN_SWEEP_INTERVAL,
};
use crate::mesh::ControlPort;
use crate::meter::StoreMeter;
use crate::model::{Quotas, ShardId};

/// The registry with its rings, its store and those who ask.
pub struct Control<S> {
    store: S,
    store_meter: Arc<StoreMeter>,
    desk: Desk,
}

/// All of control but its store, which works beside it.
struct Desk {
    port: ControlPort,
    registry: Registry,
    commands: mpsc::Receiver<Command>,
    /// Questions to shards, by number.
    questions: FxHashMap<u64, Answer<Finding>>,
    next_query: u64,
    /// Who waits for the drain; the shards that have no connection left.
    draining: Vec<Reply>,
    drained: HashSet<ShardId>,
    /// By shard: who waits for the answer to the probe that is under way.
    probes: Vec<Vec<Answer<()>>>,
}

impl<S: Store> Control<S> {
    /// Control over the shards at `port`, with what `store` holds. The shards
    /// know of it once [`Self::run`] runs and [`Handle::settle`] has returned.
    ///
    /// # Errors
    /// What the store says when it can't be read.
    pub async fn load(port: ControlPort, mut store: S) -> Result<(Self, Handle), Error> {
        let shards = port.shards();
        let mut registry = Registry::new(shards, Box::new(getrandom::fill));
        registry.restore(store.load().await?, now_ms());
        let (sender, commands) = mpsc::channel(ADMIN_REQUESTS_WAITING_MAX);
        let probes = (0..port.shards()).map(|_| Vec::new()).collect();
        let desk = Desk {
            port,
            registry,
            commands,
            questions: FxHashMap::default(),
            next_query: 0,
            draining: Vec::new(),
            drained: HashSet::new(),
            probes,
        };
        let store_meter = Arc::new(StoreMeter::default());
        let handle = Handle::new(sender, shards, Arc::clone(&store_meter));
        let control = Self {
            store,
            store_meter,
            desk,
        };
        Ok((control, handle))
    }

    /// What the node grants to begin with; its shards are started with the same.
    pub fn set_quotas(&mut self, quotas: Arc<Quotas>) {
        self.desk.registry.quotas = quotas;
    }

    /// Runs until every shard has dropped its port; then commits what is left
    /// for the store and returns.
    pub async fn run(self) {
        // One batch is with the store, and the answer to it is taken before the
        // next one goes there.
        let (batches, next_batch) = mpsc::channel(1);
        let (commits, commit) = mpsc::channel(1);
        tokio::join!(
            write(self.store, &self.store_meter, next_batch, commits),
            self.desk.run(batches, commit)
        );
    }
}

/// Commits one batch after the other and tells of each whether it is durable.
async fn write(
    mut store: impl Store,
    meter: &StoreMeter,
    mut batches: mpsc::Receiver<Vec<Record>>,
    commits: mpsc::Sender<bool>,
) {
    let mut failed = false;
    while let Some(batch) = batches.recv().await {
        let (changes, began) = (batch.len(), Instant::now());
        let result = store.commit(batch).await;
        meter.commit_time.record(began.elapsed().as_micros() as u64);
        // Said once: while a disk is full this comes ten times a second.
        match &result {
            Err(error) if !failed => {
                tracing::error!(%error, changes, "changes are not stored and are refused from now on");
            }
            Err(error) => tracing::debug!(%error, changes, "changes not stored"),
            Ok(()) if failed => tracing::info!("changes are stored again"),
            Ok(()) => {}
        }
        failed = result.is_err();
        if failed {
            meter.failures.add(1);
        } else {
            meter.commits.add(1);
            meter.records.add(changes as u64);
        }
        if commits.send(!failed).await.is_err() {
            return;
        }
        if failed {
            sleep(STORE_RETRY_INTERVAL).await;
        }
    }
}

impl Desk {
    async fn run(mut self, batches: mpsc::Sender<Vec<Record>>, mut commits: mpsc::Receiver<bool>) {
        let mut sweep = interval(TOKEN_SWEEP_INTERVAL);
        sweep.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            self.offer_batch(&batches);
            let refused = self.send();
            tokio::select! {
                message = self.port.receive() => match message {
                    Some(message) => self.handle_message(message),
                    None => break,
                },
                Some(command) = self.commands.recv() => self.handle_command(command),
                Some(durable) = commits.recv() => self.registry.handle_commit(durable),
                () = sleep(CONTROL_RETRY_INTERVAL), if refused => {}
                _ = sweep.tick() => self.registry.handle_sweep(now_ms()),
            }
        }
        self.finish(&batches, &mut commits).await;
    }

    fn offer_batch(&mut self, batches: &mpsc::Sender<Vec<Record>>) {
        // Room first: a batch taken from the registry must get to the store.
        if let Ok(room) = batches.try_reserve()
            && let Some(batch) = self.registry.take_batch()
        {
            room.send(batch);
        }
    }

    /// Moves what waits into the rings; tells whether a full one refused.
    fn send(&mut self) -> bool {
        let mut refused = false;
        for (shard, outbox) in (0..).zip(self.registry.outboxes()) {
            while let Some(delivery) = outbox.pop_front() {
                if let Err(delivery) = self.port.try_deliver(shard, delivery) {
                    outbox.push_front(delivery);
                    refused = true;
                    break;
                }
            }
        }
        refused
    }

    fn handle_message(&mut self, message: ToControl) {
        let registry = &mut self.registry;
        match message {
            ToControl::Backend {
                from,
                request,
                vhost,
                ask,
            } => registry.handle_ask(from, request, vhost, ask, now_ms()),
            ToControl::Spent { token, bearer } => registry.handle_spent(&token, bearer),
            ToControl::WorkerReady {
                vhost,
                worker,
                from,
            } => registry.handle_worker_ready(vhost, worker, from),
            ToControl::WorkerGone { vhost, from } => registry.handle_worker_gone(vhost, from),
            ToControl::Applied { shard, version } => registry.handle_applied(shard, version),
            ToControl::Answered { query, finding } => {
                if let Some(answer) = self.questions.remove(&query) {
                    // Whoever asked may have gone.
                    drop(answer.send(Ok(*finding)));
                }
            }
            ToControl::Alive { shard } => {
                if let Some(waiting) = self.probes.get_mut(usize::from(shard)) {
                    // Whoever asked may have gone.
                    waiting
                        .drain(..)
                        .for_each(|answer| drop(answer.send(Ok(()))));
                }
            }
            ToControl::Drained { shard } => {
                self.drained.insert(shard);
                if self.drained.len() == usize::from(self.port.shards()) {
                    self.registry.stop();
                }
                self.answer_drained();
            }
        }
    }

    fn handle_command(&mut self, command: Command) {
        // Whoever asked may have gone: a refused answer is dropped.
        match command {
            Command::Edit(edit, reply) => self.registry.handle_edit(edit, reply),
            Command::Vhosts(answer) => drop(answer.send(Ok(self.registry.vhosts()))),
            Command::Vhost(path, answer) => drop(answer.send(self.registry.vhost(&path))),
            Command::Channels(path, answer) => drop(answer.send(self.registry.channels(&path))),
            Command::Workers(path, answer) => drop(answer.send(self.registry.workers(&path))),
            Command::IssueToken(path, grant, answer) => {
                self.registry
                    .handle_token_wanted(&path, grant, now_ms(), answer);
            }
            Command::VhostId(path, answer) => drop(answer.send(self.registry.vhost_id(&path))),
            Command::PathsOf(ids, answer) => drop(answer.send(Ok(self.registry.paths_of(&ids)))),
            Command::Home(path, name, answer) => {
                drop(answer.send(self.registry.home(&path, &name)));
            }
            Command::Homes(path, answer) => drop(answer.send(self.registry.homes(&path))),
            Command::Numbers(path, answer) => drop(answer.send(self.registry.numbers(&path))),
            Command::Query(shard, question, answer) => {
                self.next_query += 1;
                match self.registry.query(shard, self.next_query, question) {
                    Ok(()) => {
                        // A stuck shard must not make the table grow.
                        self.questions.retain(|_, answer| !answer.is_closed());
                        self.questions.insert(self.next_query, answer);
                    }
                    Err(error) => drop(answer.send(Err(error))),
                }
            }
            Command::Overview(answer) => drop(answer.send(Ok(self.registry.overview()))),
            Command::Probe(shard, answer) => self.probe(shard, answer),
            Command::Serve(reply) => {
                self.registry.serve();
                drop(reply.send(Ok(())));
            }
            Command::Drain(window_ms, reply) => {
                if self.draining.is_empty() && self.drained.is_empty() {
                    self.registry.drain(window_ms);
                }
                self.draining.push(reply);
                self.answer_drained();
            }
        }
    }

    /// One probe at a time is on its way to a shard, or a stuck one would make
    /// its queue grow.
    fn probe(&mut self, shard: ShardId, answer: Answer<()>) {
        let Some(waiting) = self.probes.get_mut(usize::from(shard)) else {
            return;
        };
        let is_under_way = !waiting.is_empty();
        // The first stays, though it may have gone: it stands for the probe.
        let mut first = true;
        waiting.retain(|answer| std::mem::take(&mut first) || !answer.is_closed());
        waiting.push(answer);
        if !is_under_way {
            self.registry.probe(shard);
        }
    }

    fn answer_drained(&mut self) {
        if self.drained.len() == usize::from(self.port.shards()) {
            for reply in self.draining.drain(..) {
                drop(reply.send(Ok(())));
            }
        }
    }

    /// Gives the store the rest, above all tokens that were used, until it fails.
    async fn finish(
        mut self,
        batches: &mpsc::Sender<Vec<Record>>,
        commits: &mut mpsc::Receiver<bool>,
    ) {
        loop {
            self.offer_batch(batches);
            if !self.registry.is_committing() {
                return;
            }
            match commits.recv().await {
                Some(true) => self.registry.handle_commit(true),
                Some(false) | None => return,
            }
        }
    }
}

/// Milliseconds since the Unix epoch.
fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| since.as_millis() as u64)
}
