//! Requests that two readers could read in two ways. This broker reads one
//! request of a connection and never another: whatever else is in the bytes is
//! either the session's, behind an upgrade, or thrown away.

use std::sync::atomic::{AtomicU64, Ordering};

use webrocket::meter::Refused;

use crate::bystanders::report;
use crate::raw::{Raw, TEXT, UPGRADE, masked};
use crate::stage::{Stage, connect};

/// What is written in place of a part of the good request, and its status.
fn requests() -> Vec<(String, u16)> {
    let get = |target: &str, headers: &str| format!("GET {target} HTTP/1.1\r\n{headers}\r\n");
    let with = |more: &str| get("/test", &format!("{UPGRADE}{more}"));
    let changed = |from: &str, to: &str| get("/test", &UPGRADE.replace(from, to));
    vec![
        // Doubles.
        (with("Host: evil.example\r\n"), 400),
        (with("Host: example.org\r\n"), 400),
        (with("Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"), 400),
        (with("Sec-WebSocket-Version: 13\r\n"), 400),
        (with("Origin: a\r\nOrigin: b\r\n"), 400),
        // Lists: more of them is one longer list.
        (with("Upgrade: h2c\r\nConnection: keep-alive\r\n"), 101),
        // Bodies.
        (with("Content-Length: 5\r\n"), 400),
        (with("Content-Length: 0\r\n"), 101),
        (with("Content-Length: 0\r\nContent-Length: 5\r\n"), 400),
        (with("Content-Length: +0\r\n"), 400),
        (with("Transfer-Encoding: chunked\r\n"), 400),
        (with("Transfer-Encoding: identity\r\n"), 400),
        (with("Transfer-Encoding : chunked\r\n"), 400),
        (
            with("Content-Length: 0\r\nTransfer-Encoding: chunked\r\n"),
            400,
        ),
        // Lines.
        (with("X: a\r\n folded\r\n"), 400),
        (with(" X: a\r\n"), 400),
        (with("X\r\n"), 400),
        (with("X : a\r\n"), 400),
        (with("X: a\0b\r\n"), 400),
        (with("X\0: a\r\n"), 400),
        (with("X: a\rb\r\n"), 400),
        (changed("Host: example.org\r\n", "Host: example.org\n"), 400),
        (with("X: a\n"), 400),
        (with("X: a\r\n").replace("\r\n", "\n"), 400),
        // Targets.
        (get("http://example.org/test", UPGRADE), 101),
        (get("ws://evil.example/test", UPGRADE), 101),
        (get("ftp://example.org/test", UPGRADE), 400),
        (get("example.org:80", UPGRADE), 400),
        (get("*", UPGRADE), 400),
        (get("/test\0", UPGRADE), 400),
        (get("/test#fragment", UPGRADE), 404),
        (get("//evil.example/test", UPGRADE), 301),
        (get("/\\evil.example", UPGRADE), 404),
        // Hosts.
        (changed("Host: example.org\r\n", ""), 400),
    ]
}

#[test]
fn smuggled_requests() {
    let stage = Stage::start("");
    let frontends = stage.frontends();
    let behind = "GET /test HTTP/1.1\r\nHost: example.org\r\n\r\n";
    let (mut refused, mut redirected) = (0, 0);
    let requests = requests();
    for (request, status) in &requests {
        let mut raw = Raw(connect(frontends));
        raw.write(request.as_bytes());
        raw.try_write(behind.as_bytes());
        let head = raw.head();
        assert!(
            head.starts_with(&format!("HTTP/1.1 {status} ")),
            "{request:?}: {head}"
        );
        match status {
            // The bytes behind are frames, and these are none.
            101 => {
                assert_eq!(raw.close().0, 1002, "{request:?}");
                continue;
            }
            301 => {
                assert!(
                    head.contains("\r\nLocation: /evil.example/test\r\n"),
                    "{head}"
                );
                redirected += 1;
            }
            _ => refused += 1,
        }
        assert!(head.contains("\r\nConnection: close\r\n"), "{head}");
        // One answer, and the end.
        let rest = String::from_utf8(raw.rest()).expect("text");
        assert!(!rest.contains("Connection: "), "{request:?}: {rest}");
    }
    assert_eq!(stage.refused(Refused::Upgrade), refused);
    assert!(redirected > 0);

    // Frames that come with the upgrade are the session's.
    let mut raw = Raw(connect(frontends));
    let mut all = format!("GET /test HTTP/1.1\r\n{UPGRADE}\r\n").into_bytes();
    all.extend(masked(TEXT, b"no JSON"));
    raw.write(&all);
    assert!(raw.head().starts_with("HTTP/1.1 101 "));
    assert!(raw.text().contains(":connected"));
    assert!(raw.text().contains("400"));

    let count = AtomicU64::new(0);
    let turns = stage.by_turns(vec![Box::new(|gate| {
        while gate.is_open() {
            let number = count.fetch_add(1, Ordering::Relaxed) as usize;
            let (request, status) = &requests[number % requests.len()];
            let mut raw = Raw(connect(frontends));
            raw.write(request.as_bytes());
            assert!(raw.head().contains(&status.to_string()));
        }
    })]);
    report(
        "header smuggling",
        &format!(
            "{} requests, {} times in all",
            requests.len(),
            requests.len() as u64 + count.into_inner()
        ),
        &format!("{refused} told 4xx and closed, what follows is never a request"),
        &turns,
    );
}
