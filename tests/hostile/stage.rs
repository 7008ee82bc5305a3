//! The node under attack, and what can be seen of it from outside.

use std::fs;
use std::net::{IpAddr, SocketAddr, TcpStream, UdpSocket};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::Pid;
use tempfile::TempDir;
use webrocket::meter::{Kind, Refused};

use crate::support::admin::{Answer, request, request_open};
use crate::support::backend::OK;
use crate::support::serve::{Host, Serve};
use crate::support::{Browser, PATIENCE, fresh_id, storage};

/// One attack at a time: bystanders measure.
static ALONE: Mutex<()> = Mutex::new(());

pub(crate) struct Stage {
    /// Locked for its log; what threads share is beside it.
    pub(crate) serve: Mutex<Serve>,
    pub(crate) host: Host,
    pub(crate) pid: Pid,
    frontends: SocketAddr,
    backends: SocketAddr,
    admin: SocketAddr,
    cookie: String,
    /// The access token of `/test`.
    pub(crate) token: String,
    _storage: TempDir,
    _alone: MutexGuard<'static, ()>,
}

impl Stage {
    /// A node of two shards with the vhosts `/test`, under attack, and `/calm`,
    /// where bystanders are.
    pub(crate) fn start(config: &str) -> Self {
        let alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
        let (host, storage) = (Host::new(), storage());
        host.configure(config);
        let dir = storage.path().to_str().expect("text");
        let mut flags = vec!["--shards", "2", "--storage-dir", dir];
        if !config.contains("[listen]") {
            // Peers of another address than the loopback reach it as well.
            flags.extend([
                "--websocket-addr",
                "0.0.0.0:0",
                "--backend-addr",
                "0.0.0.0:0",
            ]);
        }
        let serve = host.start(&flags);
        let mut stage = Self {
            pid: serve.pid(),
            frontends: local(serve.websocket_addr()),
            backends: local(serve.backend_addr()),
            admin: serve.admin_addr(),
            cookie: serve.cookie().into(),
            serve: Mutex::new(serve),
            host,
            token: String::new(),
            _storage: storage,
            _alone: alone,
        };
        stage.token = stage.add_vhost("/test");
        stage.add_vhost("/calm");
        stage
    }

    /// One request with the operator's cookie.
    pub(crate) fn admin(&self, method: &str, path: &str) -> Answer {
        request(self.admin, &self.cookie, method, path)
    }

    /// Creates a vhost and gives its access token.
    pub(crate) fn add_vhost(&self, path: &str) -> String {
        assert_eq!(self.admin("POST", path).status, 302);
        let shown = self.admin("GET", path).json();
        shown["vhost"]["accessToken"].as_str().expect("text").into()
    }

    pub(crate) fn open(&self, vhost: &str, channel: &str) {
        let path = format!("{vhost}/channels/{channel}");
        assert_eq!(self.admin("POST", &path).status, 302, "{path}");
    }

    pub(crate) fn frontends(&self) -> SocketAddr {
        self.frontends
    }

    pub(crate) fn backends(&self) -> SocketAddr {
        self.backends
    }

    pub(crate) fn browser(&self, vhost: &str) -> Browser {
        Browser::connect(self.frontends(), vhost)
    }

    /// A packet with the identity of `/test`.
    pub(crate) fn packet(&self, frames: &[&str]) -> Vec<u8> {
        packet("/test", &self.token, frames)
    }

    /// A kept backend client on `/test`.
    pub(crate) fn client(&self) -> Client {
        let stream = connect(self.backends());
        let mut client = Client {
            stream,
            received: Vec::new(),
        };
        assert_eq!(client.request(&self.packet(&["KA"])), OK);
        client
    }

    /// The sum of the samples of this name with this label.
    pub(crate) fn metric(&self, name: &str, label: &str) -> u64 {
        let page = request_open(self.admin, "/metrics");
        assert_eq!(page.status, 200);
        let samples = page.body.lines().filter(|line| {
            let end = |rest: &str| rest.starts_with('{') || rest.starts_with(' ');
            line.strip_prefix(name).is_some_and(end) && line.contains(label)
        });
        let values: Vec<f64> = samples
            .filter_map(|line| line.rsplit_once(' ')?.1.parse().ok())
            .collect();
        assert!(!values.is_empty(), "no {name} {label}");
        values.iter().sum::<f64>() as u64
    }

    /// How many turns all shards have made in so many seconds or less.
    pub(crate) fn pump_turns(&self) -> Vec<(f64, u64)> {
        let page = request_open(self.admin, "/metrics");
        let mut turns: Vec<(f64, u64)> = Vec::new();
        for line in page.body.lines() {
            let Some(labels) = line.strip_prefix("webrocket_turn_seconds_bucket{") else {
                continue;
            };
            let (_, labels) = labels.split_once("le=\"").expect("a bucket");
            let (bound, rest) = labels.split_once('"').expect("a bound");
            let bound = bound.parse().expect("seconds");
            let count: u64 = rest
                .rsplit_once(' ')
                .expect("a count")
                .1
                .parse()
                .expect("a count");
            match turns.iter_mut().find(|turn| turn.0 == bound) {
                Some(turn) => turn.1 += count,
                None => turns.push((bound, count)),
            }
        }
        assert!(!turns.is_empty(), "no histogram of turns");
        turns
    }

    pub(crate) fn refused(&self, cause: Refused) -> u64 {
        let label = format!("cause=\"{}\"", cause.as_str());
        self.metric("webrocket_refused_total", &label)
    }

    /// Waits for exactly so many, of this cause and of no other.
    pub(crate) fn expect_refused(&self, cause: Refused, count: u64) {
        self.expect(&format!("{count} of {}", cause.as_str()), || {
            self.refused(cause) == count
        });
        self.expect_no_other_refused(cause);
    }

    pub(crate) fn expect_no_other_refused(&self, cause: Refused) {
        for other in Refused::ALL.into_iter().filter(|other| *other != cause) {
            assert_eq!(self.refused(other), 0, "{} as well", other.as_str());
        }
    }

    pub(crate) fn connections(&self, kind: Kind) -> u64 {
        let label = format!("kind=\"{}\"", kind.as_str());
        self.metric("webrocket_connections", &label)
    }

    /// Waits until nobody is left but so many frontends.
    pub(crate) fn expect_only_frontends(&self, count: u64) {
        self.expect("alone", || {
            Kind::ALL.into_iter().all(|kind| {
                let expected = if kind == Kind::Frontend { count } else { 0 };
                self.connections(kind) == expected
            })
        });
    }

    pub(crate) fn expect(&self, what: &str, is_so: impl Fn() -> bool) {
        let begun = Instant::now();
        while !is_so() {
            assert!(begun.elapsed() < PATIENCE, "never {what}");
            thread::sleep(Duration::from_millis(10));
        }
    }

    /// What the process holds in memory, in bytes.
    pub(crate) fn resident_bytes(&self) -> u64 {
        let path = format!("/proc/{}/status", self.pid.as_raw_nonzero());
        let status = fs::read_to_string(path).expect("running");
        let line = status.lines().find(|line| line.starts_with("VmRSS:"));
        let kib = line.and_then(|line| line.split_whitespace().nth(1));
        kib.and_then(|kib| kib.parse::<u64>().ok())
            .expect("a number")
            * 1024
    }
}

/// A kept backend client.
pub(crate) struct Client {
    pub(crate) stream: TcpStream,
    received: Vec<u8>,
}

impl Client {
    /// One request and its answer.
    pub(crate) fn request(&mut self, packet: &[u8]) -> String {
        std::io::Write::write_all(&mut self.stream, packet).expect("sent");
        self.answer()
    }

    pub(crate) fn answer(&mut self) -> String {
        const END: &[u8] = b"\n\r\n\r\n";
        let mut buffer = [0; 4096];
        loop {
            if let Some(at) = memchr::memmem::find(&self.received, END) {
                let answer = self.received.drain(..at + END.len()).collect();
                return String::from_utf8(answer).expect("text");
            }
            let count = std::io::Read::read(&mut self.stream, &mut buffer).expect("an answer");
            assert_ne!(count, 0, "ended");
            self.received.extend_from_slice(&buffer[..count]);
        }
    }

    /// Opens many channels.
    pub(crate) fn open_all(&mut self, names: impl Iterator<Item = String>) {
        for name in names {
            let packet = format!("OC\n{name}\n\r\n\r\n");
            assert_eq!(self.request(packet.as_bytes()), OK);
        }
    }

    /// A single access token.
    pub(crate) fn token(&mut self, uid: &str, pattern: &str) -> String {
        let answer = self.request(format!("AT\n{uid}\n{pattern}\n\r\n\r\n").as_bytes());
        let token = answer
            .strip_prefix("AT\n")
            .and_then(|it| it.split('\n').next());
        token
            .unwrap_or_else(|| panic!("no token: {answer:?}"))
            .into()
    }
}

pub(crate) fn packet(vhost: &str, token: &str, frames: &[&str]) -> Vec<u8> {
    let identity = format!("req:{vhost}:{token}:{}", fresh_id());
    format!("{identity}\n\n{}\n\r\n\r\n", frames.join("\n")).into_bytes()
}

pub(crate) fn connect(addr: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(addr).expect("connected");
    stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    stream.set_nodelay(true).expect("no delay");
    stream
}

fn local(addr: SocketAddr) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], addr.port()))
}

/// An IPv4 address of this host that is none of the loopback's; none on a host
/// without a network. Nothing is sent.
pub(crate) fn own_address() -> Option<IpAddr> {
    let socket = UdpSocket::bind(("0.0.0.0", 0)).ok()?;
    socket.connect(("192.0.2.1", 9)).ok()?;
    let address = socket.local_addr().ok()?.ip();
    (!address.is_loopback() && !address.is_unspecified()).then_some(address)
}
