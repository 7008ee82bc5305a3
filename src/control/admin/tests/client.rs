//! Admin REST on a real socket, and a client that writes its bytes itself.

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::control::tests::shard::Node;
use crate::control::{Cookie, MemoryStore, serve_admin};

pub(super) struct Admin {
    pub(super) node: Node,
    pub(super) cookie: String,
    pub(super) address: std::net::SocketAddr,
    shutdown: oneshot::Sender<()>,
    server: JoinHandle<std::io::Result<()>>,
}

pub(super) struct Answer {
    pub(super) status: u16,
    head: String,
    pub(super) body: String,
}

impl Admin {
    pub(super) async fn start() -> Self {
        let node = Node::start(2, MemoryStore::default()).await;
        let dir = tempfile::tempdir().expect("a directory");
        let cookie = Cookie::load_or_create(dir.path(), "node").expect("made");
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("bound");
        let address = listener.local_addr().expect("bound");
        let (shutdown, down) = oneshot::channel();
        let text = cookie.as_str().to_owned();
        let down = async { drop(down.await) };
        let server = tokio::spawn(serve_admin(
            listener,
            node.handle.clone(),
            node.observer.clone(),
            cookie,
            down,
        ));
        Self {
            node,
            cookie: text,
            address,
            shutdown,
            server,
        }
    }

    pub(super) async fn stop(self) {
        self.stop_server().await.stop().await;
    }

    /// Ends the server alone.
    pub(super) async fn stop_server(self) -> Node {
        self.shutdown.send(()).expect("serving");
        let served = self.server.await.expect("no panic");
        served.expect("served");
        self.node
    }

    /// One request with the cookie, on a connection of its own.
    pub(super) async fn ask(&self, method: &str, target: &str) -> Answer {
        let cookie = format!("X-WebRocket-Cookie: {}\r\n", self.cookie);
        self.ask_with(method, target, &cookie).await
    }

    /// One request with these header lines.
    pub(super) async fn ask_with(&self, method: &str, target: &str, lines: &str) -> Answer {
        let head = format!("{method} {target} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n");
        self.send(format!("{head}{lines}\r\n").as_bytes()).await
    }

    /// A `POST` of this body with the cookie.
    pub(super) async fn post(&self, target: &str, body: &str) -> Answer {
        let (cookie, length) = (&self.cookie, body.len());
        let head = format!(
            "POST {target} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\
             Content-Length: {length}\r\nX-WebRocket-Cookie: {cookie}\r\n\r\n"
        );
        self.send(format!("{head}{body}").as_bytes()).await
    }

    /// These bytes, and all that comes back.
    pub(super) async fn send(&self, bytes: &[u8]) -> Answer {
        let mut stream = TcpStream::connect(self.address).await.expect("connected");
        stream.write_all(bytes).await.expect("written");
        let mut answer = Vec::new();
        // A reset after the answer is as good an end as any.
        drop(stream.read_to_end(&mut answer).await);
        let answer = String::from_utf8(answer).expect("text");
        let (head, body) = answer.split_once("\r\n\r\n").expect("a whole head");
        Answer {
            status: head[9..12].parse().expect("a status"),
            head: head.to_owned(),
            body: body.to_owned(),
        }
    }
}

impl Answer {
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.head
            .lines()
            .filter_map(|line| line.split_once(": "))
            .find(|(found, _)| found.eq_ignore_ascii_case(name))
            .map(|(_, value)| value)
    }

    pub(super) fn json(&self) -> Value {
        serde_json::from_str(&self.body).expect("JSON")
    }

    /// The text of a refusal.
    pub(super) fn error(&self) -> String {
        let body = self.json();
        assert_eq!(body.as_object().map(serde_json::Map::len), Some(1));
        body["error"].as_str().expect("a text").to_owned()
    }
}
