use smallvec::SmallVec;

use super::bundle;
use super::envelope::{Change, Delivery, Grant, Request, ToControl};
use super::home::Home;
use super::label::FrameLabel;
use super::session::{Pending, User};
use super::{Effects, Hub};
use crate::model::{ChannelId, ConnId, ShardId, Status, VhostId};
use crate::wire::event;

impl Hub {
    /// What a home shard or control sends to this shard.
    pub fn handle_delivery(&mut self, delivery: Delivery, fx: &mut impl Effects) {
        match delivery {
            Delivery::Joined {
                conn,
                channel,
                home,
                roster,
            } => {
                self.confirm_join(conn, channel, home, roster.as_deref(), fx);
            }
            Delivery::JoinRefused {
                conn,
                channel,
                status,
            } => {
                self.refuse_pending_join(conn, channel, status, fx);
            }
            Delivery::Left { conn, channel } => self.confirm_leave(conn, channel, fx),
            Delivery::Frame {
                channel,
                accepted,
                frame,
                custom,
                echo_of,
            } => {
                let label = FrameLabel {
                    channel,
                    accepted,
                    custom,
                    echo_of,
                };
                self.take_frame(label, &frame, fx);
            }
            Delivery::Bundle { frames } => {
                for (label, frame) in bundle::frames(&frames) {
                    self.take_frame(label, frame, fx);
                }
                fx.let_go(frames);
            }
            Delivery::PublishRefused { conn } => {
                if self.session(conn).is_some() {
                    self.reply(conn.slot, fx, |out| {
                        event::error(out, Status::ChannelNotFound)
                    });
                    self.take_echo(conn, fx);
                }
            }
            Delivery::Gone { channel } => self.end_channel(channel, fx),
            Delivery::Token { conn, grant } => {
                fx.presented(conn, grant.as_ref().err() != Some(&Status::Unauthorized));
                if let Some(session) = self.session_mut(conn) {
                    session.pending = Pending::Nothing;
                    self.admit(conn, grant, fx);
                    fx.resume(conn);
                }
            }
            Delivery::TriggerRefused(trigger) => self.pass_on(trigger, fx),
            Delivery::Answer {
                conn,
                request,
                outcome,
            } => fx.answer(conn, request, outcome),
            Delivery::WorkerReady { conn } => fx.worker_ready(conn),
            Delivery::Probe => fx.control(ToControl::Alive { shard: self.id }),
            Delivery::Change { version, change } => {
                self.apply(*change, fx);
                fx.control(ToControl::Applied {
                    shard: self.id,
                    version,
                });
            }
            Delivery::Query { query, question } => {
                let finding = Box::new(self.handle_question(*question, fx));
                fx.control(ToControl::Answered { query, finding });
            }
            Delivery::Serve => fx.serve(),
            Delivery::Drain { window_ms } => fx.drain(window_ms),
            Delivery::Stop => fx.stop(),
        }
    }

    /// A frame of a channel that is at home on another shard.
    fn take_frame(&mut self, label: FrameLabel, frame: &[u8], fx: &mut impl Effects) {
        let FrameLabel {
            channel,
            accepted,
            custom,
            echo_of,
        } = label;
        if let Some(&key) = self.local_keys.get(&channel) {
            self.fan_out
                .gather(&mut self.locals, key, frame, custom, accepted);
        }
        if let Some(conn) = echo_of {
            self.take_echo(conn, fx);
        }
    }

    fn confirm_join(
        &mut self,
        conn: ConnId,
        channel: ChannelId,
        home: ShardId,
        roster: Option<&[u8]>,
        fx: &mut impl Effects,
    ) {
        let Some(session) = self.session_mut(conn) else {
            // Gone meanwhile: the home shard has to forget it again.
            let from = self.peer(conn);
            let leave = Request::Leave {
                channel,
                from,
                confirm: false,
                data: None,
            };
            return self.request(home, leave, fx);
        };
        let Pending::Join { name, hidden, .. } =
            std::mem::replace(&mut session.pending, Pending::Nothing)
        else {
            return;
        };
        let uid = session.user.as_deref().map(|user| user.uid.clone());
        let uid = uid.filter(|_| name.kind().needs_permission());
        self.reply(conn.slot, fx, |out| {
            event::subscribed(out, name.as_str(), uid.as_deref(), roster);
        });
        self.attach(conn.slot, channel, name, home, hidden);
        fx.resume(conn);
    }

    fn refuse_pending_join(
        &mut self,
        conn: ConnId,
        channel: ChannelId,
        status: Status,
        fx: &mut impl Effects,
    ) {
        let Some(session) = self.session_mut(conn) else {
            return;
        };
        if matches!(session.pending, Pending::Join { channel: pending, .. } if pending == channel) {
            session.pending = Pending::Nothing;
            self.reply(conn.slot, fx, |out| event::error(out, status));
            fx.resume(conn);
        }
    }

    fn confirm_leave(&mut self, conn: ConnId, channel: ChannelId, fx: &mut impl Effects) {
        let Some(session) = self.session_mut(conn) else {
            return;
        };
        let Pending::Leave { name, .. } = std::mem::replace(&mut session.pending, Pending::Nothing)
        else {
            return;
        };
        // A channel closed meanwhile has said it already.
        if self
            .session(conn)
            .is_some_and(|session| session.subscription(channel).is_some())
        {
            self.reply(conn.slot, fx, |out| event::unsubscribed(out, name.as_str()));
            self.detach(conn.slot, channel, fx);
        }
        fx.resume(conn);
    }

    /// One of the session's own events came back, or never will.
    fn take_echo(&mut self, conn: ConnId, fx: &mut impl Effects) {
        let Some(session) = self.session_mut(conn) else {
            return;
        };
        session.echoes.expected = session.echoes.expected.saturating_sub(1);
        if session.echoes.expected > 0 {
            return;
        }
        let unavailable = matches!(session.pending, Pending::Unavailable);
        let awaited = std::mem::take(&mut session.echoes.awaited);
        if unavailable {
            session.pending = Pending::Nothing;
            self.reply(conn.slot, fx, |out| {
                event::error(out, Status::ServiceUnavailable)
            });
        }
        if unavailable || awaited {
            fx.resume(conn);
        }
    }

    /// The channel was closed: its subscribers stay connected ([CC-06]).
    fn end_channel(&mut self, channel: ChannelId, fx: &mut impl Effects) {
        let Some(&key) = self.local_keys.get(&channel) else {
            return;
        };
        let local = &self.locals[key as usize];
        let name = local.name.clone();
        let slots: Vec<u32> = local
            .subscribers
            .iter()
            .map(|subscriber| subscriber.slot)
            .collect();
        for slot in slots {
            self.reply(slot, fx, |out| event::unsubscribed(out, name.as_str()));
            self.detach(slot, channel, fx);
        }
    }

    /// The answer to a single access token.
    fn admit(&mut self, conn: ConnId, grant: Result<Box<Grant>, Status>, fx: &mut impl Effects) {
        let user = grant.and_then(|grant| {
            // It compiled when the token was issued, maybe by an older node.
            let permission = self.permission(&grant.pattern);
            Ok(Box::new(User {
                uid: grant.uid,
                permission: permission.ok_or(Status::InternalError)?,
            }))
        });
        let Some(session) = self.session_mut(conn) else {
            return;
        };
        match user {
            Ok(user) => {
                session.user = Some(user);
                self.reply(conn.slot, fx, event::authenticated);
            }
            Err(status) => self.reply(conn.slot, fx, |out| event::error(out, status)),
        }
    }

    fn apply(&mut self, change: Change, fx: &mut impl Effects) {
        match change {
            Change::VhostAdded {
                vhost,
                path,
                token,
                meters,
            } => {
                let meter = meters.of(self.id);
                self.registry.add_vhost(vhost, path, token, meter);
            }
            Change::VhostDeleted { vhost } => self.delete_vhost(vhost, fx),
            Change::TokenReplaced { vhost, token } => self.registry.replace_token(vhost, token),
            Change::ChannelOpened {
                vhost,
                channel,
                name,
            } => {
                let opened = self.registry.open(vhost, channel, name.clone());
                if let Some(opened) = opened.filter(|opened| opened.home == self.id) {
                    let presence = opened.kind.is_presence();
                    let home = Home::new(vhost, name, presence, self.registry.shards());
                    self.homes.insert(channel, home);
                }
            }
            Change::ChannelClosed {
                vhost,
                channel,
                name,
            } => {
                self.registry.close(vhost, &name);
                self.home_close(channel, fx);
            }
            Change::TokenIssued {
                vhost,
                token,
                grant,
                expires_at_ms,
            } => {
                if self.registry.has_vhost(vhost) {
                    self.tokens.issue(vhost, *token, grant, expires_at_ms);
                }
            }
            Change::QuotasReplaced { quotas } => {
                self.set_quotas(quotas);
                fx.quotas_replaced();
            }
            Change::WorkerJoined { vhost, peer } => {
                self.lobbies.entry(vhost).or_default().join(peer);
            }
            Change::WorkerLeft {
                vhost,
                peer,
                replaced,
            } => {
                self.leave_lobby(vhost, peer);
                if replaced && peer.shard == self.id {
                    fx.worker_replaced(peer.conn);
                }
            }
        }
    }

    fn delete_vhost(&mut self, vhost: VhostId, fx: &mut impl Effects) {
        let channels: SmallVec<[_; 8]> = self.registry.remove_vhost(vhost).into_iter().collect();
        self.remove_cork(vhost, &channels);
        for channel in channels {
            self.homes.remove(&channel.id);
        }
        self.lobbies.remove(&vhost);
        self.tokens.forget_vhost(vhost);
        fx.vhost_deleted(vhost);
    }
}
