//! Frames that wait to be sent together, where their vhost has a cork
//! (docs/decisions/0023).
//!
//! They get their numbers and their places in `current` batches as all others
//! do; their channels are listed here until the cork opens, instead of among
//! those that the next turn sends. So whoever has to be given its frames at once,
//! before an answer say, finds them where it finds those of a turn.
//!
//! The frames of a vhost wait all together or not at all: a session, which has
//! channels of one vhost only, could not say otherwise what it has `seen`. So what
//! is published once a cork has opened goes with what waited, up to the freeze.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use rustc_hash::{FxHashMap, FxHashSet};

use super::Hub;
use super::batch::SpareBatches;
use super::channel::Local;
use crate::limits::{
    BATCH_BYTES_MAX, CORKED_BYTES_MAX, CORKED_BYTES_PER_VHOST_MAX, DEFLATED_BYTES_MAX,
    GATHERED_BYTES_MAX,
};
use crate::meter::Moment;
use crate::model::VhostId;

/// Channels whose `current` batches are to be sent together.
#[derive(Default)]
pub(super) struct Gathered {
    pub(super) channels: Vec<u32>,
    pub(super) bytes: usize,
    /// Those of channels with a subscriber that has other channels as well.
    pub(super) shared_bytes: usize,
    /// What it takes to deflate those of channels with a subscriber that compresses.
    deflate_cost: usize,
    /// Bytes of the channel that has most, when it got its last frame.
    pub(super) channel_bytes: usize,
    /// Subscribers of the channels.
    pub(super) subscribers: usize,
}

/// A frame on its way into a batch.
#[derive(Clone, Copy)]
pub(super) struct Published<'a> {
    pub(super) seq: u64,
    pub(super) frame: &'a [u8],
    pub(super) custom: bool,
    pub(super) accepted: Moment,
}

impl Gathered {
    #[inline]
    pub(super) fn append(
        &mut self,
        local: &mut Local,
        key: u32,
        published: Published<'_>,
        spare: &mut SpareBatches,
    ) {
        let Published {
            seq,
            frame,
            custom,
            accepted,
        } = published;
        self.bytes += frame.len();
        if local.shared > 0 {
            self.shared_bytes += frame.len();
        }
        self.deflate_cost += local.compressing.cost(frame.len());
        let batch = local.current.get_or_insert_with(|| {
            self.channels.push(key);
            self.subscribers += local.subscribers.len();
            spare.take()
        });
        batch.append(seq, frame, custom, accepted);
        self.channel_bytes = self.channel_bytes.max(batch.bytes(None).len());
    }

    /// Whether nothing more may be gathered before it is sent: what one session
    /// gets of it, all, or what has to be deflated.
    pub(super) fn is_full(&self) -> bool {
        self.channel_bytes.max(self.shared_bytes) >= BATCH_BYTES_MAX
            || self.bytes >= GATHERED_BYTES_MAX
            || self.deflate_cost >= DEFLATED_BYTES_MAX
    }

    /// Its channels were taken out to be sent.
    pub(super) fn forget(&mut self) {
        *self = Self {
            channels: std::mem::take(&mut self.channels),
            ..Self::default()
        };
    }

    /// Takes over what another one has, and leaves it empty.
    fn absorb(&mut self, other: &mut Self) {
        self.channels.append(&mut other.channels);
        self.bytes += std::mem::take(&mut other.bytes);
        self.shared_bytes += std::mem::take(&mut other.shared_bytes);
        self.deflate_cost += std::mem::take(&mut other.deflate_cost);
        let channel_bytes = std::mem::take(&mut other.channel_bytes);
        self.channel_bytes = self.channel_bytes.max(channel_bytes);
        self.subscribers += std::mem::take(&mut other.subscribers);
    }
}

/// The corks of a shard's vhosts.
#[derive(Default)]
pub(super) struct Corks {
    waiting: FxHashMap<VhostId, Cork>,
    /// When each opens; also of some that were opened before their time.
    due: BinaryHeap<Reverse<(u64, VhostId)>>,
    /// Bytes under all corks.
    bytes: usize,
    /// Vhosts whose frames don't wait before the next freeze.
    opened: FxHashSet<VhostId>,
    /// Nobody's do.
    all_open: bool,
    /// Empty lists with their memory.
    spare: Vec<Gathered>,
}

/// What waits of one vhost.
struct Cork {
    gathered: Gathered,
    due_us: u64,
}

/// Empty lists kept: as many vhosts as are busy at the same time.
const SPARE_LISTS_MAX: usize = 16;

/// Channels that such a list has room for.
const SPARE_CHANNELS_MAX: usize = 1024;

impl Corks {
    /// Takes a frame of a vhost with a cork; where that is open, or opens now, it
    /// is among what is sent `next`. The cork closes for `local.cork_us` with the
    /// first frame.
    pub(super) fn append(
        &mut self,
        local: &mut Local,
        key: u32,
        published: Published<'_>,
        now_us: u64,
        next: &mut Gathered,
        batches: &mut SpareBatches,
    ) {
        let vhost = local.vhost;
        if self.all_open || self.opened.contains(&vhost) {
            return next.append(local, key, published, batches);
        }
        let cork = self.waiting.entry(vhost).or_insert_with(|| {
            let due_us = now_us + u64::from(local.cork_us);
            self.due.push(Reverse((due_us, vhost)));
            let gathered = self.spare.pop().unwrap_or_default();
            Cork { gathered, due_us }
        });
        cork.gathered.append(local, key, published, batches);
        self.bytes += published.frame.len();
        if self.bytes >= CORKED_BYTES_MAX {
            self.open_all(next);
        } else if cork.gathered.bytes >= CORKED_BYTES_PER_VHOST_MAX {
            self.open(vhost, next);
        }
    }

    pub(super) fn holds(&self, vhost: VhostId) -> bool {
        self.waiting.contains_key(&vhost)
    }

    /// When the next cork opens; or an earlier moment, where one was opened before.
    pub(super) fn due_us(&self) -> Option<u64> {
        let Reverse((due_us, _)) = self.due.peek()?;
        Some(*due_us)
    }

    /// Opens the corks whose time has come.
    pub(super) fn open_due(&mut self, now_us: u64, next: &mut Gathered) {
        while let Some(&Reverse((due_us, vhost))) = self.due.peek()
            && due_us <= now_us
        {
            self.due.pop();
            let cork = self.waiting.get(&vhost);
            if cork.is_some_and(|cork| cork.due_us == due_us) {
                self.open(vhost, next);
            }
        }
    }

    /// Opens the cork of one vhost.
    pub(super) fn open(&mut self, vhost: VhostId, next: &mut Gathered) {
        self.opened.insert(vhost);
        if let Some(cork) = self.waiting.remove(&vhost) {
            self.empty(cork, next);
        }
        if self.waiting.is_empty() {
            self.due.clear();
        }
    }

    /// Opens all corks.
    pub(super) fn open_all(&mut self, next: &mut Gathered) {
        self.all_open = true;
        let mut waiting = std::mem::take(&mut self.waiting);
        for (_, cork) in waiting.drain() {
            self.empty(cork, next);
        }
        self.waiting = waiting;
        self.due.clear();
    }

    fn empty(&mut self, mut cork: Cork, next: &mut Gathered) {
        self.bytes -= cork.gathered.bytes;
        next.absorb(&mut cork.gathered);
        let room = cork.gathered.channels.capacity();
        if self.spare.len() < SPARE_LISTS_MAX && room <= SPARE_CHANNELS_MAX {
            self.spare.push(cork.gathered);
        }
    }

    /// Whether frames have waited for as long as they may.
    pub(super) fn have_opened(&self) -> bool {
        self.all_open || !self.opened.is_empty()
    }

    /// What was to be sent next is on its way: frames wait again.
    pub(super) fn close_again(&mut self) {
        self.opened.clear();
        self.all_open = false;
    }
}

impl Hub {
    /// Microseconds until [`Self::set_time`] has frames to send that wait now, at
    /// this moment of the node's clock.
    pub fn uncork_in_us(&self, now_us: u64) -> Option<u64> {
        Some(self.fan_out.next_uncork_us()?.saturating_sub(now_us))
    }

    /// Takes over how long each vhost's frames wait, and lets none wait for what
    /// was so before.
    pub(super) fn replace_corks(&mut self) {
        self.fan_out.uncork_all();
        for (_, local) in &mut self.locals {
            local.cork_us = self.registry.cork_us(local.vhost);
        }
    }

    /// The vhost is gone, and so are all who would be spared a `send`.
    pub(super) fn remove_cork(&mut self, vhost: VhostId, channels: &[super::Channel]) {
        self.fan_out.uncork(vhost);
        for channel in channels {
            if let Some(&key) = self.local_keys.get(&channel.id) {
                self.locals[key as usize].cork_us = 0;
            }
        }
    }
}

#[cfg(test)]
mod tests;
