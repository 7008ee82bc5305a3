//! The page at `/dashboard.html`, on admin REST and one look a second. No vhost
//! has a dot in its path: what is served here is in no vhost's way.

mod session;

pub(super) use session::routes as session_routes;

use std::net::SocketAddr;

use axum::Router;
use axum::extract::Request;
use axum::http::header::{self, HeaderMap, HeaderName, HeaderValue};
use axum::http::{Method, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::get;

/// Where the dashboard is; behind `#cookie=` a link may bring what it asks for.
pub const DASHBOARD: &str = "/dashboard.html";

const JAVASCRIPT: &str = "text/javascript; charset=utf-8";

/// The page and all that it loads; open to everyone, for none of it is secret.
pub(super) fn routes(websocket: SocketAddr) -> Router {
    let script = |text| get(async move || asset(JAVASCRIPT, text));
    let style = include_str!("style.css");
    Router::new()
        .route(
            DASHBOARD,
            get(async move |headers: HeaderMap| page(websocket, &headers)),
        )
        .route(
            "/dashboard.css",
            get(async move || asset("text/css; charset=utf-8", style)),
        )
        .route("/dashboard.js", script(include_str!("app.js")))
        .route("/dashboard.admin.js", script(include_str!("admin.js")))
        .route("/dashboard.charts.js", script(include_str!("charts.js")))
        .route("/dashboard.console.js", script(include_str!("console.js")))
        .route(
            "/dashboard.elements.js",
            script(include_str!("elements.js")),
        )
        .route(
            "/dashboard.overview.js",
            script(include_str!("overview.js")),
        )
        .route("/dashboard.rates.js", script(include_str!("rates.js")))
        .route("/dashboard.vhosts.js", script(include_str!("vhosts.js")))
        .route(
            "/webrocket.mjs",
            script(include_str!("../../../../clients/js/dist/webrocket.mjs")),
        )
}

/// Whether it is somebody's browser, on its way to see what is here. A program
/// does not ask for a page; the cookie's holder gets what the cookie opens.
pub(super) fn is_visit(request: &Request) -> bool {
    let accepts = request.headers().get(header::ACCEPT);
    request.method() == Method::GET
        && request.uri().path() == "/"
        && !super::is_operators(request.headers())
        && accepts.is_some_and(|it| it.as_bytes().starts_with(b"text/html"))
}

pub(super) fn redirect() -> Response {
    (StatusCode::SEE_OTHER, [(header::LOCATION, DASHBOARD)]).into_response()
}

/// The console connects to the broker as browsers do; to nothing else can the
/// page connect.
fn page(websocket: SocketAddr, headers: &HeaderMap) -> Response {
    let asked = headers.get(header::HOST).and_then(|it| it.to_str().ok());
    let broker = format!("ws://{}:{}", host_of(asked), websocket.port());
    let policy = format!(
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src data:; \
         connect-src 'self' {broker}; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    );
    let page = include_str!("page.html").replace("{broker}", &broker);
    let mut answer = asset("text/html; charset=utf-8", page);
    // Made of characters that any header may have.
    if let Ok(policy) = HeaderValue::try_from(policy) {
        answer
            .headers_mut()
            .insert(header::CONTENT_SECURITY_POLICY, policy);
    }
    answer
}

fn asset(kind: &'static str, text: impl IntoResponse) -> Response {
    const SAME_ORIGIN: HeaderValue = HeaderValue::from_static("same-origin");
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static(kind)),
        // A node of another version has other assets.
        (header::CACHE_CONTROL, HeaderValue::from_static("no-cache")),
        (
            header::X_CONTENT_TYPE_OPTIONS,
            HeaderValue::from_static("nosniff"),
        ),
        (
            header::REFERRER_POLICY,
            HeaderValue::from_static("no-referrer"),
        ),
        (
            HeaderName::from_static("cross-origin-opener-policy"),
            SAME_ORIGIN,
        ),
        (
            HeaderName::from_static("cross-origin-resource-policy"),
            SAME_ORIGIN,
        ),
    ];
    (headers, text).into_response()
}

/// The name that the browser has for this machine, out of its `Host`; other
/// ports of the node are beside the one it asked.
pub fn host_of(asked: Option<&str>) -> &str {
    let without_port = |asked: &'_ str| match asked.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name.len(),
        _ => asked.len(),
    };
    let is_name = |name: &&str| {
        let may = |c: char| c.is_ascii_alphanumeric() || "-._:[]".contains(c);
        !name.is_empty() && name.chars().all(may)
    };
    asked
        .map(|asked| &asked[..without_port(asked)])
        .filter(is_name)
        .unwrap_or("127.0.0.1")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_host_is_the_browsers_name_for_it_and_nothing_else() {
        for (asked, name) in [
            ("localhost:8083", "localhost"),
            ("localhost", "localhost"),
            ("192.0.2.7:80", "192.0.2.7"),
            ("[::1]:8083", "[::1]"),
            ("demo_1.example.org", "demo_1.example.org"),
            ("", "127.0.0.1"),
            (":8083", "127.0.0.1"),
            ("a b:1", "127.0.0.1"),
            ("x;script-src *:1", "127.0.0.1"),
            ("\"><script>", "127.0.0.1"),
        ] {
            assert_eq!(host_of(Some(asked)), name, "{asked}");
        }
        assert_eq!(host_of(None), "127.0.0.1");
    }
}
