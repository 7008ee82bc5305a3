//! Frames that are too large, too small, or too many.

use std::io::Read;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use webrocket::limits::{MESSAGE_BYTES_MAX, MESSAGES_PER_SECOND_MAX, UPGRADE_BYTES_MAX};
use webrocket::meter::Refused;

use crate::bystanders::{ATTACKED, Attacker, report};
use crate::raw::{PING, PONG, Raw, TEXT, header, masked};
use crate::stage::{Stage, connect};

const BAD_REQUEST: &str = r#"{":error":{"code":400,"status":"Bad request"}}"#;

/// A header alone is judged: nothing is waited for, nothing is allocated.
#[test]
fn giant_announcements() {
    let stage = Stage::start("");
    let before = stage.resident_bytes();
    let frontends = stage.frontends();
    let told = AtomicU64::new(0);
    let lens = [MESSAGE_BYTES_MAX as u64 + 1, 1 << 32, (1 << 63) - 1];
    let turns = stage.by_turns(vec![Box::new(|gate| {
        while gate.is_open() {
            let len = lens[told.fetch_add(1, Ordering::Relaxed) as usize % lens.len()];
            let mut raw = Raw::upgraded(frontends, "/test");
            raw.write(&header(TEXT, len));
            assert_eq!(raw.close(), (1009, "message too big".into()));
            thread::sleep(Duration::from_millis(2));
        }
    })]);
    let told = told.into_inner();
    // At the bound it is waited for.
    let mut raw = Raw::upgraded(frontends, "/test");
    raw.write(&header(TEXT, MESSAGE_BYTES_MAX as u64));
    raw.write(&vec![b'x'; MESSAGE_BYTES_MAX]);
    assert_eq!(raw.text(), BAD_REQUEST);
    stage.expect_refused(Refused::MessageBytes, told);
    // Fragments count together.
    raw.write(&masked(TEXT & 0x7f, &vec![b'x'; MESSAGE_BYTES_MAX]));
    raw.write(&masked(0x80, b"x"));
    assert_eq!(raw.close().0, 1009);
    stage.expect_refused(Refused::MessageBytes, told + 1);
    let grown = stage.resident_bytes().saturating_sub(before);
    assert!(grown <= 16 << 20, "{grown} bytes");
    report(
        "giant frames announced",
        &format!("{told} frames of 1 MiB + 1 B to 8 EiB"),
        &format!("1 MiB, {told} closed 1009, {} MiB more", grown >> 20),
        &turns,
    );
}

/// Whole messages at the bound, as fast as they are taken.
#[test]
fn giant_messages() {
    const ATTACKERS: usize = 3;
    let stage = Stage::start("");
    let before = stage.resident_bytes();
    let frontends = stage.frontends();
    // Read to its end before it can be refused.
    let (start, end) = (
        r#"{"unsubscribe":{"channel":"none","data":{"a":""#,
        r#""}}}"#,
    );
    let text = "x".repeat(MESSAGE_BYTES_MAX - start.len() - end.len());
    let message = masked(TEXT, format!("{start}{text}{end}").as_bytes());
    let sent = AtomicU64::new(0);
    let attackers = (0..ATTACKERS).map(|_| {
        let attack: Attacker<'_> = Box::new(|gate| {
            let mut raw = Raw::upgraded(frontends, "/test");
            while gate.is_open() {
                raw.write(&message);
                assert!(raw.text().contains("454"));
                sent.fetch_add(1, Ordering::Relaxed);
            }
        });
        attack
    });
    let turns = stage.by_turns(attackers.collect());
    let grown = stage.resident_bytes().saturating_sub(before);
    // Each holds one unfinished message, whose buffer may have doubled.
    let bytes_max = (ATTACKERS * 2 * MESSAGE_BYTES_MAX) as u64 + (16 << 20);
    assert!(grown <= bytes_max, "{grown} bytes");
    let sent = sent.into_inner();
    let rate = sent as f64 / ATTACKED.as_secs_f64();
    report(
        "giant messages",
        &format!("{ATTACKERS} clients, {sent} of 1 MiB, {rate:.0} MiB/s"),
        &format!("{sent} told 454, {} MiB more", grown >> 20),
        &turns,
    );
}

/// Of so many segments an attacker rests once, for [`BREATH`]: without that it is
/// the kernel's way of a segment over loopback that fills both cores.
const SEGMENTS: usize = 8;
const BREATH: Duration = Duration::from_micros(100);

/// Every byte a segment of its own: heads and messages are put together, at the
/// cost of a `recv` each.
#[test]
fn byte_by_byte() {
    let stage = Stage::start("");
    let frontends = stage.frontends();
    let (heads, messages) = (AtomicU64::new(0), AtomicU64::new(0));
    let turns = stage.by_turns(vec![
        Box::new(|gate| {
            let mut raw = Raw::upgraded(frontends, "/test");
            let message = masked(TEXT, b"no JSON, byte by byte");
            while gate.is_open() {
                for part in message.chunks(SEGMENTS) {
                    part.iter().for_each(|byte| raw.write(&[*byte]));
                    thread::sleep(BREATH);
                }
                assert_eq!(raw.text(), BAD_REQUEST);
                messages.fetch_add(1, Ordering::Relaxed);
            }
        }),
        Box::new(|gate| {
            let mut head = b"GET /test HTTP/1.1\r\nX: ".to_vec();
            head.resize(UPGRADE_BYTES_MAX, b'x');
            while gate.is_open() {
                let mut raw = Raw(connect(frontends));
                for (at, byte) in head.iter().enumerate() {
                    raw.write(&[*byte]);
                    if at % SEGMENTS == 0 {
                        thread::sleep(BREATH);
                    }
                    if at % 256 == 0 && !gate.is_open() {
                        return;
                    }
                }
                assert!(raw.head().starts_with("HTTP/1.1 431 "));
                heads.fetch_add(1, Ordering::Relaxed);
            }
        }),
    ]);
    let (heads, messages) = (heads.into_inner(), messages.into_inner());
    assert_eq!(stage.refused(Refused::Upgrade), heads);
    report(
        "byte by byte",
        &format!("{messages} messages of 27 bytes, {heads} heads of 16 KiB"),
        &format!("{messages} answered, {heads} told 431 at 16 KiB"),
        &turns,
    );
}

/// A message in as many frames as it has bytes, and frames of none at all.
#[test]
fn tiny_fragments() {
    const BYTES: usize = 20_000;
    let stage = Stage::start("");
    let frontends = stage.frontends();
    let mut stream = masked(TEXT & 0x7f, b"[");
    for _ in 0..BYTES {
        stream.extend(masked(0, b"["));
        stream.extend(masked(0, b""));
    }
    stream.extend(masked(0x80, b""));
    let before = stage.resident_bytes();
    let sent = AtomicU64::new(0);
    let turns = stage.by_turns(vec![Box::new(|gate| {
        let mut raw = Raw::upgraded(frontends, "/test");
        while gate.is_open() {
            raw.write(&stream);
            assert_eq!(raw.text(), BAD_REQUEST);
            sent.fetch_add(1, Ordering::Relaxed);
        }
    })]);
    let sent = sent.into_inner();
    let grown = stage.resident_bytes().saturating_sub(before);
    assert!(grown <= 16 << 20, "{grown} bytes");
    report(
        "one-byte fragments",
        &format!("{sent} messages of {} frames", 2 * BYTES + 2),
        &format!("{sent} answered once each, {} MiB more", grown >> 20),
        &turns,
    );
}

#[test]
fn pings() {
    const ATTACKERS: usize = 10;
    let stage = Stage::start("");
    let frontends = stage.frontends();
    let before = stage.resident_bytes();
    let burst = masked(PING, &[b'p'; 125]).repeat(500);
    let pongs = AtomicU64::new(0);
    let attackers = (0..ATTACKERS).map(|_| {
        let attack: Attacker<'_> = Box::new(|gate| {
            let mut raw = Raw::upgraded(frontends, "/test");
            let begun = Instant::now();
            let mut writer = Raw(raw.0.try_clone().expect("a descriptor"));
            let burst = &burst;
            thread::scope(|scope| {
                scope.spawn(move || {
                    while gate.is_open() && writer.try_write(burst) {}
                    // Megabytes of pings are still on their way.
                    let _ = writer.0.shutdown(std::net::Shutdown::Both);
                });
                let mut own = 0_u32;
                // 125 bytes behind a header of two.
                let mut pong = [0; 127];
                while raw.0.read_exact(&mut pong).is_ok() {
                    assert_eq!(pong[..2], [PONG, 125]);
                    own += 1;
                    // A second's worth at once, and as many in each second.
                    let budget = f64::from(MESSAGES_PER_SECOND_MAX);
                    let most = (begun.elapsed().as_secs_f64() + 1.0) * budget + 1.0;
                    assert!(f64::from(own) <= most, "{own} pongs");
                }
                pongs.fetch_add(own.into(), Ordering::Relaxed);
            });
        });
        attack
    });
    let turns = stage.by_turns(attackers.collect());
    let held_back = stage.refused(Refused::MessageRate);
    assert!(held_back >= ATTACKERS as u64, "{held_back}");
    stage.expect_no_other_refused(Refused::MessageRate);
    let grown = stage.resident_bytes().saturating_sub(before);
    assert!(grown <= 16 << 20, "{grown} bytes");
    report(
        "ping flood",
        &format!("{ATTACKERS} clients as fast as they can"),
        &format!(
            "1000/s each: {} pongs, held back {held_back} times, {} MiB more",
            pongs.into_inner(),
            grown >> 20
        ),
        &turns,
    );
}
