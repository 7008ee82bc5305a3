//! A vhost at its quotas is no worse a neighbour for it: bystanders are in
//! another one.

use std::io::Read;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use webrocket::meter::Refused;

use crate::bystanders::{ATTACKED, Attacker, report};
use crate::raw::{Raw, TEXT, masked, upgrade};
use crate::stage::{Stage, connect};

fn subscriber(stage: &Stage) -> Raw {
    let mut raw = Raw::upgraded(stage.frontends(), "/test");
    raw.send_text(r#"{"subscribe":{"channel":"noisy"}}"#);
    assert!(raw.text().contains(":subscribed"));
    raw
}

fn broadcast(bytes: usize) -> Vec<u8> {
    let text = "x".repeat(bytes);
    let message =
        format!(r#"{{"broadcast":{{"channel":"noisy","event":"e","data":{{"t":"{text}"}}}}}}"#);
    masked(TEXT, message.as_bytes())
}

/// Reads all that comes to these, with few threads, until told to stop.
fn read_all<'scope>(
    scope: &'scope thread::Scope<'scope, '_>,
    subscribers: &'scope [Raw],
    stop: &'scope AtomicBool,
) {
    for raw in subscribers {
        scope.spawn(move || {
            let mut buffer = vec![0; 256 * 1024];
            let timeout = Some(Duration::from_millis(100));
            raw.0.set_read_timeout(timeout).expect("a timeout");
            while !stop.load(Ordering::Relaxed) {
                let _ = (&raw.0).read(&mut buffer);
            }
        });
    }
}

/// Every frontend of a vhost at its messages a second.
#[test]
fn messages_at_the_quota() {
    const SPEAKERS: usize = 20;
    const RATE: u64 = 20;
    let stage = Stage::start("[vhosts.\"/test\"]\nmessages_per_second = 20\n");
    stage.open("/test", "noisy");
    let speakers: Vec<_> = (0..SPEAKERS).map(|_| subscriber(&stage)).collect();
    let stop = AtomicBool::new(false);
    let burst = broadcast(20).repeat(10);
    let turns = thread::scope(|scope| {
        read_all(scope, &speakers, &stop);
        let attackers = speakers.iter().map(|raw| {
            let mut writer = Raw(raw.0.try_clone().expect("a descriptor"));
            let burst = &burst;
            let attack: Attacker<'_> = Box::new(move |gate| {
                while gate.is_open() {
                    writer.try_write(burst);
                    thread::sleep(Duration::from_millis(20));
                }
            });
            attack
        });
        let turns = stage.by_turns(attackers.collect());
        stop.store(true, Ordering::Relaxed);
        turns
    });
    let broadcasts = stage.metric("webrocket_vhost_broadcasts_total", "vhost=\"/test\"");
    let held_back = stage.refused(Refused::MessageRate);
    assert!(held_back >= SPEAKERS as u64, "{held_back}");
    report(
        "noisy vhost, messages",
        &format!("{SPEAKERS} frontends over {RATE}/s, {broadcasts} broadcasts to {SPEAKERS}"),
        &format!("held back {held_back} times"),
        &turns,
    );
}

/// A vhost that is full, and knocked at as fast as it goes.
#[test]
fn connections_at_the_quota() {
    const FULL: usize = 200;
    let stage = Stage::start("[vhosts.\"/test\"]\nconnections_per_vhost = 200\n");
    let frontends = stage.frontends();
    let inside: Vec<_> = (0..FULL)
        .map(|_| Raw::upgraded(frontends, "/test"))
        .collect();
    let refused = AtomicU64::new(0);
    let request = upgrade("/test", "");
    let turns = stage.by_turns(vec![Box::new(|gate| {
        while gate.is_open() {
            let mut raw = Raw(connect(frontends));
            raw.write(&request);
            assert!(raw.head().starts_with("HTTP/1.1 503 "));
            refused.fetch_add(1, Ordering::Relaxed);
        }
    })]);
    let refused = refused.into_inner();
    stage.expect_refused(Refused::VhostConnections, refused);
    drop(inside);
    let rate = refused as f64 / ATTACKED.as_secs_f64();
    report(
        "noisy vhost, connections",
        &format!("{FULL} of {FULL} inside, {rate:.0} more a second"),
        &format!("{refused} told 503"),
        &turns,
    );
}

/// Large messages to many.
#[test]
fn large_broadcasts() {
    const SUBSCRIBERS: usize = 100;
    const BYTES: usize = 64 * 1024;
    let stage = Stage::start("[vhosts.\"/test\"]\nmessages_per_second = 20\n");
    stage.open("/test", "noisy");
    let subscribers: Vec<_> = (0..SUBSCRIBERS).map(|_| subscriber(&stage)).collect();
    let mut speaker = Raw::upgraded(stage.frontends(), "/test");
    speaker.send_text(r#"{"subscribe":{"channel":"noisy"}}"#);
    assert!(speaker.text().contains(":subscribed"));
    let message = broadcast(BYTES);
    let (stop, mut sent) = (AtomicBool::new(false), 0_u64);
    let turns = thread::scope(|scope| {
        read_all(scope, &subscribers, &stop);
        let turns = stage.by_turns(vec![Box::new(|gate| {
            while gate.is_open() {
                speaker.write(&message);
                assert_eq!(speaker.frame().0, TEXT);
                sent += 1;
            }
        })]);
        stop.store(true, Ordering::Relaxed);
        turns
    });
    let rate = sent * SUBSCRIBERS as u64 * BYTES as u64 / (ATTACKED.as_millis() as u64 * 1000);
    report(
        "noisy vhost, large broadcasts",
        &format!("{sent} of 64 KiB to {SUBSCRIBERS}, {rate} MB/s"),
        "20 a second",
        &turns,
    );
}
