//! Section 8: the scripts on the frontends' port, beside the vhosts.

use std::io::Read;

use crate::raw::{Raw, UPGRADE};
use crate::support::Broker;

const LIBRARY: &str = include_str!("../../clients/js/dist/webrocket.js");
const PRECONFIGURED: &str = include_str!("../../clients/js/dist/preconfigured.js");

/// Head and body of the answer, to the end of the connection.
fn ask(broker: &Broker, method: &str, path: &str, more: &str) -> (String, String) {
    let mut raw = Raw::connect(broker);
    let request = format!("{method} {path} HTTP/1.1\r\nHost: example.org\r\n{more}\r\n");
    raw.write(request.as_bytes());
    let mut answer = String::new();
    raw.stream.read_to_string(&mut answer).expect("an answer");
    let (head, body) = answer.split_once("\r\n\r\n").expect("a head");
    (head.into(), body.into())
}

fn etag(head: &str) -> &str {
    let line = head.lines().find_map(|line| line.strip_prefix("ETag: "));
    line.unwrap_or_else(|| panic!("no tag: {head}"))
}

#[test]
fn the_library_and_a_vhosts_own_to_the_byte() {
    let broker = Broker::start(2);
    broker.add_vhost("/deep/er");
    for (path, script) in [
        ("/webrocket.js", LIBRARY),
        ("/webrocket.js?debug=1", LIBRARY),
        ("/test/webrocket.js", PRECONFIGURED),
        ("/test/webrocket.js?debug=1", PRECONFIGURED),
        ("/deep/er/webrocket.js", PRECONFIGURED),
    ] {
        let (head, body) = ask(&broker, "GET", path, "");
        assert_eq!(body, script, "{path}");
        let (tag, length) = (etag(&head), script.len());
        let expected = format!(
            "HTTP/1.1 200 OK\r\nConnection: close\r\nCache-Control: public, max-age=300\r\n\
             Access-Control-Allow-Origin: *\r\nCross-Origin-Resource-Policy: cross-origin\r\n\
             X-Content-Type-Options: nosniff\r\nETag: {tag}\r\n\
             Content-Type: text/javascript; charset=utf-8\r\nContent-Length: {length}"
        );
        assert_eq!(head, expected, "{path}");
        assert_eq!(
            ask(&broker, "HEAD", path, ""),
            (expected.clone(), String::new())
        );
        let known = format!("If-None-Match: {tag}\r\n");
        let (head, body) = ask(&broker, "GET", path, &known);
        assert!(head.starts_with("HTTP/1.1 304 Not Modified\r\n"), "{head}");
        assert_eq!((etag(&head), &*body), (tag, ""));
        let (head, _) = ask(&broker, "POST", path, "");
        assert!(head.starts_with("HTTP/1.1 405 "), "{head}");
        assert!(head.contains("\r\nAllow: GET, HEAD\r\n"), "{head}");
    }
}

#[test]
fn no_vhost_has_no_script() {
    let broker = Broker::start(2);
    for path in [
        "/nope/webrocket.js",
        "/test/webrocket.js/",
        "/test/webrocket.mjs",
        "/test//nope/webrocket.js",
        "/Test/webrocket.js",
        "/test/test/webrocket.js",
        "/%74est/webrocket.js",
    ] {
        let (head, _) = ask(&broker, "GET", path, "");
        let clean = !path.contains("//");
        let status = if clean { " 404 " } else { " 301 " };
        assert!(head.contains(status), "{path}: {head}");
    }
    // Gone with its vhost.
    broker.add_vhost("/brief");
    let path = "/brief/webrocket.js";
    assert!(ask(&broker, "GET", path, "").0.contains(" 200 "));
    broker.delete_vhost("/brief");
    assert!(ask(&broker, "GET", path, "").0.contains(" 404 "));
}

#[test]
fn an_upgrade_never_means_a_script() {
    let broker = Broker::start(1);
    for path in ["/webrocket.js", "/test/webrocket.js"] {
        let (head, _) = ask(&broker, "GET", path, UPGRADE);
        assert!(head.starts_with("HTTP/1.1 404 "), "{head}");
    }
    let (head, _) = ask(&broker, "GET", "/test", "");
    assert!(head.starts_with("HTTP/1.1 400 "), "{head}");
}
