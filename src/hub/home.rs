use smallvec::{SmallVec, smallvec};

use super::bundle;
use super::busy::Tally;
use super::envelope::{Bearer, Delivery, Join, Outcome, Receipt, Request, ToControl, Trigger};
use super::frames::Encoded;
use super::label::{FrameLabel, PublishLabel};
use super::roster::{Member, Roster};
use super::{Effects, Hub};
use crate::limits::BUNDLED_FRAME_BYTES_MAX;
use crate::meter::Moment;
use crate::model::{ChannelId, ChannelName, Peer, ShardId, SingleAccessToken, Status, VhostId};
use crate::wire::event;
use crate::wire::json::Members;

/// A channel on its home shard, which gives each of its frames a place in the
/// one order that all subscribers see.
pub(super) struct Home {
    pub(super) vhost: VhostId,
    pub(super) name: ChannelName,
    presence: bool,
    /// Subscribers by shard, hidden ones included. Up to four shards need no
    /// memory of their own, which would be cold at each event.
    subscribers: SmallVec<[u32; 4]>,
    /// Key of the channel among those with subscribers on this shard.
    pub(super) local: Option<u32>,
    /// Its broadcasts.
    pub(super) tally: Tally,
    pub(super) roster: Roster,
}

impl Home {
    pub(super) fn new(vhost: VhostId, name: ChannelName, presence: bool, shards: u16) -> Self {
        Self {
            vhost,
            name,
            presence,
            subscribers: smallvec![0; usize::from(shards)],
            local: None,
            tally: Tally::default(),
            roster: Roster::default(),
        }
    }

    pub(super) fn subscriber_count(&self) -> u32 {
        self.subscribers.iter().sum()
    }

    pub(super) fn member_count(&self) -> usize {
        self.roster.len()
    }
}

impl Hub {
    /// A request of a connection on another shard. It may send deliveries, never requests.
    pub fn handle_request(&mut self, request: Request, fx: &mut impl Effects) {
        match request {
            Request::Join(join) => self.home_join(*join, fx),
            Request::Leave {
                channel,
                from,
                confirm,
                data,
            } => {
                self.home_leave(channel, from, confirm, data.as_deref(), fx);
            }
            Request::Publish {
                channel,
                receipt,
                accepted,
                frame,
            } => {
                let mut frame = Encoded::Shared(frame);
                self.home_publish(channel, receipt, &mut frame, accepted, fx);
                if let Encoded::Shared(frame) = frame {
                    fx.let_go(frame);
                }
            }
            Request::Bundle { frames } => {
                for (label, frame) in bundle::frames(&frames) {
                    let PublishLabel {
                        channel,
                        accepted,
                        receipt,
                    } = label;
                    let frame = &mut Encoded::Here(frame);
                    self.home_publish(channel, receipt, frame, accepted, fx);
                }
                fx.let_go(frames);
            }
            Request::TakeToken { from, vhost, token } => {
                if let Err(status) = self.home_take(from, vhost, token, fx) {
                    let (conn, grant) = (from.conn, Err(status));
                    self.send(from.shard, Delivery::Token { conn, grant }, fx);
                }
            }
            Request::Trigger(trigger) => self.take_trigger(trigger, fx),
        }
    }

    pub(super) fn home_join(&mut self, join: Join, fx: &mut impl Effects) {
        let Join {
            channel,
            from,
            hidden,
            record,
            uid,
        } = join;
        let Some(home) = self.homes.get_mut(&channel) else {
            return self.refuse_join(from, channel, Status::ChannelNotFound, fx);
        };
        let announced = home.presence && !hidden;
        if announced && !home.roster.has_room(&record) {
            return self.refuse_join(from, channel, Status::Forbidden, fx);
        }
        home.subscribers[usize::from(from.shard)] += 1;
        let roster = home.presence.then(|| home.roster.to_json());
        let frame = announced.then(|| {
            let write = |out: &mut _| event::member_joined(out, &record);
            let frame = self.frames.encode(record.len(), write);
            home.roster.add(from, Member { uid, record });
            frame
        });
        self.send(
            from.shard,
            Delivery::Joined {
                conn: from.conn,
                channel,
                home: self.id,
                roster,
            },
            fx,
        );
        if let Some(frame) = frame {
            let frame = &mut Encoded::Shared(frame);
            self.spread(channel, frame, false, self.turn, None, fx);
        }
    }

    fn refuse_join(
        &mut self,
        from: Peer,
        channel: ChannelId,
        status: Status,
        fx: &mut impl Effects,
    ) {
        let conn = from.conn;
        self.send(
            from.shard,
            Delivery::JoinRefused {
                conn,
                channel,
                status,
            },
            fx,
        );
    }

    pub(super) fn home_leave(
        &mut self,
        channel: ChannelId,
        from: Peer,
        confirm: bool,
        data: Option<&str>,
        fx: &mut impl Effects,
    ) {
        let mut frame = None;
        if let Some(home) = self.homes.get_mut(&channel) {
            let count = &mut home.subscribers[usize::from(from.shard)];
            debug_assert!(*count > 0, "left without having joined");
            *count = count.saturating_sub(1);
            frame = home.roster.remove(from).map(|member| {
                let data = data.map_or(Members::EMPTY, Members::trusted);
                let name = home.name.as_str();
                let record = event::departure_record(&member.record, data, &member.uid, name);
                let write = |out: &mut _| event::member_left(out, &record);
                self.frames.encode(record.len(), write)
            });
        }
        // Also when the channel is gone: who waits is told.
        if confirm {
            self.send(
                from.shard,
                Delivery::Left {
                    conn: from.conn,
                    channel,
                },
                fx,
            );
        }
        if let Some(frame) = frame {
            let frame = &mut Encoded::Shared(frame);
            self.spread(channel, frame, false, self.turn, None, fx);
        }
    }

    /// Gives the frame its place in the channel's order.
    pub(super) fn home_publish(
        &mut self,
        channel: ChannelId,
        receipt: Receipt,
        frame: &mut Encoded<'_>,
        accepted: Moment,
        fx: &mut impl Effects,
    ) {
        match receipt {
            Receipt::Echo(peer) => {
                if !self.spread(channel, frame, true, accepted, Some(peer), fx) {
                    let conn = peer.conn;
                    self.send(peer.shard, Delivery::PublishRefused { conn }, fx);
                }
            }
            Receipt::Answer(Peer { shard, conn }, request) => {
                let outcome = if self.spread(channel, frame, true, accepted, None, fx) {
                    Outcome::Done
                } else {
                    Outcome::Failed(Status::ChannelNotFound)
                };
                let answer = Delivery::Answer {
                    conn,
                    request,
                    outcome,
                };
                if shard == self.id {
                    self.handle_delivery(answer, fx);
                } else {
                    // Ahead of frames that are put together: a backend gets none.
                    fx.send(shard, answer);
                }
            }
        }
    }

    /// Sends a frame to every shard with subscribers of the channel; tells
    /// whether the channel is open.
    pub(super) fn spread(
        &mut self,
        channel: ChannelId,
        frame: &mut Encoded<'_>,
        custom: bool,
        accepted: Moment,
        sender: Option<Peer>,
        fx: &mut impl Effects,
    ) -> bool {
        let Some(home) = self.homes.get_mut(&channel) else {
            return false;
        };
        if custom {
            self.busy.count(channel, &mut home.tally);
        }
        let label = |shard| FrameLabel {
            channel,
            accepted,
            custom,
            echo_of: sender
                .filter(|peer| peer.shard == shard)
                .map(|peer| peer.conn),
        };
        let is_small = frame.bytes().len() <= BUNDLED_FRAME_BYTES_MAX;
        for (shard, &count) in home.subscribers.iter().enumerate() {
            let shard = shard as ShardId;
            if count == 0 {
                continue;
            }
            if shard == self.id {
                if let Some(key) = home.local {
                    self.fan_out
                        .gather(&mut self.locals, key, frame.bytes(), custom, accepted);
                }
                continue;
            }
            let (bundles, label) = (&mut self.to_subscribers, label(shard));
            if !is_small || bundles.add(shard, label, frame.bytes()) {
                bundles.send(shard, fx);
            }
            if !is_small {
                let frame = frame.share(&mut self.frames);
                fx.send(shard, label.with(frame));
            }
        }
        true
    }

    /// Takes a single access token whose home this shard is; control tells the
    /// bearer when that is durable. Fails where the token is unknown.
    pub(super) fn home_take(
        &mut self,
        from: Peer,
        vhost: VhostId,
        token: Box<SingleAccessToken>,
        fx: &mut impl Effects,
    ) -> Result<(), Status> {
        let grant = self.tokens.take(vhost, &token);
        let grant = grant.ok_or(Status::Unauthorized)?;
        let bearer = Some(Bearer { from, grant });
        fx.control(ToControl::Spent { token, bearer });
        Ok(())
    }

    /// The channel was closed: every shard with subscribers is told, in order.
    pub(super) fn home_close(&mut self, channel: ChannelId, fx: &mut impl Effects) {
        let Some(home) = self.homes.remove(&channel) else {
            return;
        };
        for (shard, &count) in home.subscribers.iter().enumerate() {
            if count > 0 {
                self.send(shard as ShardId, Delivery::Gone { channel }, fx);
            }
        }
    }

    /// A trigger for a worker of this shard, from another one.
    fn take_trigger(&mut self, trigger: Box<Trigger>, fx: &mut impl Effects) {
        if fx.trigger(trigger.worker, &trigger.packet) {
            self.count_trigger(trigger.vhost, trigger.accepted, fx);
        } else {
            let origin = trigger.origin.shard;
            self.send(origin, Delivery::TriggerRefused(trigger), fx);
        }
    }
}
