use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::json;
use webrocket::hub::envelope::{Change, Delivery, Grant, Outcome};
use webrocket::hub::question::{Errand, OperatorEvent, Question, Whose};
use webrocket::hub::{Answer, Flow, Hub, home_of_channel};
use webrocket::meter::{ShardMeter, VhostMeters};
use webrocket::model::{
    AccessToken, ConnId, Peer, Quotas, ShardId, Sid, SingleAccessToken, VhostPath, WorkerId,
};

use crate::check::{Totals, check_client, orders};
use crate::client::Client;
use crate::control::{Control, VHOST};
use crate::ports::{Effect, Port};
use crate::random::Random;

const CHANNELS: [&str; 5] = ["a", "b", "private-c", "presence-d", "presence-e"];
const CLIENTS_MAX: usize = 12;

pub(crate) struct World {
    random: Random,
    subscriptions_max: usize,
    hubs: Vec<Hub>,
    meters: Vec<Arc<ShardMeter>>,
    vhost_meters: VhostMeters,
    ports: Vec<Port>,
    control: Control,
    clients: Vec<Client>,
    /// Slot and generation of the next connection, by shard.
    next_slot: Vec<u32>,
    free_slots: Vec<Vec<ConnId>>,
    tokens: Vec<SingleAccessToken>,
    used_tokens: Vec<SingleAccessToken>,
    triggered: BTreeMap<u64, usize>,
    next: u64,
    totals: Totals,
}

impl World {
    pub(crate) fn new(seed: u64) -> Self {
        let mut random = Random::new(seed);
        let shards = 1 + random.below(4);
        // Often fewer than there are channels.
        let subscriptions_max = 2 + random.below(CHANNELS.len());
        let meters: Vec<Arc<ShardMeter>> = (0..shards).map(|_| Arc::default()).collect();
        let vhost_meters = VhostMeters::new(shards as u16);
        let mut world = Self {
            random,
            subscriptions_max,
            hubs: (0..shards)
                .map(|id| Hub::new(id as ShardId, shards as u16, Arc::clone(&meters[id])))
                .collect(),
            meters,
            vhost_meters: vhost_meters.clone(),
            ports: (0..shards).map(|_| Port::new(shards)).collect(),
            control: Control::new(shards),
            clients: Vec::new(),
            next_slot: vec![0; shards],
            free_slots: vec![Vec::new(); shards],
            tokens: Vec::new(),
            used_tokens: Vec::new(),
            triggered: BTreeMap::new(),
            next: 0,
            totals: Totals::default(),
        };
        let path = VhostPath::parse("/v").expect("a path");
        let token = AccessToken::from_random([1; 20]);
        world.control.change(
            &Change::VhostAdded {
                vhost: VHOST,
                path,
                token,
                meters: vhost_meters,
            },
            None,
        );
        let mut quotas = Quotas::default();
        quotas.default.subscriptions_max = subscriptions_max as u32;
        let quotas = Arc::new(quotas);
        world
            .control
            .change(&Change::QuotasReplaced { quotas }, None);
        CHANNELS
            .iter()
            .for_each(|channel| world.control.open(channel, None));
        world.settle();
        for channel in CHANNELS {
            world.connect(true);
            let witness = world.clients.len() - 1;
            world.authenticate(witness);
            world.settle();
            world.witness(witness, channel);
        }
        world
    }

    /// Subscribes the witness of a channel, before anybody can publish there.
    fn witness(&mut self, client: usize, channel: &str) {
        let hello = json!({"subscribe": {"channel": channel, "hidden": false, "data": {"n": 0}}});
        // Visible, so that it gets custom events; its own join is in its order.
        self.clients[client].script.push_back(hello.to_string());
        self.settle();
    }

    /// One thing happens.
    pub(crate) fn step(&mut self) {
        match self.random.below(100) {
            0..3 => self.connect(false),
            3..5 => self.disconnect(),
            5..7 => self.reopen(),
            7..10 => self.ask_for_token(),
            10..13 => self.change_workers(),
            13..15 => self.operate(),
            15..40 => self.plan(),
            40..65 => self.send(),
            65..75 => self.flush(),
            _ => self.carry(),
        }
    }

    fn number(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    fn new_conn(&mut self) -> Peer {
        let shard = self.random.below(self.hubs.len());
        let conn = self.free_slots[shard].pop().unwrap_or_else(|| {
            self.next_slot[shard] += 1;
            ConnId {
                slot: self.next_slot[shard] - 1,
                generation: 0,
            }
        });
        Peer {
            shard: shard as ShardId,
            conn,
        }
    }

    fn connect(&mut self, witness: bool) {
        // Whoever is gone meanwhile is not told.
        let told = self.clients.iter().map(|c| c.errors(503)).sum::<usize>() as u64;
        let refused: u64 = self
            .meters
            .iter()
            .map(|it| it.triggers_refused.count())
            .sum();
        assert!(refused >= told, "{told} told, {refused} refused");
        let living = self.clients.iter().filter(|client| client.alive).count();
        if !witness && living >= CLIENTS_MAX {
            return;
        }
        let peer = self.new_conn();
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&self.number().to_le_bytes());
        let sid = Sid::from_random(bytes);
        self.clients.push(Client::new(
            peer,
            sid.to_string(),
            witness,
            self.subscriptions_max,
        ));
        let shard = usize::from(peer.shard);
        self.hubs[shard].open(peer.conn, VHOST, sid, &mut self.ports[shard]);
        self.take_effects(shard);
    }

    /// A connection breaks, or its outbox was over its bound.
    fn disconnect(&mut self) {
        let Some(index) = self.pick_client() else {
            return;
        };
        let peer = self.clients[index].peer;
        self.kill(index);
        let shard = usize::from(peer.shard);
        self.hubs[shard].close(peer.conn, &mut self.ports[shard]);
        self.take_effects(shard);
    }

    fn kill(&mut self, index: usize) {
        let client = &mut self.clients[index];
        client.alive = false;
        let ConnId { slot, generation } = client.peer.conn;
        let next = ConnId {
            slot,
            generation: generation + 1,
        };
        self.free_slots[usize::from(client.peer.shard)].push(next);
    }

    fn pick_client(&mut self) -> Option<usize> {
        let living: Vec<usize> = (0..self.clients.len())
            .filter(|&index| self.clients[index].alive && !self.clients[index].witness)
            .collect();
        (!living.is_empty()).then(|| living[self.random.below(living.len())])
    }

    /// A channel is closed; it opens again with a new witness subscription.
    fn reopen(&mut self) {
        if !self.random.one_in(12) {
            return;
        }
        let channel = CHANNELS[self.random.below(CHANNELS.len())];
        if self.control.close(channel) {
            self.totals.forced += 1;
            // Time passes in which it is closed.
            for _ in 0..self.random.below(60) {
                match self.random.below(3) {
                    0 => self.send(),
                    1 => self.flush(),
                    _ => self.carry(),
                }
            }
            // The witness has to be the first subscriber of the new life.
            self.drop_scripts_for(channel);
            self.settle();
            self.control.open(channel, None);
            self.settle();
            let witness = CHANNELS
                .iter()
                .position(|&known| known == channel)
                .expect("known");
            self.witness(witness, channel);
        }
    }

    fn drop_scripts_for(&mut self, channel: &str) {
        let name = format!("\"channel\":\"{channel}\"");
        for client in &mut self.clients {
            client.script.retain(|message| !message.contains(&name));
        }
    }

    fn ask_for_token(&mut self) {
        let peer = self.new_conn();
        let shard = usize::from(peer.shard);
        let uid = format!("t{}", self.number()).into();
        let grant = Grant {
            uid,
            pattern: ".*".into(),
        };
        let answer =
            self.hubs[shard].issue_token(peer.conn, 0, VHOST, grant, &mut self.ports[shard]);
        assert!(matches!(answer, Answer::Later | Answer::Retry));
        self.take_effects(shard);
    }

    fn change_workers(&mut self) {
        let shard = self.random.below(self.hubs.len());
        let port = &mut self.ports[shard];
        match self.random.below(4) {
            0 if port.workers.len() < 2 && self.random.one_in(3) => {
                let conn = self.new_conn().conn;
                let conn = ConnId {
                    slot: conn.slot + 1000,
                    ..conn
                };
                let number = self.number();
                let id = WorkerId::parse(format!("{number:036}").as_bytes()).expect("an id");
                self.ports[shard].workers.push(conn);
                self.hubs[shard].register_worker(conn, VHOST, id, &mut self.ports[shard]);
            }
            1 if !port.workers.is_empty() => {
                let conn = port.workers.remove(0);
                self.hubs[shard].deregister_worker(conn, VHOST, port);
            }
            2 => port.deaf = port.workers.clone(),
            _ => port.deaf.clear(),
        }
        self.take_effects(shard);
    }

    /// The operator says something to a channel, or to the sessions of a shard.
    fn operate(&mut self) {
        let name = CHANNELS[self.random.below(CHANNELS.len())];
        let Some(&channel) = self.control.channels.get(name) else {
            return;
        };
        let data = json!({"n": self.number()}).to_string().into();
        let event = OperatorEvent {
            name: "told".into(),
            data,
        };
        let home = home_of_channel(VHOST, name, self.hubs.len() as u16);
        let question = if self.random.one_in(3) {
            Question::Sessions {
                vhost: VHOST,
                whose: Whose::All,
                from: 0,
                errand: Errand::Tell(event),
            }
        } else {
            Question::Publish { channel, event }
        };
        let question = Box::new(question);
        let query = Delivery::Query { query: 0, question };
        self.control.rings[usize::from(home)].push_back(query);
    }

    /// A frontend decides on its next message.
    fn plan(&mut self) {
        let Some(index) = self.pick_client() else {
            return;
        };
        let channel = CHANNELS[self.random.below(CHANNELS.len())];
        let n = self.number();
        let message = match self.random.below(20) {
            0..6 => {
                // Once hidden, always hidden there: the checker keeps one answer.
                let roll = self.random.one_in(4);
                let hides = &mut self.clients[index].hides;
                let hidden = *hides.entry(channel.into()).or_insert(roll);
                json!({"subscribe": {"channel": channel, "hidden": hidden, "data": {"n": n}}})
            }
            6..8 => json!({"unsubscribe": {"channel": channel, "data": {"bye": n}}}),
            8 => return self.authenticate(index),
            9 => {
                self.clients[index].script.push_back("nonsense".into());
                return;
            }
            10 => json!({"close": {}}),
            11 => json!({"trigger": {"event": "work", "data": {"n": n}}}),
            12 => json!({"broadcast":
                {"channel": channel, "event": "said", "data": {"n": n}, "trigger": "work"}}),
            _ => json!({"broadcast":
                {"channel": channel, "event": "said", "data": {"n": n}}}),
        };
        if message.get("close").is_none() || self.random.one_in(8) {
            self.clients[index].script.push_back(message.to_string());
        }
    }

    fn authenticate(&mut self, index: usize) {
        if self.clients[index].witness {
            // Witnesses get theirs at once.
            while self.tokens.is_empty() {
                self.ask_for_token();
                self.settle();
            }
        }
        // A used one now and then: somebody else may be faster.
        let reused = !self.clients[index].witness && self.random.one_in(3);
        let token = if reused {
            self.used_tokens.last().copied()
        } else {
            self.tokens.pop()
        };
        if let Some(token) = token {
            self.used_tokens.push(token);
            let auth = json!({"auth": {"token": token.to_string()}});
            self.clients[index].script.push_back(auth.to_string());
        }
    }

    /// A frontend sends its next message.
    fn send(&mut self) {
        if let Some(index) = self.pick_client() {
            self.send_from(index);
        }
    }

    fn send_from(&mut self, index: usize) -> bool {
        let client = &mut self.clients[index];
        if !client.alive || client.waiting {
            return false;
        }
        let fresh = client.held.is_none();
        let Some(message) = client.held.take().or_else(|| client.script.pop_front()) else {
            return false;
        };
        if fresh {
            client.note_expected(&message);
        }
        let peer = client.peer;
        let shard = usize::from(peer.shard);
        let flow =
            self.hubs[shard].handle_message(peer.conn, message.as_bytes(), &mut self.ports[shard]);
        let client = &mut self.clients[index];
        match flow {
            Flow::Next => {}
            Flow::Wait => client.waiting = true,
            Flow::Retry => {
                client.waiting = true;
                client.held = Some(message);
                self.totals.retries += 1;
            }
            Flow::Close => {
                self.hubs[shard].close(peer.conn, &mut self.ports[shard]);
                self.take_effects(shard);
                self.kill(index);
            }
        }
        self.take_effects(shard);
        true
    }

    /// A shard sends some of what its turn has gathered.
    fn flush(&mut self) {
        let shard = self.random.below(self.hubs.len());
        let budget = 1 + self.random.below(4);
        self.hubs[shard].flush(budget, &mut self.ports[shard]);
        self.take_effects(shard);
    }

    /// One envelope travels.
    fn carry(&mut self) {
        let (from, to) = (
            self.random.below(self.hubs.len()),
            self.random.below(self.hubs.len()),
        );
        match self.random.below(4) {
            0 => {
                if self.ports[to].takes_requests() {
                    self.carry_request(from, to);
                }
            }
            1 => {
                self.carry_delivery(from, to);
            }
            2 => {
                if let Some(delivery) = self.control.rings[to].pop_front() {
                    self.handle_delivery(to, delivery);
                }
            }
            _ => {
                if let Some(message) = self.ports[from].to_control.pop_front() {
                    self.control.handle(message);
                }
            }
        }
        if self.hubs[from].is_stalled() && self.ports[from].has_room() {
            self.hubs[from].handle_room(&mut self.ports[from]);
            self.take_effects(from);
        }
    }

    fn carry_request(&mut self, from: usize, to: usize) -> bool {
        let Some(request) = self.ports[from].requests[to].pop_front() else {
            return false;
        };
        self.hubs[to].handle_request(request, &mut self.ports[to]);
        self.take_effects(to);
        true
    }

    fn carry_delivery(&mut self, from: usize, to: usize) -> bool {
        let Some(delivery) = self.ports[from].deliveries[to].pop_front() else {
            return false;
        };
        self.handle_delivery(to, delivery);
        true
    }

    fn handle_delivery(&mut self, shard: usize, delivery: Delivery) {
        self.hubs[shard].handle_delivery(delivery, &mut self.ports[shard]);
        self.take_effects(shard);
    }

    fn take_effects(&mut self, shard: usize) {
        for effect in std::mem::take(&mut self.ports[shard].effects) {
            match effect {
                Effect::Bytes(slot, bytes) => {
                    let client = self.clients.iter_mut().find(|client| {
                        client.alive
                            && usize::from(client.peer.shard) == shard
                            && client.peer.conn.slot == slot
                    });
                    if let Some(client) = client {
                        client.take(&bytes);
                    }
                }
                Effect::Resume(conn) => {
                    let client = self.clients.iter_mut().find(|client| {
                        client.alive
                            && usize::from(client.peer.shard) == shard
                            && client.peer.conn == conn
                    });
                    if let Some(client) = client {
                        client.waiting = false;
                    }
                }
                Effect::Answer(Outcome::Token(token)) => self.tokens.push(*token),
                Effect::Answer(outcome) => panic!("no token: {outcome:?}"),
                Effect::Triggered(packet) => {
                    let text = String::from_utf8(packet).expect("text");
                    let json = text.strip_prefix("TR\n").and_then(|t| t.split('\n').next());
                    let trigger: serde_json::Value =
                        serde_json::from_str(json.expect("a packet")).expect("JSON");
                    let n = trigger["work"]["n"].as_u64().expect("a number");
                    *self.triggered.entry(n).or_default() += 1;
                    self.totals.triggers += 1;
                }
            }
        }
    }

    /// Lets everything under way arrive.
    fn settle(&mut self) {
        loop {
            let mut moved = false;
            for from in 0..self.hubs.len() {
                for to in 0..self.hubs.len() {
                    moved |= self.carry_delivery(from, to);
                    moved |= self.carry_request(from, to);
                }
                while let Some(delivery) = self.control.rings[from].pop_front() {
                    self.handle_delivery(from, delivery);
                    moved = true;
                }
                while let Some(message) = self.ports[from].to_control.pop_front() {
                    self.control.handle(message);
                    moved = true;
                }
                while self.hubs[from].flush(usize::MAX, &mut self.ports[from]) > 0 {
                    moved = true;
                }
                self.take_effects(from);
                if self.hubs[from].is_stalled() && self.ports[from].has_room() {
                    self.hubs[from].handle_room(&mut self.ports[from]);
                    self.take_effects(from);
                    moved = true;
                }
            }
            for index in 0..self.clients.len() {
                moved |= self.send_from(index);
            }
            if !moved {
                break;
            }
        }
        assert!(self.control.is_settled());
        for client in self.clients.iter().filter(|client| client.alive) {
            assert!(
                !client.waiting && client.held.is_none(),
                "{} is stuck",
                client.sid
            );
        }
    }

    /// Comes to rest, checks everything, and lets everybody go.
    pub(crate) fn finish(mut self) -> Totals {
        self.settle();
        let witnesses: Vec<&Client> = self.clients.iter().filter(|c| c.witness).collect();
        let orders = orders(&witnesses);
        for client in self.clients.iter().filter(|client| !client.witness) {
            check_client(client, &orders, &mut self.totals);
        }
        self.check_tokens();
        self.check_triggers();
        self.check_meters();
        for index in 0..self.clients.len() {
            if self.clients[index].alive {
                let peer = self.clients[index].peer;
                let shard = usize::from(peer.shard);
                self.kill(index);
                self.hubs[shard].close(peer.conn, &mut self.ports[shard]);
                self.take_effects(shard);
            }
        }
        self.settle();
        self.totals.refused += self.ports.iter().map(|port| port.refused).sum::<usize>();
        for hub in &self.hubs {
            let census = hub.census();
            assert_eq!(census, Default::default(), "somebody is remembered");
        }
        let frontends = self.vhost_meters.sum(|meter| meter.frontends.value());
        assert_eq!(frontends, 0, "somebody is counted");
        self.totals
    }

    /// A token was taken at most once ([AU-06, AU-07]).
    fn check_tokens(&mut self) {
        let admitted: usize = self
            .clients
            .iter()
            .map(|c| {
                c.received
                    .iter()
                    .filter(|m| m.get(":authenticated").is_some())
                    .count()
            })
            .sum();
        let mut spent = self.control.spent.clone();
        spent.sort_unstable_by_key(SingleAccessToken::spread);
        let count = spent.len();
        spent.dedup();
        assert_eq!(spent.len(), count, "a token was taken twice");
        assert!(
            admitted <= count,
            "admitted {admitted} times with {count} tokens"
        );
        self.totals.lost_races += self.clients.iter().map(|c| c.errors(402)).sum::<usize>();
    }

    /// Each frame of a channel and each trigger was counted once, by the shard
    /// and for the vhost.
    fn check_meters(&self) {
        let received = self
            .clients
            .iter()
            .map(Client::channel_frames)
            .sum::<usize>() as u64;
        let deliveries: u64 = self.meters.iter().map(|it| it.deliveries.count()).sum();
        assert_eq!(deliveries, received, "deliveries");
        let of_vhost = self.vhost_meters.sum(|meter| meter.deliveries.count());
        assert_eq!(of_vhost, received, "deliveries of the vhost");
        let taken = self.triggered.values().sum::<usize>() as u64;
        let triggers: u64 = self.meters.iter().map(|it| it.triggers.count()).sum();
        assert_eq!(triggers, taken, "triggers");
        let living = self.clients.iter().filter(|client| client.alive).count();
        let frontends = self.vhost_meters.sum(|meter| meter.frontends.value());
        assert_eq!(frontends, living as u64, "frontends");
    }

    /// A trigger reached one worker, or its sender knows that it did not.
    fn check_triggers(&mut self) {
        for (n, count) in &self.triggered {
            assert_eq!(*count, 1, "trigger {n} was taken {count} times");
        }
        self.totals.unavailable += self.clients.iter().map(|c| c.errors(503)).sum::<usize>();
    }
}

impl Client {
    fn note_expected(&mut self, message: &str) {
        let Ok(message) = serde_json::from_str::<serde_json::Value>(message) else {
            return self.expected.push_back(None);
        };
        if let Some(n) = message["broadcast"]["data"]["n"].as_u64() {
            self.expected.push_back(Some(n));
        }
        if message.get("trigger").is_some() {
            self.triggers += 1;
        }
    }
}
