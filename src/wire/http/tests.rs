use super::*;

const GOOD: &str = "GET /app?x=1 HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\n\
    Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
    Sec-WebSocket-Version: 13\r\nOrigin: http://h\r\n\r\n";

fn request(text: &str) -> Request<'_> {
    let (request, consumed) = parse_request(text.as_bytes())
        .expect("valid")
        .expect("whole");
    assert_eq!(consumed, text.len());
    request
}

fn is_bad(upgrade: &Result<UpgradeKey, Refusal>) -> bool {
    matches!(upgrade, Err(Refusal::BadRequest(_)))
}

#[test]
fn the_example_of_rfc_6455_hs_08() {
    let request = request(GOOD);
    assert_eq!((request.path, request.query), ("/app", Some("x=1")));
    assert_eq!(request.origin, Some(&b"http://h"[..]));
    let mut out = Vec::new();
    write_switching_protocols(&request.upgrade.expect("an upgrade"), None, &mut out);
    assert_eq!(
        String::from_utf8(out).expect("UTF-8"),
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n"
    );
}

#[test]
fn comes_whole_or_not_at_all() {
    for end in 0..GOOD.len() {
        assert_eq!(parse_request(&GOOD.as_bytes()[..end]), Ok(None), "{end}");
    }
    let (_, consumed) = parse_request(format!("{GOOD}more").as_bytes())
        .expect("valid")
        .expect("whole");
    assert_eq!(consumed, GOOD.len());
}

#[test]
fn header_values_are_matched_loosely_hs_20() {
    for (from, to) in [
        ("Upgrade: websocket", "uPGRADE: WebSocket"),
        ("Upgrade: websocket", "Upgrade: h2c, websocket"),
        ("Connection: Upgrade", "Connection: keep-alive, upgrade"),
        (
            "Connection: Upgrade",
            "Connection: keep-alive\r\nConnection:UPGRADE ",
        ),
        ("Origin: http://h\r\n", ""),
        ("Origin: http://h", "Origin: null"),
        ("Host: h\r\n", "Host: h\r\nContent-Length: 0\r\n"),
        ("ZQ==", "ZR=="),
    ] {
        let text = GOOD.replace(from, to);
        assert_ne!(text, GOOD);
        assert!(request(&text).upgrade.is_ok(), "{to} [HS-13, HS-14]");
    }
}

#[test]
fn bad_upgrades_hs_09_to_hs_12() {
    for (from, to) in [
        ("Upgrade: websocket\r\n", ""),
        ("Upgrade: websocket", "Upgrade: websockets"),
        ("Connection: Upgrade\r\n", ""),
        ("Connection: Upgrade", "Connection: close"),
        ("Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n", ""),
        ("dGhlIHNhbXBsZSBub25jZQ==", ""),
        ("dGhlIHNhbXBsZSBub25jZQ==", "dGhlIHNhbXBsZSBub25jZQ"),
        ("dGhlIHNhbXBsZSBub25jZQ==", "dGhlIHNhbXBsZSBub25jZTEy"),
        ("dGhlIHNhbXBsZSBub25jZQ==", "dGhlIHNhbXBsZSBub25j*Q=="),
        ("Host: h\r\n", ""),
        ("Host: h", "Host: h\r\nHost: i"),
        ("Origin: http://h", "Origin: http://h\r\nOrigin: http://i"),
        (
            "Sec-WebSocket-Version: 13",
            "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Version: 13",
        ),
        (
            "Host: h",
            "Host: h\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
        ),
        ("Host: h", "Host: h\r\nContent-Length: 5"),
        ("Host: h", "Host: h\r\nTransfer-Encoding: chunked"),
        ("HTTP/1.1", "HTTP/1.0"),
    ] {
        let text = GOOD.replacen(from, to, 1);
        assert_ne!(text, GOOD);
        assert!(is_bad(&request(&text).upgrade), "{to}");
    }
    for version in ["8", "014", ""] {
        let text = GOOD.replace("Version: 13", &format!("Version: {version}"));
        assert_eq!(request(&text).upgrade, Err(Refusal::WrongVersion));
    }
    let missing = GOOD.replace("Sec-WebSocket-Version: 13\r\n", "");
    assert_eq!(request(&missing).upgrade, Err(Refusal::WrongVersion));
    for method in ["POST", "HEAD", "OPTIONS", "FOO"] {
        let text = GOOD.replace("GET", method);
        assert_eq!(
            request(&text).upgrade,
            Err(Refusal::MethodNotAllowed { allow: "GET" })
        );
    }
}

#[test]
fn garbage_is_400() {
    for garbage in [
        &b"\x16\x03\x01\x02\x00\x01\x00"[..],
        b"hello\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"GET /\xff HTTP/1.1\r\n\r\n",
        b"GET  / HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\nno colon\r\n\r\n",
        b"OPTIONS * HTTP/1.1\r\n\r\n",
        b"CONNECT h:80 HTTP/1.1\r\n\r\n",
        b"GET ftp://h/ HTTP/1.1\r\n\r\n",
        b"GET app HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\nHost: h\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: h\n\r\n",
        b"GET / HTTP/1.1\r\nHost: h\r\n\n",
        b"\nGET / HTTP/1.1\r\nHost: h\r\n\r\n",
    ] {
        let refused = parse_request(garbage);
        assert!(
            matches!(refused, Err(Refusal::BadRequest(_))),
            "{garbage:?}: {refused:?}"
        );
    }
}

#[test]
fn absolute_targets_are_read_as_paths() {
    for (target, path, query) in [
        ("http://h/app", "/app", None),
        ("WSS://h:1/app?a?b", "/app", Some("a?b")),
        ("http://h", "/", None),
        ("http://h?a=/b", "/", Some("a=/b")),
        ("/http://h/app", "/http://h/app", None),
    ] {
        let text = GOOD.replace("/app?x=1", target);
        let request = request(&text);
        assert_eq!((request.path, request.query), (path, query), "{target}");
    }
}

#[test]
fn heads_at_the_bounds_and_past_them() {
    let padded = |bytes: usize| {
        let pad = "p".repeat(bytes - GOOD.len() - "X: \r\n".len());
        GOOD.replace("\r\n\r\n", &format!("\r\nX: {pad}\r\n\r\n"))
    };
    assert!(request(&padded(UPGRADE_BYTES_MAX)).upgrade.is_ok());
    let past = padded(UPGRADE_BYTES_MAX + 1);
    assert_eq!(parse_request(past.as_bytes()), Err(Refusal::HeadTooLarge));
    assert_eq!(
        parse_request(&past.as_bytes()[..UPGRADE_BYTES_MAX]),
        Err(Refusal::HeadTooLarge)
    );
    let with = |headers: usize| {
        let more = "X: y\r\n".repeat(headers - 6);
        GOOD.replace("\r\n\r\n", &format!("\r\n{more}\r\n"))
    };
    assert!(request(&with(UPGRADE_HEADERS_MAX)).upgrade.is_ok());
    let past = with(UPGRADE_HEADERS_MAX + 1);
    assert_eq!(parse_request(past.as_bytes()), Err(Refusal::HeadTooLarge));
}

#[test]
fn paths_are_cleaned_hs_07() {
    for (path, clean) in [
        ("//app", "/app"),
        ("/app//x", "/app/x"),
        ("/./app", "/app"),
        ("/x/../app", "/app"),
        ("/../app", "/app"),
        ("/app/.", "/app"),
        ("/app/..", "/"),
        ("/app//", "/app/"),
        ("/a/./", "/a/"),
        ("", "/"),
    ] {
        assert_eq!(clean_path(path).as_deref(), Some(clean), "{path}");
        assert_eq!(clean_path(clean), None, "{clean}");
    }
    for kept in [
        "/",
        "/app",
        "/app/",
        "/a.b/..c",
        "/a%2f%2e%2e",
        "/.//\\evil.example",
    ] {
        assert_eq!(clean_path(kept), None, "{kept}");
    }
    let text = GOOD.replace("/app", "//x/..//app");
    let moved = request(&text).redirect();
    assert_eq!(moved, Some(Refusal::MovedPermanently("/app?x=1".into())));
    assert_eq!(request(GOOD).redirect(), None);
}

#[test]
fn refusals_are_whole_responses() {
    for (refusal, status, header) in [
        (
            Refusal::MovedPermanently("/a?b".into()),
            "301",
            "Location: /a?b\r\n",
        ),
        (Refusal::BadRequest("why"), "400", ""),
        (Refusal::Forbidden, "403", ""),
        (Refusal::NotFound, "404", ""),
        (
            Refusal::MethodNotAllowed { allow: "GET" },
            "405",
            "Allow: GET\r\n",
        ),
        (Refusal::Timeout, "408", ""),
        (
            Refusal::WrongVersion,
            "426",
            "Sec-WebSocket-Version: 13\r\n",
        ),
        (Refusal::TooManyRequests, "429", ""),
        (Refusal::HeadTooLarge, "431", ""),
        (Refusal::Unavailable, "503", ""),
    ] {
        let mut out = Vec::new();
        refusal.write(&mut out);
        let text = String::from_utf8(out).expect("UTF-8");
        let (head, body) = text.split_once("\r\n\r\n").expect("a body");
        let head = format!("{head}\r\n");
        assert!(head.starts_with(&format!("HTTP/1.1 {status} ")), "{text}");
        assert_eq!(refusal.status().to_string(), status);
        assert!(head.contains(header), "{text}");
        assert!(head.contains("Connection: close\r\n"), "{text}");
        assert!(
            head.contains(&format!("Content-Length: {}\r\n", body.len())),
            "{text}"
        );
        assert_eq!(body, format!("{refusal}\n"));
    }
}

#[test]
fn the_first_good_offer_of_compression_is_taken_from_any_header() {
    let offers = "Sec-WebSocket-Extensions: x-webkit-deflate-frame, permessage-deflate; surprise\r\n\
        sec-websocket-extensions: permessage-deflate; server_max_window_bits=10\r\n\
        Sec-WebSocket-Extensions: permessage-deflate\r\n";
    let text = GOOD.replace("Origin:", &format!("{offers}Origin:"));
    let request = request(&text);
    let mut out = Vec::new();
    write_switching_protocols(
        &request.upgrade.expect("an upgrade"),
        request.deflate,
        &mut out,
    );
    let answer = String::from_utf8(out).expect("UTF-8");
    assert!(answer.ends_with(
        "=\r\nSec-WebSocket-Extensions: permessage-deflate; server_no_context_takeover; \
         client_no_context_takeover; server_max_window_bits=9\r\n\r\n"
    ));
}
