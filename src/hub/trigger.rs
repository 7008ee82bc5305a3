use bytes::Bytes;

use super::envelope::{Request, ToControl, Trigger};
use super::{Effects, Hub};
use crate::limits::TRIGGER_HOPS_MAX;
use crate::meter::Moment;
use crate::model::{ConnId, Peer, Status, VhostId, WorkerId};
use crate::wire::json::{JsonString, Members};
use crate::wire::{event, packet};

/// What became of a trigger.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Handed {
    /// A worker has it, or its shard is going to.
    Taken,
    /// There is no worker that can take it ([TG-08..10]).
    NoWorker,
    /// The ring to the worker's shard is full; nothing happened.
    NoRoom,
}

impl Hub {
    /// A worker has registered: every shard is to know it.
    pub fn register_worker(
        &mut self,
        conn: ConnId,
        vhost: VhostId,
        worker: WorkerId,
        fx: &mut impl Effects,
    ) {
        fx.control(ToControl::WorkerReady {
            vhost,
            worker,
            from: self.peer(conn),
        });
    }

    /// A registered worker is gone.
    pub fn deregister_worker(&mut self, conn: ConnId, vhost: VhostId, fx: &mut impl Effects) {
        let from = self.peer(conn);
        self.leave_lobby(vhost, from);
        fx.control(ToControl::WorkerGone { vhost, from });
    }

    pub(super) fn leave_lobby(&mut self, vhost: VhostId, worker: Peer) {
        if let Some(lobby) = self.lobbies.get_mut(&vhost) {
            lobby.leave(worker);
            if lobby.len() == 0 {
                self.lobbies.remove(&vhost);
            }
        }
    }

    /// Offers a trigger to the worker whose turn it is, and on to the next.
    pub(super) fn hand_over(
        &mut self,
        conn: ConnId,
        vhost: VhostId,
        event: JsonString<'_>,
        data: Members<'_>,
        channel: Option<&str>,
        fx: &mut impl Effects,
    ) -> Handed {
        let origin = self.peer(conn);
        let Some(sid) = self.session(conn).map(|session| session.sid) else {
            return Handed::NoWorker;
        };
        let Some(lobby) = self.lobbies.get_mut(&vhost) else {
            self.meter.triggers_refused.add(1);
            return Handed::NoWorker;
        };
        let mut text = std::mem::take(&mut self.scratch);
        text.clear();
        packet::write_trigger(&mut text, event.raw(), data, &sid, channel);
        let mut handed = Handed::NoWorker;
        let mut taken_here = false;
        for hops in 0..TRIGGER_HOPS_MAX.min(lobby.len().min(u8::MAX.into()) as u8) {
            let Some(worker) = lobby.peek() else { break };
            if worker.shard == self.id {
                lobby.advance();
                if fx.trigger(worker.conn, &text) {
                    taken_here = true;
                    handed = Handed::Taken;
                    break;
                }
                continue;
            }
            let packet = Bytes::copy_from_slice(&text);
            let trigger = Trigger {
                vhost,
                worker: worker.conn,
                origin,
                hops,
                accepted: self.turn,
                packet,
            };
            let request = Request::Trigger(Box::new(trigger));
            self.to_homes.send(worker.shard, fx);
            handed = match fx.try_request(worker.shard, request) {
                Ok(()) => {
                    lobby.advance();
                    Handed::Taken
                }
                Err(_) => Handed::NoRoom,
            };
            break;
        }
        self.scratch = text;
        if taken_here {
            self.count_trigger(vhost, self.turn, fx);
        } else if handed == Handed::NoWorker {
            self.meter.triggers_refused.add(1);
        }
        handed
    }

    /// A worker of this shard was handed a trigger.
    pub(super) fn count_trigger(&self, vhost: VhostId, accepted: Moment, fx: &mut impl Effects) {
        self.meter.triggers.add(1);
        if let Some(meter) = self.registry.meter(vhost) {
            meter.triggers.add(1);
        }
        self.meter.trigger_wait.record(accepted.until(fx.now()));
    }

    /// A worker on another shard could not take it: offers it to the next.
    pub(super) fn pass_on(&mut self, mut trigger: Box<Trigger>, fx: &mut impl Effects) {
        while let Some(lobby) = self.lobbies.get_mut(&trigger.vhost) {
            trigger.hops += 1;
            if usize::from(trigger.hops) >= lobby.len().min(TRIGGER_HOPS_MAX.into()) {
                break;
            }
            let Some(worker) = lobby.peek() else { break };
            lobby.advance();
            trigger.worker = worker.conn;
            if worker.shard != self.id {
                return self.request(worker.shard, Request::Trigger(trigger), fx);
            }
            if fx.trigger(worker.conn, &trigger.packet) {
                return self.count_trigger(trigger.vhost, trigger.accepted, fx);
            }
        }
        self.meter.triggers_refused.add(1);
        let conn = trigger.origin.conn;
        if self.session(conn).is_some() {
            self.reply(conn.slot, fx, |out| {
                event::error(out, Status::ServiceUnavailable)
            });
        }
    }
}
