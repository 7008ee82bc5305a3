//! Workers come, beat, fall silent and go.

mod support;

use std::time::{Duration, Instant};

use serde_json::json;
use support::backend::{Backend, HEARTBEAT, QUIT, Worker, bare, error};
use support::{Broker, Browser, fresh_id};
use webrocket::limits::{HEARTBEAT_EXPIRY, HEARTBEAT_INTERVAL, PACKET_BYTES_MAX};

/// A shard counts whole milliseconds, and its timers tick every ten.
const GRAIN: Duration = Duration::from_millis(20);

fn trigger(user: &mut Browser, n: u32) {
    user.send(json!({"trigger": {"event": "work", "data": {"n": n}}}));
}

/// Triggers until there is no worker: that every shard forgets one takes a
/// moment. The refusal of another shard may come behind later answers.
fn until_unavailable(broker: &Broker) {
    let mut user = broker.user("joe", ".*");
    let mut refused = false;
    while !refused {
        trigger(&mut user, 0);
        user.send_text("no JSON");
        loop {
            match user.receive()[":error"]["code"].as_u64() {
                Some(503) => refused = true,
                code => break assert_eq!(code, Some(400)),
            }
        }
    }
}

/// Shards learn of a worker one after the other, and the first that knows it has
/// triggers already.
#[test]
fn the_first_packet_that_a_worker_gets_is_a_heartbeat_wk_01() {
    let broker = Broker::start(2);
    let mut users: Vec<_> = (0..8)
        .map(|n| broker.user(&format!("u{n}"), ".*"))
        .collect();
    for _ in 0..100 {
        for user in &mut users {
            (0..20).for_each(|n| trigger(user, n));
        }
        drop(Worker::silent(
            &broker,
            "/test",
            broker.token(),
            &fresh_id(),
        ));
        for user in &mut users {
            user.send_text("no JSON");
            while user.receive()[":error"]["code"] != 400 {}
        }
    }
}

#[test]
fn a_first_packet_other_than_rd_is_refused_wk_02_wk_03_wk_04_wk_05_be_11() {
    let broker = Broker::start(2);
    for (frames, answer) in [
        (&["HB"][..], QUIT.to_owned()),
        (&["QT"], error(400)),
        (&["OC", "room"], error(400)),
        (&["BC", "room", "e", "{}"], error(400)),
        (&["KA"], error(400)),
        (&["rd"], error(400)),
        (&[""], error(400)),
    ] {
        let mut backend = Backend::connect(&broker);
        backend.send(&broker.packet("dlr", frames));
        backend.expect(&answer);
        backend.expect_end();
    }
    let wrong = "0".repeat(40);
    for (vhost, token) in [("/test", wrong.as_str()), ("/none", broker.token())] {
        for command in ["RD", "HB", "nonsense"] {
            let mut backend = Backend::connect(&broker);
            let packet = format!("dlr:{vhost}:{token}:{}\n\n{command}\n\r\n\r\n", fresh_id());
            backend.send(packet.as_bytes());
            backend.expect(&error(402));
            backend.expect_end();
        }
    }
    for packet in [bare(&["RD"]), bare(&["HB"])] {
        let mut backend = Backend::connect(&broker);
        backend.send(&packet);
        backend.expect(&error(402));
        backend.expect_end();
    }
}

#[test]
fn a_worker_is_registered_and_hears_of_it_at_once_wk_01() {
    for shards in [1, 2, 4] {
        let broker = Broker::start(shards);
        let mut users: Vec<_> = (0..8).map(|_| broker.user("joe", ".*")).collect();
        for round in 0..4 {
            // Every shard knows a worker that has heard of it.
            let mut worker = Worker::ready(&broker);
            users.iter_mut().for_each(|user| trigger(user, round));
            for _ in 0..users.len() {
                assert_eq!(worker.trigger()["work"]["n"], round);
            }
            worker.backend.send(&bare(&["QT"]));
            assert_eq!(worker.receive(), None);
            until_unavailable(&broker);
        }
    }
}

#[test]
fn beats_come_every_interval_whatever_the_worker_does_wk_09() {
    let broker = Broker::start(2);
    let mut worker = Worker::ready(&broker);
    let began = Instant::now();
    for beat in 1..=4 {
        worker.backend.expect(HEARTBEAT);
        // Not before its time; later on a busy machine.
        assert!(began.elapsed() + GRAIN >= HEARTBEAT_INTERVAL * beat - GRAIN);
    }
}

#[test]
fn beats_go_on_while_triggers_flow_wk_29() {
    let broker = Broker::start(2);
    // The beats count from its registration, however long the rest takes.
    let began = Instant::now();
    let mut worker = Worker::ready(&broker);
    let mut user = broker.user("joe", ".*");
    let (mut sent, mut taken, mut beats) = (0, 0, 0);
    while beats < 4 {
        // Some are always under way.
        while sent < taken + 50 {
            trigger(&mut user, sent);
            sent += 1;
        }
        match worker.backend.receive().expect("a packet") {
            packet if packet == HEARTBEAT => beats += 1,
            packet => {
                assert!(packet.contains(&format!("\"n\":{taken}}}")), "{packet}");
                taken += 1;
            }
        }
    }
    assert!(taken > 0);
    assert!(began.elapsed() + GRAIN >= HEARTBEAT_INTERVAL * 4 - GRAIN);
}

#[test]
fn three_intervals_of_silence_end_it_wk_06() {
    let broker = Broker::start(2);
    // Only `HB` counts: whatever else it says is no sign of life.
    let began = Instant::now();
    let mut silent = Worker::silent(&broker, "/test", broker.token(), &fresh_id());
    let mut chatty = Worker::silent(&broker, "/test", broker.token(), &fresh_id());
    let chat = [bare(&["RD"]), bare(&["OC", "room"]), bare(&["nonsense"])].concat();
    chatty.backend.send(&chat);
    chatty.backend.expect(HEARTBEAT);
    chatty.backend.send(&chat);
    silent.expect_quit();
    assert!(began.elapsed() + GRAIN >= HEARTBEAT_EXPIRY);
    chatty.expect_quit();
    until_unavailable(&broker);
}

#[test]
fn a_worker_that_beats_stays_wk_10() {
    let broker = Broker::start(2);
    let mut worker = Worker::silent(&broker, "/test", broker.token(), &fresh_id());
    worker.start_beating();
    let began = Instant::now();
    while began.elapsed() < HEARTBEAT_EXPIRY * 2 {
        worker.backend.expect(HEARTBEAT);
    }
}

#[test]
fn who_says_qt_or_closes_is_gone_at_once_wk_13_wk_14_wk_19() {
    for shards in [1, 2, 4] {
        let broker = Broker::start(shards);
        for round in 0..6 {
            let mut worker = Worker::silent(&broker, "/test", broker.token(), &fresh_id());
            match round % 3 {
                0 => worker.backend.send(&bare(&["QT"])),
                1 => worker.backend.finish(),
                _ => {
                    worker.backend.send(&bare(&["HB"]));
                    worker.backend.finish();
                }
            }
            // It did not expire: then it would have been told.
            assert_eq!(worker.receive(), None);
            until_unavailable(&broker);
        }
    }
}

#[test]
fn the_same_id_replaces_the_older_worker_wk_30() {
    for shards in [1, 2, 4] {
        let broker = Broker::start(shards);
        let mut user = broker.user("joe", ".*");
        let id = fresh_id();
        let mut current = Worker::ready_as(&broker, &id);
        for n in 0..6 {
            let next = Worker::ready_as(&broker, &id);
            let mut old = std::mem::replace(&mut current, next);
            old.expect_quit();
            drop(old);
            // Neither the end of the old one nor its place in the cycle hurt the new.
            for _ in 0..2 {
                trigger(&mut user, n);
                assert_eq!(
                    current.trigger(),
                    json!({"work": {"sid": user.sid, "n": n}})
                );
            }
        }
        user.expect_nothing_before();
    }
}

#[test]
fn the_same_id_in_another_vhost_is_another_worker_wk_30() {
    let broker = Broker::start(2);
    let other = broker.add_vhost("/other");
    let id = fresh_id();
    let mut here = Worker::ready_as(&broker, &id);
    let mut there = Worker::silent(&broker, "/other", &other, &id);
    there.start_beating();
    let mut user = broker.user("joe", ".*");
    trigger(&mut user, 1);
    assert_eq!(here.trigger(), json!({"work": {"sid": user.sid, "n": 1}}));
    there.backend.expect(HEARTBEAT);
}

#[test]
fn segments_and_repetition_do_not_matter_wk_22_wk_23_wk_24_wk_25() {
    let broker = Broker::start(2);
    let mut user = broker.user("joe", ".*");
    // The first packet and more of them in one segment.
    let mut backend = Backend::connect(&broker);
    let mut bytes = broker.packet("dlr", &["RD"]);
    bytes.extend(bare(&["HB"]).repeat(3));
    bytes.extend(bare(&["RD"]));
    bytes.extend(broker.packet("dlr", &["HB"]));
    bytes.extend(bare(&["nonsense", "frames"]));
    bytes.extend(bare(&[""]));
    backend.send(&bytes);
    backend.expect(HEARTBEAT);
    trigger(&mut user, 1);
    let packet = backend.receive().expect("a packet");
    assert!(
        packet.starts_with("TR\n") || packet == HEARTBEAT,
        "{packet}"
    );
    drop(backend);
    until_unavailable(&broker);

    // A beat cut at every byte keeps the worker for longer than its silence would.
    let mut worker = Worker::silent(&broker, "/test", broker.token(), &fresh_id());
    let began = Instant::now();
    while began.elapsed() < HEARTBEAT_EXPIRY * 2 {
        for byte in broker.packet("dlr", &["HB"]) {
            worker.backend.send(&[byte]);
        }
        worker.backend.send(b"HB\n\r\n\r");
        worker.backend.expect(HEARTBEAT);
        worker.backend.send(b"\n");
    }
    // And one that is cut everywhere at its registration.
    let whole = broker.packet("dlr", &["RD"]);
    for at in 1..whole.len() {
        let mut backend = Backend::connect(&broker);
        backend.send(&whole[..at]);
        backend.send(&whole[at..]);
        backend.expect(HEARTBEAT);
    }
}

#[test]
fn a_packet_past_the_bound_ends_a_worker_be_27() {
    let broker = Broker::start(2);
    let mut worker = Worker::ready(&broker);
    let mut loud = Worker::silent(&broker, "/test", broker.token(), &fresh_id());
    loud.backend.send(&vec![b'x'; PACKET_BYTES_MAX]);
    assert_eq!(loud.receive(), Some(error(400)));
    loud.backend.expect_end();
    // The other is the only one left.
    let mut user = broker.user("joe", ".*");
    for n in 0..3 {
        trigger(&mut user, n);
        assert_eq!(worker.trigger(), json!({"work": {"sid": user.sid, "n": n}}));
    }
}

#[test]
fn the_deletion_of_its_vhost_ends_it_with_qt_wk_26() {
    for shards in [1, 2, 4] {
        let broker = Broker::start(shards);
        let mut workers: Vec<_> = (0..6).map(|_| Worker::ready(&broker)).collect();
        broker.delete_vhost("/test");
        workers.iter_mut().for_each(Worker::expect_quit);
    }
}
