//! Consumers that do not take what they are sent: what is queued for them, and
//! what happens past the bounds (docs/decisions/0019).

use super::connection::Connection;
use super::io::{Doom, Io, doom, mark_dirty};
use crate::limits::{CROWDED_FACTOR, OUTBOX_ROOM_DIVISOR};
use crate::meter::{Refused, ShardMeter, Slow};
use crate::model::{ConnId, Quotas};
use crate::net::Spare;
use crate::wire::{event, frames};

impl Io {
    /// Takes this shard's part of what the outboxes of the node may hold.
    pub(super) fn share_outboxes(&mut self, quotas: &Quotas) {
        self.outboxes_bytes_max = self.share_of(quotas.outboxes_bytes_max);
    }

    /// Bytes that one queue may hold now, whatever its own bound: as many as are
    /// still free. So who is given no more are those with the fullest, and all
    /// together stay within the shard's share.
    pub(super) fn outbox_bytes_free(&self) -> usize {
        self.outboxes_bytes_max.saturating_sub(self.outbox_bytes)
    }

    /// Queues a batch of whole frames, of which `sent` bytes have gone.
    pub(super) fn enqueue(&mut self, slot: u32, batch: &[u8], sent: usize) {
        let free = self.outbox_bytes_free();
        let Some(connection) = self.connections.get_mut(slot as usize) else {
            return;
        };
        let rest = &batch[sent..];
        let bytes_max = free.min(connection.outbox_bytes_max as usize);
        let outbox = &mut connection.outbox;
        if connection.dropped > 0 || outbox.try_push(rest, bytes_max, &mut self.spare).is_err() {
            return self.handle_overflow(slot, batch, sent);
        }
        if sent > 0 {
            outbox.set_mark(whole_bytes(batch, sent) - sent);
        }
        self.outbox_bytes += rest.len();
        self.outbox_peak = self.outbox_peak.max(outbox.len());
        mark_dirty(connection, &mut self.dirty);
    }

    /// The rest of the batch does not fit, or what came before it did not.
    #[cold]
    fn handle_overflow(&mut self, slot: u32, batch: &[u8], sent: usize) {
        let free = self.outbox_bytes_free();
        let Some(connection) = self.connections.get_mut(slot as usize) else {
            return;
        };
        let before = connection.outbox.len();
        // A backend's packets are no frames, and bounded where they come from.
        if connection.counted_in.is_none() {
            connection.outbox.finish(&batch[sent..], &mut self.spare);
        } else {
            match connection.take_what_fits(batch, sent, free, &mut self.spare) {
                Ok(0) => {}
                Ok(missed) => {
                    count_dropped(connection, missed, &self.meter);
                    // Too large for any queue: nothing that is sent comes to tell it.
                    connection.tell_dropped(free, &mut self.spare);
                }
                Err(why) => {
                    // Half a frame stands in the stream: a reset says more than a close.
                    if why == Doom::Lost {
                        self.meter.slow(Slow::Crowded).add(1);
                        self.meter.refuse(Refused::OutboxesBytes);
                    }
                    doom(connection, why, &mut self.notes);
                }
            }
        }
        self.outbox_bytes += connection.outbox.len() - before;
        self.outbox_peak = self.outbox_peak.max(connection.outbox.len());
        mark_dirty(connection, &mut self.dirty);
    }

    /// Counts deliveries that pass a session by.
    pub(super) fn count_dropped(&mut self, slot: u32, missed: u64) {
        if let Some(connection) = self.connections.get_mut(slot as usize) {
            count_dropped(connection, missed, &self.meter);
        }
    }

    /// Tells the session what it has missed, where there is room.
    pub(super) fn tell_dropped(&mut self, slot: u32) {
        let free = self.outbox_bytes_free();
        if let Some(connection) = self.connections.get_mut(slot as usize) {
            let told = connection.tell_dropped(free, &mut self.spare);
            self.outbox_bytes += told;
            mark_dirty(connection, &mut self.dirty);
        }
    }

    /// The connection is evicted: what waits for it is of no use to anybody, and
    /// would keep the reason from reaching it in time. A frame that has begun is
    /// finished, and with it what was queued in one piece. Records of TLS are a
    /// chain, of which none can be left out.
    pub(super) fn forget_queue(&mut self, conn: ConnId) {
        if let Some(connection) = self.get(conn) {
            connection.dropped = 0;
            if connection.tls.is_some() {
                return;
            }
            let (bytes, sent) = connection.outbox.since_mark();
            let kept = whole_bytes(bytes, sent);
            self.outbox_bytes -= connection.outbox.truncate(kept);
        }
    }

    /// Its connection closes: nothing follows the gap, and it is told of it all the same.
    pub(super) fn tell_dropped_at_last(&mut self, conn: ConnId) {
        let connection = self.connections.get_mut(conn.slot as usize);
        let Some(connection) = connection.filter(|it| it.id == conn) else {
            return;
        };
        let missed = std::mem::take(&mut connection.dropped);
        if missed > 0 {
            let notice = connection.sealed(notice(missed));
            connection.outbox.push(&notice, &mut self.spare);
            self.outbox_bytes += notice.len();
        }
    }
}

impl Connection {
    /// Queues the frame that was cut and, in order, those that fit; tells how
    /// many of the others pass it by. No queue may hold more than `free`.
    ///
    /// # Errors
    /// Why it has to go instead.
    fn take_what_fits(
        &mut self,
        batch: &[u8],
        sent: usize,
        free: usize,
        spare: &mut Spare,
    ) -> Result<u64, Doom> {
        self.tell_dropped(free, spare);
        let own_max = self.outbox_bytes_max as usize;
        let mut missed = 0;
        let mut end = 0;
        for length in frames::lengths(batch) {
            let start = end;
            end += length;
            if end <= sent {
                continue;
            }
            if start < sent && end - sent > free {
                return Err(Doom::Lost);
            }
            if start < sent {
                self.outbox.finish(&batch[sent..end], spare);
                self.outbox.set_mark(end - sent);
                continue;
            }
            let queued = self.outbox.deliveries();
            // What follows a gap waits for the word about it.
            let has_gap = self.dropped + missed > 0;
            if !has_gap && queued + length <= own_max.min(free) {
                self.outbox.finish(&batch[start..end], spare);
            } else if self.flags.drops && queued / CROWDED_FACTOR <= free {
                missed += 1;
            } else if !self.flags.drops && (has_gap || queued + length > own_max) {
                return Err(Doom::Slow);
            } else {
                return Err(Doom::Crowded);
            }
        }
        Ok(missed)
    }

    /// Part of the queue was sent: finds the frame that it ends in.
    pub(super) fn follow_frames(&mut self) {
        if self.counted_in.is_some() && self.tls.is_none() {
            let (bytes, sent) = self.outbox.since_mark();
            if sent > 0 {
                let whole = whole_bytes(bytes, sent);
                self.outbox.set_mark(whole - sent);
            }
        }
    }

    /// Tells the session what it has missed, once there is room for what
    /// follows; gives the number of bytes that were queued for it.
    pub(super) fn tell_dropped(&mut self, free: usize, spare: &mut Spare) -> usize {
        let bytes_max = free.min(self.outbox_bytes_max as usize);
        // All that waits counts, or such words could pile up.
        if self.dropped == 0 || self.outbox.len() > bytes_max / OUTBOX_ROOM_DIVISOR {
            return 0;
        }
        let missed = std::mem::take(&mut self.dropped);
        let notice = self.sealed(notice(missed));
        self.outbox.push(&notice, spare);
        notice.len()
    }
}

fn count_dropped(connection: &mut Connection, missed: u64, meter: &ShardMeter) {
    meter.dropped.add(missed);
    if connection.dropped == 0 {
        meter.slow(Slow::Dropped).add(1);
    }
    connection.dropped += missed;
}

/// Bytes of the frames that the first `sent` bytes are of, the last one whole.
fn whole_bytes(bytes: &[u8], sent: usize) -> usize {
    let mut ends = frames::lengths(bytes).scan(0, |end, length| {
        *end += length;
        Some(*end)
    });
    let whole = if sent == 0 {
        Some(0)
    } else {
        ends.find(|end| *end >= sent)
    };
    // No frame is ever missing; if one were, nothing could be cut off.
    whole.unwrap_or(bytes.len())
}

fn notice(missed: u64) -> Vec<u8> {
    let mut notice = Vec::with_capacity(48);
    event::dropped(&mut notice, missed);
    notice
}

#[cfg(test)]
mod tests;
