//! How envelopes travel, what hubs' effects do, and how the world comes to rest.

use webrocket::hub::envelope::Delivery;
use webrocket::model::{ConnId, VhostId};

use super::ports::{Effect, Note};
use super::{Sleep, Stage, World};

impl World {
    /// A shard sends some of what its turn has gathered.
    pub(super) fn flush(&mut self) {
        let shard = self.pick_shard();
        let budget = 1 + self.choices.below(4);
        if !self.is_asleep(shard) {
            if self.choices.one_in(4) {
                // A turn that leaves something to be read sends nothing to its own.
                self.hubs[shard].send_bundles(&mut self.ports[shard]);
                return;
            }
            self.hubs[shard].flush(budget, &mut self.ports[shard]);
            self.take_effects(shard);
            let now_us = self.control.now_ms * 1000;
            if self.hubs[shard].uncork_in_us(now_us).is_some() {
                self.totals.count("turns past a cork", 1);
                if self.choices.one_in(4) {
                    self.control.now_ms += 10;
                    self.look_at_clock(shard);
                    self.take_effects(shard);
                }
            }
        }
    }

    /// Time passes until the frames of some shard have waited long enough.
    fn uncork(&mut self) -> bool {
        let now_us = self.control.now_ms * 1000;
        let running = (0..self.shards()).filter(|&shard| self.stages[shard] != Stage::Stopped);
        let waits = |shard: usize| Some((self.hubs[shard].uncork_in_us(now_us)?, shard));
        let Some((wait_us, shard)) = running.filter_map(waits).max() else {
            return false;
        };
        self.control.now_ms += wait_us.div_ceil(1000);
        self.look_at_clock(shard);
        self.take_effects(shard);
        true
    }

    /// A shard closes whom it has to, and what else its hub could not do.
    pub(super) fn look_at_notes(&mut self) {
        let shard = self.pick_shard();
        if !self.is_asleep(shard) {
            self.handle_notes(shard);
            self.take_leave(shard);
        }
    }

    /// One envelope travels.
    pub(super) fn carry(&mut self) {
        let (from, to) = (self.pick_shard(), self.pick_shard());
        let way = self.choices.below(4);
        if way == 3 {
            if let Some(message) = self.ports[from].to_control.pop_front() {
                self.control.handle(message);
            }
        } else if !self.is_asleep(to) {
            match way {
                0 => self.carry_request(from, to),
                1 => self.carry_delivery(from, to),
                _ => self.carry_from_control(to),
            };
        }
        if !self.is_asleep(from) {
            self.make_room(from);
        }
    }

    fn make_room(&mut self, shard: usize) -> bool {
        let stalled = self.hubs[shard].is_stalled() && self.ports[shard].has_room();
        if stalled {
            self.hubs[shard].handle_room(&mut self.ports[shard]);
            self.take_effects(shard);
        }
        stalled
    }

    fn carry_request(&mut self, from: usize, to: usize) -> bool {
        if self.ports[to].is_congested() {
            return false;
        }
        let Some(request) = self.ports[from].requests[to].pop_front() else {
            return false;
        };
        if self.stages[to] != Stage::Stopped {
            self.hubs[to].handle_request(request, &mut self.ports[to]);
            self.take_effects(to);
        }
        true
    }

    fn carry_delivery(&mut self, from: usize, to: usize) -> bool {
        let Some(delivery) = self.ports[from].deliveries[to].pop_front() else {
            return false;
        };
        self.handle_delivery(to, delivery);
        true
    }

    fn carry_from_control(&mut self, to: usize) -> bool {
        let Some(delivery) = self.control.rings[to].pop_front() else {
            return false;
        };
        self.handle_delivery(to, delivery);
        true
    }

    fn handle_delivery(&mut self, shard: usize, delivery: Delivery) {
        if self.stages[shard] == Stage::Stopped {
            // Who has left meanwhile is owed nothing.
            let is_there = |conn: ConnId| {
                let mut clients = self.clients.iter().filter(|client| client.alive);
                clients.any(|it| usize::from(it.peer.shard) == shard && it.peer.conn == conn)
            };
            let owed = match &delivery {
                Delivery::Answer { .. } => true,
                Delivery::Joined { conn, .. } => is_there(*conn),
                _ => false,
            };
            assert!(!owed, "stopped before it was told: {delivery:?}");
            return;
        }
        self.hubs[shard].handle_delivery(delivery, &mut self.ports[shard]);
        self.take_effects(shard);
    }

    /// Does what the hub's last call asked for.
    pub(super) fn take_effects(&mut self, shard: usize) {
        for effect in std::mem::take(&mut self.ports[shard].effects) {
            match effect {
                Effect::Bytes {
                    slot,
                    bytes,
                    shared,
                } => {
                    let index = self.places.get(&(shard, slot));
                    let index = *index.expect("something is said to nobody");
                    let client = &mut self.clients[index];
                    if !client.give(&bytes, shared) {
                        client.doomed = true;
                        let conn = client.peer.conn;
                        self.notes[shard].push_back(Note::Dismiss(conn));
                        self.totals.count("slow consumers evicted", 1);
                    }
                }
                Effect::Resume(conn) => {
                    if let Some(index) = self.client_at(shard, conn) {
                        self.clients[index].waiting = false;
                    }
                    self.resumed.push((shard, conn));
                }
                Effect::Answer(conn, outcome) => self.handle_answer(shard, conn, outcome),
                Effect::Triggered(packet) => {
                    let text = String::from_utf8(packet).expect("text");
                    let json = text.strip_prefix("TR\n").and_then(|t| t.split('\n').next());
                    let trigger: serde_json::Value =
                        serde_json::from_str(json.expect("a packet")).expect("JSON");
                    let n = trigger["work"]["n"].as_u64().expect("a number");
                    *self.triggered.entry(n).or_default() += 1;
                    self.totals.count("triggers", 1);
                }
                Effect::Note(note) => {
                    if let Note::Dismiss(conn) = note
                        && let Some(index) = self.client_at(shard, conn)
                    {
                        self.clients[index].doomed = true;
                        self.totals.count("frontends sent away", 1);
                    }
                    self.notes[shard].push_back(note);
                }
            }
        }
    }

    fn handle_notes(&mut self, shard: usize) -> bool {
        let notes = std::mem::take(&mut self.notes[shard]);
        let some = !notes.is_empty();
        for note in notes {
            match note {
                Note::Dismiss(conn) => {
                    if let Some(index) = self.client_at(shard, conn) {
                        self.close(index);
                    }
                }
                Note::WorkerReplaced(conn) => self.dismiss_worker(shard, conn),
                Note::VhostDeleted(vhost) => {
                    for index in 0..self.clients.len() {
                        let client = &self.clients[index];
                        let here = client.alive && usize::from(client.peer.shard) == shard;
                        if here && client.vhost == vhost {
                            self.close(index);
                        }
                    }
                    self.dismiss_workers(shard, |of| of == vhost);
                }
                Note::Drain => {
                    self.stages[shard] = Stage::Draining;
                    self.dismiss_workers(shard, |_| true);
                }
                Note::Stop => {
                    assert!(!self.owes(shard), "stopped before a backend was told");
                    self.stages[shard] = Stage::Stopped;
                }
            }
        }
        some
    }

    fn dismiss_workers(&mut self, shard: usize, which: impl Fn(VhostId) -> bool) {
        let workers = self.ports[shard].workers.iter();
        let chosen = workers.filter(|worker| which(worker.vhost));
        let chosen: Vec<_> = chosen.map(|worker| worker.conn).collect();
        for conn in chosen {
            self.dismiss_worker(shard, conn);
        }
    }

    /// Lets everything under way arrive.
    pub(super) fn settle(&mut self) {
        self.sleep.fill(Sleep::Awake);
        while self.settle_once() || self.uncork() {}
        assert!(
            self.ports.iter().all(super::Port::is_empty),
            "a circle of full rings"
        );
        if self.stages.contains(&Stage::Stopped) {
            return;
        }
        assert!(self.control.is_settled(), "a change was not applied by all");
        assert!(self.owed.is_empty(), "a backend was not answered");
        for client in self.clients.iter().filter(|client| client.alive) {
            let stuck = client.waiting || client.held.is_some();
            assert!(!stuck, "{} is stuck:{}", client.sid, client.transcript());
        }
    }

    /// Backends that were refused for want of room try once more.
    pub(super) fn offer_again(&mut self) -> bool {
        let mut moved = false;
        for (shard, conn) in std::mem::take(&mut self.resumed) {
            moved |= self.offer(shard, conn);
        }
        moved
    }

    fn settle_once(&mut self) -> bool {
        let mut moved = false;
        for from in 0..self.shards() {
            for to in 0..self.shards() {
                moved |= self.carry_delivery(from, to);
                moved |= self.carry_request(from, to);
            }
            while self.carry_from_control(from) {
                moved = true;
            }
            while let Some(message) = self.ports[from].to_control.pop_front() {
                self.control.handle(message);
                moved = true;
            }
            moved |= self.hubs[from].send_bundles(&mut self.ports[from]);
            while self.hubs[from].flush(usize::MAX, &mut self.ports[from]) > 0 {
                moved = true;
            }
            self.take_effects(from);
            moved |= self.handle_notes(from);
            moved |= self.make_room(from);
        }
        for index in 0..self.clients.len() {
            moved |= self.send_from(index);
        }
        moved | self.offer_again()
    }
}
