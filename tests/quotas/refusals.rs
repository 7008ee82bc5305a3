//! What is refused whatever the load: each is counted under its cause.

use std::io::Write;

use webrocket::meter::Refused;

use crate::support::Broker;
use crate::support::backend::{Backend, bare, error};
use crate::{expect_refused, upgrade, with_default};

#[test]
fn origins_hs_13_hs_14() {
    let quotas = with_default(|quota| quota.origins = vec!["https://example.com".into()]);
    let broker = Broker::with_quotas(1, quotas);
    for good in [
        "",
        "Origin: https://example.com\r\n",
        "Origin: HTTPS://EXAMPLE.COM\r\n",
    ] {
        assert_eq!(upgrade(&broker, "/test", good), "101", "{good}");
    }
    let bad = ["https://evil.org", "http://example.com", "null", ""];
    for (count, bad) in (1..).zip(bad) {
        let header = format!("Origin: {bad}\r\n");
        assert_eq!(upgrade(&broker, "/test", &header), "403", "{bad}");
        expect_refused(&broker, Refused::Origin, count);
    }
    // Where there is no such vhost it is not told which origins it would let in.
    assert_eq!(upgrade(&broker, "/none", "Origin: null\r\n"), "404");
    assert!(broker.stop());
}

#[test]
fn bad_upgrades_are_counted_and_redirects_are_not() {
    let broker = Broker::start(1);
    assert_eq!(upgrade(&broker, "//test", ""), "301");
    assert_eq!(upgrade(&broker, "/none", ""), "404");
    expect_refused(&broker, Refused::Upgrade, 1);
    assert_eq!(upgrade(&broker, "/test", "Content-Length: 1\r\n"), "400");
    expect_refused(&broker, Refused::Upgrade, 2);
    assert!(broker.stop());
}

#[test]
fn backends_that_are_refused() {
    let broker = Broker::start(1);
    let wrong = format!(
        "req:/test:{}:{}\n\nOC\nroom\n\r\n\r\n",
        "0".repeat(40),
        "0".repeat(36)
    );
    for (count, (packet, code)) in (1..).zip([(wrong.as_str(), 402), ("\n\r\n\r\n", 400)]) {
        let mut backend = Backend::connect(&broker);
        backend.send(packet.as_bytes());
        backend.expect(&error(code));
        expect_refused(&broker, Refused::Backend, count);
    }
    let mut kept = Backend::kept(&broker);
    kept.send(&bare(&["BC", "room"]));
    kept.expect(&error(400));
    expect_refused(&broker, Refused::Backend, 3);
    // An answer is no refusal.
    kept.send(&bare(&["CC", "room"]));
    kept.expect(&error(454));
    expect_refused(&broker, Refused::Backend, 3);
    drop(kept);
    assert!(broker.stop());
}

#[test]
fn packets_that_take_too_long_be_22() {
    let broker = Broker::start(1);
    let mut backend = Backend::connect(&broker);
    backend.send(b"req:");
    backend.expect(&error(400));
    expect_refused(&broker, Refused::Timeout, 1);
    assert!(broker.stop());
}

#[test]
fn frames_that_are_none() {
    let broker = Broker::start(1);
    let mut browser = broker.browser();
    // Not masked.
    let stream = browser.socket.get_mut();
    stream.write_all(&[0x81, 1, b'x']).expect("sent");
    assert_eq!(browser.expect_close().0, 1002);
    expect_refused(&broker, Refused::Protocol, 1);
    assert!(broker.stop());
}
