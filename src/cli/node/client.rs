use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;
use ureq::http::uri::{Authority, Uri};
use ureq::http::{Method, Request, Response, StatusCode, header};
use ureq::{Agent, Body};

use super::cookie::Cookie;
use super::error::Error;
use crate::limits::ADMIN_CONNECT_TIMEOUT;

/// Talks to one node as its operator.
pub(in crate::cli) struct Client {
    agent: Agent,
    addr: Address,
    cookie: Cookie,
    answer_bytes_max: u64,
}

/// What the node answered to a request that it took.
pub(in crate::cli) enum Answer {
    /// The body; empty where there is nothing to say.
    Body(String),
    /// The path of what was made or changed.
    Found(String),
}

impl Client {
    pub(super) fn new(
        addr: Address,
        cookie: Cookie,
        timeout: Duration,
        answer_bytes_max: u64,
    ) -> Self {
        let config = Agent::config_builder()
            .timeout_connect(Some(ADMIN_CONNECT_TIMEOUT))
            .timeout_global(Some(timeout))
            .http_status_as_error(false)
            // The cookie goes to the node that was named: no redirect and no proxy of
            // the environment may lead it elsewhere.
            .max_redirects(0)
            .max_redirects_will_error(false)
            .proxy(None)
            .build();
        Self {
            agent: config.new_agent(),
            addr,
            cookie,
            answer_bytes_max,
        }
    }

    /// `HOST:PORT` of the node.
    pub(in crate::cli) fn addr(&self) -> &str {
        self.addr.0.as_str()
    }

    /// Looks whether the cookie's file holds another one now, and takes it then.
    ///
    /// # Errors
    /// The file holds none any more.
    pub(in crate::cli) fn renew_cookie(&mut self) -> Result<bool, Error> {
        let cookie = self.cookie.renewed()?;
        let is_other = cookie.text != self.cookie.text;
        self.cookie = cookie;
        Ok(is_other)
    }

    /// The JSON at `path`.
    pub(in crate::cli) fn get(&self, path: &str) -> Result<String, Error> {
        self.ask(Method::GET, path)
            .and_then(|answer| self.follow(answer))
    }

    /// A request without a body.
    pub(in crate::cli) fn ask(&self, method: Method, path: &str) -> Result<Answer, Error> {
        self.exchange(method, path, None)
    }

    /// A request with a body of JSON.
    pub(in crate::cli) fn post(&self, path: &str, body: String) -> Result<Answer, Error> {
        self.exchange(Method::POST, path, Some(body))
    }

    /// The answer's body, or what its one redirect leads to.
    pub(in crate::cli) fn follow(&self, answer: Answer) -> Result<String, Error> {
        let path = match answer {
            Answer::Body(body) => return Ok(body),
            Answer::Found(path) => path,
        };
        match self.ask(Method::GET, &path)? {
            Answer::Body(body) => Ok(body),
            Answer::Found(_) => Err(self.invalid("redirected twice")),
        }
    }

    fn exchange(&self, method: Method, path: &str, body: Option<String>) -> Result<Answer, Error> {
        let request = Request::builder()
            .method(method)
            .uri(format!("http://{}{path}", self.addr))
            .header("X-WebRocket-Cookie", &self.cookie.text);
        let response = match body {
            Some(body) => request
                .header(header::CONTENT_TYPE, "application/json")
                .body(body)
                .map_err(ureq::Error::from)
                .and_then(|request| self.agent.run(request)),
            None => request
                .body(())
                .map_err(ureq::Error::from)
                .and_then(|request| self.agent.run(request)),
        };
        response
            .map_err(|error| self.failure(&error))
            .and_then(|response| self.understand(response))
    }

    fn understand(&self, mut response: Response<Body>) -> Result<Answer, Error> {
        let body = response
            .body_mut()
            .with_config()
            .limit(self.answer_bytes_max)
            .read_to_string()
            .map_err(|error| self.failure(&error))?;
        match response.status() {
            StatusCode::FOUND => self.location(&response).map(Answer::Found),
            StatusCode::FORBIDDEN => Err(Error::WrongCookie {
                addr: self.addr.to_string(),
                origin: self.cookie.origin.clone(),
            }),
            status if status.is_success() => Ok(Answer::Body(body)),
            status => match serde_json::from_str::<Refusal>(&body) {
                Ok(refusal) => Err(Error::Refused {
                    status: status.as_u16(),
                    text: refusal.error,
                }),
                Err(_) => Err(self.invalid(&format!("HTTP status {status} without a reason"))),
            },
        }
    }

    /// Where a 302 leads. It may be relative or absolute; the host is this node's in any case.
    fn location(&self, response: &Response<Body>) -> Result<String, Error> {
        let location = response
            .headers()
            .get(header::LOCATION)
            .and_then(|location| Uri::try_from(location.as_bytes()).ok());
        let path = location.as_ref().and_then(Uri::path_and_query);
        path.filter(|path| path.as_str().starts_with('/'))
            .map(ToString::to_string)
            .ok_or_else(|| self.invalid("a redirect without a location"))
    }

    fn failure(&self, error: &ureq::Error) -> Error {
        let reason = match error {
            ureq::Error::Io(error) => error.to_string(),
            ureq::Error::Timeout(_) => "no answer in time".to_owned(),
            ureq::Error::HostNotFound => "no such host".to_owned(),
            ureq::Error::ConnectionFailed => "no connection".to_owned(),
            other => return self.invalid(&other.to_string()),
        };
        Error::Unreachable {
            addr: self.addr.to_string(),
            reason,
        }
    }

    /// What came is not what a node answers.
    pub(in crate::cli) fn invalid(&self, reason: &str) -> Error {
        Error::Invalid {
            addr: self.addr.to_string(),
            reason: reason.to_owned(),
        }
    }
}

/// `{"error":"text"}`.
#[derive(Deserialize)]
struct Refusal {
    error: String,
}

/// Names go into paths byte by byte escaped, so that a slash or a dot in one leads
/// nowhere else; what is a name is for the node to say ([AD-07, AD-17, AD-30]).
const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_');

/// `/a/b`, each segment escaped.
pub(in crate::cli) fn path(segments: &[&str]) -> String {
    let mut path = String::new();
    for segment in segments {
        path.push('/');
        path.extend(utf8_percent_encode(segment, ESCAPED));
    }
    path
}

/// A host and a port.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Address(Authority);

impl FromStr for Address {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const FORM: &str = "an address is HOST:PORT, as 127.0.0.1:8082 or [::1]:8082";
        // As servers write "on all addresses".
        let text = match text.strip_prefix(':') {
            Some(port) => format!("127.0.0.1:{port}"),
            None => text.to_owned(),
        };
        let authority: Authority = text.parse().map_err(|_| FORM)?;
        let usable = authority.port_u16().is_some_and(|port| port != 0)
            && !authority.host().is_empty()
            && !text.contains('@');
        usable.then_some(Self(authority)).ok_or(FORM)
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.as_str())
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::TcpListener;

    use super::*;
    use crate::cli::node::cookie::Origin;
    use crate::limits::ADMIN_ANSWER_TIMEOUT;

    #[test]
    fn answers_are_bounded() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let addr = listener.local_addr().expect("bound").to_string();
        let cookie = Cookie {
            text: "c".into(),
            origin: Origin::Given,
        };
        let addr = addr.parse().expect("an address");
        let client = Client::new(addr, cookie, ADMIN_ANSWER_TIMEOUT, 1000);
        for (size, fits) in [(999, true), (1000, true), (1001, false)] {
            let body = "x".repeat(size);
            let answer = std::thread::scope(|scope| {
                scope.spawn(|| {
                    let (mut stream, _) = listener.accept().expect("a connection");
                    let request = stream.read(&mut [0; 4096]).expect("a request");
                    assert!(request > 0);
                    let head = "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n";
                    // Who reads less than all closes early.
                    let _ = stream.write_all(format!("{head}{body}").as_bytes());
                });
                client.get("/")
            });
            match answer {
                Ok(text) => assert!(fits && text == body, "{size}"),
                Err(error) => assert!(!fits && matches!(error, Error::Invalid { .. }), "{error}"),
            }
        }
    }

    #[test]
    fn names_are_escaped_in_paths_ad_30() {
        assert_eq!(path(&["a/b_c-9"]), "/a%2Fb_c-9");
        assert_eq!(path(&["v", "channels", ".."]), "/v/channels/%2E%2E");
        assert_eq!(path(&["?#% ä"]), "/%3F%23%25%20%C3%A4");
    }

    #[test]
    fn addresses() {
        for (text, address) in [
            ("127.0.0.1:8082", "127.0.0.1:8082"),
            ("node.example:80", "node.example:80"),
            ("[::1]:8082", "[::1]:8082"),
            (":8082", "127.0.0.1:8082"),
        ] {
            let parsed = text.parse::<Address>().map(|it| it.to_string());
            assert_eq!(parsed.as_deref(), Ok(address));
        }
        for text in [
            "",
            "host",
            "host:",
            ":",
            "host:0",
            "host:65536",
            "u@h:1",
            "http://h:1",
            "a b:1",
        ] {
            assert!(text.parse::<Address>().is_err(), "{text}");
        }
    }
}
