//! What must hold when the world has come to rest, and when everybody is gone.

use webrocket::hub::Census;

use super::check::{Orders, check_client, orders};
use super::client::Client;
use super::control::mark;
use super::frontends::trigger;
use super::{MAIN, Stage, Totals, World};

impl World {
    /// Comes to rest, checks everything, and lets everybody go.
    pub(crate) fn finish(&mut self) -> Totals {
        self.settle();
        self.check_clocks();
        for client in self.clients.iter_mut().filter(|client| client.alive) {
            client.read_on();
        }
        self.check_lobby();
        let orders = orders(&self.clients);
        for client in &self.clients {
            if client.alive && !client.doomed {
                client.assert_answered();
            }
        }
        for client in self.clients.iter().filter(|client| !client.witness) {
            check_client(client, &orders, &mut self.totals);
        }
        if !self.draining {
            self.check_census();
        }
        self.check_published(&orders);
        self.check_tokens();
        // A drain may stop shards before the answer to a page that has left.
        for port in self.ports.iter().filter(|_| !self.draining) {
            let presenting = &port.presenting;
            assert!(presenting.is_empty(), "never answered: {presenting:?}");
        }
        self.check_triggers();
        self.check_meters();
        self.let_go();
        self.totals.count(
            "messages past a quota",
            self.ports.iter().map(|port| port.refused).sum(),
        );
        let passed = self.ports.iter().map(|port| port.passed).sum();
        self.totals.count("triggers past a worker", passed);
        let joined = self.ports.iter().map(|port| port.joined).sum();
        self.totals.count("events in one bundle", joined);
        let echoes = self.clients.iter().map(|client| client.echoes).sum();
        self.totals.count("echoes", echoes);
        self.totals.count("tokens expired", self.control.expired);
        self.totals.count("workers replaced", self.control.replaced);
        std::mem::take(&mut self.totals)
    }

    /// Everybody goes, in a drain or just so; nobody is remembered.
    fn let_go(&mut self) {
        if self.draining {
            loop {
                let mut moved = false;
                for shard in 0..self.shards() {
                    while self.take_leave(shard) {
                        moved = true;
                    }
                }
                if !moved {
                    break;
                }
                self.settle();
            }
            let stopped = self.stages.iter().all(|&stage| stage == Stage::Stopped);
            assert!(stopped, "the drain has no end: {:?}", self.stages);
            self.settle();
            let sessions: usize = self.hubs.iter().map(|hub| hub.census().sessions).sum();
            assert_eq!(sessions, 0, "somebody is connected");
        } else {
            for index in 0..self.clients.len() {
                if self.clients[index].alive {
                    self.close(index);
                }
            }
            self.settle();
            for hub in &self.hubs {
                let census = hub.census();
                assert_eq!(census, Census::default(), "somebody is remembered");
            }
        }
        for (meters, _) in self.control.vhosts.values() {
            let frontends = meters.sum(|meter| meter.frontends.value());
            assert_eq!(frontends, 0, "somebody is counted");
        }
    }

    /// Tokens whose time is over are forgotten.
    fn check_clocks(&mut self) {
        if self.stages.contains(&Stage::Stopped) {
            return;
        }
        (0..self.shards()).for_each(|shard| self.look_at_clock(shard));
        self.settle();
        assert_eq!(self.control.overdue(), 0, "tokens past their time");
    }

    /// The lobby holds the workers that are there, and no others.
    fn check_lobby(&mut self) {
        let ports = &mut self.ports;
        ports
            .iter_mut()
            .flat_map(|port| &mut port.workers)
            .for_each(|it| it.deaf = false);
        for index in 0..self.clients.len() {
            let client = &self.clients[index];
            if !client.witness || !client.alive || client.vhost != MAIN {
                continue;
            }
            let told = client.errors(503);
            let n = self.number();
            self.script(index, trigger(n));
            self.settle();
            let workers = self.ports.iter().flat_map(|port| &port.workers);
            let some = workers.filter(|it| it.vhost == MAIN && it.ready).count() > 0;
            let taken = self.triggered.contains_key(&n);
            let unavailable = self.clients[index].errors(503) > told;
            assert_eq!(
                (taken, unavailable),
                (some, !some),
                "workers are there: {some}"
            );
        }
    }

    /// Hubs and clients agree on who is subscribed to what, and who is visible.
    fn check_census(&self) {
        let living = || self.clients.iter().filter(|client| client.alive);
        let subscriptions: usize = living().map(|client| client.subscriptions.len()).sum();
        let visible = |client: &Client| {
            let channels = client.subscriptions.iter();
            let presence = channels.filter(|channel| channel.starts_with("presence-"));
            let hides = |channel: &&String| client.hides.get(channel.as_str()) == Some(&true);
            presence.filter(|channel| !hides(channel)).count()
        };
        let mut sum = Census::default();
        for hub in &self.hubs {
            let census = hub.census();
            sum.sessions += census.sessions;
            sum.subscriptions += census.subscriptions;
            sum.home_subscribers += census.home_subscribers;
            sum.members += census.members;
            sum.channels += census.channels;
        }
        assert_eq!(sum.sessions, living().count(), "sessions");
        assert_eq!(sum.subscriptions, subscriptions, "subscriptions");
        assert_eq!(
            sum.home_subscribers as usize, subscriptions,
            "on home shards"
        );
        assert_eq!(sum.members, living().map(visible).sum::<usize>(), "members");
    }

    /// What a backend was told is so.
    fn check_published(&mut self, orders: &Orders) {
        // Who saw what comes late in a drain is gone.
        if self.draining {
            return;
        }
        for event in &self.published {
            let lives = orders.get(&(MAIN, event.channel.to_owned()));
            let seen = lives.into_iter().flatten().any(|order| order.has(event.n));
            assert_eq!(seen, event.done, "event {} on {}", event.n, event.channel);
        }
    }

    /// A token was taken at most once ([AU-06, AU-07]), in time and in its vhost.
    fn check_tokens(&mut self) {
        let admissions = |client: &Client| {
            let admitted = client
                .sent
                .iter()
                .filter(|it| it.get(":authenticated").is_some());
            admitted.count()
        };
        let admitted: usize = self.clients.iter().map(admissions).sum();
        let mut marks: Vec<_> = self.control.spent.iter().map(mark).collect();
        marks.sort_unstable();
        let count = marks.len();
        marks.dedup();
        assert_eq!(marks.len(), count, "a token was taken twice");
        let taken = count - self.control.expired;
        assert!(
            admitted <= taken,
            "admitted {admitted} times with {taken} tokens"
        );
        for (token, taken, at_ms) in self.ports.iter().flat_map(|port| &port.spent) {
            let in_time = self.control.issued[&mark(token)] > *at_ms;
            assert_eq!(*taken, in_time, "taken, and in time");
        }
        for client in self.clients.iter().filter(|client| client.alive) {
            for token in &client.refused {
                let good = self.control.is_good(token, client.vhost);
                assert!(!good, "a good token gave nothing");
            }
        }
        let lost: usize = self.clients.iter().map(|it| it.refused.len()).sum();
        self.totals.count("races for a token lost", lost);
    }

    /// Each frame of a channel and each trigger was counted once, by the shard
    /// and for the vhost.
    fn check_meters(&self) {
        let frames = self.clients.iter().map(Client::channel_frames);
        let deliveries: u64 = self.meters.iter().map(|it| it.deliveries.count()).sum();
        assert_eq!(deliveries, frames.sum::<usize>() as u64, "deliveries");
        for (&vhost, (meters, _)) in &self.control.vhosts {
            let clients = || self.clients.iter().filter(|client| client.vhost == vhost);
            let frames = clients().map(Client::channel_frames).sum::<usize>() as u64;
            let counted = meters.sum(|meter| meter.deliveries.count());
            assert_eq!(counted, frames, "deliveries of {vhost:?}");
            let living = clients().filter(|client| client.alive).count() as u64;
            let frontends = meters.sum(|meter| meter.frontends.value());
            assert_eq!(frontends, living, "frontends of {vhost:?}");
        }
        let taken = self.triggered.values().sum::<usize>() as u64;
        let triggers: u64 = self.meters.iter().map(|it| it.triggers.count()).sum();
        assert_eq!(triggers, taken, "triggers");
    }

    /// A trigger reached one worker, or its sender knows that it did not.
    fn check_triggers(&mut self) {
        for (n, count) in &self.triggered {
            assert_eq!(*count, 1, "trigger {n} was taken {count} times");
        }
        for client in self.clients.iter().filter(|it| it.alive && !it.doomed) {
            let untaken = |numbers: &[u64]| {
                let untaken = numbers.iter().filter(|n| !self.triggered.contains_key(n));
                untaken.count()
            };
            let least = untaken(&client.handed);
            let told = client.errors(503);
            let most = least + untaken(&client.perhaps);
            assert!(
                (least..=most).contains(&told),
                "{}: told {told} times of {least} to {most} triggers that nobody took:{}",
                client.sid,
                client.transcript(),
            );
        }
        let unavailable = self.clients.iter().map(|it| it.errors(503)).sum();
        self.totals.count("triggers without a worker", unavailable);
    }
}
