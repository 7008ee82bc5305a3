//! The upgrade from HTTP/1.1 to WebSocket (spec 3.1, RFC 6455 section 4), and the
//! scripts that browsers get on the same port.

mod script;

pub use script::{Script, ScriptAnswer};

use base64::Engine;
use base64::alphabet;
use base64::engine::{GeneralPurpose, GeneralPurposeConfig};
use sha1::{Digest, Sha1};

use super::deflate;
use crate::limits::{UPGRADE_BYTES_MAX, UPGRADE_HEADERS_MAX};

/// The head of a request. An unknown path is told before a bad upgrade, so both
/// are here and the caller keeps the order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request<'a> {
    /// What is to be done with the path.
    pub method: Method,
    /// The path as sent, without the query; nothing in it is percent-decoded.
    pub path: &'a str,
    /// What follows the first question mark.
    pub query: Option<&'a str>,
    /// Where the browser's page came from, if it tells.
    pub origin: Option<&'a [u8]>,
    /// The first offer of `permessage-deflate` that can be taken.
    pub deflate: Option<deflate::Agreement>,
    /// The tags of copies that the client has.
    pub if_none_match: Option<&'a [u8]>,
    /// Whether an upgrade to WebSocket is asked for, good or bad.
    pub asks_upgrade: bool,
    /// Whether the request is a good upgrade.
    pub upgrade: Result<UpgradeKey, Refusal>,
}

/// The method of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// `GET`.
    Get,
    /// `HEAD`.
    Head,
    /// Any other.
    Other,
}

impl Request<'_> {
    /// The refusal that sends the client to the clean path with its query,
    /// where the path is not clean ([HS-07]).
    pub fn redirect(&self) -> Option<Refusal> {
        let mut location = clean_path(self.path)?;
        if let Some(query) = self.query {
            location.push('?');
            location.push_str(query);
        }
        Some(Refusal::MovedPermanently(location))
    }
}

/// The `Sec-WebSocket-Accept` that answers a good upgrade.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UpgradeKey([u8; 28]);

/// Why there is no upgrade; each is a whole response, then the connection closes.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// 301 to this path and query.
    #[error("moved to {0}")]
    MovedPermanently(String),
    /// 400, with the reason.
    #[error("{0}")]
    BadRequest(&'static str),
    /// 403: the origin is not allowed.
    #[error("origin not allowed")]
    Forbidden,
    /// 404: no such vhost.
    #[error("no such vhost")]
    NotFound,
    /// 405: none of these methods.
    #[error("only {allow} is allowed")]
    MethodNotAllowed {
        /// As the `Allow` header has them.
        allow: &'static str,
    },
    /// 408: the request did not come in time.
    #[error("request took too long")]
    Timeout,
    /// 426: not version 13.
    #[error("WebSocket version must be 13")]
    WrongVersion,
    /// 431: past [`UPGRADE_BYTES_MAX`] or [`UPGRADE_HEADERS_MAX`].
    #[error("request head too large")]
    HeadTooLarge,
    /// 429: the peer's address has all the connections it may.
    #[error("too many connections from this address")]
    TooManyRequests,
    /// 503: the node takes no more.
    #[error("no room for another connection")]
    Unavailable,
}

/// The request at the front of `bytes` and the bytes of its head; `None` where
/// that is not all there.
///
/// # Errors
/// What can't be read as a request at all, or is past its bounds.
pub fn parse_request(bytes: &[u8]) -> Result<Option<(Request<'_>, usize)>, Refusal> {
    let head = &bytes[..bytes.len().min(UPGRADE_BYTES_MAX)];
    let mut headers = [httparse::EMPTY_HEADER; UPGRADE_HEADERS_MAX];
    let mut request = httparse::Request::new(&mut headers);
    let consumed = match request.parse(head) {
        Ok(httparse::Status::Complete(consumed)) => consumed,
        Ok(httparse::Status::Partial) if head.len() == UPGRADE_BYTES_MAX => {
            return Err(Refusal::HeadTooLarge);
        }
        Ok(httparse::Status::Partial) => return Ok(None),
        Err(httparse::Error::TooManyHeaders) => return Err(Refusal::HeadTooLarge),
        Err(_) => return Err(Refusal::BadRequest("not an HTTP/1.1 request")),
    };
    if has_bare_lf(&head[..consumed]) {
        return Err(Refusal::BadRequest("a line that ends without CR"));
    }
    let (path, query) = split_target(request.path.unwrap_or_default())
        .ok_or(Refusal::BadRequest("target is not a path"))?;
    let headers = Headers::collect(request.headers);
    let method = match request.method {
        Some("GET") => Method::Get,
        Some("HEAD") => Method::Head,
        _ => Method::Other,
    };
    let upgrade = if method != Method::Get {
        Err(Refusal::MethodNotAllowed { allow: "GET" })
    } else if request.version != Some(1) {
        Err(Refusal::BadRequest("upgrade needs HTTP/1.1"))
    } else {
        headers.upgrade()
    };
    Ok(Some((
        Request {
            method,
            path,
            query,
            origin: headers.origin.value,
            deflate: headers.deflate,
            if_none_match: headers.if_none_match,
            asks_upgrade: headers.upgrade,
            upgrade,
        },
        consumed,
    )))
}

/// Whether a line ends in LF alone. The parser takes it for a line, which RFC 9112
/// (section 2.2) allows; a proxy before the broker may not, and would have read
/// other headers than these.
fn has_bare_lf(head: &[u8]) -> bool {
    memchr::memchr_iter(b'\n', head).any(|at| at == 0 || head[at - 1] != b'\r')
}

/// Path and query of a target in origin form, or in the absolute form that
/// proxies use (RFC 9112 section 3.2).
fn split_target(target: &str) -> Option<(&str, Option<&str>)> {
    let target = if target.starts_with('/') {
        target
    } else {
        let (scheme, rest) = target.split_once("://")?;
        let known = ["http", "https", "ws", "wss"];
        if !known.iter().any(|name| scheme.eq_ignore_ascii_case(name)) {
            return None;
        }
        match rest.find(['/', '?']) {
            Some(at) if rest[at..].starts_with('?') => return Some(("/", Some(&rest[at + 1..]))),
            Some(at) => &rest[at..],
            None => "/",
        }
    };
    Some(match target.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (target, None),
    })
}

/// The headers that an upgrade depends on.
#[derive(Default)]
struct Headers<'a> {
    host: Single<'a>,
    origin: Single<'a>,
    key: Single<'a>,
    version: Single<'a>,
    if_none_match: Option<&'a [u8]>,
    deflate: Option<deflate::Agreement>,
    upgrade: bool,
    connection: bool,
    body: bool,
}

/// A header that may stand once.
#[derive(Default)]
struct Single<'a> {
    value: Option<&'a [u8]>,
    repeated: bool,
}

impl<'a> Single<'a> {
    fn put(&mut self, value: &'a [u8]) {
        self.repeated |= self.value.is_some();
        self.value = Some(value);
    }
}

impl<'a> Headers<'a> {
    fn collect(headers: &[httparse::Header<'a>]) -> Self {
        let mut found = Self::default();
        for header in headers {
            let is = |name: &str| header.name.eq_ignore_ascii_case(name);
            if is("Host") {
                found.host.put(header.value);
            } else if is("Origin") {
                found.origin.put(header.value);
            } else if is("Sec-WebSocket-Key") {
                found.key.put(header.value);
            } else if is("Sec-WebSocket-Version") {
                found.version.put(header.value);
            } else if is("Sec-WebSocket-Extensions") {
                let offered = || deflate::Agreement::choose(header.value);
                found.deflate = found.deflate.or_else(offered);
            } else if is("If-None-Match") {
                found.if_none_match = Some(header.value);
            } else if is("Upgrade") {
                found.upgrade |= lists(header.value, b"websocket");
            } else if is("Connection") {
                found.connection |= lists(header.value, b"upgrade");
            } else if is("Transfer-Encoding") {
                found.body = true;
            } else if is("Content-Length") {
                found.body |= header.value.trim_ascii() != b"0";
            }
        }
        found
    }

    fn upgrade(&self) -> Result<UpgradeKey, Refusal> {
        if [&self.host, &self.origin, &self.key, &self.version]
            .iter()
            .any(|one| one.repeated)
        {
            return Err(Refusal::BadRequest(
                "a header that may stand once is repeated",
            ));
        }
        if self.host.value.is_none() {
            return Err(Refusal::BadRequest("no Host"));
        }
        if self.body {
            return Err(Refusal::BadRequest("upgrade with a body"));
        }
        if !self.upgrade {
            return Err(Refusal::BadRequest("no Upgrade: websocket"));
        }
        if !self.connection {
            return Err(Refusal::BadRequest("no Connection: Upgrade"));
        }
        let Some(key) = self.key.value.map(<[u8]>::trim_ascii) else {
            return Err(Refusal::BadRequest("no Sec-WebSocket-Key"));
        };
        if self.version.value.map(<[u8]>::trim_ascii) != Some(b"13") {
            return Err(Refusal::WrongVersion);
        }
        UpgradeKey::answering(key).ok_or(Refusal::BadRequest(
            "Sec-WebSocket-Key is not 16 bytes in base64",
        ))
    }
}

/// Whether a header that lists tokens has this one among them.
fn lists(value: &[u8], token: &[u8]) -> bool {
    value
        .split(|&byte| byte == b',')
        .any(|other| other.trim_ascii().eq_ignore_ascii_case(token))
}

impl UpgradeKey {
    /// RFC 6455 section 4.2.2, step 5.4.
    fn answering(key: &[u8]) -> Option<Self> {
        let mut nonce = [0; 18];
        if key.len() != 24 || BASE64.decode_slice(key, &mut nonce).ok()? != 16 {
            return None;
        }
        let digest = Sha1::new()
            .chain_update(key)
            .chain_update(b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11")
            .finalize();
        let mut accept = [0; 28];
        let written = BASE64.encode_slice(digest, &mut accept).ok()?;
        (written == accept.len()).then_some(Self(accept))
    }
}

/// The last digit of a key holds four bits of its own; not all clients leave them zero.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_allow_trailing_bits(true),
);

/// The path with repeated slashes, `.` and `..` resolved and a trailing slash
/// kept, where that differs ([HS-07]).
pub fn clean_path(path: &str) -> Option<String> {
    // Browsers read `/\` like `//`: a redirect there would lead to another host.
    if path.contains('\\') {
        return None;
    }
    let mut parts = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    let mut clean = String::with_capacity(path.len() + 1);
    for part in &parts {
        clean.push('/');
        clean.push_str(part);
    }
    if parts.is_empty() || path.ends_with('/') {
        clean.push('/');
    }
    (clean != path).then_some(clean)
}

impl Refusal {
    /// The code of its response.
    pub fn status(&self) -> u16 {
        match self {
            Self::MovedPermanently(_) => 301,
            Self::BadRequest(_) => 400,
            Self::Forbidden => 403,
            Self::NotFound => 404,
            Self::MethodNotAllowed { .. } => 405,
            Self::Timeout => 408,
            Self::WrongVersion => 426,
            Self::TooManyRequests => 429,
            Self::HeadTooLarge => 431,
            Self::Unavailable => 503,
        }
    }

    fn status_text(&self) -> &'static str {
        match self {
            Self::MovedPermanently(_) => "Moved Permanently",
            Self::BadRequest(_) => "Bad Request",
            Self::Forbidden => "Forbidden",
            Self::NotFound => "Not Found",
            Self::MethodNotAllowed { .. } => "Method Not Allowed",
            Self::Timeout => "Request Timeout",
            Self::WrongVersion => "Upgrade Required",
            Self::TooManyRequests => "Too Many Requests",
            Self::HeadTooLarge => "Request Header Fields Too Large",
            Self::Unavailable => "Service Unavailable",
        }
    }

    /// Appends the whole response; the body names the reason.
    pub fn write(&self, out: &mut Vec<u8>) {
        let more = match self {
            Self::MovedPermanently(location) => format!("Location: {location}\r\n"),
            Self::MethodNotAllowed { allow } => format!("Allow: {allow}\r\n"),
            Self::WrongVersion => "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n".into(),
            _ => String::new(),
        };
        let (status, text) = (self.status(), self.status_text());
        let body = format!("{self}\n");
        let length = body.len();
        out.extend_from_slice(
            format!(
                "HTTP/1.1 {status} {text}\r\nConnection: close\r\n{more}\
                 Content-Type: text/plain; charset=utf-8\r\nContent-Length: {length}\r\n\r\n{body}"
            )
            .as_bytes(),
        );
    }
}

/// Appends the response that completes the upgrade. No subprotocol is ever
/// selected, and no extension but the one given ([HS-15]).
pub fn write_switching_protocols(
    key: &UpgradeKey,
    deflate: Option<deflate::Agreement>,
    out: &mut Vec<u8>,
) {
    out.extend_from_slice(
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
          Sec-WebSocket-Accept: ",
    );
    out.extend_from_slice(&key.0);
    if let Some(deflate) = deflate {
        out.extend_from_slice(b"\r\nSec-WebSocket-Extensions: ");
        out.extend_from_slice(deflate.answer().as_bytes());
    }
    out.extend_from_slice(b"\r\n\r\n");
}

#[cfg(test)]
mod tests;
