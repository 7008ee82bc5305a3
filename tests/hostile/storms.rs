//! Many connections, each for a moment.

use std::io::{Read, Write};
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use webrocket::meter::Refused;

use crate::bystanders::{ATTACKED, Attacker, Gate, report};
use crate::raw::{Raw, reset, upgrade};
use crate::stage::{Stage, connect};

const ATTACKERS: usize = 3;
/// What a node may hold more after a storm than before: what its tables and its
/// allocator keep for the next one, not something for each connection.
const LEFT_BYTES_MAX: u64 = 16 << 20;

/// Connections a second of all attackers together, where the broker takes as many:
/// far past what an address is let in with. Faster, and it is the kernel under
/// both that is measured. Also fewer than there are ports, which a client that
/// closes first keeps for a second.
const PER_SECOND: u32 = 10_000;

/// An attacker makes up for so much of its pauses at once.
const BEHIND_MAX: Duration = Duration::from_millis(5);

/// Storms with several attackers; tells how many connections that were.
fn storm(stage: &Stage, attack: &str, connect_once: impl Fn(u64) + Sync) {
    let before = stage.resident_bytes();
    let count = AtomicU64::new(0);
    let attack_on = |gate: &Gate| {
        let pause = Duration::from_secs(ATTACKERS as u64) / PER_SECOND;
        let mut next = Instant::now();
        while gate.is_open() {
            connect_once(count.fetch_add(1, Ordering::Relaxed));
            next += pause;
            let now = Instant::now();
            if now < next {
                thread::sleep(next - now);
            } else if now > next + BEHIND_MAX {
                next = now;
            }
        }
    };
    let attackers = (0..ATTACKERS).map(|_| Box::new(attack_on) as Attacker<'_>);
    let turns = stage.by_turns(attackers.collect());
    stage.expect_only_frontends(0);
    let grown = stage.resident_bytes().saturating_sub(before);
    assert!(grown <= LEFT_BYTES_MAX, "{grown} bytes left behind");
    let count = count.into_inner();
    let rate = count as f64 / ATTACKED.as_secs_f64();
    report(
        attack,
        &format!("{count} connections, {rate:.0}/s"),
        &format!("none left, {} MiB more", grown >> 20),
        &turns,
    );
}

#[test]
fn resets() {
    let stage = Stage::start("");
    let (frontends, backends) = (stage.frontends(), stage.backends());
    let broadcast = stage.packet(&["BC", "none", "e", "{}"]);
    let request = upgrade("/test", "");
    storm(&stage, "RST flood", |number| {
        let (addr, bytes): (_, &[u8]) = match number % 5 {
            0 => (frontends, b""),
            1 => (frontends, b"GET /te"),
            2 => (frontends, &request),
            3 => (backends, b"req:/te"),
            _ => (backends, &broadcast),
        };
        let mut stream = connect(addr);
        stream.write_all(bytes).expect("sent");
        reset(&stream);
    });
    for cause in Refused::ALL {
        assert_eq!(stage.refused(cause), 0, "{}", cause.as_str());
    }
}

#[test]
fn connections_without_a_word() {
    let stage = Stage::start("");
    let frontends = stage.frontends();
    storm(&stage, "connect storm", |_| drop(connect(frontends)));
}

#[test]
fn upgrades_and_closes() {
    let stage = Stage::start("");
    let frontends = stage.frontends();
    storm(&stage, "upgrade storm", |_| {
        let raw = Raw::upgraded(frontends, "/test");
        raw.0
            .shutdown(std::net::Shutdown::Write)
            .expect("connected");
        assert_eq!((&raw.0).read(&mut [0]).expect("the end"), 0);
    });
}
