//! The dashboard's page, and the session of who has logged in.

use super::client::{Admin, Answer};
use crate::control::DASHBOARD;

const OWN: &str = "X-WebRocket-Dashboard: 1\r\n";

/// Begins a session; gives it as the browser sends it back.
async fn session(admin: &Admin) -> String {
    let begun = admin.ask("POST", "/session.json").await;
    assert_eq!(begun.status, 204);
    let cookie = begun.header("set-cookie").expect("a session");
    assert!(
        cookie.ends_with("; Max-Age=43200; Path=/; HttpOnly; SameSite=Strict"),
        "{cookie}"
    );
    let (pair, _) = cookie.split_once(';').expect("attributes");
    format!("Cookie: theme=dark; {pair}\r\n")
}

/// What the page asks of the browser.
fn policy(page: &Answer) -> Vec<String> {
    let policy = page.header("content-security-policy").expect("a policy");
    policy.split("; ").map(str::to_owned).collect()
}

#[tokio::test]
async fn a_session_opens_what_the_cookie_opens() {
    let admin = Admin::start().await;
    let session = session(&admin).await;
    let lines = format!("{session}{OWN}");
    assert_eq!(admin.ask_with("POST", "/v", &lines).await.status, 302);
    let listed = admin.ask_with("GET", "/", &lines).await;
    assert_eq!(listed.status, 200);
    assert_eq!(listed.json()["vhosts"][0]["path"], "/v");
    assert_eq!(listed.header("x-webrocket-cookie"), None, "it stays secret");
    let renewed = admin.ask_with("POST", "/session.json", &lines).await;
    assert!(renewed.header("set-cookie").is_some());
    // An operator's request, for whom this is a vhost.
    let vhost = admin.ask_with("GET", "/metrics", &lines).await;
    assert_eq!(vhost.error(), "vhost doesn't exist");
    admin.stop().await;
}

#[tokio::test]
async fn another_sites_requests_are_refused() {
    let admin = Admin::start().await;
    let session = session(&admin).await;
    // A browser adds the session by itself, and asks before it sends a header
    // that a form can't have.
    for (method, target) in [
        ("POST", "/v"),
        ("GET", "/"),
        ("DELETE", "/"),
        ("DELETE", "/session.json"),
    ] {
        let answer = admin.ask_with(method, target, &session).await;
        assert_eq!(answer.status, 403, "{method} {target}");
    }
    let asked = format!(
        "{session}Origin: http://evil.example\r\nAccess-Control-Request-Method: POST\r\n\
         Access-Control-Request-Headers: x-webrocket-dashboard\r\n"
    );
    let answer = admin.ask_with("OPTIONS", "/v", &asked).await;
    assert_eq!(answer.header("access-control-allow-headers"), None);
    assert_eq!(answer.header("access-control-allow-origin"), None);
    assert_eq!(admin.ask("GET", "/v").await.status, 404, "nothing done");
    admin.stop().await;
}

#[tokio::test]
async fn a_session_needs_the_cookie_and_can_be_ended() {
    let admin = Admin::start().await;
    for lines in ["", OWN, "X-WebRocket-Cookie: 0\r\n"] {
        let answer = admin.ask_with("POST", "/session.json", lines).await;
        assert_eq!(answer.status, 403);
        assert_eq!(answer.header("set-cookie"), None);
    }
    let lines = format!("{}{OWN}", session(&admin).await);
    let ended = admin.ask_with("DELETE", "/session.json", &lines).await;
    let cookie = ended.header("set-cookie").expect("no session any more");
    assert!(cookie.contains("=; Max-Age=0;"), "{cookie}");
    admin.stop().await;
}

#[tokio::test]
async fn a_browser_is_led_to_the_page_and_a_program_is_not() {
    let admin = Admin::start().await;
    let html = "Accept: text/html,application/xhtml+xml\r\n";
    let led = admin.ask_with("GET", "/", html).await;
    assert_eq!((led.status, led.header("location")), (303, Some(DASHBOARD)));
    let wrong = format!("{html}X-WebRocket-Cookie: wrong\r\n");
    for (method, target, lines) in [
        ("GET", "/", "Accept: */*\r\n"),
        ("GET", "/", &wrong),
        ("GET", "/", &format!("{html}{OWN}")),
        ("GET", "/v", html),
        ("DELETE", "/", html),
    ] {
        let answer = admin.ask_with(method, target, lines).await;
        assert_eq!(
            (answer.status, &*answer.body),
            (403, ""),
            "{method} {target} {lines}"
        );
    }
    admin.stop().await;
}

#[tokio::test]
async fn the_page_loads_nothing_from_elsewhere() {
    let admin = Admin::start().await;
    let page = admin.ask_with("GET", DASHBOARD, "").await;
    assert_eq!(page.status, 200);
    let policy = policy(&page);
    for rule in [
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "connect-src 'self' ws://x:8080",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    ] {
        assert!(policy.iter().any(|it| it == rule), "{rule}: {policy:?}");
    }
    // Nothing that the policy would forbid, and nothing that is not there.
    assert!(
        !page.body.contains("style=") && !page.body.contains("http"),
        "{}",
        page.body
    );
    let quoted: Vec<_> = page.body.split('"').collect();
    let mut paths: Vec<_> = quoted
        .into_iter()
        .filter(|it| it.starts_with("/dashboard."))
        .collect();
    assert_eq!(paths.len(), 2);
    let script = admin.ask_with("GET", "/dashboard.js", "").await.body;
    let imports = script
        .split("from \"./")
        .skip(1)
        .filter_map(|it| it.split('"').next());
    let imports: Vec<_> = imports.map(|it| format!("/{it}")).collect();
    assert!(imports.len() > 4, "{imports:?}");
    paths.extend(imports.iter().map(String::as_str));
    for path in paths {
        let asset = admin.ask_with("GET", path, "").await;
        assert_eq!(asset.status, 200, "{path}");
        assert_eq!(asset.header("x-content-type-options"), Some("nosniff"));
        assert_eq!(asset.header("referrer-policy"), Some("no-referrer"));
        let kind = if path.ends_with("css") {
            "text/css"
        } else {
            "text/javascript"
        };
        assert!(
            asset
                .header("content-type")
                .is_some_and(|it| it.starts_with(kind))
        );
        assert_eq!(admin.ask_with("HEAD", path, "").await.status, 200);
        assert_eq!(admin.ask_with("POST", path, "").await.status, 405);
    }
    admin.stop().await;
}

#[tokio::test]
async fn a_host_that_is_no_name_stays_out_of_the_policy() {
    let admin = Admin::start().await;
    let hostile = "x;script-src *";
    let head = format!("GET {DASHBOARD} HTTP/1.1\r\nHost: {hostile}\r\nConnection: close\r\n\r\n");
    let page = admin.send(head.as_bytes()).await;
    assert_eq!(page.status, 200);
    let safe = "connect-src 'self' ws://127.0.0.1:8080";
    assert!(policy(&page).iter().any(|it| it == safe));
    assert!(!page.body.contains("script-src"));
    admin.stop().await;
}
