//! The browsers' scripts, as answers on the frontends' port (spec 8).

use super::{Method, Refusal, Request};

/// A script that the node serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Script {
    /// `/webrocket.js`: the constructor `WebRocket`.
    Library,
    /// `/<vhost>/webrocket.js`: that, and a connection to the vhost as `$wr`.
    Vhost,
}

/// What a request for a script gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ScriptAnswer {
    script: Script,
    /// The client's copy is still good: 304.
    is_fresh: bool,
    /// HEAD: no body follows.
    is_bare: bool,
}

/// The name of both, behind the folder.
const NAME: &str = "/webrocket.js";

/// Sent with every answer. Pages of any origin may load the scripts; browsers ask
/// again after five minutes, and get a 304 until the node is another version.
const HEADERS: &str = "Connection: close\r\nCache-Control: public, max-age=300\r\n\
Access-Control-Allow-Origin: *\r\nCross-Origin-Resource-Policy: cross-origin\r\n\
X-Content-Type-Options: nosniff\r\n";

impl Script {
    /// The script that this path names, and the path of its vhost, which may not exist.
    pub fn at(path: &str) -> Option<(Self, &str)> {
        let vhost = path.strip_suffix(NAME)?;
        let script = if vhost.is_empty() {
            Self::Library
        } else {
            Self::Vhost
        };
        Some((script, vhost))
    }

    /// Its text.
    pub fn bytes(self) -> &'static [u8] {
        match self {
            Self::Library => LIBRARY,
            Self::Vhost => VHOST,
        }
    }

    fn fingerprint(self) -> u64 {
        match self {
            Self::Library => const { fingerprint(LIBRARY) },
            Self::Vhost => const { fingerprint(VHOST) },
        }
    }

    fn etag(self) -> String {
        format!("\"{:016x}\"", self.fingerprint())
    }
}

const LIBRARY: &[u8] = include_bytes!("../../../clients/js/dist/webrocket.js");

/// The same for all: it finds its vhost in its own address.
const VHOST: &[u8] = include_bytes!("../../../clients/js/dist/preconfigured.js");

/// FNV-1a: tells builds apart, and guards nothing.
const fn fingerprint(bytes: &[u8]) -> u64 {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    let mut at = 0;
    while at < bytes.len() {
        hash = (hash ^ bytes[at] as u64).wrapping_mul(0x0000_0100_0000_01b3);
        at += 1;
    }
    hash
}

impl ScriptAnswer {
    /// What a request on the path of `script` gets.
    ///
    /// # Errors
    /// [`Refusal::MethodNotAllowed`] for all but GET and HEAD.
    pub fn to(request: &Request<'_>, script: Script) -> Result<Self, Refusal> {
        let is_bare = match request.method {
            Method::Get => false,
            Method::Head => true,
            Method::Other => return Err(Refusal::MethodNotAllowed { allow: "GET, HEAD" }),
        };
        let known = request.if_none_match.unwrap_or_default();
        Ok(Self {
            script,
            is_fresh: names_tag(known, script.etag().as_bytes()),
            is_bare,
        })
    }

    /// Appends the whole response.
    pub fn write(self, out: &mut Vec<u8>) {
        let etag = self.script.etag();
        if self.is_fresh {
            let head = format!("HTTP/1.1 304 Not Modified\r\n{HEADERS}ETag: {etag}\r\n\r\n");
            return out.extend_from_slice(head.as_bytes());
        }
        let bytes = self.script.bytes();
        let length = bytes.len();
        let head = format!(
            "HTTP/1.1 200 OK\r\n{HEADERS}ETag: {etag}\r\n\
             Content-Type: text/javascript; charset=utf-8\r\nContent-Length: {length}\r\n\r\n"
        );
        out.extend_from_slice(head.as_bytes());
        if !self.is_bare {
            out.extend_from_slice(bytes);
        }
    }
}

/// Whether an `If-None-Match` names this tag (RFC 9110 section 13.1.2): a list of
/// tags, weak ones too, or a star.
fn names_tag(list: &[u8], tag: &[u8]) -> bool {
    list.split(|&byte| byte == b',').any(|one| {
        let one = one.trim_ascii();
        one == b"*" || one.strip_prefix(b"W/").unwrap_or(one) == tag
    })
}

#[cfg(test)]
mod tests {
    use super::super::parse_request;
    use super::*;

    fn answer(method: &str, known: &str) -> Result<String, Refusal> {
        let text = format!("{method} /webrocket.js HTTP/1.1\r\nHost: h\r\n{known}\r\n");
        let (request, _) = parse_request(text.as_bytes())?.expect("whole");
        let mut out = Vec::new();
        ScriptAnswer::to(&request, Script::Library)?.write(&mut out);
        Ok(String::from_utf8(out).expect("UTF-8"))
    }

    #[test]
    fn paths_name_scripts() {
        assert_eq!(Script::at("/webrocket.js"), Some((Script::Library, "")));
        assert_eq!(
            Script::at("/app/webrocket.js"),
            Some((Script::Vhost, "/app"))
        );
        assert_eq!(
            Script::at("/a/b/webrocket.js"),
            Some((Script::Vhost, "/a/b"))
        );
        for other in [
            "/",
            "/app",
            "/webrocket.js/",
            "/xwebrocket.js",
            "/app/webrocket.mjs",
        ] {
            assert_eq!(Script::at(other), None, "{other}");
        }
    }

    #[test]
    fn comes_whole_to_get_and_without_body_to_head() {
        let whole = answer("GET", "").expect("a script");
        let (head, body) = whole.split_once("\r\n\r\n").expect("a head");
        assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
        let length = format!("\r\nContent-Length: {}", body.len());
        assert!(head.contains(&length), "{head}");
        assert_eq!(body.as_bytes(), Script::Library.bytes());
        assert_eq!(
            answer("HEAD", "").expect("a head"),
            format!("{head}\r\n\r\n")
        );
        assert_eq!(
            answer("POST", ""),
            Err(Refusal::MethodNotAllowed { allow: "GET, HEAD" })
        );
    }

    #[test]
    fn a_copy_that_is_still_good_is_said_so() {
        let tag = Script::Library.etag();
        assert_ne!(tag, Script::Vhost.etag());
        for known in [&*tag, "*", &format!("W/{tag}"), &format!("\"x\" , {tag}")] {
            let text = answer("GET", &format!("If-None-Match: {known}\r\n")).expect("an answer");
            assert!(text.starts_with("HTTP/1.1 304 "), "{known}: {text}");
            assert!(text.ends_with("\r\n\r\n") && text.contains(&tag), "{text}");
        }
        for other in ["\"x\"", "", &tag[1..], "W/", "W/*"] {
            let text = answer("GET", &format!("If-None-Match: {other}\r\n")).expect("an answer");
            assert!(text.starts_with("HTTP/1.1 200 "), "{other}");
        }
    }
}
