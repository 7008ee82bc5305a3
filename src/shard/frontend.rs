use super::connection::Role;
use super::pump::Pump;
use super::refusal::cause_of;
use crate::hub::{Effects, Flow};
use crate::limits::{OUTBOX_READ_PAUSE_BYTES, READ_BYTES_MAX};
use crate::meter::{Kind, Refused};
use crate::model::{ConnId, Sid, VhostId};
use crate::session::{Frontend, Rates, Upgrade, handle_upgrade};
use crate::wire::frame::{self, CloseCode};
use crate::wire::http::{self, Refusal};
use crate::wire::message::Incoming;

impl Pump {
    pub(super) fn handle_handshake(&mut self, conn: ConnId, bytes: &mut [u8]) -> usize {
        match handle_upgrade(bytes, self.hub.registry()) {
            Upgrade::Incomplete => 0,
            Upgrade::Refused { refusal, vhost } => {
                if let Some(cause) = cause_of(&refusal) {
                    self.note_refusal(conn, vhost, cause, refusal.status());
                }
                self.refuse_upgrade(conn, &refusal);
                bytes.len()
            }
            Upgrade::Script(answer) => {
                let mut response = Vec::new();
                answer.write(&mut response);
                self.close_with(conn, &response);
                bytes.len()
            }
            Upgrade::Accepted {
                vhost,
                key,
                deflate,
                consumed,
            } => {
                let quota = self.hub.registry().quota(vhost);
                if !self.io.try_enter_vhost(conn, vhost, quota) {
                    let refusal = Refusal::Unavailable;
                    let cause = Refused::VhostConnections;
                    self.note_refusal(conn, Some(vhost), cause, refusal.status());
                    self.refuse_upgrade(conn, &refusal);
                    return bytes.len();
                }
                let mut response = Vec::with_capacity(160);
                http::write_switching_protocols(&key, deflate, &mut response);
                self.io.push(conn.slot, &response);
                if let Some(connection) = self.io.get(conn) {
                    // Frames begin behind it.
                    connection.outbox.set_mark(response.len());
                }
                self.io.set_deadline(conn, 0);
                self.io.count_as(conn, Kind::Frontend);
                let mut random = [0; 16];
                if getrandom::fill(&mut random).is_err() {
                    self.close_frontend(conn, CloseCode::INTERNAL, "no randomness");
                    return bytes.len();
                }
                self.hub
                    .open(conn, vhost, Sid::from_random(random), &mut self.io);
                self.hub.set_deflate(conn, deflate.map(|it| it.params));
                let frontend = Frontend::new(vhost, deflate);
                self.handle_frontend(conn, frontend, bytes, consumed)
            }
        }
    }

    /// Handles the messages that are whole in `bytes` from `start` on.
    pub(super) fn handle_frontend(
        &mut self,
        conn: ConnId,
        mut frontend: Frontend,
        bytes: &mut [u8],
        start: usize,
    ) -> usize {
        let mut done = start;
        if let Some(held) = frontend.held.take() {
            match self.hub.handle_message(conn, &held, &mut self.io) {
                Flow::Retry => frontend.held = Some(held),
                flow => self.note_flow(conn, flow),
            }
            if frontend.held.is_some() {
                self.set_waiting(conn);
            }
        }
        let vhost = frontend.vhost;
        let quota = self.hub.registry().quota(vhost);
        let message_bytes_max = quota.message_bytes_max as usize;
        let rates = Rates::from(quota);
        let now_ms = self.io.now_ms;
        let inflated_before = self.inflated_bytes;
        while self.may_go_on(conn) {
            // What else it sent waits behind all others, as large messages do.
            if self.inflated_bytes - inflated_before >= READ_BYTES_MAX {
                self.set_bulky(conn);
                break;
            }
            // Whoever has sent nothing more need not rest.
            if done < bytes.len()
                && let Some(until_ms) = frontend.pace.rests_until(rates, now_ms)
            {
                self.throttle(conn, vhost, until_ms);
                break;
            }
            let mut consumed = 0;
            let rest = &mut bytes[done..];
            let incoming = frontend.reader.next(rest, message_bytes_max, &mut consumed);
            done += consumed;
            let messages = u32::from(matches!(incoming, Ok(Some(_))));
            let mut bytes = consumed;
            let incoming = incoming.and_then(|incoming| match incoming {
                Some(Incoming::Compressed { payload, binary }) => {
                    let text = self.inflater.inflate(payload, message_bytes_max)?;
                    self.inflated_bytes += text.len();
                    bytes = bytes.max(text.len());
                    Incoming::message(text, binary).map(Some)
                }
                incoming => Ok(incoming),
            });
            frontend.pace.take(rates, messages, bytes, now_ms);
            match incoming {
                Ok(None | Some(Incoming::Compressed { .. })) => break,
                Ok(Some(Incoming::Message { text, checked, .. })) => {
                    let flow = match checked {
                        Some(text) => self.hub.handle_text(conn, text, &mut self.io),
                        None => self.hub.handle_message(conn, text, &mut self.io),
                    };
                    match flow {
                        Flow::Retry => {
                            frontend.held = Some(text.into());
                            self.set_waiting(conn);
                        }
                        flow => self.note_flow(conn, flow),
                    }
                }
                Ok(Some(Incoming::Ping(payload))) => {
                    self.answers.clear();
                    frame::write_pong(&mut self.answers, payload);
                    self.io.push(conn.slot, &self.answers);
                }
                Ok(Some(Incoming::Pong)) => {}
                Ok(Some(Incoming::Close { code })) => {
                    self.close_frontend(conn, code.unwrap_or(CloseCode::NORMAL), "");
                }
                Err(violation) => {
                    let cause = match violation.code {
                        CloseCode::TOO_BIG => Refused::MessageBytes,
                        _ => Refused::Protocol,
                    };
                    self.note_refusal(conn, Some(vhost), cause, violation.code.0);
                    self.close_frontend(conn, violation.code, violation.reason);
                }
            }
        }
        self.set_role(conn, Role::Frontend(frontend));
        done
    }

    /// Reads on only in the turns to come, behind who sends little.
    fn set_bulky(&mut self, conn: ConnId) {
        if let Some(connection) = self.io.get(conn) {
            connection.flags.bulky = true;
            self.io.list(conn.slot);
        }
    }

    /// The connection is not read until then. It is told nothing, and nothing
    /// that it sent is lost: its own socket makes it wait.
    fn throttle(&mut self, conn: ConnId, vhost: VhostId, until_ms: u64) {
        if let Some(connection) = self.io.get(conn) {
            connection.flags.throttled = true;
        }
        self.io.set_deadline(conn, until_ms);
        self.note_refusal(conn, Some(vhost), Refused::MessageRate, 0);
    }

    /// The connection's budget is whole again.
    pub(super) fn end_throttling(&mut self, conn: ConnId) {
        self.io.set_deadline(conn, 0);
        if let Some(connection) = self.io.get(conn) {
            connection.flags.throttled = false;
            self.io.list(conn.slot);
        }
    }

    fn note_flow(&mut self, conn: ConnId, flow: Flow) {
        match flow {
            Flow::Next => {}
            Flow::Wait | Flow::Retry => self.set_waiting(conn),
            Flow::Close => self.close_frontend(conn, CloseCode::NORMAL, ""),
        }
    }

    /// The connection takes no message until it is resumed, which may have
    /// happened within the very call that made it wait.
    pub(super) fn set_waiting(&mut self, conn: ConnId) {
        if let Some(connection) = self.io.get(conn) {
            connection.flags.waiting = true;
        }
    }

    /// Whether the connection's next message may be taken; lists it for the
    /// next turn where only this one is full.
    pub(super) fn may_go_on(&mut self, conn: ConnId) -> bool {
        let full = self.is_full();
        let Some(connection) = self.io.get(conn) else {
            return false;
        };
        let held_back = connection.flags.waiting
            || connection.is_closing()
            || connection.outbox.len() > OUTBOX_READ_PAUSE_BYTES;
        if !held_back && full {
            self.io.list(conn.slot);
        }
        !held_back && !full
    }
}
