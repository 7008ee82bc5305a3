use super::pipeline::{Audience, Completion, Undo};
use super::vhost::Worker;
use super::{Error, Registry};
use crate::control::handle::Answer;
use crate::control::store::{Record, StoredToken};
use crate::hub::envelope::{Ask, Bearer, Change, Grant, Outcome};
use crate::limits::SINGLE_ACCESS_TOKEN_LIFETIME;
use crate::model::{ChannelName, Peer, SingleAccessToken, Status, VhostId, VhostPath, WorkerId};

/// What shards want of control.
impl Registry {
    /// A backend client asks for a change. `now_ms` counts from the Unix epoch.
    pub(in crate::control) fn handle_ask(
        &mut self,
        from: Peer,
        request: u32,
        vhost: VhostId,
        ask: Ask,
        now_ms: u64,
    ) {
        let asked = match ask {
            // Deleted while the request was on its way.
            _ if self.live(vhost).is_none() => Err(Status::Unauthorized),
            Ask::Open(name) => self.ask_open(vhost, name),
            Ask::Close(name) => self.ask_close(vhost, name),
            Ask::Token(grant) => self.ask_token(vhost, grant, now_ms),
        };
        match asked {
            Ok((version, outcome)) => self.pipeline.wait_for(
                version,
                Completion::Answer {
                    to: from,
                    request,
                    outcome,
                },
            ),
            Err(status) => self.pipeline.answer(from, request, Outcome::Failed(status)),
        }
    }

    /// An operator wants a token for a user of its own.
    pub(in crate::control) fn handle_token_wanted(
        &mut self,
        path: &VhostPath,
        grant: Box<Grant>,
        now_ms: u64,
        answer: Answer<SingleAccessToken>,
    ) {
        let issued = self
            .at(path)
            .and_then(|vhost| self.issue_token(vhost, grant, now_ms));
        match issued {
            Ok((version, token)) => self
                .pipeline
                .wait_for(version, Completion::Token(answer, token)),
            // Whoever asked may have gone.
            Err(error) => drop(answer.send(Err(error))),
        }
    }

    /// [OC-01, OC-02]: a channel that exists stays as it is, but whoever is told
    /// so may rely on every shard knowing it.
    fn ask_open(&mut self, vhost: VhostId, name: ChannelName) -> Result<(u64, Outcome), Status> {
        let version = match self.channel_of(vhost, &name) {
            Some(channel) => channel.opened,
            None => self
                .may_change()
                .and_then(|()| self.open_channel(vhost, name))
                .map_err(|_| Status::InternalError)?,
        };
        Ok((version, Outcome::Done))
    }

    fn ask_close(&mut self, vhost: VhostId, name: ChannelName) -> Result<(u64, Outcome), Status> {
        let closed = self
            .may_change()
            .and_then(|()| self.close_channel(vhost, name));
        match closed {
            Ok(version) => Ok((version, Outcome::Done)),
            Err(Error::ChannelNotFound) => Err(Status::ChannelNotFound),
            Err(_) => Err(Status::InternalError),
        }
    }

    fn ask_token(
        &mut self,
        vhost: VhostId,
        grant: Box<Grant>,
        now_ms: u64,
    ) -> Result<(u64, Outcome), Status> {
        self.issue_token(vhost, grant, now_ms)
            .map(|(version, token)| (version, Outcome::Token(token)))
            .map_err(|_| Status::InternalError)
    }

    /// A token and the version of the change that makes it known.
    fn issue_token(
        &mut self,
        vhost: VhostId,
        grant: Box<Grant>,
        now_ms: u64,
    ) -> Result<(u64, Box<SingleAccessToken>), Error> {
        let token = SingleAccessToken::from_random(self.random_bytes()?);
        self.may_change()?;
        if !self.tokens.has_room(&token) {
            return Err(Error::Full);
        }
        let lifetime_ms = SINGLE_ACCESS_TOKEN_LIFETIME.as_millis() as u64;
        let stored = StoredToken {
            vhost,
            grant,
            expires_at_ms: now_ms.saturating_add(lifetime_ms),
        };
        let record = Record::TokenIssued {
            token: Box::new(token),
            stored: stored.clone(),
        };
        let version = self.push_token(token, stored, Some(record));
        Ok((version, Box::new(token)))
    }

    /// A frontend has used the token, or its time is over.
    pub(in crate::control) fn handle_spent(
        &mut self,
        token: &SingleAccessToken,
        bearer: Option<Bearer>,
    ) {
        match (self.tokens.remove(token), bearer) {
            (Some(vhost), bearer) => self.pipeline.forget(vhost, *token, bearer),
            // Its time was over, or its vhost deleted, while this was on its way.
            (None, Some(Bearer { from, .. })) => {
                self.pipeline.tell_bearer(from, Err(Status::Unauthorized));
            }
            (None, None) => {}
        }
    }

    /// A worker is ready. One that a deleted vhost had is sent away by its shard.
    pub(in crate::control) fn handle_worker_ready(
        &mut self,
        vhost: VhostId,
        id: WorkerId,
        from: Peer,
    ) {
        let Some(known) = self.vhosts.get_mut(&vhost) else {
            return;
        };
        if known.deleting {
            return known.workers.came_unsaid.push((id, from));
        }
        let joined = match known.workers.at(from) {
            Some(worker) => worker.joined,
            None => {
                if let Some(old) = known.workers.take(id) {
                    // [WK-30]: the newer replaces the older.
                    self.push_worker_left(vhost, old, true);
                }
                self.push_worker_joined(vhost, id, from)
            }
        };
        self.pipeline
            .wait_for(joined, Completion::WorkerReady(from));
    }

    /// A worker is gone; unknown or replaced ones need no change.
    pub(in crate::control) fn handle_worker_gone(&mut self, vhost: VhostId, from: Peer) {
        let Some(known) = self.vhosts.get_mut(&vhost) else {
            return;
        };
        known.workers.came_unsaid.retain(|&(_, peer)| peer != from);
        if !known.workers.remove(from) {
            return;
        }
        if known.deleting {
            known.workers.left_unsaid.push(from);
        } else {
            self.push_worker_left(vhost, from, false);
        }
    }

    fn push_worker_joined(&mut self, vhost: VhostId, id: WorkerId, peer: Peer) -> u64 {
        let change = Change::WorkerJoined { vhost, peer };
        let joined = self
            .pipeline
            .push(change, Audience::All, None, Undo::Nothing);
        if let Some(known) = self.vhosts.get_mut(&vhost) {
            known.workers.insert(id, Worker { peer, joined });
        }
        joined
    }

    pub(super) fn push_worker_left(&mut self, vhost: VhostId, peer: Peer, replaced: bool) {
        let change = Change::WorkerLeft {
            vhost,
            peer,
            replaced,
        };
        self.pipeline
            .push(change, Audience::All, None, Undo::Nothing);
    }
}
