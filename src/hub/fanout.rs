//! From a channel's frames to its subscribers' sockets.
//!
//! Each frame gets the next sequence number of the shard and is appended to the
//! `current` batch of its channel. At the end of the turn, or of some turns in
//! which there was more to be read (docs/decisions/0024), the batches freeze, and
//! each subscriber is given its channel's whole batch in one piece. Where a turn's
//! budget ends amid a large channel, the next turn goes on; frames published meanwhile
//! gather in new `current` batches. Where a vhost has a cork its frames gather longer
//! than a turn (`cork.rs`).
//!
//! A session's `seen` is the sequence number up to which it has been given
//! everything meant for it. So a session with frames of its own, with several
//! channels, or that joined amid a turn is given exactly the rest, in order.

use slab::Slab;

use super::batch::{Batch, SpareBatches};
use super::channel::{Local, Subscriber};
use super::cork::{Corks, Gathered, Published};
use super::deflate::Deflaters;
use super::session::Session;
use super::{Effects, Hub};
use crate::limits::DEFLATED_BYTES_MAX;
use crate::meter::Moment;
use crate::model::VhostId;

/// Deliveries between the moment when a subscriber is foreseen and its own.
const SENDS_AHEAD: usize = 1;

/// Batches that wait for their turn to be sent.
#[derive(Default)]
pub(super) struct FanOut {
    /// The last sequence number given out.
    seq: u64,
    /// Channels with a `current` batch that is sent next.
    gathered: Gathered,
    /// Those whose batches wait.
    corks: Corks,
    /// When the turn began, on the node's clock.
    now_us: u64,
    /// Channels with a `frozen` batch, being served in this order.
    frozen: Vec<u32>,
    /// The sequence number of the last frozen frame.
    frozen_until: u64,
    /// Which channel of `frozen`, and which of its subscribers, comes next.
    channel: usize,
    subscriber: usize,
    spare: SpareBatches,
    deflaters: Deflaters,
    /// For joining frames of several channels.
    joined: Vec<u8>,
}

impl FanOut {
    /// Whether a subscriber that moved between these places escapes the running fan-out.
    pub(super) fn has_passed(&self, key: u32, to: usize, from: usize) -> bool {
        self.frozen.get(self.channel) == Some(&key)
            && to < self.subscriber
            && from >= self.subscriber
    }

    /// A frame for the channel's subscribers on this shard. `custom` ones are
    /// kept from hidden subscribers ([PR-11]).
    pub(super) fn gather(
        &mut self,
        locals: &mut Slab<Local>,
        key: u32,
        frame: &[u8],
        custom: bool,
        accepted: Moment,
    ) {
        let local = &mut locals[key as usize];
        if local.subscribers.is_empty() {
            return;
        }
        self.seq += 1;
        let published = Published {
            seq: self.seq,
            frame,
            custom,
            accepted,
        };
        let (next, batches) = (&mut self.gathered, &mut self.spare);
        if local.cork_us == 0 {
            next.append(local, key, published, batches);
        } else {
            let now_us = self.now_us;
            self.corks
                .append(local, key, published, now_us, next, batches);
        }
    }

    /// A turn begins: what has waited long enough is sent in it.
    pub(super) fn set_time(&mut self, now_us: u64) {
        self.now_us = now_us;
        self.spare.trim(now_us);
        self.corks.open_due(now_us, &mut self.gathered);
    }

    pub(super) fn next_uncork_us(&self) -> Option<u64> {
        self.corks.due_us()
    }

    pub(super) fn uncork(&mut self, vhost: VhostId) {
        self.corks.open(vhost, &mut self.gathered);
    }

    pub(super) fn uncork_all(&mut self) {
        self.corks.open_all(&mut self.gathered);
    }

    fn gathered_deliveries(&self) -> usize {
        if self.frozen.is_empty() {
            self.gathered.subscribers
        } else {
            usize::MAX
        }
    }

    fn is_idle(&self) -> bool {
        self.gathered.channels.is_empty() && self.frozen.is_empty()
    }
}

impl Hub {
    /// Whether so much waits to be sent that no more should come in this turn.
    /// What waits under corks is not meant: it is bounded by itself.
    pub fn is_saturated(&self) -> bool {
        self.fan_out.gathered.is_full()
    }

    /// Whether frames are gathered that others may join yet: none is being sent,
    /// and none has waited under a cork before.
    pub fn is_gathering(&self) -> bool {
        let fan_out = &self.fan_out;
        fan_out.frozen.is_empty()
            && !fan_out.gathered.channels.is_empty()
            && !fan_out.corks.have_opened()
    }

    /// About how many subscribers the frames gathered so far go to; the largest
    /// number while earlier frames are still being sent.
    pub fn gathered_deliveries(&self) -> usize {
        self.fan_out.gathered_deliveries()
    }

    /// Whether [`Self::flush`] has something to do.
    pub fn has_deliveries(&self) -> bool {
        !self.fan_out.is_idle()
    }

    /// Sends at most `budget` batches to subscribers; tells how many it sent.
    pub fn flush(&mut self, budget: usize, fx: &mut impl Effects) -> usize {
        self.send_bundles(fx);
        if self.fan_out.frozen.is_empty() {
            self.freeze();
        }
        let mut sent = 0;
        while let Some(&key) = self.fan_out.frozen.get(self.fan_out.channel) {
            let local = &self.locals[key as usize];
            let Some(batch) = local.frozen.as_deref() else {
                break;
            };
            let mut delivered = 0;
            while let Some(subscriber) = local.subscribers.get(self.fan_out.subscriber) {
                if sent >= budget || fx.is_spent() {
                    self.meter.deliveries.add(delivered);
                    local.meter.deliveries.add(delivered);
                    return sent;
                }
                self.fan_out.subscriber += 1;
                self.foresee(&local.subscribers, fx);
                let session = self.sessions[subscriber.slot as usize].as_deref_mut();
                let Some(session) = session.filter(|s| s.seen < self.fan_out.frozen_until) else {
                    continue;
                };
                if session.subscriptions.len() > 1 || subscriber.hidden {
                    let joined = &mut self.fan_out.joined;
                    joined.clear();
                    delivered += join(&self.locals, session, Local::frozen, joined);
                    if !joined.is_empty() {
                        fx.deliver(subscriber.slot, joined);
                    }
                } else if session.seen < batch.first_seq() {
                    fx.deliver(subscriber.slot, batch.bytes(session.deflate));
                    delivered += batch.len() as u64;
                } else {
                    let (rest, count) = batch.since(session.seen, session.deflate);
                    delivered += count as u64;
                    if !rest.is_empty() {
                        fx.deliver(subscriber.slot, rest);
                    }
                }
                session.seen = self.fan_out.frozen_until;
                sent += 1;
            }
            self.meter.deliveries.add(delivered);
            local.meter.deliveries.add(delivered);
            if !local.subscribers.is_empty() {
                // The one look at the clock of a fan-out, however large.
                let now = fx.now();
                for accepted in batch.accepted() {
                    self.meter.latency.record(accepted.until(now));
                }
            }
            self.fan_out.channel += 1;
            self.fan_out.subscriber = 0;
        }
        self.thaw();
        sent
    }

    /// A `send` takes long enough to have in the cache what the next ones look at.
    fn foresee(&self, subscribers: &[Subscriber], fx: &impl Effects) {
        let ahead = self.fan_out.subscriber + SENDS_AHEAD;
        let Some(subscriber) = subscribers.get(ahead) else {
            return;
        };
        if let Some(session) = self.sessions[subscriber.slot as usize].as_deref() {
            fx.foresee(subscriber.slot, session);
        }
    }

    fn freeze(&mut self) {
        let fan_out = &mut self.fan_out;
        std::mem::swap(&mut fan_out.gathered.channels, &mut fan_out.frozen);
        fan_out.gathered.forget();
        fan_out.frozen_until = fan_out.seq;
        fan_out.corks.close_again();
        fan_out.channel = 0;
        fan_out.subscriber = 0;
        let mut deflated = 0;
        for &key in &fan_out.frozen {
            let local = &mut self.locals[key as usize];
            local.frozen = local.current.take();
            if let Some(batch) = local.frozen.as_deref_mut() {
                for params in local.compressing.iter() {
                    // Of many corks that open together, say.
                    if deflated >= DEFLATED_BYTES_MAX {
                        break;
                    }
                    let deflater = fan_out.deflaters.of(params);
                    deflated += batch.pack(params, deflater, &self.meter);
                }
            }
        }
    }

    fn thaw(&mut self) {
        let mut frozen = std::mem::take(&mut self.fan_out.frozen);
        for key in frozen.drain(..) {
            if let Some(batch) = self.locals[key as usize].frozen.take() {
                self.fan_out.spare.keep(batch);
            }
            self.release_if_idle(key);
        }
        self.fan_out.frozen = frozen;
        self.fan_out.channel = 0;
    }

    /// Queues all that was published to the session so far, so that a frame of
    /// its own comes behind it.
    pub(super) fn catch_up(&mut self, slot: u32, fx: &mut impl Effects) {
        let Some(session) = self.sessions[slot as usize].as_deref_mut() else {
            return;
        };
        if self.fan_out.is_idle() && !self.fan_out.corks.holds(session.vhost) {
            return;
        }
        let joined = &mut self.fan_out.joined;
        joined.clear();
        let delivered = join(&self.locals, session, Local::frozen, joined)
            + join(&self.locals, session, Local::current, joined);
        self.meter.deliveries.add(delivered);
        session.meter.deliveries.add(delivered);
        session.seen = self.fan_out.seq;
        if !joined.is_empty() {
            fx.queue(slot, joined);
        }
    }
}

/// Appends to `out` what the session has not seen of its channels' batches, in
/// the order of publication; tells how many frames that was.
fn join(
    locals: &Slab<Local>,
    session: &Session,
    batch_of: impl Fn(&Local) -> Option<&Batch>,
    out: &mut Vec<u8>,
) -> u64 {
    let mut sources = session.subscriptions.iter().filter_map(|subscription| {
        let batch = batch_of(locals.get(subscription.local as usize)?)?;
        Some(batch.frames_since(session.seen, subscription.hidden, session.deflate))
    });
    let Some(first) = sources.next() else {
        return 0;
    };
    let Some(second) = sources.next() else {
        let mut count = 0;
        first.for_each(|(_, frame)| {
            out.extend_from_slice(frame);
            count += 1;
        });
        return count;
    };
    // Several busy channels in one turn: rare, and bounded by the batches.
    let mut frames: Vec<_> = first.chain(second).chain(sources.flatten()).collect();
    frames.sort_unstable_by_key(|&(seq, _)| seq);
    frames
        .iter()
        .for_each(|(_, frame)| out.extend_from_slice(frame));
    frames.len() as u64
}

impl Local {
    fn frozen(&self) -> Option<&Batch> {
        self.frozen.as_deref()
    }

    fn current(&self) -> Option<&Batch> {
        self.current.as_deref()
    }
}

#[cfg(test)]
mod tests;
