use std::collections::{BTreeMap, BTreeSet};

use rustc_hash::FxHashMap;

use crate::hub::home_of_token;
use crate::limits::SINGLE_ACCESS_TOKENS_MAX;
use crate::model::{ShardId, SingleAccessToken, VhostId};

/// The unused single access tokens: how many each shard holds, and which to
/// forget when. What they give is known to their home shards and to the store.
pub(super) struct Tokens {
    known: FxHashMap<SingleAccessToken, Known>,
    /// By vhost, the tokens in the order of their expiry.
    expiries: BTreeMap<VhostId, BTreeSet<(u64, [u8; SingleAccessToken::BYTES])>>,
    /// By home shard, how many.
    held: Vec<usize>,
    /// Tokens of one shard; [`SINGLE_ACCESS_TOKENS_MAX`] outside of tests.
    pub(super) held_max: usize,
}

struct Known {
    vhost: VhostId,
    expires_at_ms: u64,
}

impl Tokens {
    pub(super) fn new(shards: u16) -> Self {
        Self {
            known: FxHashMap::default(),
            expiries: BTreeMap::new(),
            held: vec![0; usize::from(shards)],
            held_max: SINGLE_ACCESS_TOKENS_MAX,
        }
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.known.len()
    }

    /// Whether the token's home shard takes one more.
    pub(super) fn has_room(&self, token: &SingleAccessToken) -> bool {
        self.held[usize::from(self.home(token))] < self.held_max
    }

    /// The vhost's unused tokens.
    pub(super) fn count(&self, vhost: VhostId) -> usize {
        self.expiries.get(&vhost).map_or(0, BTreeSet::len)
    }

    pub(super) fn home(&self, token: &SingleAccessToken) -> ShardId {
        home_of_token(token, self.held.len() as u16)
    }

    pub(super) fn insert(&mut self, token: SingleAccessToken, vhost: VhostId, expires_at_ms: u64) {
        let known = Known {
            vhost,
            expires_at_ms,
        };
        if self.known.insert(token, known).is_none() {
            let home = self.home(&token);
            self.held[usize::from(home)] += 1;
            self.expiries
                .entry(vhost)
                .or_default()
                .insert((expires_at_ms, *token.as_bytes()));
        }
    }

    /// Gives the vhost of the token, if it was known.
    pub(super) fn remove(&mut self, token: &SingleAccessToken) -> Option<VhostId> {
        let known = self.known.remove(token)?;
        let home = self.home(token);
        self.held[usize::from(home)] -= 1;
        if let Some(expiries) = self.expiries.get_mut(&known.vhost) {
            expiries.remove(&(known.expires_at_ms, *token.as_bytes()));
        }
        Some(known.vhost)
    }

    pub(super) fn remove_vhost(&mut self, vhost: VhostId) {
        for (_, bytes) in self.expiries.remove(&vhost).unwrap_or_default() {
            let token = SingleAccessToken::from_random(bytes);
            let home = self.home(&token);
            self.held[usize::from(home)] -= 1;
            self.known.remove(&token);
        }
    }

    /// Removes the tokens that have expired by `now_ms` and hands each to `forget`.
    pub(super) fn expire(
        &mut self,
        now_ms: u64,
        mut forget: impl FnMut(VhostId, SingleAccessToken),
    ) {
        let mut expired = Vec::new();
        for (&vhost, expiries) in &self.expiries {
            let due = expiries.iter().take_while(|(at, _)| *at <= now_ms);
            expired.extend(due.map(|(_, bytes)| (vhost, SingleAccessToken::from_random(*bytes))));
        }
        for (vhost, token) in expired {
            self.remove(&token);
            forget(vhost, token);
        }
    }
}
