//! Cross-site WebSocket hijacking: a page of another site opens a connection with
//! all that the browser adds for the broker's site.

use std::io::Read;
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::process::{Signal, kill_process};
use webrocket::meter::Refused;

use crate::bystanders::report;
use crate::raw::{Raw, upgrade};
use crate::stage::{Stage, connect};

const LISTED: &str = "[limits]\norigins = [\"https://example.com\"]\n";

fn ask(stage: &Stage, origin: &str) -> String {
    let mut raw = Raw(connect(stage.frontends()));
    raw.write(&upgrade("/test", origin));
    raw.head()[9..12].to_owned()
}

#[test]
fn pages_of_other_sites() {
    // Without a list all are let in, as in 2012.
    let stage = Stage::start("");
    assert_eq!(ask(&stage, "Origin: https://evil.example\r\n"), "101");
    stage.host.configure(LISTED);
    kill_process(stage.pid, Signal::HUP).expect("signalled");
    stage.expect("reloaded", || {
        ask(&stage, "Origin: https://evil.example\r\n") == "403"
    });
    drop(stage);

    let stage = Stage::start(LISTED);
    for good in ["", "Origin: https://example.com\r\n"] {
        assert_eq!(ask(&stage, good), "101", "{good}");
    }
    let foreign = [
        "https://evil.example",
        "http://example.com",
        "https://example.com.evil.example",
        "https://example.com:8443",
        "https://evil.example/https://example.com",
        "https://example.com, https://evil.example",
        "null",
        "",
    ];
    for bad in foreign {
        assert_eq!(ask(&stage, &format!("Origin: {bad}\r\n")), "403", "{bad}");
    }
    let frontends = stage.frontends();
    let count = AtomicU64::new(foreign.len() as u64);
    let request = upgrade("/test", "Origin: https://evil.example\r\n");
    // The page never gets a session: not one byte of it.
    let turns = stage.by_turns(vec![Box::new(|gate| {
        while gate.is_open() {
            count.fetch_add(1, Ordering::Relaxed);
            let mut raw = Raw(connect(frontends));
            raw.write(&request);
            let mut answer = String::new();
            raw.0.read_to_string(&mut answer).expect("an answer");
            assert!(answer.starts_with("HTTP/1.1 403 "), "{answer}");
            assert!(!answer.contains(":connected"), "{answer}");
        }
    })]);
    let count = count.into_inner();
    assert_eq!(stage.refused(Refused::Origin), count);
    let mut serve = stage.serve.lock().expect("locked");
    let line = serve.expect_log(&["access", "cause=\"origin\"", "status=403"]);
    assert!(line.contains("vhost=\"/test\""), "{line}");
    report(
        "cross-site hijacking",
        &format!("{count} upgrades of foreign pages"),
        &format!("origins: {count} told 403 before the upgrade"),
        &turns,
    );
}
