//! A broker that follows a script: it accepts when told, and says what it is
//! told, byte for byte.
#![allow(dead_code, reason = "each test file uses its own part")]

use std::time::Duration;

use kosmonaut::Url;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};

pub(crate) const TOKEN: &str = "0123456789abcdef0123456789abcdef01234567";
pub(crate) const OK: &str = "OK\n\n\r\n\r\n";
pub(crate) const HB: &str = "HB\n\n\r\n\r\n";
pub(crate) const QT: &str = "QT\n\n\r\n\r\n";

pub(crate) fn error(code: u16) -> String {
    format!("ER\n{code}\n\r\n\r\n")
}

pub(crate) fn trigger(json: &str) -> String {
    format!("TR\n{json}\n\r\n\r\n")
}

pub(crate) struct FakeServer {
    listener: TcpListener,
}

impl FakeServer {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        Self { listener }
    }

    pub(crate) fn url_text(&self) -> String {
        let address = self.listener.local_addr().expect("bound");
        format!("wr://{TOKEN}@{address}/shop/orders")
    }

    pub(crate) fn url(&self) -> Url {
        self.url_text().parse().expect("valid")
    }

    pub(crate) async fn accept(&self) -> Peer {
        let (stream, _) = hang_guard(self.listener.accept()).await.expect("accepts");
        Peer {
            stream: BufReader::new(stream),
        }
    }

    /// Accepts a client, checks its identity and grants the kept connection.
    pub(crate) async fn accept_kept(&self) -> Peer {
        let mut peer = self.accept().await;
        assert_eq!(peer.identified_packet("req").await, ["KA"]);
        peer.send(OK).await;
        peer
    }

    /// Accepts a worker and registers it.
    pub(crate) async fn accept_worker(&self) -> Peer {
        let mut peer = self.accept().await;
        assert_eq!(peer.identified_packet("dlr").await, ["RD"]);
        peer.send(HB).await;
        peer
    }
}

pub(crate) struct Peer {
    stream: BufReader<TcpStream>,
}

impl Peer {
    /// The frames of the next packet.
    pub(crate) async fn packet(&mut self) -> Vec<String> {
        hang_guard(self.try_packet()).await.expect("a packet")
    }

    /// The same, or `None` at the end of the stream.
    pub(crate) async fn try_packet(&mut self) -> Option<Vec<String>> {
        let mut frames = Vec::new();
        let mut half = false;
        loop {
            let mut line = String::new();
            if self.stream.read_line(&mut line).await.unwrap_or(0) == 0 {
                return None;
            }
            match (line.as_str(), half) {
                ("\r\n", true) => return Some(frames),
                ("\r\n", false) => half = true,
                _ => {
                    half = false;
                    frames.push(line.trim_end_matches('\n').to_owned());
                }
            }
        }
    }

    /// The frames behind a valid identity ([BE-04], [BE-05]).
    pub(crate) async fn identified_packet(&mut self, role: &str) -> Vec<String> {
        let mut frames = self.packet().await;
        let parts: Vec<&str> = frames[0].split(':').collect();
        assert_eq!(parts[..3], [role, "/shop/orders", TOKEN]);
        assert_eq!(parts[3].len(), 36);
        assert_eq!(parts.len(), 4);
        assert_eq!(frames[1], "");
        frames.split_off(2)
    }

    /// The next packet that is no heartbeat.
    pub(crate) async fn packet_between_heartbeats(&mut self) -> Vec<String> {
        loop {
            let packet = self.packet().await;
            if packet != ["HB"] {
                return packet;
            }
        }
    }

    pub(crate) async fn send(&mut self, bytes: &str) {
        self.stream
            .get_mut()
            .write_all(bytes.as_bytes())
            .await
            .expect("the other side is there");
    }

    /// Ends what this side says; it still hears.
    pub(crate) async fn fall_silent(&mut self) {
        let _ = self.stream.get_mut().shutdown().await;
    }

    /// Waits for the other side to close.
    pub(crate) async fn closed(mut self) {
        let mut rest = Vec::new();
        let _ = hang_guard(self.stream.read_to_end(&mut rest)).await;
    }
}

/// Turns a hang into a failure; far longer than anything takes.
pub(crate) async fn hang_guard<F: Future>(future: F) -> F::Output {
    tokio::time::timeout(Duration::from_secs(60), future)
        .await
        .expect("the test hangs")
}
