use std::sync::Arc;

use slab::Slab;
use smallvec::SmallVec;

use super::batch::Batch;
use super::deflate::Compressing;
use super::session::Subscription;
use super::{Effects, Hub};
use crate::meter::VhostMeter;
use crate::model::{ChannelId, ChannelName, ShardId, VhostId};

/// A channel as far as it has subscribers on this shard.
pub(super) struct Local {
    pub(super) id: ChannelId,
    pub(super) name: ChannelName,
    pub(super) home: ShardId,
    pub(super) vhost: VhostId,
    /// Microseconds for which its frames may wait for others; 0 for not at all.
    pub(super) cork_us: u32,
    /// What this shard counts of its vhost.
    pub(super) meter: Arc<VhostMeter>,
    /// Two need no memory of their own.
    pub(super) subscribers: SmallVec<[Subscriber; 2]>,
    /// How many of them are subscribers of another channel as well.
    pub(super) shared: u32,
    /// Frames of this turn, or since the vhost's cork has closed.
    pub(super) current: Option<Box<Batch>>,
    /// Frames that are being sent.
    pub(super) frozen: Option<Box<Batch>>,
    /// How many of its subscribers compress, and how.
    pub(super) compressing: Compressing,
}

#[derive(Clone, Copy)]
pub(super) struct Subscriber {
    pub(super) slot: u32,
    pub(super) hidden: bool,
}

impl Local {
    fn is_idle(&self) -> bool {
        self.subscribers.is_empty() && self.current.is_none() && self.frozen.is_none()
    }
}

/// A session with these `others` has a subscription of the channel `key` more, or less.
fn count_shared(locals: &mut Slab<Local>, key: u32, others: &[Subscription], by: i32) {
    // With the second one the first begins to be shared, too.
    let first = match others {
        [only] => Some(only.local),
        _ => None,
    };
    let this = (!others.is_empty()).then_some(key);
    for key in this.into_iter().chain(first) {
        let shared = &mut locals[key as usize].shared;
        *shared = shared.saturating_add_signed(by);
    }
}

impl Hub {
    /// Makes the session a subscriber. Frames published before are none of its business.
    pub(super) fn attach(
        &mut self,
        slot: u32,
        channel: ChannelId,
        name: ChannelName,
        home: ShardId,
        hidden: bool,
    ) {
        let Some(session) = self.sessions[slot as usize].as_deref_mut() else {
            return;
        };
        let key = *self.local_keys.entry(channel).or_insert_with(|| {
            let local = Local {
                id: channel,
                name,
                home,
                vhost: session.vhost,
                cork_us: self.registry.cork_us(session.vhost),
                meter: Arc::clone(&session.meter),
                subscribers: SmallVec::new(),
                shared: 0,
                current: None,
                frozen: None,
                compressing: Compressing::default(),
            };
            let key = self.locals.insert(local) as u32;
            if let Some(home) = self.homes.get_mut(&channel) {
                home.local = Some(key);
            }
            key
        });
        count_shared(&mut self.locals, key, &session.subscriptions, 1);
        let local = &mut self.locals[key as usize];
        local.compressing.add(session.deflate);
        let place = local.subscribers.len() as u32;
        local.subscribers.push(Subscriber { slot, hidden });
        session.subscriptions.push(Subscription {
            channel,
            local: key,
            place,
            hidden,
        });
    }

    /// Ends a subscription. The session gets nothing more of the channel; what
    /// was published before has to be in its outbox already, where it matters.
    pub(super) fn detach(&mut self, slot: u32, channel: ChannelId, fx: &mut impl Effects) -> bool {
        let Some(session) = self.sessions[slot as usize].as_deref_mut() else {
            return false;
        };
        let Some(index) = session
            .subscriptions
            .iter()
            .position(|s| s.channel == channel)
        else {
            return false;
        };
        let Subscription {
            local: key, place, ..
        } = session.subscriptions.swap_remove(index);
        count_shared(&mut self.locals, key, &session.subscriptions, -1);
        let local = &mut self.locals[key as usize];
        local.compressing.remove(session.deflate);
        let subscribers = &mut local.subscribers;
        let from = subscribers.len() - 1;
        subscribers.swap_remove(place as usize);
        if let Some(moved) = subscribers.get(place as usize).copied() {
            if let Some(session) = self.sessions[moved.slot as usize].as_deref_mut()
                && let Some(s) = session.subscriptions.iter_mut().find(|s| s.local == key)
            {
                s.place = place;
            }
            // It moved to the part that the running fan-out has served already.
            if self.fan_out.has_passed(key, place as usize, from) {
                self.catch_up(moved.slot, fx);
            }
        }
        self.release_if_idle(key);
        true
    }

    /// Forgets a channel without subscribers and without frames under way.
    pub(super) fn release_if_idle(&mut self, key: u32) {
        if self.locals.get(key as usize).is_some_and(Local::is_idle) {
            let local = self.locals.remove(key as usize);
            self.local_keys.remove(&local.id);
            if let Some(home) = self.homes.get_mut(&local.id) {
                home.local = None;
            }
        }
    }
}
