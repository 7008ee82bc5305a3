//! Sessions that subscribe all there is, and cannot make up their minds.

use std::sync::atomic::{AtomicU64, Ordering};

use webrocket::limits::SUBSCRIPTIONS_MAX;
use webrocket::meter::Refused;

use crate::bystanders::{Attacker, report};
use crate::raw::Raw;
use crate::stage::Stage;

const PAST: usize = 16;
const ATTACKERS: usize = 4;

#[test]
fn subscription_floods() {
    let stage = Stage::start("");
    // Commits of many clients are one.
    std::thread::scope(|scope| {
        for first in 0..16 {
            let mut client = stage.client();
            let names = (first..SUBSCRIPTIONS_MAX + PAST).step_by(16);
            scope.spawn(move || client.open_all(names.map(|n| format!("c-{n}"))));
        }
    });
    let before = stage.resident_bytes();
    let mut greedy = Raw::upgraded(stage.frontends(), "/test");
    for n in 0..SUBSCRIPTIONS_MAX + PAST {
        greedy.send_text(&format!(r#"{{"subscribe":{{"channel":"c-{n}"}}}}"#));
        let answer = greedy.text();
        let expected = if n < SUBSCRIPTIONS_MAX {
            ":subscribed"
        } else {
            "403"
        };
        assert!(answer.contains(expected), "{n}: {answer}");
    }
    stage.expect_refused(Refused::Subscriptions, PAST as u64);

    let frontends = stage.frontends();
    let changes = AtomicU64::new(0);
    let attackers = (0..ATTACKERS).map(|_| {
        let attack: Attacker<'_> = Box::new(|gate| {
            let mut raw = Raw::upgraded(frontends, "/test");
            let mut n = 0;
            while gate.is_open() {
                n = (n + 1) % SUBSCRIPTIONS_MAX;
                raw.send_text(&format!(r#"{{"subscribe":{{"channel":"c-{n}"}}}}"#));
                // Again: no answer at all.
                raw.send_text(&format!(r#"{{"subscribe":{{"channel":"c-{n}"}}}}"#));
                raw.send_text(&format!(r#"{{"unsubscribe":{{"channel":"c-{n}"}}}}"#));
                assert!(raw.text().contains(":subscribed"));
                assert!(raw.text().contains(":unsubscribed"));
                changes.fetch_add(2, Ordering::Relaxed);
            }
        });
        attack
    });
    let turns = stage.by_turns(attackers.collect());
    let grown = stage.resident_bytes().saturating_sub(before);
    assert!(grown <= 16 << 20, "{grown} bytes");
    report(
        "subscription flood",
        &format!(
            "{} channels of one session; {ATTACKERS} sessions, {} changes",
            SUBSCRIPTIONS_MAX + PAST,
            changes.into_inner()
        ),
        &format!(
            "{SUBSCRIPTIONS_MAX}, {PAST} told 403, {} MiB more",
            grown >> 20
        ),
        &turns,
    );
}
