//! The cookie, and what comes before and after every route.

use super::client::Admin;
use crate::control::tests::{name, path};
use crate::limits::ADMIN_BODY_BYTES_MAX;

/// Every route with a method that changes something.
const CHANGES: [(&str, &str); 15] = [
    ("DELETE", "/"),
    ("POST", "/new"),
    ("DELETE", "/v"),
    ("PUT", "/v/token"),
    ("DELETE", "/v/channels"),
    ("POST", "/v/channels/new"),
    ("DELETE", "/v/channels/a"),
    ("POST", "/v/channels/a/events"),
    ("DELETE", "/v/sessions/6f0b2c1e-3c8a-4d0f-9f5e-0a1b2c3d4e5f"),
    (
        "POST",
        "/v/sessions/6f0b2c1e-3c8a-4d0f-9f5e-0a1b2c3d4e5f/events",
    ),
    ("DELETE", "/v/users/joe"),
    ("POST", "/v/single-access-tokens"),
    ("POST", "/session.json"),
    ("DELETE", "/session.json"),
    ("PATCH", "/v/nowhere/at/all"),
];

const READS: [&str; 6] = [
    "/",
    "/v",
    "/v/channels",
    "/v/channels/a",
    "/v/workers",
    "/nowhere/at/all",
];

#[tokio::test]
async fn without_the_cookie_nothing_is_done_ad_01_ad_02() {
    let admin = Admin::start().await;
    let handle = &admin.node.handle;
    handle.create_vhost(path("/v")).await.expect("created");
    let opened = handle.open_channel(path("/v"), name("a")).await;
    opened.expect("opened");
    let before = handle.vhosts().await.expect("listed");

    let mut forged = admin.cookie.clone().into_bytes();
    forged[39] ^= 1;
    let forged = String::from_utf8(forged).expect("text");
    let header = |value: &str| format!("X-WebRocket-Cookie: {value}\r\n");
    let attempts = [
        String::new(),
        header(""),
        header(&forged),
        header(&admin.cookie[..39]),
        header(&format!("{}0", admin.cookie)),
        header(&admin.cookie.to_uppercase()),
        format!("Cookie: {}\r\n", admin.cookie),
    ];
    // Forty digits without one letter would have but one case.
    let attempts = attempts
        .iter()
        .filter(|lines| **lines != header(&admin.cookie));
    for lines in attempts {
        let reads = READS.map(|target| ("GET", target));
        for (method, target) in CHANGES.into_iter().chain(reads) {
            let answer = admin.ask_with(method, target, lines).await;
            assert_eq!(answer.status, 403, "{method} {target} {lines}");
            assert_eq!(answer.body, "");
            assert_eq!(answer.header("x-webrocket-cookie"), None);
        }
    }
    assert_eq!(handle.vhosts().await.expect("listed"), before);
    let channels = handle.channels(path("/v")).await.expect("there");
    assert_eq!(channels, [name("a")]);
    admin.stop().await;
}

#[tokio::test]
async fn the_cookie_goes_back_with_json_ad_03() {
    let admin = Admin::start().await;
    let requests = [
        ("POST", "/v", 302),
        ("GET", "/v", 200),
        ("HEAD", "/", 200),
        ("POST", "/v", 400),
        ("GET", "/missing", 404),
        ("GET", "/nowhere/at/all", 404),
        ("PATCH", "/v", 405),
        ("DELETE", "/v", 202),
    ];
    for (method, target, status) in requests {
        let answer = admin.ask(method, target).await;
        assert_eq!(answer.status, status, "{method} {target}");
        let echo = answer.header("x-webrocket-cookie");
        assert_eq!(echo, Some(admin.cookie.as_str()));
        assert_eq!(answer.header("content-type"), Some("application/json"));
    }
    admin.stop().await;
}

#[tokio::test]
async fn head_is_get_without_a_body_ad_26() {
    let admin = Admin::start().await;
    admin.ask("POST", "/v").await;
    admin.ask("POST", "/v/channels/a").await;
    for target in READS {
        let get = admin.ask("GET", target).await;
        let head = admin.ask("HEAD", target).await;
        assert_eq!(head.status, get.status, "{target}");
        assert_eq!(head.body, "");
    }
    admin.stop().await;
}

#[tokio::test]
async fn unknown_routes_are_404_and_delete_nothing_ad_27() {
    let admin = Admin::start().await;
    admin.ask("POST", "/v").await;
    admin.ask("POST", "/v/channels/a").await;
    let unknown = [
        "/v/",
        "/v/nowhere",
        "/v/channels/",
        "/v/channels/a/",
        "/v/channels/a/b",
        "/v/channels/a/subscribers/x",
        "/v/sessions/0/events/x",
        "/v/users",
        "/v/workers/0",
        "/v/token/x",
        "//",
        "//v",
    ];
    for target in unknown {
        for method in ["GET", "POST", "PUT", "DELETE"] {
            let answer = admin.ask(method, target).await;
            assert_eq!(answer.status, 404, "{method} {target}");
            assert_eq!(answer.error(), "no such resource");
        }
    }
    assert_eq!(admin.ask("GET", "/v/channels/a").await.status, 200);
    admin.stop().await;
}

#[tokio::test]
async fn wrong_methods_are_405_ad_28_ad_29() {
    let admin = Admin::start().await;
    admin.ask("POST", "/v").await;
    let wrong = [
        ("POST", "/", "GET,HEAD,DELETE"),
        ("PUT", "/v", "POST,GET,HEAD,DELETE"),
        ("GET", "/v/token", "PUT"),
        ("DELETE", "/v/token", "PUT"),
        ("POST", "/v/channels", "GET,HEAD,DELETE"),
        ("PUT", "/v/channels/a", "POST,GET,HEAD,DELETE"),
        ("DELETE", "/v/workers", "GET,HEAD"),
        ("POST", "/v/stats", "GET,HEAD"),
        ("DELETE", "/v/channels/a/subscribers", "GET,HEAD"),
        ("GET", "/v/channels/a/events", "POST"),
        ("DELETE", "/v/sessions", "GET,HEAD"),
        ("POST", "/v/sessions/0", "GET,HEAD,DELETE"),
        ("GET", "/v/sessions/0/events", "POST"),
        ("GET", "/v/users/joe", "DELETE"),
        ("GET", "/v/single-access-tokens", "POST"),
        ("GET", "/session.json", "POST,DELETE"),
        ("POST", "/dashboard.html", "GET,HEAD"),
        ("POST", "/openapi.json", "GET,HEAD"),
        ("POST", "/stats.json", "GET,HEAD"),
        ("BREW", "/v", "POST,GET,HEAD,DELETE"),
    ];
    for (method, target, allowed) in wrong {
        let answer = admin.ask(method, target).await;
        assert_eq!(answer.status, 405, "{method} {target}");
        assert_eq!(answer.error(), "method not allowed");
        assert_eq!(answer.header("allow"), Some(allowed), "{method} {target}");
    }
    admin.stop().await;
}

#[tokio::test]
async fn a_body_is_bounded() {
    let admin = Admin::start().await;
    let body = "x".repeat(ADMIN_BODY_BYTES_MAX + 1);
    let post = async |target: &str, length: usize| admin.post(target, &body[..length]).await.status;
    assert_eq!(post("/at-bound", ADMIN_BODY_BYTES_MAX).await, 302);
    assert_eq!(post("/past", ADMIN_BODY_BYTES_MAX + 1).await, 413);
    assert_eq!(admin.ask("GET", "/past").await.status, 404, "nothing done");
    admin.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_stuck_shard_is_503_and_never_a_hang() {
    let admin = Admin::start().await;
    admin.ask("POST", "/v").await;
    *admin.node.shards[1].stalled.lock().expect("lock") = true;
    let answer = admin.ask("GET", "/v/stats").await;
    assert_eq!(answer.status, 503);
    assert_eq!(answer.error(), "no answer in time");
    assert_eq!(admin.ask("GET", "/v").await.status, 200, "it asks no shard");
    *admin.node.shards[1].stalled.lock().expect("lock") = false;
    assert_eq!(admin.ask("GET", "/v/stats").await.status, 200);
    admin.stop().await;
}
