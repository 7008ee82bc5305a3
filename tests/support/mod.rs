//! A real node over loopback, an independent WebSocket client, and raw TCP.

#![allow(dead_code, unreachable_pub, reason = "each test file uses its part")]
#![allow(clippy::needless_pass_by_value, reason = "json!() makes values")]

pub mod admin;
pub mod backend;
pub mod program;
pub mod serve;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::runtime::{Builder, Runtime};
use tokio_tungstenite::tungstenite::{self, HandshakeError, Message, WebSocket};
use webrocket::control::stats::ChannelStats;
use webrocket::model::{ChannelName, Quotas, VhostPath};
use webrocket::server::{Config, Node};

/// Long enough for the slowest machine; only a failing test ever waits for it.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// A running node with one vhost, `/test`.
pub struct Broker {
    node: Option<Node>,
    runtime: Runtime,
    token: String,
    storage: TempDir,
}

impl Broker {
    pub fn start(shards: u16) -> Self {
        Self::configured(shards, |_| {})
    }

    /// A broker that grants this.
    pub fn with_quotas(shards: u16, quotas: Quotas) -> Self {
        Self::configured(shards, |config| config.quotas = quotas)
    }

    /// A broker whose configuration differs from that of the tests.
    pub fn configured(shards: u16, change: impl FnOnce(&mut Config)) -> Self {
        let storage = storage();
        let any: SocketAddr = "127.0.0.1:0".parse().expect("an address");
        let mut config = Config {
            websocket_addr: any,
            backend_addr: any,
            admin_addr: any,
            storage_dir: storage.path().into(),
            node_name: "test-node".into(),
            shards,
            quotas: unhurried(),
            drain_window: Duration::ZERO,
            tls: None,
        };
        change(&mut config);
        let node = Node::start(config).expect("the node starts");
        let runtime = Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("a runtime");
        let mut broker = Self {
            node: Some(node),
            runtime,
            token: String::new(),
            storage,
        };
        broker.token = broker.add_vhost("/test");
        broker
    }

    /// A broker with these channels open in `/test`.
    pub fn with_channels(shards: u16, channels: &[&str]) -> Self {
        let broker = Self::start(shards);
        channels
            .iter()
            .for_each(|channel| broker.open_channel(channel));
        broker
    }

    pub fn node(&self) -> &Node {
        self.node.as_ref().expect("running")
    }

    /// Waits for control.
    pub fn wait<T>(&self, answer: impl Future<Output = T>) -> T {
        self.runtime.block_on(answer)
    }

    /// The access token of `/test`.
    pub fn token(&self) -> &str {
        &self.token
    }

    /// Creates a vhost and gives its access token.
    pub fn add_vhost(&self, path: &str) -> String {
        let path = VhostPath::parse(path).expect("a vhost path");
        let created = self
            .runtime
            .block_on(self.node().handle().create_vhost(path));
        created.expect("a new vhost").token.to_string()
    }

    pub fn delete_vhost(&self, path: &str) {
        let path = VhostPath::parse(path).expect("a vhost path");
        self.runtime
            .block_on(self.node().handle().delete_vhost(path))
            .expect("deleted");
    }

    pub fn open_channel(&self, name: &str) {
        let path = VhostPath::parse("/test").expect("a vhost path");
        let name = ChannelName::parse(name).expect("a channel name");
        self.runtime
            .block_on(self.node().handle().open_channel(path, name))
            .expect("opened");
    }

    /// Opens many channels at once.
    pub fn open_channels(&self, names: &[String]) {
        let path = VhostPath::parse("/test").expect("a vhost path");
        let handle = self.node().handle();
        let opened = names.iter().map(|name| {
            let name = ChannelName::parse(name).expect("a channel name");
            handle.open_channel(path.clone(), name)
        });
        let opened = self
            .runtime
            .block_on(futures_util::future::join_all(opened));
        assert!(opened.iter().all(Result::is_ok));
    }

    /// How many subscribers a channel of `/test` has, hidden ones included.
    pub fn subscribers(&self, name: &str) -> u32 {
        let path = VhostPath::parse("/test").expect("a vhost path");
        let name = ChannelName::parse(name).expect("a channel name");
        let count = self
            .runtime
            .block_on(self.node().handle().subscribers(path, name));
        count.expect("counted")
    }

    /// The channels with the most broadcasts of late.
    pub fn top_channels(&self, count: usize) -> Vec<ChannelStats> {
        let top = self.node().handle();
        let top = self.runtime.block_on(top.top_channels(count));
        top.expect("answered")
    }

    /// Waits for this number: who closes or is lost leaves without a receipt.
    pub fn expect_subscribers(&self, name: &str, count: u32) {
        let begun = std::time::Instant::now();
        while self.subscribers(name) != count {
            assert!(begun.elapsed() < PATIENCE, "never {count} subscribers");
            std::thread::yield_now();
        }
    }

    /// Waits until no shard knows a worker of `/test` any longer.
    pub fn expect_no_workers(&self) {
        let path = VhostPath::parse("/test").expect("a vhost path");
        let handle = self.node().handle();
        let begun = std::time::Instant::now();
        let known = || self.runtime.block_on(handle.workers(path.clone()));
        while !known().expect("listed").is_empty() {
            assert!(begun.elapsed() < PATIENCE, "a worker that stays");
            std::thread::yield_now();
        }
        // Every shard has applied what was decided before.
        self.runtime.block_on(handle.settle()).expect("settled");
    }

    /// Gives `/test` another access token; [`Self::token`] keeps the old one.
    pub fn replace_token(&self) {
        let path = VhostPath::parse("/test").expect("a vhost path");
        let replaced = self
            .runtime
            .block_on(self.node().handle().replace_token(path));
        replaced.expect("replaced");
    }

    pub fn close_channel(&self, name: &str) {
        let path = VhostPath::parse("/test").expect("a vhost path");
        let name = ChannelName::parse(name).expect("a channel name");
        self.runtime
            .block_on(self.node().handle().close_channel(path, name))
            .expect("closed");
    }

    /// A browser on `/test`, `:connected` already taken.
    pub fn browser(&self) -> Browser {
        self.browser_on("/test")
    }

    pub fn browser_on(&self, vhost: &str) -> Browser {
        Browser::connect(self.node().websocket_addr(), vhost)
    }

    /// A browser that has authenticated with a single access token.
    pub fn user(&self, uid: &str, pattern: &str) -> Browser {
        let mut browser = self.browser();
        browser.send(json!({"auth": {"token": self.single_access_token(uid, pattern)}}));
        browser.expect(json!({":authenticated": {}}));
        browser
    }

    pub fn single_access_token(&self, uid: &str, pattern: &str) -> String {
        let answer = self.request(&["AT", uid, pattern]);
        let token = answer
            .strip_prefix("AT\n")
            .and_then(|rest| rest.split('\n').next());
        token
            .unwrap_or_else(|| panic!("no token: {answer:?}"))
            .to_owned()
    }

    /// One request on a connection of its own, as the old clients do it; the
    /// bytes until the end of the stream.
    pub fn request(&self, frames: &[&str]) -> String {
        let mut stream = self.backend();
        stream.write_all(&self.packet("req", frames)).expect("sent");
        read_to_end(&mut stream)
    }

    /// A connection to the backend port.
    pub fn backend(&self) -> TcpStream {
        let stream = TcpStream::connect(self.node().backend_addr()).expect("connected");
        stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        stream.set_nodelay(true).expect("no delay");
        stream
    }

    /// A packet with the identity of `/test`.
    pub fn packet(&self, kind: &str, frames: &[&str]) -> Vec<u8> {
        let identity = format!("{kind}:/test:{}:{}", self.token, fresh_id());
        format!("{identity}\n\n{}\n\r\n\r\n", frames.join("\n")).into_bytes()
    }

    /// Drains; tells whether all went in order.
    pub fn stop(self) -> bool {
        self.stop_within(PATIENCE)
    }

    pub fn stop_within(mut self, timeout: Duration) -> bool {
        self.node.take().expect("running").stop(timeout)
    }
}

/// The default quotas, for tests that send as fast as they can.
pub fn unhurried() -> Quotas {
    let mut quotas = Quotas::default();
    quotas.default.messages_per_second_max = u32::MAX;
    quotas.default.bytes_per_second_max = u32::MAX;
    quotas
}

/// Waits until something that nobody tells of has happened.
pub fn eventually(happened: impl Fn() -> bool) {
    let begun = std::time::Instant::now();
    while !happened() {
        assert!(begun.elapsed() < PATIENCE, "never happened");
        std::thread::yield_now();
    }
}

/// A storage directory in memory: only the store's own tests wait for a disk.
pub fn storage() -> TempDir {
    tempfile::tempdir_in("/dev/shm")
        .or_else(|_| tempfile::tempdir())
        .expect("a temporary directory")
}

/// 36 characters, another each time.
pub fn fresh_id() -> String {
    use std::sync::atomic::{AtomicU64, Ordering};
    static NEXT: AtomicU64 = AtomicU64::new(0);
    format!("{:036}", NEXT.fetch_add(1, Ordering::Relaxed))
}

pub fn read_to_end(stream: &mut TcpStream) -> String {
    let mut text = String::new();
    stream
        .read_to_string(&mut text)
        .expect("an end of the stream");
    text
}

/// An independent WebSocket client.
pub struct Browser<S = TcpStream> {
    pub socket: WebSocket<S>,
    pub sid: String,
}

impl Browser {
    pub fn connect(addr: SocketAddr, vhost: &str) -> Self {
        Self::over(TcpStream::connect(addr).expect("connected"), vhost)
    }

    pub fn over(stream: TcpStream, vhost: &str) -> Self {
        stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        stream.set_nodelay(true).expect("no delay");
        let addr = stream.peer_addr().expect("connected");
        Self::upgrade(stream, &format!("ws://{addr}{vhost}"))
    }
}

impl<S: Read + Write> Browser<S> {
    /// A browser over whatever carries its bytes.
    pub fn upgrade(stream: S, url: &str) -> Self {
        let upgraded = tungstenite::client(url, stream);
        let (socket, _) = upgraded.unwrap_or_else(|error| match error {
            HandshakeError::Failure(error) => panic!("no upgrade: {error}"),
            HandshakeError::Interrupted(_) => panic!("no upgrade in time"),
        });
        let mut browser = Self {
            socket,
            sid: String::new(),
        };
        let connected = browser.receive();
        let sid = connected[":connected"]["sid"].as_str();
        browser.sid = sid
            .unwrap_or_else(|| panic!("not connected: {connected}"))
            .to_owned();
        browser
    }

    pub fn send(&mut self, message: Value) {
        self.send_text(&message.to_string());
    }

    pub fn send_text(&mut self, text: &str) {
        self.socket.send(Message::text(text)).expect("sent");
    }

    /// The next message.
    pub fn receive(&mut self) -> Value {
        match self.receive_raw() {
            Message::Text(text) => serde_json::from_str(&text).expect("JSON"),
            other => panic!("no text: {other:?}"),
        }
    }

    pub fn receive_raw(&mut self) -> Message {
        loop {
            match self.socket.read().expect("a message") {
                Message::Ping(_) | Message::Pong(_) => {}
                message => return message,
            }
        }
    }

    pub fn expect(&mut self, message: Value) {
        assert_eq!(self.receive(), message);
    }

    pub fn expect_error(&mut self, code: u16) {
        let message = self.receive();
        assert_eq!(message[":error"]["code"], code, "{message}");
    }

    /// Everything sent to this browser before is all that it was sent: a bad
    /// message is answered next, in its place.
    pub fn expect_nothing_before(&mut self) {
        self.send_text("no JSON");
        self.expect(json!({":error": {"code": 400, "status": "Bad request"}}));
    }

    /// Subscribes a normal channel.
    pub fn subscribe(&mut self, channel: &str) {
        self.send(json!({"subscribe": {"channel": channel}}));
        self.expect(json!({":subscribed": {"channel": channel}}));
    }

    pub fn broadcast(&mut self, channel: &str, event: &str, data: Value) {
        self.send(json!({"broadcast": {"channel": channel, "event": event, "data": data}}));
    }

    /// The close frame that ends the connection.
    pub fn expect_close(&mut self) -> (u16, String) {
        match self.receive_raw() {
            Message::Close(Some(frame)) => (frame.code.into(), frame.reason.to_string()),
            other => panic!("no close: {other:?}"),
        }
    }
}
