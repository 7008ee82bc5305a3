//! What backends and the operator do.

use serde_json::json;
use webrocket::hub::envelope::{Grant, Outcome};
use webrocket::hub::question::{Errand, OperatorEvent, Question, Whose};
use webrocket::hub::{Answer, home_of_channel};
use webrocket::model::{ConnId, Status, VhostId, WorkerId};
use webrocket::wire::json::parse_members;

use super::ports::Worker;
use super::{CHANNELS, GUEST, MAIN, Stage, World};

/// What a backend client waits for.
#[derive(Clone, Copy)]
pub(super) struct Owed {
    wish: Wish,
    /// Not taken yet: to be offered again.
    held: bool,
}

#[derive(Clone, Copy)]
enum Wish {
    Token {
        vhost: VhostId,
    },
    Publish {
        vhost: VhostId,
        channel: &'static str,
        n: u64,
    },
}

/// A backend's event in a channel of the vhost that stays.
pub(super) struct Published {
    pub(super) channel: &'static str,
    pub(super) n: u64,
    /// Whether its backend was told `OK`.
    pub(super) done: bool,
}

/// A worker's slots, apart from those of frontends.
const WORKER_SLOTS: u32 = 1000;

impl World {
    /// A vhost as a shard knows it, mostly the one that stays.
    fn pick_vhost(&mut self, shard: usize) -> VhostId {
        let known = self.hubs[shard].registry().vhost(GUEST);
        known.filter(|_| self.choices.one_in(4)).unwrap_or(MAIN)
    }

    /// A backend wants a single access token.
    pub(super) fn ask_for_token(&mut self) {
        let peer = self.new_conn();
        let shard = usize::from(peer.shard);
        let vhost = self.pick_vhost(shard);
        self.wish(shard, peer.conn, Wish::Token { vhost });
    }

    pub(super) fn ask_for_token_of(&mut self, vhost: VhostId) {
        let peer = self.new_conn();
        self.wish(usize::from(peer.shard), peer.conn, Wish::Token { vhost });
    }

    /// A backend broadcasts.
    pub(super) fn publish(&mut self) {
        let peer = self.new_conn();
        let shard = usize::from(peer.shard);
        let vhost = self.pick_vhost(shard);
        let channel = CHANNELS[self.choices.below(CHANNELS.len())];
        let n = self.number();
        let wish = Wish::Publish { vhost, channel, n };
        self.wish(shard, peer.conn, wish);
    }

    fn wish(&mut self, shard: usize, conn: ConnId, wish: Wish) {
        if self.stages[shard] == Stage::Serving {
            let owed = Owed { wish, held: true };
            self.owed.insert((shard, conn), owed);
            self.offer(shard, conn);
        }
    }

    /// Offers a backend's request; true where there was one to offer.
    pub(super) fn offer(&mut self, shard: usize, conn: ConnId) -> bool {
        let Some(owed) = self.owed.get_mut(&(shard, conn)) else {
            return false;
        };
        if !std::mem::take(&mut owed.held) {
            return false;
        }
        let wish = owed.wish;
        let (hub, port) = (&mut self.hubs[shard], &mut self.ports[shard]);
        let answer = match wish {
            Wish::Token { vhost } => {
                let grant = Grant {
                    uid: format!("t{}", self.next).into(),
                    pattern: ".*".into(),
                };
                hub.issue_token(conn, 0, vhost, grant, port)
            }
            Wish::Publish { vhost, channel, n } => {
                let data = format!("{{\"n\":{n}}}");
                let data = parse_members(&data).expect("an object");
                hub.broadcast(conn, 0, (vhost, channel, "posted"), data, port)
            }
        };
        self.take_effects(shard);
        match answer {
            Answer::Now(outcome) => self.handle_answer(shard, conn, outcome),
            Answer::Later => {}
            Answer::Retry => {
                if let Some(owed) = self.owed.get_mut(&(shard, conn)) {
                    owed.held = true;
                }
            }
        }
        true
    }

    pub(super) fn handle_answer(&mut self, shard: usize, conn: ConnId, outcome: Outcome) {
        let owed = self.owed.remove(&(shard, conn));
        let owed = owed.expect("an answer to a question");
        assert!(!owed.held, "answered and not taken");
        self.totals.count("answers to backends", 1);
        match (owed.wish, outcome) {
            (Wish::Token { vhost }, Outcome::Token(token)) => self.tokens.push((*token, vhost)),
            (Wish::Token { vhost }, Outcome::Failed(Status::Unauthorized)) => {
                assert!(!self.control.is_there(vhost), "no token");
            }
            (Wish::Publish { vhost, channel, n }, outcome) => {
                let done = outcome == Outcome::Done;
                let closed = Outcome::Failed(Status::ChannelNotFound);
                assert!(done || outcome == closed, "{outcome:?}");
                if vhost == MAIN {
                    self.published.push(Published { channel, n, done });
                }
            }
            (_, outcome) => panic!("{outcome:?}"),
        }
        self.free(shard, conn);
    }

    /// Whether backends of the shard wait for something.
    pub(super) fn owes(&self, shard: usize) -> bool {
        self.owed.keys().any(|&(of, _)| of == shard)
    }

    /// Workers come and go, expire, take another's place.
    pub(super) fn change_workers(&mut self) {
        let shard = self.pick_shard();
        if self.is_asleep(shard) {
            return;
        }
        match self.choices.below(6) {
            0 | 1 if self.choices.one_in(2) => self.register_worker(shard),
            2 => {
                if let Some(worker) = self.ports[shard].workers.first() {
                    let conn = worker.conn;
                    self.dismiss_worker(shard, conn);
                }
            }
            3 => {
                let workers = &mut self.ports[shard].workers;
                workers.iter_mut().for_each(|worker| worker.deaf = true);
            }
            // Those that were silent all the time are sent away.
            4 => {
                let workers = self.ports[shard].workers.iter();
                let silent = workers.filter(|worker| worker.deaf);
                let silent: Vec<ConnId> = silent.map(|worker| worker.conn).collect();
                self.totals.count("workers expired", silent.len());
                for conn in silent {
                    self.dismiss_worker(shard, conn);
                }
            }
            _ => {
                let workers = &mut self.ports[shard].workers;
                workers.iter_mut().for_each(|worker| worker.deaf = false);
            }
        }
    }

    fn register_worker(&mut self, shard: usize) {
        if self.stages[shard] != Stage::Serving || self.ports[shard].workers.len() >= 3 {
            return;
        }
        let vhost = self.pick_vhost(shard);
        // Few names, so that one takes another's place now and then.
        let name = self.choices.below(6);
        let id = WorkerId::parse(format!("{name:036}").as_bytes()).expect("an id");
        let slot = WORKER_SLOTS + self.number() as u32;
        let conn = ConnId {
            slot,
            generation: 0,
        };
        self.ports[shard].workers.push(Worker {
            conn,
            vhost,
            ready: false,
            deaf: false,
        });
        self.hubs[shard].register_worker(conn, vhost, id, &mut self.ports[shard]);
        self.take_effects(shard);
    }

    pub(super) fn dismiss_worker(&mut self, shard: usize, conn: ConnId) {
        let workers = &mut self.ports[shard].workers;
        let Some(place) = workers.iter().position(|worker| worker.conn == conn) else {
            return;
        };
        let vhost = workers.remove(place).vhost;
        self.hubs[shard].deregister_worker(conn, vhost, &mut self.ports[shard]);
        self.take_effects(shard);
    }

    /// The operator says something to a channel, or to the sessions of a shard,
    /// or sends one away.
    pub(super) fn operate(&mut self) {
        let name = CHANNELS[self.choices.below(CHANNELS.len())];
        let Some(&channel) = self.control.channels.get(&(MAIN, name)) else {
            return;
        };
        let data = json!({"n": self.number()}).to_string().into();
        let event = OperatorEvent {
            name: "told".into(),
            data,
        };
        let home = home_of_channel(MAIN, name, self.shards() as u16);
        let sessions = |whose, errand| Question::Sessions {
            vhost: MAIN,
            whose,
            from: 0,
            errand,
        };
        let question = match self.choices.below(6) {
            0 | 1 => sessions(Whose::All, Errand::Tell(event)),
            2 => {
                let index = self.choices.below(self.clients.len().min(100));
                let client = &self.clients[self.clients.len() - 1 - index];
                if client.witness {
                    return;
                }
                sessions(Whose::Sid(client.sid), Errand::Disconnect)
            }
            _ => Question::Publish { channel, event },
        };
        self.control.ask(home, question);
    }
}
