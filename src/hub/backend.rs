use super::batch::KEPT_BYTES_MAX;
use super::envelope::{Ask, Grant, Outcome, Receipt, ToControl};
use super::label::PublishLabel;
use super::{Answer, Effects, Hub};
use crate::model::{ConnId, Status, VhostId};
use crate::wire::event;
use crate::wire::json::{self, Members};

impl Hub {
    /// `BC`: an event for the subscribers of a channel. `OK` once it has its
    /// place in the channel's order ([BC-13]).
    pub fn broadcast(
        &mut self,
        client: ConnId,
        request: u32,
        (vhost, channel, event): (VhostId, &str, &str),
        data: Members<'_>,
        fx: &mut impl Effects,
    ) -> Answer {
        let Some((_, known)) = self.registry.channel(vhost, channel) else {
            return Answer::Now(Outcome::Failed(Status::ChannelNotFound));
        };
        let mut name = std::mem::take(&mut self.name);
        name.clear();
        json::write_string(&mut name, event);
        let write = |out: &mut _| event::custom(out, &name, data, None, channel);
        if known.home == self.id {
            self.with_frame(write, |hub, frame| {
                hub.spread(known.id, frame, true, hub.turn, None, fx)
            });
            self.keep_name(name);
            self.count_broadcast(vhost);
            return Answer::Now(Outcome::Done);
        }
        let label = PublishLabel {
            channel: known.id,
            accepted: self.turn,
            receipt: Receipt::Answer(self.peer(client), request),
        };
        let taken = self.with_frame(write, |hub, frame| hub.submit(known.home, label, frame, fx));
        self.keep_name(name);
        if !taken {
            return self.stall_client(client);
        }
        self.count_broadcast(vhost);
        Answer::Later
    }

    pub(super) fn keep_name(&mut self, name: String) {
        if name.capacity() <= KEPT_BYTES_MAX {
            self.name = name;
        }
    }

    fn count_broadcast(&self, vhost: VhostId) {
        self.meter.broadcasts.add(1);
        if let Some(meter) = self.registry.meter(vhost) {
            meter.broadcasts.add(1);
        }
    }

    /// `OC` and `CC`: control decides, every shard applies.
    pub fn ask(
        &mut self,
        client: ConnId,
        request: u32,
        vhost: VhostId,
        ask: Ask,
        fx: &mut impl Effects,
    ) -> Answer {
        let from = self.peer(client);
        match fx.try_control(ToControl::Backend {
            from,
            request,
            vhost,
            ask,
        }) {
            Ok(()) => Answer::Later,
            Err(_) => self.stall_client(client),
        }
    }

    /// `AT`: a single access token, if the pattern compiles.
    pub fn issue_token(
        &mut self,
        client: ConnId,
        request: u32,
        vhost: VhostId,
        grant: Grant,
        fx: &mut impl Effects,
    ) -> Answer {
        if self.permission(&grant.pattern).is_none() {
            return Answer::Now(Outcome::Failed(Status::InternalError));
        }
        self.ask(client, request, vhost, Ask::Token(Box::new(grant)), fx)
    }

    fn stall_client(&mut self, client: ConnId) -> Answer {
        self.stall(client);
        Answer::Retry
    }
}
