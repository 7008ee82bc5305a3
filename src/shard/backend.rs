use super::connection::Role;
use super::pump::Pump;
use crate::hub::envelope::{Ask, Outcome};
use crate::hub::{Answer, Effects};
use crate::meter::{Kind, Refused};
use crate::model::{ConnId, Status};
use crate::session::{Client, First, Fresh, Reply, Request, Worker, WorkerStep};
use crate::wire::packet::{self, Packet, Scanner};

impl Pump {
    pub(super) fn handle_fresh(&mut self, conn: ConnId, mut fresh: Fresh, bytes: &[u8]) -> usize {
        let (packet, consumed) = match fresh.scanner.next(bytes) {
            Ok(Some(found)) => found,
            Ok(None) => {
                self.set_role(conn, Role::Fresh(fresh));
                return 0;
            }
            Err(_) => {
                self.refuse_backend(conn, None, Refused::Backend, Status::BadRequest);
                return bytes.len();
            }
        };
        let Some(connection) = self.io.get(conn) else {
            return bytes.len();
        };
        let (from, max) = (connection.from, self.io.wrong_tokens_max);
        let (guesses, now_us) = (&self.io.occupancy.backend_guesses, self.io.turn_us);
        if !guesses.try_take(from, max, now_us) {
            self.refuse_backend(conn, None, Refused::WrongTokens, Status::Forbidden);
            return bytes.len();
        }
        let first = Fresh::handle_first(&packet, self.hub.registry(), self.io.now_ms);
        if !matches!(first, First::Refused(Status::Unauthorized)) {
            guesses.give_back(from, max, now_us);
        }
        match first {
            First::Client(client) => {
                self.io.set_deadline(conn, 0);
                self.io.count_as(conn, Kind::Client);
                self.handle_client(conn, Box::new(client), bytes, 0)
            }
            First::Worker(worker, id) => {
                self.io.set_deadline(conn, worker.deadline_ms());
                self.io.count_as(conn, Kind::Worker);
                self.hub
                    .register_worker(conn, worker.vhost, id, &mut self.io);
                consumed + self.handle_worker(conn, Box::new(worker), &bytes[consumed..])
            }
            First::Expired => {
                self.close_with(conn, packet::QUIT);
                bytes.len()
            }
            First::Refused(status) => {
                self.refuse_backend(conn, None, Refused::Backend, status);
                bytes.len()
            }
        }
    }

    /// Handles the requests that are whole in `bytes` from `start` on.
    pub(super) fn handle_client(
        &mut self,
        conn: ConnId,
        mut client: Box<Client>,
        bytes: &[u8],
        start: usize,
    ) -> usize {
        let mut done = start;
        let mut taken = false;
        while client.has_room() && self.may_go_on(conn) {
            match client.scanner.next(&bytes[done..]) {
                Ok(None) => break,
                Ok(Some((packet, consumed))) => {
                    if !self.handle_packet(conn, &mut client, &packet) {
                        // Found again, from its beginning, when it is offered again.
                        client.scanner = Scanner::default();
                        break;
                    }
                    taken = true;
                    done += consumed;
                    // At once: an answer that is known must hold nothing up.
                    self.give_answers(conn, &mut client);
                }
                Err(_) => {
                    if client.is_settled() {
                        let vhost = Some(client.vhost);
                        self.refuse_backend(conn, vhost, Refused::Backend, Status::BadRequest);
                        return bytes.len();
                    }
                    // Comes again after the answers to what stood before it.
                    self.set_waiting(conn);
                    break;
                }
            }
        }
        if !client.has_room() {
            if client.is_kept() {
                // Goes on with the next answer.
                self.set_waiting(conn);
            } else {
                // What follows the only request is ignored ([BE-16]).
                done = bytes.len();
            }
        }
        if client.is_kept()
            && let Some(deadline_ms) =
                client.handle_bytes(taken, done < bytes.len(), self.io.now_ms)
        {
            self.io.set_deadline(conn, deadline_ms);
        }
        self.set_role(conn, Role::Client(client));
        done
    }

    /// Begins a request; false where it has to be offered again.
    fn handle_packet(&mut self, conn: ConnId, client: &mut Client, packet: &Packet<'_>) -> bool {
        let request = match Request::decode(packet) {
            Ok(Request::Heartbeat) if !client.is_kept() => Err(Status::BadRequest),
            decoded => decoded,
        };
        let request = match request {
            Ok(request) => request,
            Err(status) => {
                if status == Status::BadRequest {
                    let vhost = Some(client.vhost);
                    self.note_refusal(conn, vhost, Refused::Backend, status.code());
                }
                let number = client.begin_refused();
                client.settle(number, Reply::Outcome(Outcome::Failed(status)));
                return true;
            }
        };
        let Some(number) = client.try_begin(&request) else {
            self.set_waiting(conn);
            return false;
        };
        let (hub, io, vhost) = (&mut self.hub, &mut self.io, client.vhost);
        let answer = match request {
            Request::Keep => {
                client.keep();
                Answer::Now(Outcome::Done)
            }
            Request::Heartbeat => {
                client.settle(number, Reply::Heartbeat);
                return true;
            }
            Request::Open(name) => hub.ask(conn, number, vhost, Ask::Open(name), io),
            Request::Close(name) => hub.ask(conn, number, vhost, Ask::Close(name), io),
            Request::Token(grant) => hub.issue_token(conn, number, vhost, grant, io),
            Request::Broadcast {
                channel,
                event,
                data,
            } => hub.broadcast(conn, number, (vhost, channel, event), data, io),
        };
        match answer {
            Answer::Now(outcome) => client.settle(number, Reply::Outcome(outcome)),
            Answer::Later => {}
            Answer::Retry => {
                client.take_back();
                self.set_waiting(conn);
                return false;
            }
        }
        true
    }

    /// Writes the answers whose turn it is, and closes after the last one.
    fn give_answers(&mut self, conn: ConnId, client: &mut Client) {
        let mut answers = std::mem::take(&mut self.answers);
        answers.clear();
        let count = client.take_answers(&mut answers);
        if count > 0 && client.is_kept() {
            self.io.push(conn.slot, &answers);
        } else if count > 0 {
            self.close_with(conn, &answers);
        }
        if client.has_left() {
            self.close_with(conn, packet::QUIT);
        }
        self.answers = answers;
    }

    /// The answer to a request that was under way.
    pub(super) fn answer(&mut self, conn: ConnId, request: u32, outcome: Outcome) {
        let Some(mut client) = self.take_client(conn) else {
            return;
        };
        client.settle(request, Reply::Outcome(outcome));
        self.give_answers(conn, &mut client);
        self.set_role(conn, Role::Client(client));
        // There may be requests that had no room, or an end that waited.
        self.io.resume(conn);
    }

    /// Writes the answers that are known.
    pub(super) fn give_what_is_owed(&mut self, conn: ConnId) {
        let Some(mut client) = self.take_client(conn) else {
            return;
        };
        self.give_answers(conn, &mut client);
        self.set_role(conn, Role::Client(client));
    }

    /// Out of its place while it is at work.
    fn take_client(&mut self, conn: ConnId) -> Option<Box<Client>> {
        let connection = self.io.get(conn)?;
        match std::mem::replace(&mut connection.role, Role::Handshake) {
            Role::Client(client) => Some(client),
            other => {
                connection.role = other;
                None
            }
        }
    }

    pub(super) fn handle_worker(
        &mut self,
        conn: ConnId,
        mut worker: Box<Worker>,
        bytes: &[u8],
    ) -> usize {
        let mut done = 0;
        loop {
            match worker.scanner.next(&bytes[done..]) {
                Ok(None) => break,
                Ok(Some((packet, consumed))) => {
                    done += consumed;
                    match packet.command {
                        b"HB" => worker.handle_heartbeat(self.io.now_ms),
                        b"QT" => {
                            self.close_worker(conn, worker.vhost, b"");
                            return bytes.len();
                        }
                        // Unknown ones and a repeated `RD` are ignored ([WK-24]).
                        _ => {}
                    }
                }
                Err(_) => {
                    self.hub.deregister_worker(conn, worker.vhost, &mut self.io);
                    let vhost = Some(worker.vhost);
                    self.refuse_backend(conn, vhost, Refused::Backend, Status::BadRequest);
                    return bytes.len();
                }
            }
        }
        self.io.set_deadline(conn, worker.deadline_ms());
        self.set_role(conn, Role::Worker(worker));
        done
    }

    /// Every shard knows the worker: heartbeats begin ([WK-01]).
    pub(super) fn start_beating(&mut self, conn: ConnId) {
        let now_ms = self.io.now_ms;
        if let Some(connection) = self.io.get(conn)
            && let Role::Worker(worker) = &mut connection.role
        {
            worker.handle_registered(now_ms);
            self.handle_worker_time(conn);
        }
    }

    /// Heartbeats and their absence.
    pub(super) fn handle_worker_time(&mut self, conn: ConnId) {
        let now_ms = self.io.now_ms;
        loop {
            let Some(connection) = self.io.get(conn) else {
                return;
            };
            let Role::Worker(worker) = &mut connection.role else {
                return;
            };
            let deadline_ms = worker.deadline_ms();
            match worker.handle_time(now_ms) {
                WorkerStep::Beat => self.io.send_packet(conn.slot, packet::HEARTBEAT),
                WorkerStep::Rest => return self.io.set_deadline(conn, deadline_ms),
                WorkerStep::Expired => {
                    let vhost = worker.vhost;
                    tracing::debug!("worker expired");
                    self.io.meter.heartbeats_expired.add(1);
                    return self.close_worker(conn, vhost, packet::QUIT);
                }
            }
        }
    }
}
