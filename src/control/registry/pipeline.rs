use std::collections::{BTreeMap, VecDeque};
use std::ops::Bound::{Excluded, Included};

use crate::control::Error;
use crate::control::handle::Answer;
use crate::control::store::Record;
use crate::hub::envelope::{Bearer, Change, Delivery, Grant, Outcome};
use crate::hub::question::Question;
use crate::limits::{
    CHANGES_IN_FLIGHT_MAX, CHANGES_PER_COMMIT_MAX, CHANGES_WAITING_MAX, QUESTION_BACKLOG_MAX,
};
use crate::model::{AccessToken, Peer, ShardId, SingleAccessToken, Status, VhostId};

/// Where an admin request waits for its answer.
pub(in crate::control) type Reply = Answer<()>;

/// The way of a change: decided, committed by the store, sent to its shards,
/// applied by all of them. Versions count changes as they are decided; they are
/// committed and sent in this order.
///
/// Invariant: `sent_to <= committed_to <= version`, and `pending` holds every
/// change above `sent_to` and those below that some shard has yet to apply.
pub(super) struct Pipeline {
    pending: BTreeMap<u64, Pending>,
    /// The newest change decided.
    version: u64,
    /// The newest change that the store has.
    committed_to: u64,
    /// The newest change sent.
    sent_to: u64,
    /// While a commit runs: the newest change in it.
    committing_to: Option<u64>,
    in_flight: usize,
    /// Who waits until nothing up to a version is pending, the oldest first. A
    /// change for one shard may be applied before an older one for all, so the
    /// version's own completion would not do.
    barriers: VecDeque<(u64, Completion)>,
    /// By shard, the newest change that it has applied.
    applied: Vec<u64>,
    /// Tokens that the store is to forget, the oldest first.
    forgotten: VecDeque<Forgotten>,
    forgetting: Vec<Forgotten>,
    /// By shard, what its ring is to take.
    outboxes: Vec<VecDeque<Delivery>>,
}

/// A change that not every shard has applied.
struct Pending {
    change: Change,
    audience: Audience,
    /// What the store is to keep of it; workers are not kept.
    record: Option<Record>,
    undo: Undo,
    /// Shards that have yet to apply it.
    awaited: u16,
    completions: Vec<Completion>,
}

/// A token that was used or has expired.
struct Forgotten {
    vhost: VhostId,
    token: SingleAccessToken,
    /// Who waits for the store to forget it.
    bearer: Option<Bearer>,
}

/// The shards that a change is for.
#[derive(Clone, Copy)]
pub(super) enum Audience {
    All,
    Home(ShardId),
}

/// What a change overwrote and does not name itself.
pub(super) enum Undo {
    Nothing,
    /// The access token before.
    AccessToken(AccessToken),
    /// The version that opened the channel now closed.
    Opened(u64),
}

/// Who learns that a change is applied.
pub(super) enum Completion {
    Answer {
        to: Peer,
        request: u32,
        outcome: Outcome,
    },
    WorkerReady(Peer),
    Reply(Reply),
    Token(Answer<SingleAccessToken>, Box<SingleAccessToken>),
}

/// A change that the store refused, to be taken back.
pub(super) struct Refused {
    pub(super) change: Change,
    pub(super) undo: Undo,
}

impl Pipeline {
    pub(super) fn new(shards: u16) -> Self {
        Self {
            pending: BTreeMap::new(),
            version: 0,
            committed_to: 0,
            sent_to: 0,
            committing_to: None,
            in_flight: 0,
            barriers: VecDeque::new(),
            applied: vec![0; usize::from(shards)],
            forgotten: VecDeque::new(),
            forgetting: Vec::new(),
            outboxes: (0..shards).map(|_| VecDeque::new()).collect(),
        }
    }

    /// Whether further changes are to be refused.
    pub(super) fn is_full(&self) -> bool {
        self.pending.len() >= CHANGES_WAITING_MAX
    }

    /// Changes decided and not yet applied.
    pub(super) fn waiting(&self) -> usize {
        self.pending.len()
    }

    /// Whether every change up to this version is applied or refused.
    pub(super) fn has_applied(&self, version: u64) -> bool {
        let oldest = self.pending.keys().next();
        oldest.is_none_or(|&oldest| oldest > version)
    }

    /// The version that the next change gets.
    pub(super) fn next_version(&self) -> u64 {
        self.version + 1
    }

    /// Takes a change in, of which the store is to keep `record`; gives its version.
    pub(super) fn push(
        &mut self,
        change: Change,
        audience: Audience,
        record: Option<Record>,
        undo: Undo,
    ) -> u64 {
        self.version += 1;
        let pending = Pending {
            change,
            audience,
            record,
            undo,
            awaited: match audience {
                Audience::All => self.outboxes.len() as u16,
                Audience::Home(_) => 1,
            },
            completions: Vec::new(),
        };
        self.pending.insert(self.version, pending);
        self.version
    }

    /// Completes when this change is applied; at once when it is already.
    pub(super) fn wait_for(&mut self, version: u64, completion: Completion) {
        match self.pending.get_mut(&version) {
            Some(pending) => pending.completions.push(completion),
            None => self.complete(completion),
        }
    }

    /// Completes when every change decided so far is applied or refused.
    pub(super) fn wait_for_all(&mut self, completion: Completion) {
        self.barriers.push_back((self.version, completion));
        self.pass_barriers();
    }

    fn pass_barriers(&mut self) {
        let oldest = self.pending.keys().next().copied().unwrap_or(u64::MAX);
        while self.barriers.front().is_some_and(|&(to, _)| to < oldest) {
            if let Some((_, completion)) = self.barriers.pop_front() {
                self.complete(completion);
            }
        }
    }

    /// The store is to forget this token; `bearer` is told when it has.
    pub(super) fn forget(
        &mut self,
        vhost: VhostId,
        token: SingleAccessToken,
        bearer: Option<Bearer>,
    ) {
        self.forgotten.push_back(Forgotten {
            vhost,
            token,
            bearer,
        });
    }

    /// Tells a frontend what became of its token.
    pub(super) fn tell_bearer(&mut self, to: Peer, grant: Result<Box<Grant>, Status>) {
        let conn = to.conn;
        self.deliver(to.shard, Delivery::Token { conn, grant });
    }

    /// What to commit next, unless a commit runs or nothing waits for one.
    /// Answer with [`Self::committed`] or [`Self::refused`].
    pub(super) fn take_batch(&mut self) -> Option<Vec<Record>> {
        if self.committing_to.is_some() {
            return None;
        }
        self.pass_undurable();
        let mut batch = Vec::new();
        let mut last = self.committed_to;
        let waiting = self.pending.range(self.committed_to + 1..);
        for (&version, pending) in waiting.take(CHANGES_PER_COMMIT_MAX) {
            batch.extend(pending.record.clone());
            last = version;
        }
        let count = self.forgotten.len().min(CHANGES_PER_COMMIT_MAX);
        self.forgetting = self.forgotten.drain(..count).collect();
        let forgetting = self.forgetting.iter();
        batch.extend(forgetting.map(|it| Record::TokenForgotten {
            vhost: it.vhost,
            token: Box::new(it.token),
        }));
        if batch.is_empty() {
            return None;
        }
        self.committing_to = Some(last);
        Some(batch)
    }

    /// Whether a batch is with the store.
    pub(super) fn is_committing(&self) -> bool {
        self.committing_to.is_some()
    }

    /// What the store need not know waits for it only behind what it must know.
    fn pass_undurable(&mut self) {
        let waiting = self.pending.range(self.committed_to + 1..);
        if let Some((&last, _)) = waiting
            .take_while(|(_, pending)| pending.record.is_none())
            .last()
        {
            self.committed_to = last;
        }
    }

    /// The batch is durable. Gives the vhosts' deletions in it to `deleted`.
    pub(super) fn committed(&mut self, mut deleted: impl FnMut(VhostId)) {
        let Some(last) = self.committing_to.take() else {
            return;
        };
        for forgotten in std::mem::take(&mut self.forgetting) {
            if let Some(Bearer { from, grant }) = forgotten.bearer {
                self.tell_bearer(from, Ok(grant));
            }
        }
        let batch = (Excluded(self.committed_to), Included(last));
        for (_, pending) in self.pending.range(batch) {
            if let Change::VhostDeleted { vhost } = pending.change {
                deleted(vhost);
            }
        }
        self.committed_to = last;
    }

    /// The batch is not durable: it and all that was decided on top of it is
    /// taken back. Tells what, the newest first.
    pub(super) fn refused(&mut self) -> Vec<Refused> {
        self.committing_to = None;
        // Offered again until the store takes them. Who waits must not: the
        // token is lost to its bearer, who asks for another one.
        let mut again = std::mem::take(&mut self.forgetting);
        for forgotten in &mut again {
            if let Some(Bearer { from, .. }) = forgotten.bearer.take() {
                self.tell_bearer(from, Err(Status::InternalError));
            }
        }
        self.forgotten = again.into_iter().chain(self.forgotten.drain(..)).collect();
        let durable: Vec<u64> = self
            .pending
            .range(self.committed_to + 1..)
            .filter(|(_, pending)| pending.record.is_some())
            .map(|(&version, _)| version)
            .collect();
        let mut refused = Vec::with_capacity(durable.len());
        for version in durable.into_iter().rev() {
            if let Some(pending) = self.pending.remove(&version) {
                let Pending { change, undo, .. } = pending;
                refused.push(Refused { change, undo });
                for completion in pending.completions {
                    self.fail(completion);
                }
            }
        }
        self.pass_barriers();
        refused
    }

    /// Puts into the outboxes what is committed, as far as the bound on changes
    /// in flight allows.
    pub(super) fn send(&mut self) {
        if self.committing_to.is_none() {
            self.pass_undurable();
        }
        let room = CHANGES_IN_FLIGHT_MAX - self.in_flight;
        let ready = (Excluded(self.sent_to), Included(self.committed_to));
        let ready = self.pending.range(ready);
        for (&version, pending) in ready.take(room) {
            let delivery = || Delivery::Change {
                version,
                change: Box::new(pending.change.clone()),
            };
            match pending.audience {
                Audience::All => self
                    .outboxes
                    .iter_mut()
                    .for_each(|outbox| outbox.push_back(delivery())),
                Audience::Home(shard) => self.outboxes[usize::from(shard)].push_back(delivery()),
            }
            self.sent_to = version;
            self.in_flight += 1;
        }
    }

    /// A shard has applied a change.
    pub(super) fn applied(&mut self, shard: ShardId, version: u64) {
        let Some(newest) = self.applied.get_mut(usize::from(shard)) else {
            return;
        };
        // Each shard applies in order; what is not newer was told before.
        if version <= *newest || version > self.sent_to {
            return;
        }
        *newest = version;
        let Some(pending) = self.pending.get_mut(&version) else {
            return;
        };
        pending.awaited = pending.awaited.saturating_sub(1);
        if pending.awaited == 0
            && let Some(pending) = self.pending.remove(&version)
        {
            self.in_flight -= 1;
            for completion in pending.completions {
                self.complete(completion);
            }
            self.pass_barriers();
        }
    }

    pub(super) fn complete(&mut self, completion: Completion) {
        match completion {
            Completion::Answer {
                to,
                request,
                outcome,
            } => self.answer(to, request, outcome),
            Completion::WorkerReady(peer) => {
                self.deliver(peer.shard, Delivery::WorkerReady { conn: peer.conn });
            }
            // Whoever asked may have gone.
            Completion::Reply(reply) => drop(reply.send(Ok(()))),
            Completion::Token(answer, token) => drop(answer.send(Ok(*token))),
        }
    }

    fn fail(&mut self, completion: Completion) {
        match completion {
            Completion::Answer { to, request, .. } => {
                self.answer(to, request, Outcome::Failed(Status::InternalError));
            }
            // Workers are not kept in the store, which so can't refuse them.
            Completion::WorkerReady(_) => {}
            Completion::Reply(reply) => drop(reply.send(Err(Error::NotStored))),
            Completion::Token(answer, _) => drop(answer.send(Err(Error::NotStored))),
        }
    }

    pub(super) fn answer(&mut self, to: Peer, request: u32, outcome: Outcome) {
        let conn = to.conn;
        self.deliver(
            to.shard,
            Delivery::Answer {
                conn,
                request,
                outcome,
            },
        );
    }

    /// Puts a question into the shard's outbox; false where too much waits there.
    pub(super) fn try_query(
        &mut self,
        shard: ShardId,
        query: u64,
        question: Box<Question>,
    ) -> bool {
        let outbox = self.outboxes.get_mut(usize::from(shard));
        let Some(outbox) = outbox.filter(|outbox| outbox.len() < QUESTION_BACKLOG_MAX) else {
            return false;
        };
        outbox.push_back(Delivery::Query { query, question });
        true
    }

    pub(super) fn probe(&mut self, shard: ShardId) {
        self.deliver(shard, Delivery::Probe);
    }

    pub(super) fn serve(&mut self) {
        for outbox in &mut self.outboxes {
            outbox.push_back(Delivery::Serve);
        }
    }

    pub(super) fn drain(&mut self, window_ms: u32) {
        for outbox in &mut self.outboxes {
            outbox.push_back(Delivery::Drain { window_ms });
        }
    }

    pub(super) fn stop(&mut self) {
        for outbox in &mut self.outboxes {
            outbox.push_back(Delivery::Stop);
        }
    }

    fn deliver(&mut self, shard: ShardId, delivery: Delivery) {
        if let Some(outbox) = self.outboxes.get_mut(usize::from(shard)) {
            outbox.push_back(delivery);
        }
    }

    /// What each shard's ring is to take, in order.
    pub(super) fn outboxes(&mut self) -> &mut [VecDeque<Delivery>] {
        &mut self.outboxes
    }
}
