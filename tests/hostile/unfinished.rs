//! Messages that begin and never end, of as many clients as can.

use std::sync::Mutex;
use std::thread;
use std::time::Duration;

use webrocket::limits::MESSAGE_BYTES_MAX;
use webrocket::meter::{Kind, Refused};

use crate::bystanders::{Attacker, report};
use crate::raw::{Raw, TEXT, header, masked};
use crate::stage::Stage;

const CLIENTS: usize = 200;
const ATTACKERS: usize = 4;
const BOUND: u64 = 16 << 20;
const HALF: usize = MESSAGE_BYTES_MAX / 2;

/// Half a message of 1 MiB each, six times as much as the node may keep: most are
/// told why they can't, and whoever says little is served.
#[test]
fn half_messages() {
    let stage = Stage::start("[limits]\nunfinished_bytes = \"16MiB\"\n");
    let before = stage.resident_bytes();
    let frontends = stage.frontends();
    let mut half = header(TEXT, MESSAGE_BYTES_MAX as u64);
    half.resize(HALF, b'x');
    let clients = Mutex::new(Vec::new());
    let attackers = (0..ATTACKERS).map(|_| {
        let attack: Attacker<'_> = Box::new(|gate| {
            for _ in 0..CLIENTS / ATTACKERS {
                gate.is_open();
                let mut raw = Raw::upgraded(frontends, "/test");
                // Refused amid it, it is still read to its end.
                raw.try_write(&half);
                clients.lock().expect("whole").push(raw);
            }
        });
        attack
    });
    let turns = stage.by_turns(attackers.collect());
    let mut silent = clients.into_inner().expect("whole");
    assert_eq!(silent.len(), CLIENTS);
    let kept_bytes = || stage.metric("webrocket_unfinished_bytes", "");
    let mut told = 0;
    let mut settled = 0;
    while settled < 50 {
        settled += 1;
        silent.retain_mut(|raw| {
            raw.0.set_nonblocking(true).expect("set");
            let is_told = raw.0.peek(&mut [0]).is_ok();
            raw.0.set_nonblocking(false).expect("set");
            if is_told {
                let reason = "unfinished message, and no room for it";
                assert_eq!(raw.close(), (1013, reason.into()));
                (told, settled) = (told + 1, 0);
            }
            !is_told
        });
        let kept = kept_bytes();
        assert!(kept <= BOUND, "{kept} bytes");
        thread::sleep(Duration::from_millis(10));
    }
    stage.expect_refused(Refused::UnfinishedBytes, told);
    assert!(told >= CLIENTS as u64 / 2, "{told}");
    // Who stays keeps what it sent, and the process has no more than that.
    let stayed = silent.len() as u64;
    assert_eq!(told + stayed, CLIENTS as u64);
    assert!(kept_bytes() >= stayed * HALF as u64);
    let grown = stage.resident_bytes().saturating_sub(before);
    assert!(grown <= BOUND + (16 << 20), "{grown} bytes");
    // A small message in two pieces goes through beside them.
    let mut small = Raw::upgraded(frontends, "/test");
    let message = masked(TEXT, br#"{"subscribe":{"channel":"none"}}"#);
    for piece in message.chunks(20) {
        small.write(piece);
        thread::sleep(Duration::from_millis(20));
    }
    assert!(small.text().contains("454"));
    stage.expect_refused(Refused::UnfinishedBytes, told);
    drop((silent, small));
    stage.expect("all gone", || stage.connections(Kind::Frontend) == 0);
    stage.expect("nothing kept", || kept_bytes() == 0);
    report(
        "half messages",
        &format!("{CLIENTS} clients, half a message of 1 MiB each"),
        &format!(
            "16 MiB for all: {told} closed 1013, {stayed} wait, {} MiB more",
            grown >> 20
        ),
        &turns,
    );
}
