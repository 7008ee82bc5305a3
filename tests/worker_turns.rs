//! Who gets which trigger: turns, order, full workers, none at all.

mod support;

use std::collections::HashMap;
use std::sync::Arc;

use serde_json::{Value, json};
use support::admin::admin;
use support::backend::{Backend, HEARTBEAT, OK, Worker, error};
use support::{Broker, Browser, fresh_id};
use webrocket::limits::TRIGGER_HOPS_MAX;
use webrocket::meter::ShardMeter;

fn trigger(user: &mut Browser, n: usize) {
    user.send(json!({"trigger": {"event": "work", "data": {"n": n}}}));
}

/// The numbers that a worker got, of one user.
fn numbers(worker: &mut Worker, count: usize) -> Vec<u64> {
    (0..count)
        .map(|_| worker.trigger()["work"]["n"].as_u64().expect("a number"))
        .collect()
}

fn workers(broker: &Broker, count: usize) -> Vec<Worker> {
    (0..count).map(|_| Worker::ready(broker)).collect()
}

#[test]
fn golden_bytes_tg_03_tg_04_tg_06() {
    for shards in [1, 2, 4] {
        let broker = Broker::with_channels(shards, &["room"]);
        let mut worker = Worker::ready(&broker);
        for _ in 0..4 {
            let mut user = broker.user("joe", ".*");
            let sid = user.sid.clone();
            user.send_text(
                "{\"trigger\":{\"event\":\"w\\\"\",\"data\":{\"n\":1.50,\n\"sid\":\"x\",\"channel\":\"c\"}}}",
            );
            assert_eq!(
                worker.receive().expect("a packet"),
                format!(
                    "TR\n{{\"w\\\"\":{{\"sid\":\"{sid}\",\"n\":1.50,\"channel\":\"c\"}}}}\n\r\n\r\n"
                )
            );
            user.subscribe("room");
            user.send_text(
                r#"{"broadcast":{"channel":"room","event":"e","trigger":"t","data":{"channel":"x","n":2}}}"#,
            );
            assert_eq!(
                worker.receive().expect("a packet"),
                format!(
                    "TR\n{{\"t\":{{\"sid\":\"{sid}\",\"channel\":\"room\",\"n\":2}}}}\n\r\n\r\n"
                )
            );
            user.expect(json!({"e": {"n": 2, "sid": sid, "channel": "room"}}));
            user.send(json!({"trigger": {"event": "empty"}}));
            assert_eq!(
                worker.receive().expect("a packet"),
                format!("TR\n{{\"empty\":{{\"sid\":\"{sid}\"}}}}\n\r\n\r\n")
            );
        }
    }
}

#[test]
fn strictly_in_turn_wk_15_wk_16() {
    for shards in [1, 2, 4] {
        let broker = Broker::start(shards);
        let mut workers = workers(&broker, 5);
        let mut user = broker.user("joe", ".*");
        (0..50).for_each(|n| trigger(&mut user, n));
        let mut first: Vec<_> = workers
            .iter_mut()
            .map(|worker| {
                let numbers = numbers(worker, 10);
                let expected: Vec<_> = (0..10).map(|turn| numbers[0] + 5 * turn).collect();
                assert_eq!(numbers, expected);
                numbers[0]
            })
            .collect();
        // In the order in which they joined, whoever begins.
        let begins = first.iter().position(|&n| n == 0).expect("one begins");
        first.rotate_left(begins);
        assert_eq!(first, [0, 1, 2, 3, 4]);
        user.expect_nothing_before();
    }
}

#[test]
fn ten_thousand_triggers_are_shared_evenly_and_none_is_lost_wk_18() {
    let shards = 2;
    let broker = Broker::start(shards);
    let mut workers = workers(&broker, 4);
    let mut users: Vec<_> = (0..4)
        .map(|n| broker.user(&format!("u{n}"), ".*"))
        .collect();
    let (per_user, rounds) = (50, 50);
    let mut shares = vec![HashMap::<String, Vec<u64>>::new(); workers.len()];
    let mut total = 0;
    for round in 0..rounds {
        for n in 0..per_user {
            for user in &mut users {
                trigger(user, round * per_user + n);
            }
        }
        total += per_user * users.len();
        // Each shard walks the cycle by itself, so a worker may be ahead of
        // another by one trigger for each of them.
        let least = total / workers.len() - usize::from(shards);
        for (worker, share) in workers.iter_mut().zip(&mut shares) {
            let mut had: usize = share.values().map(Vec::len).sum();
            while had < least {
                let trigger = worker.trigger();
                let sid = trigger["work"]["sid"].as_str().expect("a sid").to_owned();
                let n = trigger["work"]["n"].as_u64().expect("a number");
                share.entry(sid).or_default().push(n);
                had += 1;
            }
        }
    }
    assert_eq!(total, 10_000);
    for user in &mut users {
        user.expect_nothing_before();
        // One more round tells the rest: nobody has more than his share.
        user.send(json!({"trigger": {"event": "end"}}));
    }
    let mut missing = total
        - shares
            .iter()
            .flat_map(HashMap::values)
            .map(Vec::len)
            .sum::<usize>();
    let mut ends = users.len();
    let count = workers.len();
    let mut turn = 0;
    while missing + ends > 0 {
        let at = turn % count;
        turn += 1;
        let packet = workers[at].backend.receive().expect("a packet");
        if packet.contains("\"end\"") {
            ends -= 1;
        } else if packet != HEARTBEAT {
            let json = packet.trim_start_matches("TR\n").trim();
            let trigger: Value = serde_json::from_str(json).expect("JSON");
            let sid = trigger["work"]["sid"].as_str().expect("a sid").to_owned();
            let n = trigger["work"]["n"].as_u64().expect("a number");
            shares[at].entry(sid).or_default().push(n);
            missing -= 1;
        }
    }
    for share in &shares {
        let had: usize = share.values().map(Vec::len).sum();
        let even = total / count;
        assert!(had.abs_diff(even) <= usize::from(shards), "{had} of {even}");
    }
    for user in &users {
        let mut all: Vec<_> = shares
            .iter()
            .filter_map(|share| share.get(&user.sid))
            .flatten()
            .copied()
            .collect();
        all.sort_unstable();
        let expected: Vec<_> = (0..(per_user * rounds) as u64).collect();
        assert_eq!(all, expected);
    }
    // [WK-21] for each worker by itself as well.
    for list in shares.iter().flat_map(HashMap::values) {
        assert!(list.is_sorted());
    }
}

#[test]
fn triggers_of_one_client_keep_their_order_wk_21() {
    for shards in [1, 2, 4] {
        let broker = Broker::with_channels(shards, &["room"]);
        let mut worker = Worker::ready(&broker);
        let mut users: Vec<_> = (0..4)
            .map(|n| broker.user(&format!("u{n}"), ".*"))
            .collect();
        users.iter_mut().for_each(|user| user.subscribe("room"));
        let count = 200;
        for n in 0..count {
            for user in &mut users {
                if n % 2 == 0 {
                    trigger(user, n);
                } else {
                    user.send(json!({"broadcast": {
                        "channel": "room", "event": "e", "data": {"n": n}, "trigger": "work"
                    }}));
                }
            }
        }
        let mut next: HashMap<String, u64> = HashMap::new();
        for _ in 0..count * users.len() {
            let trigger = worker.trigger();
            let sid = trigger["work"]["sid"].as_str().expect("a sid").to_owned();
            let expected = next.entry(sid).or_default();
            assert_eq!(trigger["work"]["n"], *expected);
            *expected += 1;
        }
    }
}

#[test]
fn workers_join_and_leave_the_cycle_wk_17_wk_20() {
    for shards in [1, 2, 4] {
        let broker = Broker::start(shards);
        let mut user = broker.user("joe", ".*");
        let mut workers = workers(&broker, 2);
        let mut n = 0;
        for round in 0..6 {
            if round % 2 == 0 {
                workers.push(Worker::ready(&broker));
            } else {
                leave(&broker, workers.remove(round % workers.len()));
            }
            let turns = 3 * workers.len();
            (0..turns).for_each(|at| trigger(&mut user, n + at));
            let mut all: Vec<_> = workers.iter_mut().flat_map(|it| numbers(it, 3)).collect();
            all.sort_unstable();
            let expected: Vec<_> = (n as u64..(n + turns) as u64).collect();
            assert_eq!(all, expected);
            n += turns;
        }
        user.expect_nothing_before();
    }
}

#[test]
fn without_any_worker_the_client_hears_503_tg_08_tg_09_tg_10() {
    for shards in [1, 2, 4] {
        let broker = Broker::with_channels(shards, &["room"]);
        let mut users: Vec<_> = (0..4)
            .map(|n| broker.user(&format!("u{n}"), ".*"))
            .collect();
        for user in &mut users {
            trigger(user, 1);
            user.expect(json!({":error": {"code": 503, "status": "Service unavailable"}}));
            user.subscribe("room");
            user.send(json!({"broadcast": {
                "channel": "room", "event": "e", "data": {}, "trigger": "work"
            }}));
            user.expect(json!({"e": {"sid": user.sid, "channel": "room"}}));
            user.expect_error(503);
            user.send(json!({"unsubscribe": {"channel": "room"}}));
            user.expect(json!({":unsubscribed": {"channel": "room"}}));
        }
        // A worker of another vhost is none of this one.
        let other = broker.add_vhost("/other");
        let _worker = Worker::silent(&broker, "/other", &other, &fresh_id());
        trigger(&mut users[0], 1);
        users[0].expect_error(503);
    }
}

/// What became of triggers: each is taken by a worker or refused to its user.
#[derive(Default)]
struct Tally {
    sent: u64,
    refused: u64,
}

impl Tally {
    fn send(&mut self, user: &mut Browser, event: &str, text: &str) {
        let data = json!({"n": self.sent, "x": text});
        user.send(json!({"trigger": {"event": event, "data": data}}));
        self.sent += 1;
    }

    /// Takes what the user was told up to the answer to a bad message; a
    /// refusal of another shard may come behind it.
    fn listen(&mut self, user: &mut Browser) {
        user.send_text("no JSON");
        while self.hear(user) == 503 {}
    }

    fn hear(&mut self, user: &mut Browser) -> u64 {
        let message = user.receive();
        let code = message[":error"]["code"].as_u64().expect("an error");
        self.refused += u64::from(code == 503);
        code
    }

    /// Fills every worker there is, none of which reads, and waits until no
    /// trigger is on its way: one could still find a worker that comes later.
    fn fill(&mut self, broker: &Broker, user: &mut Browser, text: &str) {
        let enough = self.refused + 3;
        while self.refused < enough {
            self.send(user, "work", text);
            self.listen(user);
        }
        while decided(broker) < self.sent {
            self.listen(user);
        }
    }
}

/// Triggers that a worker has or that were refused.
fn decided(broker: &Broker) -> u64 {
    let of = |meter: &Arc<ShardMeter>| meter.triggers.count() + meter.triggers_refused.count();
    broker.node().meters().iter().map(of).sum()
}

#[test]
fn a_full_worker_counts_as_unavailable_and_the_next_gets_it() {
    for shards in [1, 2] {
        let broker = Broker::start(shards);
        let mut user = broker.user("joe", ".*");
        let mut full = Worker::ready(&broker);
        let text = "x".repeat(500_000);
        let mut tally = Tally::default();
        tally.fill(&broker, &mut user, &text);
        // Another one gets every trigger from now on.
        let mut free = Worker::ready(&broker);
        let mut elsewhere = 0;
        for _ in 0..8 {
            let n = tally.sent;
            tally.send(&mut user, "next", &text);
            assert_eq!(free.trigger()["next"]["n"], n);
            elsewhere += 1;
        }
        leave(&broker, free);
        // The full one is still a worker: it has kept what it took, in order, and
        // a small trigger finds room.
        user.send(json!({"trigger": {"event": "end"}}));
        let mut taken = Vec::new();
        loop {
            let trigger = full.trigger();
            if trigger["end"].is_object() {
                break;
            }
            taken.push(trigger["work"]["n"].as_u64().expect("a number"));
        }
        assert!(taken.is_sorted());
        // Nothing was lost without a word.
        let known = taken.len() as u64 + elsewhere;
        while known + tally.refused < tally.sent {
            tally.hear(&mut user);
        }
        user.expect_nothing_before();
    }
}

#[test]
fn a_trigger_is_offered_to_so_many_workers_and_no_more() {
    // On one shard, where a refusal is never late.
    let broker = Broker::start(1);
    let mut user = broker.user("joe", ".*");
    let text = "x".repeat(900_000);
    let mut tally = Tally::default();
    let mut full: Vec<_> = (1..TRIGGER_HOPS_MAX)
        .map(|_| Worker::ready(&broker))
        .collect();
    tally.fill(&broker, &mut user, &text);
    // One that can take it is found behind all but one of the bound.
    let mut free = Worker::ready(&broker);
    for _ in 0..3 {
        let n = tally.sent;
        tally.send(&mut user, "next", &text);
        assert_eq!(free.trigger()["next"]["n"], n);
    }
    leave(&broker, free);
    full.push(Worker::ready(&broker));
    tally.fill(&broker, &mut user, &text);
    // Behind as many as the bound it is not: every other trigger is refused,
    // which leaves the turn to it.
    let mut free = Worker::ready(&broker);
    let refused = tally.refused;
    for turn in 1..=3 {
        tally.send(&mut user, "next", &text);
        tally.send(&mut user, "next", &text);
        assert!(free.trigger()["next"].is_object());
        tally.listen(&mut user);
        assert_eq!(tally.refused, refused + turn);
    }
}

/// The worker goes, and every shard knows.
fn leave(broker: &Broker, worker: Worker) {
    let id = worker.id.clone();
    drop(worker);
    while admin(broker, "GET", "/test/workers").body.contains(&id) {}
    // A change behind it on its way to every shard.
    assert_eq!(broker.request(&["OC", &format!("m{id}")]), OK);
}

#[test]
fn connected_workers_outlive_their_token_wk_27() {
    for shards in [1, 2, 4] {
        let broker = Broker::start(shards);
        let old = broker.token().to_owned();
        let mut worker = Worker::ready(&broker);
        let mut kept = Backend::kept(&broker);
        let mut user = broker.user("joe", ".*");
        let unused = broker.single_access_token("late", ".*");
        admin(&broker, "PUT", "/test/token").expect_found("/test");
        let new = admin(&broker, "GET", "/test").json()["vhost"]["accessToken"]
            .as_str()
            .expect("a token")
            .to_owned();
        assert_ne!(old, new);
        for kind in ["dlr", "req"] {
            for _ in 0..8 {
                let mut late = Backend::connect(&broker);
                late.send(&broker.packet(kind, &["RD"]));
                late.expect(&error(402));
                late.expect_end();
            }
        }
        let mut newer: Vec<_> = (0..4)
            .map(|_| Worker::silent(&broker, "/test", &new, &fresh_id()))
            .collect();
        newer.iter_mut().for_each(Worker::start_beating);
        (0..5).for_each(|n| trigger(&mut user, n));
        worker.trigger();
        newer.iter_mut().for_each(|worker| drop(worker.trigger()));
        kept.send(b"OC\nroom\n\r\n\r\n");
        kept.expect(OK);
        // [AU-11]: so does a single access token.
        let mut late = broker.browser();
        late.send(json!({"auth": {"token": unused}}));
        late.expect(json!({":authenticated": {}}));
    }
}
