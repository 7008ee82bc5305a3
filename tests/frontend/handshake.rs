//! Section 3.1: who gets in, and what the others are told.

use std::collections::HashSet;
use std::io::{ErrorKind, Read, Write};
use std::time::Instant;

use serde_json::json;
use webrocket::limits::{HANDSHAKE_TIMEOUT, UPGRADE_BYTES_MAX, UPGRADE_HEADERS_MAX};

use crate::SHARDS;
use crate::raw::{BAD_REQUEST, Raw, SWITCHING, TEXT, UPGRADE, masked};
use crate::support::Broker;

/// Everything that comes back for a request that is refused.
fn ask(broker: &Broker, request: &str) -> String {
    let mut raw = Raw::connect(broker);
    raw.write(request.as_bytes());
    let mut answer = String::new();
    raw.stream.read_to_string(&mut answer).expect("an answer");
    answer
}

fn get(broker: &Broker, path: &str) -> String {
    ask(broker, &format!("GET {path} HTTP/1.1\r\n{UPGRADE}\r\n"))
}

fn expect_status(answer: &str, status: &str) {
    assert!(
        answer.starts_with(&format!("HTTP/1.1 {status} ")),
        "not {status}: {answer}"
    );
    // Without either a client would wait for more.
    assert!(answer.contains("\r\nConnection: close\r\n"), "{answer}");
    assert!(answer.contains("\r\nContent-Length: "), "{answer}");
}

/// The request is an upgrade; the answer and the first message, to the byte.
fn expect_upgrade(broker: &Broker, request: &str) -> String {
    let mut raw = Raw::connect(broker);
    raw.write(request.as_bytes());
    let answer = String::from_utf8(raw.read(SWITCHING.len())).expect("text");
    assert_eq!(answer, SWITCHING, "{request}");
    let (first, payload) = raw.frame();
    let text = String::from_utf8(payload).expect("text");
    let sid = text
        .strip_prefix(r#"{":connected":{"sid":""#)
        .and_then(|rest| rest.strip_suffix(r#""}}"#));
    assert_eq!(first, TEXT);
    let sid = sid.unwrap_or_else(|| panic!("not connected: {text}"));
    // Nothing stands between `:connected` and the first answer.
    raw.send_text("no JSON");
    raw.expect_text(BAD_REQUEST);
    sid.to_owned()
}

#[test]
fn the_upgrade_and_connected_to_the_byte_hs_01_hs_02() {
    for shards in SHARDS {
        let broker = Broker::start(shards);
        let request = format!("GET /test HTTP/1.1\r\n{UPGRADE}\r\n");
        let sids: HashSet<_> = (0..20).map(|_| expect_upgrade(&broker, &request)).collect();
        assert_eq!(sids.len(), 20, "a sid of its own for each");
        for sid in sids {
            let shape: Vec<_> = sid.split('-').map(str::len).collect();
            assert_eq!(shape, [8, 4, 4, 4, 12], "{sid}");
            let hex = |c: char| matches!(c, '0'..='9' | 'a'..='f' | '-');
            assert!(sid.chars().all(hex), "{sid}");
        }
    }
}

#[test]
fn only_the_path_of_a_vhost_is_found_hs_04_hs_05_hs_06_hs_16() {
    let broker = Broker::start(2);
    broker.add_vhost("/deep/er");
    let request = format!("GET /deep/er HTTP/1.1\r\n{UPGRADE}\r\n");
    expect_upgrade(&broker, &request);
    for path in [
        "/", "/nope", "/test/", "/Test", "/tes", "/testt", "/test/er", "/deep", "/deep/", "/er",
        "/%74est", "/te%2Fst", "/?/test",
    ] {
        expect_status(&get(&broker, path), "404");
    }
}

#[test]
fn an_unclean_path_is_redirected_hs_07() {
    let broker = Broker::start(2);
    for (path, clean) in [
        ("//test", "/test"),
        ("/./test", "/test"),
        ("/x/../test", "/test"),
        ("/../test", "/test"),
        ("/test//", "/test/"),
        ("/test/.", "/test"),
        ("//nope/..//nope", "/nope"),
        ("//", "/"),
        ("//test?a=//b", "/test?a=//b"),
    ] {
        let answer = get(&broker, path);
        expect_status(&answer, "301");
        let location = format!("\r\nLocation: {clean}\r\n");
        assert!(answer.contains(&location), "{path}: {answer}");
    }
}

#[test]
fn the_query_is_ignored_hs_08() {
    let broker = Broker::start(2);
    for query in ["?", "?a=b", "?/nope", "?x=//..", "?a?b"] {
        expect_upgrade(
            &broker,
            &format!("GET /test{query} HTTP/1.1\r\n{UPGRADE}\r\n"),
        );
    }
}

/// The good request with one thing otherwise.
fn changed(from: &str, to: &str) -> String {
    assert!(UPGRADE.contains(from));
    format!("GET /test HTTP/1.1\r\n{}\r\n", UPGRADE.replace(from, to))
}

#[test]
fn what_is_no_upgrade_is_refused_hs_09_hs_10_hs_11_hs_12() {
    let broker = Broker::start(2);
    for request in [
        "GET /test HTTP/1.1\r\nHost: example.org\r\n\r\n".to_owned(),
        changed("Upgrade: websocket\r\n", ""),
        changed("Upgrade: websocket", "Upgrade: h2c"),
        changed("Connection: Upgrade\r\n", ""),
        changed("Connection: Upgrade", "Connection: keep-alive"),
        changed("Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n", ""),
        changed("dGhlIHNhbXBsZSBub25jZQ==", "c2hvcnQ="),
        changed("dGhlIHNhbXBsZSBub25jZQ==", ""),
        changed("dGhlIHNhbXBsZSBub25jZQ==", "dGhlIHNhbXBsZSBub25jZ?=="),
        "complete nonsense\r\n\r\n".to_owned(),
    ] {
        expect_status(&ask(&broker, &request), "400");
    }
    for method in ["POST", "PUT", "HEAD", "DELETE", "OPTIONS"] {
        let request = format!("{method} /test HTTP/1.1\r\n{UPGRADE}\r\n");
        expect_status(&ask(&broker, &request), "405");
    }
    for version in ["8", "0", "14", "", "13, 8"] {
        let version = format!("Version: {version}\r\n");
        let answer = ask(&broker, &changed("Version: 13\r\n", &version));
        expect_status(&answer, "426");
        assert!(answer.contains("\r\nSec-WebSocket-Version: 13\r\n"));
    }
    let answer = ask(&broker, &changed("Sec-WebSocket-Version: 13\r\n", ""));
    expect_status(&answer, "426");
}

#[test]
fn the_path_is_judged_before_the_upgrade() {
    let broker = Broker::start(1);
    let plain = |start: &str| ask(&broker, &format!("{start} HTTP/1.1\r\nHost: h\r\n\r\n"));
    expect_status(&plain("POST //test"), "301");
    expect_status(&plain("POST //nope"), "301");
    expect_status(&plain("POST /nope"), "404");
    expect_status(&plain("GET /nope"), "404");
    expect_status(&plain("POST /test"), "405");
    expect_status(&plain("GET /test"), "400");
}

#[test]
fn any_origin_or_none_is_accepted_hs_13_hs_14() {
    let broker = Broker::start(1);
    for origin in [
        "",
        "Origin: null\r\n",
        "Origin: http://elsewhere.example\r\n",
    ] {
        expect_upgrade(
            &broker,
            &format!("GET /test HTTP/1.1\r\n{UPGRADE}{origin}\r\n"),
        );
    }
}

#[test]
fn no_subprotocol_and_no_extension_is_selected_hs_15() {
    let broker = Broker::start(1);
    let offers = "Sec-WebSocket-Protocol: chat, webrocket\r\n\
        Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n";
    expect_upgrade(
        &broker,
        &format!("GET /test HTTP/1.1\r\n{UPGRADE}{offers}\r\n"),
    );
}

#[test]
fn header_values_match_without_regard_to_case_hs_20() {
    let broker = Broker::start(1);
    for request in [
        changed("Upgrade: websocket", "upgrade: WebSocket"),
        changed("Connection: Upgrade", "CONNECTION: keep-alive, UPGRADE"),
        changed("Connection: Upgrade", "Connection: upgrade ,close"),
        changed("Upgrade: websocket", "Upgrade: h2c, websocket"),
        changed("Sec-WebSocket-Version: 13", "sec-websocket-version:   13  "),
    ] {
        expect_upgrade(&broker, &request);
    }
}

#[test]
fn an_upgrade_may_come_in_pieces_with_messages_right_behind_it() {
    let broker = Broker::with_channels(2, &["room"]);
    let mut stream = format!("GET /test HTTP/1.1\r\n{UPGRADE}\r\n").into_bytes();
    stream.extend(masked(TEXT, br#"{"subscribe":{"channel":"room"}}"#));
    let mut at_once = Raw::connect(&broker);
    at_once.write(&stream);
    let mut in_pieces = Raw::connect(&broker);
    stream.chunks(1).for_each(|byte| in_pieces.write(byte));
    for mut raw in [at_once, in_pieces] {
        assert_eq!(raw.read(SWITCHING.len()), SWITCHING.as_bytes());
        assert!(raw.receive()[":connected"]["sid"].is_string());
        raw.expect_text(r#"{":subscribed":{"channel":"room"}}"#);
    }
}

#[test]
fn a_head_past_its_bounds_is_refused() {
    let broker = Broker::start(1);
    let padded = |bytes: usize| {
        let start = format!("GET /test HTTP/1.1\r\n{UPGRADE}Padding: ");
        format!("{start}{}\r\n\r\n", "x".repeat(bytes - start.len() - 4))
    };
    expect_upgrade(&broker, &padded(UPGRADE_BYTES_MAX));
    expect_status(&ask(&broker, &padded(UPGRADE_BYTES_MAX + 1)), "431");
    let crowded = |headers: usize| {
        let more = "X: y\r\n".repeat(headers - UPGRADE.matches("\r\n").count());
        format!("GET /test HTTP/1.1\r\n{UPGRADE}{more}\r\n")
    };
    expect_upgrade(&broker, &crowded(UPGRADE_HEADERS_MAX));
    expect_status(&ask(&broker, &crowded(UPGRADE_HEADERS_MAX + 1)), "431");
}

#[test]
fn a_silent_or_slow_upgrade_is_given_up_and_not_before() {
    let broker = Broker::start(1);
    let begun = Instant::now();
    let silent = Raw::connect(&broker);
    let mut slow = Raw::connect(&broker);
    slow.write(b"GET /test HTTP/1.1\r\nHost: h\r\n");
    // One that drips on, a byte at a time, is given up too: its deadline stands.
    let dripping = Raw::connect(&broker);
    let mut drip = dripping.stream.try_clone().expect("the same socket");
    let dripper = std::thread::spawn(move || {
        let head = b"GET /test HTTP/1.1\r\nX: "
            .iter()
            .chain(std::iter::repeat(&b'x'));
        for byte in head.take(UPGRADE_BYTES_MAX - 1) {
            if drip.write_all(&[*byte]).is_err() {
                return;
            }
            std::thread::sleep(std::time::Duration::from_millis(50));
        }
    });
    for mut raw in [silent, slow, dripping] {
        let mut answer = Vec::new();
        let end = raw.stream.read_to_end(&mut answer);
        // A byte that crosses with the end may turn it into a reset.
        assert!(end.map_or_else(|e| e.kind() == ErrorKind::ConnectionReset, |_| true));
        expect_status(&String::from_utf8_lossy(&answer), "408");
        assert!(begun.elapsed() >= HANDSHAKE_TIMEOUT);
    }
    dripper.join().expect("the dripper stops at the end");
}

#[test]
fn a_new_vhost_is_there_at_once_and_a_deleted_one_closes_hs_18_hs_19() {
    for shards in SHARDS {
        let broker = Broker::with_channels(shards, &["room"]);
        for round in 0..3 {
            broker.add_vhost("/other");
            let mut there: Vec<_> = (0..6).map(|_| broker.browser_on("/other")).collect();
            let mut here = broker.browser();
            here.subscribe("room");
            for browser in &mut there {
                // Its channels are another vhost's.
                browser.send(json!({"subscribe": {"channel": "room"}}));
                browser.expect_error(454);
            }
            broker.delete_vhost("/other");
            for browser in &mut there {
                assert_eq!(browser.expect_close().0, 1001, "round {round}");
            }
            expect_status(&get(&broker, "/other"), "404");
            here.expect_nothing_before();
        }
    }
}
