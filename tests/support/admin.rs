//! A raw HTTP client for admin REST.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};

use serde_json::Value;

use super::{Broker, PATIENCE};

/// An answer of the admin endpoint.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    head: String,
    pub body: String,
}

impl Answer {
    /// The value of a header, whose name is given in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| {
            let (key, value) = line.split_once(": ")?;
            key.eq_ignore_ascii_case(name).then_some(value)
        })
    }

    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|_| panic!("no JSON: {self:?}"))
    }

    /// Status 302 to `location`, nothing else.
    pub fn expect_found(&self, location: &str) {
        assert_eq!((self.status, self.body.as_str()), (302, ""), "{self:?}");
        assert_eq!(self.header("location"), Some(location));
    }

    pub fn expect_error(&self, status: u16, text: &str) {
        let expected = serde_json::json!({ "error": text });
        assert_eq!((self.status, self.json()), (status, expected));
    }
}

/// One request with the operator's cookie.
pub fn admin(broker: &Broker, method: &str, path: &str) -> Answer {
    let node = broker.node();
    request(node.admin_addr(), node.cookie(), method, path)
}

/// One request with the operator's cookie and a body.
pub fn admin_post(broker: &Broker, path: &str, body: &str) -> Answer {
    let cookie = broker.node().cookie();
    let length = body.len();
    let headers = format!("X-WebRocket-Cookie: {cookie}\r\nContent-Length: {length}\r\n");
    admin_with(broker, "POST", path, &headers, body)
}

/// The same, where there is no broker at hand.
pub fn request(addr: SocketAddr, cookie: &str, method: &str, path: &str) -> Answer {
    let cookie = format!("X-WebRocket-Cookie: {cookie}\r\n");
    exchange(addr, method, path, &cookie, "")
}

/// One request with these header lines, each with its CR LF.
pub fn admin_with(broker: &Broker, method: &str, path: &str, headers: &str, body: &str) -> Answer {
    exchange(broker.node().admin_addr(), method, path, headers, body)
}

/// A request without the cookie, where there is no broker at hand.
pub fn request_open(addr: SocketAddr, path: &str) -> Answer {
    exchange(addr, "GET", path, "", "")
}

fn exchange(addr: SocketAddr, method: &str, path: &str, headers: &str, body: &str) -> Answer {
    let mut stream = TcpStream::connect(addr).expect("connected");
    stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    let request =
        format!("{method} {path} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n{headers}\r\n");
    stream
        .write_all(format!("{request}{body}").as_bytes())
        .expect("sent");
    let mut text = String::new();
    stream.read_to_string(&mut text).expect("an answer");
    let (head, body) = text.split_once("\r\n\r\n").expect("a head");
    let status = head.split(' ').nth(1).expect("a status");
    Answer {
        status: status.parse().expect("a number"),
        head: head.to_owned(),
        body: body.to_owned(),
    }
}
