use std::sync::Arc;
use std::time::{Duration, SystemTime};

use axum::body::{self, Body};
use axum::extract::{Request, State};
use axum::http::header::{self, CONTENT_TYPE, HeaderMap, HeaderValue};
use axum::http::{HeaderName, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use tokio::time::timeout;

use super::{dashboard, refusal};
use crate::control::Cookie;
use crate::limits::{ADMIN_BODY_BYTES_MAX, ADMIN_SESSION_LIFETIME, ADMIN_TIMEOUT};

const COOKIE: HeaderName = HeaderName::from_static("x-webrocket-cookie");

/// A browser's requests carry a session by themselves, also those that another
/// site makes it send. This header none of them can set: it would need a
/// permission that the node gives nobody.
const OWN: HeaderName = HeaderName::from_static("x-webrocket-dashboard");

/// Whether it comes from an operator's program or dashboard, by what it claims.
pub(in crate::control) fn is_operators(headers: &HeaderMap) -> bool {
    headers.contains_key(COOKIE) || headers.contains_key(OWN)
}

/// Knows who may pass. Sessions are signed with the cookie and kept nowhere: a
/// dashboard stays logged in over a restart of the node, and none is left once
/// the cookie is another.
pub(super) struct Guard {
    cookie: Cookie,
    /// Nodes on one host share browser cookies, whatever their ports.
    session_name: String,
}

impl Guard {
    pub(super) fn new(cookie: Cookie) -> Self {
        let id = signature(&cookie, "name", 0);
        Self {
            session_name: format!("webrocket-{}", &id[..8]),
            cookie,
        }
    }

    /// Whether one with these headers may pass.
    fn admits(&self, headers: &HeaderMap, now: Duration) -> bool {
        match headers.get(COOKIE) {
            Some(given) => self.cookie.matches(given.as_bytes()),
            None => headers.contains_key(OWN) && self.holds_session(headers, now),
        }
    }

    fn holds_session(&self, headers: &HeaderMap, now: Duration) -> bool {
        let lines = headers.get_all(header::COOKIE).into_iter();
        lines
            .filter_map(|line| line.to_str().ok())
            .flat_map(|line| line.split(';'))
            .filter_map(|pair| pair.trim().split_once('='))
            .any(|(name, session)| name == self.session_name && self.verifies(session, now))
    }

    /// A session is `EXPIRY.SIGNATURE`, the expiry in seconds since the Unix epoch.
    fn verifies(&self, session: &str, now: Duration) -> bool {
        let Some((expiry, given)) = session.split_once('.') else {
            return false;
        };
        let Ok(expiry) = expiry.parse() else {
            return false;
        };
        let expected = signature(&self.cookie, "session", expiry);
        let is_signed = subtle::ConstantTimeEq::ct_eq(given.as_bytes(), expected.as_bytes());
        bool::from(is_signed) && expiry > now.as_secs()
    }

    /// `Set-Cookie` of a session that begins now.
    pub(super) fn begin_session(&self) -> String {
        let expiry = (now() + ADMIN_SESSION_LIFETIME).as_secs();
        let session = format!("{expiry}.{}", signature(&self.cookie, "session", expiry));
        self.set_cookie(&session, ADMIN_SESSION_LIFETIME)
    }

    /// `Set-Cookie` that takes the session from the browser.
    pub(super) fn end_session(&self) -> String {
        self.set_cookie("", Duration::ZERO)
    }

    fn set_cookie(&self, session: &str, lifetime: Duration) -> String {
        let (name, seconds) = (&self.session_name, lifetime.as_secs());
        format!("{name}={session}; Max-Age={seconds}; Path=/; HttpOnly; SameSite=Strict")
    }
}

/// 64 hex digits that only the cookie's holder can make.
fn signature(cookie: &Cookie, purpose: &str, number: u64) -> String {
    let mac = Hmac::<Sha256>::new_from_slice(cookie.as_str().as_bytes());
    let mut mac = mac.expect("HMAC takes keys of all lengths");
    mac.update(format!("{purpose} {number}").as_bytes());
    let bytes = mac.finalize().into_bytes();
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Since the Unix epoch.
fn now() -> Duration {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    now.unwrap_or_default()
}

/// Lets in who shows the cookie, or a session that one with the cookie began;
/// all others get 403 without a body, whatever they ask for ([AD-01, AD-02]). The
/// cookie goes back with the answer ([AD-03]).
pub(super) async fn admit(
    State(guard): State<Arc<Guard>>,
    request: Request,
    next: Next,
) -> Response {
    if !guard.admits(request.headers(), now()) {
        return if dashboard::is_visit(&request) {
            dashboard::redirect()
        } else {
            StatusCode::FORBIDDEN.into_response()
        };
    }
    let echo = request.headers().get(COOKIE).cloned();
    let mut response = timeout(ADMIN_TIMEOUT, serve(request, next))
        .await
        .unwrap_or_else(|_| refusal(StatusCode::SERVICE_UNAVAILABLE, "no answer in time"));
    let headers = response.headers_mut();
    if let Some(echo) = echo {
        headers.insert(COOKIE, echo);
    }
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// A body may come on any route ([AD-32]), also where none is wanted; read here
/// it is bounded, and the connection can go on.
async fn serve(request: Request, next: Next) -> Response {
    let (head, body) = request.into_parts();
    let Ok(body) = body::to_bytes(body, ADMIN_BODY_BYTES_MAX).await else {
        return refusal(StatusCode::PAYLOAD_TOO_LARGE, "body too large");
    };
    next.run(Request::from_parts(head, Body::from(body))).await
}

#[cfg(test)]
mod tests {
    use super::*;

    fn guard() -> Guard {
        let dir = tempfile::tempdir().expect("a directory");
        Guard::new(Cookie::load_or_create(dir.path(), "node").expect("made"))
    }

    /// A session, as the browser sends it back.
    fn session(guard: &Guard) -> String {
        let begun = guard.begin_session();
        let (pair, _) = begun.split_once(';').expect("attributes");
        pair.to_owned()
    }

    fn headers(cookies: &[&str]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(OWN, HeaderValue::from_static("1"));
        for cookie in cookies {
            headers.append(header::COOKIE, cookie.parse().expect("a value"));
        }
        headers
    }

    #[test]
    fn a_session_lasts_so_long_and_no_longer() {
        let guard = guard();
        let pair = &*session(&guard);
        let (_, session) = pair.split_once('=').expect("a value");
        let (expiry, _) = session.split_once('.').expect("a signature");
        let expiry = Duration::from_secs(expiry.parse().expect("seconds"));
        let headers = headers(&[pair]);
        assert!(guard.admits(&headers, expiry - Duration::from_secs(1)));
        assert!(!guard.admits(&headers, expiry));
        assert!(expiry - now() <= ADMIN_SESSION_LIFETIME);
    }

    #[test]
    fn a_session_is_found_among_other_cookies() {
        let guard = guard();
        let pair = &*session(&guard);
        let name = &guard.session_name;
        for cookies in [
            &[&*format!("a=b; {pair}; c")][..],
            &["a=b", pair],
            &[&format!("{name}=; {name}=1.f; {pair}")],
        ] {
            assert!(guard.admits(&headers(cookies), now()), "{cookies:?}");
        }
        let mut foreign = headers(&[pair]);
        foreign.remove(OWN);
        assert!(!guard.admits(&foreign, now()), "another site's request");
    }

    #[test]
    fn forged_sessions_are_none() {
        let guard = guard();
        let pair = &*session(&guard);
        let (name, session) = pair.split_once('=').expect("a value");
        let (expiry, signed) = session.split_once('.').expect("a signature");
        let later = expiry.parse::<u64>().expect("seconds") + 1;
        for forged in [
            String::new(),
            expiry.to_owned(),
            format!("{expiry}."),
            format!("{later}.{signed}"),
            format!("{expiry}.{}", &signed[1..]),
            format!("{expiry}.{signed}0"),
            format!("{expiry}.{}", signed.to_uppercase()),
            format!("{expiry}x.{signed}"),
            format!("{expiry}.{}", signature(&guard.cookie, "name", 0)),
        ] {
            // A signature of digits alone would have but one case.
            if forged != session {
                let headers = headers(&[&format!("{name}={forged}")]);
                assert!(!guard.admits(&headers, now()), "{forged}");
            }
        }
        let other = super::tests::guard();
        assert!(!other.admits(&headers(&[pair]), now()), "another cookie's");
    }

    #[test]
    fn a_wrong_cookie_is_refused_beside_a_session() {
        let guard = guard();
        let pair = &*session(&guard);
        let mut headers = headers(&[pair]);
        headers.insert(COOKIE, HeaderValue::from_static("wrong"));
        assert!(!guard.admits(&headers, now()));
    }
}
