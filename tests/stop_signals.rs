//! The stop as an operator sees it: signals in, exit code and a line out.

mod support;

use std::time::Instant;

use rustix::process::Signal;
use support::serve::{Host, Serve};
use support::{Browser, PATIENCE};

/// A node with a browser that does not answer when it is closed, so that the
/// node waits for it as long as it waits for anyone.
fn with_silent_browser(flags: &[&str]) -> (Host, Serve, Browser) {
    let host = Host::new();
    let node = host.start(flags);
    node.admin("POST", "/test").expect_found("/test");
    let browser = node.browser();
    (host, node, browser)
}

#[test]
fn either_signal_drains() {
    for signal in [Signal::TERM, Signal::INT] {
        let (_host, mut node, mut browser) = with_silent_browser(&[]);
        node.signal(signal);
        node.expect_log(&["draining"]);
        assert_eq!(browser.expect_close(), (1001, "server shutdown".into()));
        drop(browser);
        let (code, log) = node.end();
        assert_eq!(code, 0, "{log:?}");
        assert!(
            !log.iter().any(|line| line.starts_with("webrocket: ")),
            "{log:?}"
        );
    }
}

#[test]
fn connections_that_outlast_the_timeout_are_told_of() {
    // Shorter than a closing connection lingers.
    let (_host, node, _browser) = with_silent_browser(&["--drain-timeout", "1s"]);
    node.signal(Signal::TERM);
    let (code, log) = node.end();
    assert_eq!(code, 1, "{log:?}");
    let last = log.last().expect("a line");
    assert_eq!(last, "webrocket: some connections were not closed in time");
}

#[test]
fn a_second_signal_ends_it_at_once() {
    let begun = Instant::now();
    // On a slow machine the drain may be over before the second signal is there.
    loop {
        let (_host, mut node, _browser) = with_silent_browser(&["--drain-timeout", "1h"]);
        node.signal(Signal::TERM);
        node.expect_log(&["draining"]);
        node.signal(Signal::INT);
        let (code, log) = node.end();
        if code == 0 && begun.elapsed() < PATIENCE {
            continue;
        }
        assert_eq!(code, 1, "{log:?}");
        let last = log.last().expect("a line");
        assert!(last.starts_with("webrocket: stopped at once"), "{last}");
        return;
    }
}

#[test]
fn a_reload_while_it_drains_changes_nothing() {
    let (_host, mut node, browser) = with_silent_browser(&[]);
    node.signal(Signal::TERM);
    node.expect_log(&["draining"]);
    node.signal(Signal::HUP);
    drop(browser);
    let (code, log) = node.end();
    assert_eq!(code, 0, "{log:?}");
    assert!(!log.iter().any(|line| line.contains("settings")), "{log:?}");
}
