//! Guessing: single access tokens of frontends, access tokens of vhosts.

use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use webrocket::limits::{WRONG_TOKENS_PER_CONNECTION_MAX, WRONG_TOKENS_WINDOW};
use webrocket::meter::Refused;

use crate::bystanders::{Attacker, report};
use crate::raw::Raw;
use crate::stage::{Stage, connect, own_address, packet};
use crate::support::backend::error;

const WRONG: &str = r#"{":error":{"code":402,"status":"Unauthorized"}}"#;
const AUTHENTICATED: &str = r#"{":authenticated":{}}"#;
const ATTACKERS: usize = 3;

fn auth(token: &str) -> String {
    format!(r#"{{"auth":{{"token":"{token}"}}}}"#)
}

/// Another each time, of the right form.
fn guess(digits: usize) -> String {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    format!("{:0digits$x}", NEXT.fetch_add(1, Ordering::Relaxed))
}

/// What a frontend that presents this is told: a text or a close code.
fn present(raw: &mut Raw, token: &str) -> Result<String, (u16, String)> {
    raw.send_text(&auth(token));
    let (first, payload) = raw.frame();
    match first {
        crate::raw::CLOSE => {
            let code = u16::from_be_bytes([payload[0], payload[1]]);
            Err((
                code,
                String::from_utf8(payload[2..].to_vec()).expect("text"),
            ))
        }
        _ => Ok(String::from_utf8(payload).expect("text")),
    }
}

/// One connection, whatever its address.
#[test]
fn single_access_tokens_on_one_connection() {
    let stage = Stage::start("");
    let frontends = stage.frontends();
    let mut client = stage.client();
    let most = u64::from(WRONG_TOKENS_PER_CONNECTION_MAX);
    let closed = AtomicU64::new(0);
    let guess_times = |raw: &mut Raw, times: u64| {
        for _ in 0..times {
            assert_eq!(present(raw, &guess(128)).as_deref(), Ok(WRONG));
        }
    };
    let attackers = (0..ATTACKERS).map(|_| {
        let attack: Attacker<'_> = Box::new(|gate| {
            while gate.is_open() {
                let mut raw = Raw::upgraded(frontends, "/test");
                guess_times(&mut raw, most);
                let last = present(&mut raw, &guess(128));
                assert_eq!(last, Err((1013, "too many wrong tokens".into())));
                closed.fetch_add(1, Ordering::Relaxed);
            }
        });
        attack
    });
    let turns = stage.by_turns(attackers.collect());
    let mut closed = closed.into_inner();
    stage.expect_refused(Refused::WrongTokens, closed);

    // Before that the right one is taken, and the count begins anew.
    let mut raw = Raw::upgraded(frontends, "/test");
    for _ in 0..2 {
        guess_times(&mut raw, most - 1);
        let token = client.token("joe", ".*");
        assert_eq!(present(&mut raw, &token).as_deref(), Ok(AUTHENTICATED));
    }
    // Past it, it is not even looked at, and another connection can still use it.
    guess_times(&mut raw, most);
    let token = client.token("joe", ".*");
    assert_eq!(present(&mut raw, &token).expect_err("closed").0, 1013);
    closed += 1;
    let mut other = Raw::upgraded(frontends, "/test");
    // What is no token by its form counts as well.
    for _ in 0..most {
        assert_eq!(present(&mut other, "guess").as_deref(), Ok(WRONG));
    }
    assert_eq!(present(&mut other, "guess").expect_err("closed").0, 1013);
    closed += 1;
    let mut other = Raw::upgraded(frontends, "/test");
    assert_eq!(present(&mut other, &token).as_deref(), Ok(AUTHENTICATED));
    stage.expect_refused(Refused::WrongTokens, closed);
    report(
        "token guessing, a frontend",
        &format!("{} guesses on {closed} connections", closed * most),
        &format!("{most} in a row, {closed} closed 1013"),
        &turns,
    );
}

const PER_MINUTE: u64 = 20;

/// How many guesses an address has had at most since it began.
fn budget(begun: Instant) -> u64 {
    let refill = WRONG_TOKENS_WINDOW / PER_MINUTE as u32;
    PER_MINUTE + begun.elapsed().div_duration_f64(refill) as u64
}

fn from_own(own: IpAddr, addr: SocketAddr) -> TcpStream {
    connect(SocketAddr::new(own, addr.port()))
}

/// One address, however many connections. A host without a network has only the
/// loopback, which is exempt; `meter::Guesses` has its own tests.
#[test]
fn tokens_from_one_address() {
    let Some(own) = own_address() else {
        return println!("no address but the loopback");
    };
    let limits = format!("[limits]\nwrong_tokens_per_address = {PER_MINUTE}\n");
    let stage = Stage::start(&limits);
    let mut client = stage.client();
    let token = client.token("joe", ".*");

    // Frontends, a connection for each guess.
    let begun = Instant::now();
    let (wrong, refused) = (AtomicU64::new(0), AtomicU64::new(0));
    let guess_once = || {
        let mut raw = Raw::over(from_own(own, stage.frontends()), "/test");
        match present(&mut raw, &guess(128)) {
            Ok(answer) => {
                assert_eq!(answer, WRONG);
                wrong.fetch_add(1, Ordering::Relaxed);
            }
            Err(close) => {
                let reason = "too many wrong tokens from this address";
                assert_eq!(close, (1013, reason.into()));
                refused.fetch_add(1, Ordering::Relaxed);
            }
        }
    };
    let attackers = (0..ATTACKERS).map(|_| {
        let attack: Attacker<'_> = Box::new(|gate| {
            while gate.is_open() {
                guess_once();
                thread::sleep(Duration::from_millis(2));
            }
        });
        attack
    });
    let turns = stage.by_turns(attackers.collect());
    let (wrong, refused) = (wrong.into_inner(), refused.into_inner());
    assert!((PER_MINUTE..=budget(begun)).contains(&wrong), "{wrong}");
    stage.expect_refused(Refused::WrongTokens, refused);
    // The right one is not looked at either, and not spent.
    let mut refused = refused;
    loop {
        let mut raw = Raw::over(from_own(own, stage.frontends()), "/test");
        match present(&mut raw, &guess(128)) {
            // A unit has come back meanwhile.
            Ok(answer) => assert_eq!(answer, WRONG),
            Err(_) => break,
        }
    }
    refused += 1;
    let mut raw = Raw::over(from_own(own, stage.frontends()), "/test");
    if let Err((code, _)) = present(&mut raw, &token) {
        assert_eq!(code, 1013);
        refused += 1;
        let mut raw = Raw::upgraded(stage.frontends(), "/test");
        assert_eq!(present(&mut raw, &token).as_deref(), Ok(AUTHENTICATED));
    }
    stage.expect_refused(Refused::WrongTokens, refused);
    report(
        "token guessing, frontends of an address",
        &format!("{} guesses, a connection each", wrong + refused),
        &format!("{PER_MINUTE} a minute: {wrong} told 402, {refused} closed 1013"),
        &turns,
    );
}

#[test]
fn access_tokens_from_one_address() {
    let Some(own) = own_address() else {
        return println!("no address but the loopback");
    };
    let limits = format!("[limits]\nwrong_tokens_per_address = {PER_MINUTE}\n");
    let stage = Stage::start(&limits);
    let ask = |packet: &[u8]| {
        let mut stream = from_own(own, stage.backends());
        stream.write_all(packet).expect("sent");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("an answer");
        answer
    };
    // Who is right is never held back.
    for _ in 0..3 * PER_MINUTE {
        assert_eq!(ask(&stage.packet(&["BC", "none", "e", "{}"])), error(454));
    }
    let begun = Instant::now();
    let (wrong, refused) = (AtomicU64::new(0), AtomicU64::new(0));
    let attackers = (0..ATTACKERS).map(|_| {
        let attack: Attacker<'_> = Box::new(|gate| {
            while gate.is_open() {
                let answer = ask(&packet("/test", &guess(40), &["BC", "none", "e", "{}"]));
                if answer == error(402) {
                    wrong.fetch_add(1, Ordering::Relaxed);
                } else {
                    assert_eq!(answer, error(403));
                    refused.fetch_add(1, Ordering::Relaxed);
                }
                thread::sleep(Duration::from_millis(2));
            }
        });
        attack
    });
    let turns = stage.by_turns(attackers.collect());
    let (wrong, mut refused) = (wrong.into_inner(), refused.into_inner());
    assert!((PER_MINUTE..=budget(begun)).contains(&wrong), "{wrong}");
    assert_eq!(stage.refused(Refused::Backend), wrong);
    assert_eq!(stage.refused(Refused::WrongTokens), refused);
    // Whatever its token is worth: 403, not 402, after which workers of 2012 would
    // not come back. Unless a unit has come back meanwhile.
    let answer = ask(&stage.packet(&["BC", "none", "e", "{}"]));
    refused += u64::from(answer == error(403));
    assert!(answer == error(403) || answer == error(454), "{answer:?}");
    // Backends elsewhere, and frontends of the address, are not concerned.
    let mut here = connect(stage.backends());
    here.write_all(&stage.packet(&["BC", "none", "e", "{}"]))
        .expect("sent");
    let mut answer = String::new();
    here.read_to_string(&mut answer).expect("an answer");
    assert_eq!(answer, error(454));
    let mut raw = Raw::over(from_own(own, stage.frontends()), "/test");
    assert_eq!(present(&mut raw, &guess(128)).as_deref(), Ok(WRONG));
    report(
        "token guessing, backends of an address",
        &format!("{} guesses", wrong + refused),
        &format!("{PER_MINUTE} a minute: {wrong} told ER 402, {refused} ER 403"),
        &turns,
    );
}
