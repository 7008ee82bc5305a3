use super::envelope::{Join, Receipt, Request};
use super::label::PublishLabel;
use super::registry::home_of_token;
use super::session::{ECHOES_MAX, Pending, Session};
use super::trigger::Handed;
use super::{Channel, Effects, Flow, Hub};
use crate::meter::Refused;
use crate::model::{ChannelName, ConnId, ShardId, SingleAccessToken, Status};
use crate::wire::event::{self, Malformed, Message};
use crate::wire::json::{JsonString, Members};

/// A message that is answered with `:error`, if with anything.
type Outcome = Result<Flow, Status>;

impl Hub {
    /// What a frontend sent: one whole message. All that it makes the broker say
    /// to this frontend comes after the answers to earlier messages ([SU-13]).
    pub fn handle_message(&mut self, conn: ConnId, message: &[u8], fx: &mut impl Effects) -> Flow {
        self.handle_decoded(conn, event::decode(message), fx)
    }

    /// The same for a message that has been found to be text already.
    pub fn handle_text(&mut self, conn: ConnId, message: &str, fx: &mut impl Effects) -> Flow {
        self.handle_decoded(conn, event::decode_text(message), fx)
    }

    fn handle_decoded(
        &mut self,
        conn: ConnId,
        message: Result<Message<'_>, Malformed>,
        fx: &mut impl Effects,
    ) -> Flow {
        let Some(session) = self.session_mut(conn) else {
            return Flow::Close;
        };
        // Broadcasts may overtake their echoes, what is answered otherwise may not.
        let answered = !matches!(message, Ok(Message::Pong | Message::Broadcast { .. }));
        if answered && session.echoes.expected > 0 {
            return await_echoes(session);
        }
        let outcome = match message {
            Err(event::Malformed) => Err(Status::BadRequest),
            Ok(Message::Pong) => Ok(Flow::Next),
            Ok(Message::Auth { token }) => self.authenticate(conn, &token, fx),
            Ok(Message::Subscribe {
                channel,
                hidden,
                data,
            }) => self.subscribe(conn, &channel, hidden, data, fx),
            Ok(Message::Unsubscribe { channel, data }) => {
                self.unsubscribe(conn, &channel, data, fx)
            }
            Ok(Message::Broadcast {
                channel,
                event,
                data,
                trigger,
            }) => self.broadcast_event(conn, &channel, event, data, trigger, fx),
            Ok(Message::Trigger { event, data }) => self.trigger_event(conn, event, data, fx),
            Ok(Message::Close { data }) => Ok(self.end(conn, data, fx)),
        };
        outcome.unwrap_or_else(|status| self.refuse(conn, status, fx))
    }

    fn refuse(&mut self, conn: ConnId, status: Status, fx: &mut impl Effects) -> Flow {
        if let Some(session) = self.session_mut(conn)
            && session.echoes.expected > 0
        {
            return await_echoes(session);
        }
        self.reply(conn.slot, fx, |out| event::error(out, status));
        Flow::Next
    }

    /// An authenticated session ends first, whatever the token is worth ([AU-12..14]).
    fn authenticate(&mut self, conn: ConnId, token: &str, fx: &mut impl Effects) -> Outcome {
        if !fx.try_present(conn) {
            return Ok(Flow::Next);
        }
        let session = self.session_mut(conn).ok_or(Status::InternalError)?;
        let vhost = session.vhost;
        if session.user.take().is_some() {
            self.catch_up(conn.slot, fx);
            self.leave_all(conn.slot, None, fx);
        }
        let Some(token) = SingleAccessToken::parse(token.as_bytes()) else {
            fx.presented(conn, false);
            return Err(Status::Unauthorized);
        };
        let home = home_of_token(&token, self.registry.shards());
        let (from, token) = (self.peer(conn), Box::new(token));
        if home == self.id {
            if let Err(status) = self.home_take(from, vhost, token, fx) {
                fx.presented(conn, false);
                return Err(status);
            }
            self.set_pending(conn, Pending::Token);
            return Ok(Flow::Wait);
        }
        let request = Request::TakeToken { from, vhost, token };
        let flow = self.ask_home(conn, home, request, Pending::Token, fx);
        if flow == Flow::Retry {
            fx.withdrawn(conn);
        }
        Ok(flow)
    }

    fn subscribe(
        &mut self,
        conn: ConnId,
        channel: &str,
        hidden: bool,
        data: Members<'_>,
        fx: &mut impl Effects,
    ) -> Outcome {
        let (session, name, Channel { id, kind, home }) = self.look_up(conn, channel)?;
        if session.subscription(id).is_some() {
            return Ok(Flow::Next);
        }
        let uid = if kind.needs_permission() {
            let user = session
                .user
                .as_deref()
                .filter(|user| user.permission.allows(channel));
            user.map(|user| user.uid.clone()).ok_or(Status::Forbidden)?
        } else {
            "".into()
        };
        let subscriptions_max = self.registry.quota(session.vhost).subscriptions_max;
        if session.subscriptions.len() >= subscriptions_max as usize {
            fx.refused(conn, Refused::Subscriptions, Status::Forbidden);
            return Err(Status::Forbidden);
        }
        let record = if kind.is_presence() {
            event::presence_record(data, &uid, channel).into()
        } else {
            "".into()
        };
        let pending = Pending::Join {
            channel: id,
            name: name.clone(),
            hidden,
        };
        let join = Join {
            channel: id,
            from: self.peer(conn),
            hidden,
            record,
            uid,
        };
        if home == self.id {
            self.set_pending(conn, pending);
            self.home_join(join, fx);
            return Ok(Flow::Next);
        }
        Ok(self.ask_home(conn, home, Request::Join(Box::new(join)), pending, fx))
    }

    fn unsubscribe(
        &mut self,
        conn: ConnId,
        channel: &str,
        data: Members<'_>,
        fx: &mut impl Effects,
    ) -> Outcome {
        let (session, name, Channel { id, home, .. }) = self.look_up(conn, channel)?;
        session.subscription(id).ok_or(Status::NotSubscribed)?;
        let pending = Pending::Leave {
            channel: id,
            name: name.clone(),
        };
        let from = self.peer(conn);
        if home == self.id {
            self.set_pending(conn, pending);
            self.home_leave(id, from, true, Some(data.as_str()), fx);
            return Ok(Flow::Next);
        }
        let data = owned(data);
        let request = Request::Leave {
            channel: id,
            from,
            confirm: true,
            data,
        };
        Ok(self.ask_home(conn, home, request, pending, fx))
    }

    fn broadcast_event(
        &mut self,
        conn: ConnId,
        channel: &str,
        event: JsonString<'_>,
        data: Members<'_>,
        trigger: Option<JsonString<'_>>,
        fx: &mut impl Effects,
    ) -> Outcome {
        let (session, _, Channel { id, home, .. }) = self.look_up(conn, channel)?;
        session.subscription(id).ok_or(Status::NotSubscribed)?;
        if trigger.is_some() && session.user.is_none() {
            return Err(Status::Forbidden);
        }
        let echoes = &session.echoes;
        if echoes.expected > 0 && (echoes.home != home || echoes.expected >= ECHOES_MAX) {
            return Ok(self.session_mut(conn).map_or(Flow::Close, await_echoes));
        }
        let (sid, vhost) = (session.sid, session.vhost);
        let receipt = Receipt::Echo(self.peer(conn));
        let write = |out: &mut _| event::custom(out, event.raw(), data, Some(&sid), channel);
        if home == self.id {
            self.with_frame(write, |hub, frame| {
                hub.home_publish(id, receipt, frame, hub.turn, fx);
            });
        } else {
            let label = PublishLabel {
                channel: id,
                accepted: self.turn,
                receipt,
            };
            let taken = self.with_frame(write, |hub, frame| hub.submit(home, label, frame, fx));
            if !taken {
                return Ok(self.stall(conn));
            }
            if let Some(session) = self.session_mut(conn) {
                session.echoes.expected += 1;
                session.echoes.home = home;
            }
        }
        self.meter.broadcasts.add(1);
        if let Some(session) = self.session(conn) {
            session.meter.broadcasts.add(1);
        }
        let Some(trigger) = trigger else {
            return Ok(Flow::Next);
        };
        let handed = self.hand_over(conn, vhost, trigger, data, Some(channel), fx);
        if handed == Handed::NoRoom {
            // The event is on its way, so the message can't be offered again.
            self.meter.triggers_refused.add(1);
        }
        match (handed, home == self.id) {
            (Handed::Taken, _) => Ok(Flow::Next),
            (Handed::NoWorker | Handed::NoRoom, true) => Err(Status::ServiceUnavailable),
            (Handed::NoWorker | Handed::NoRoom, false) => {
                self.set_pending(conn, Pending::Unavailable);
                Ok(Flow::Wait)
            }
        }
    }

    fn trigger_event(
        &mut self,
        conn: ConnId,
        event: JsonString<'_>,
        data: Members<'_>,
        fx: &mut impl Effects,
    ) -> Outcome {
        let session = self.session(conn).ok_or(Status::InternalError)?;
        let vhost = session.vhost;
        session.user.as_ref().ok_or(Status::Forbidden)?;
        match self.hand_over(conn, vhost, event, data, None, fx) {
            Handed::Taken => Ok(Flow::Next),
            Handed::NoWorker => Err(Status::ServiceUnavailable),
            Handed::NoRoom => Ok(self.stall(conn)),
        }
    }

    /// `close`: memberships end, `:closed` is said ([CL-01, CL-02]).
    fn end(&mut self, conn: ConnId, data: Members<'_>, fx: &mut impl Effects) -> Flow {
        self.catch_up(conn.slot, fx);
        self.leave_all(conn.slot, owned(data).as_deref(), fx);
        if let Some(sid) = self.session(conn).map(|session| session.sid) {
            self.reply(conn.slot, fx, |out| event::closed(out, &sid));
        }
        Flow::Close
    }

    /// Ends all subscriptions without a word to the session. A leave that is
    /// under way already is not sent twice.
    pub(super) fn leave_all(&mut self, slot: u32, data: Option<&str>, fx: &mut impl Effects) {
        let under_way = self.sessions[slot as usize]
            .as_deref()
            .and_then(|session| match &session.pending {
                Pending::Leave { channel, .. } => Some(*channel),
                _ => None,
            });
        while let Some((from, subscription)) = self.sessions[slot as usize]
            .as_deref()
            .and_then(|s| Some((self.peer(s.conn), *s.subscriptions.last()?)))
        {
            let channel = subscription.channel;
            let home = self.locals[subscription.local as usize].home;
            self.detach(slot, channel, fx);
            if under_way == Some(channel) {
                continue;
            }
            if home == self.id {
                self.home_leave(channel, from, false, data, fx);
            } else {
                let data = data.map(Into::into);
                let leave = Request::Leave {
                    channel,
                    from,
                    confirm: false,
                    data,
                };
                self.request(home, leave, fx);
            }
        }
    }

    /// Sends a request whose answer the session waits for.
    fn ask_home(
        &mut self,
        conn: ConnId,
        home: ShardId,
        request: Request,
        pending: Pending,
        fx: &mut impl Effects,
    ) -> Flow {
        if !self.try_request(home, request, fx) {
            return self.stall(conn);
        }
        self.set_pending(conn, pending);
        Flow::Wait
    }

    /// The session and the open channel of this name in its vhost.
    fn look_up(
        &self,
        conn: ConnId,
        channel: &str,
    ) -> Result<(&Session, &ChannelName, Channel), Status> {
        let session = self.session(conn).ok_or(Status::InternalError)?;
        let (name, channel) = self
            .registry
            .channel(session.vhost, channel)
            .ok_or(Status::ChannelNotFound)?;
        Ok((session, name, channel))
    }

    fn set_pending(&mut self, conn: ConnId, pending: Pending) {
        if let Some(session) = self.session_mut(conn) {
            session.pending = pending;
        }
    }
}

fn await_echoes(session: &mut Session) -> Flow {
    session.echoes.awaited = true;
    Flow::Retry
}

fn owned(data: Members<'_>) -> Option<Box<str>> {
    (!data.is_empty()).then(|| data.as_str().into())
}
