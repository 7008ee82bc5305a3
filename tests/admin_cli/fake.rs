//! A server that answers what it is told to, and remembers what it was asked.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, channel};
use std::thread;

use crate::support::PATIENCE;
use crate::{Run, admin_at, run};

pub(crate) const COOKIE: &str = "0123456789abcdef0123456789abcdef01234567";

/// A request as it came.
#[derive(Debug)]
pub(crate) struct Asked {
    /// Method and target.
    pub(crate) line: String,
    pub(crate) cookie: String,
    pub(crate) body: String,
}

pub(crate) struct Fake {
    pub(crate) addr: SocketAddr,
    asked: Receiver<Asked>,
}

impl Fake {
    /// Answers one request after the other with these bytes, each on a connection of its own.
    pub(crate) fn raw(answers: Vec<Vec<u8>>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let addr = listener.local_addr().expect("bound");
        let (sender, asked) = channel();
        // It ends with its last answer; a test that fails before leaves it waiting.
        thread::spawn(move || {
            for answer in answers {
                let (stream, _) = listener.accept().expect("a connection");
                stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
                // Who is told of it has failed already.
                let _ = sender.send(serve(&stream, &answer));
            }
        });
        Self { addr, asked }
    }

    /// The same with statuses, header lines and bodies.
    pub(crate) fn answering(answers: &[(u16, &str, &str)]) -> Self {
        let answer = |&(status, headers, body): &(u16, &str, &str)| {
            let size = body.len();
            format!(
                "HTTP/1.1 {status} X\r\nContent-Length: {size}\r\nConnection: close\r\n{headers}\r\n{body}"
            )
            .into_bytes()
        };
        Self::raw(answers.iter().map(answer).collect())
    }

    pub(crate) fn admin(&self, arguments: &[&str]) -> Run {
        run(&mut admin_at(self.addr, COOKIE, arguments))
    }

    /// The next request that came.
    #[track_caller]
    pub(crate) fn was_asked(&self, line: &str) -> Asked {
        let asked = self.asked.recv_timeout(PATIENCE).expect("a request");
        assert_eq!((asked.line.as_str(), asked.cookie.as_str()), (line, COOKIE));
        asked
    }

    /// No request came but those taken.
    #[track_caller]
    pub(crate) fn was_asked_no_more(&self) {
        assert!(self.asked.try_recv().is_err());
    }
}

fn serve(mut stream: &TcpStream, answer: &[u8]) -> Asked {
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    reader.read_line(&mut line).expect("a request");
    let (mut cookie, mut size) = (String::new(), 0);
    loop {
        let mut header = String::new();
        reader.read_line(&mut header).expect("a header");
        let Some((name, value)) = header.trim_end().split_once(": ") else {
            break;
        };
        match name.to_ascii_lowercase().as_str() {
            "x-webrocket-cookie" => cookie = value.to_owned(),
            "content-length" => size = value.parse().expect("a size"),
            _ => {}
        }
    }
    let mut body = vec![0; size];
    reader.read_exact(&mut body).expect("a body");
    stream.write_all(answer).expect("answered");
    let line = line.trim_end().trim_end_matches(" HTTP/1.1").to_owned();
    let body = String::from_utf8(body).expect("text");
    Asked { line, cookie, body }
}
