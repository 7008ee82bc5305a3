//! `kill -9` under write load, a hundred times: every acknowledged change is
//! there after the restart, what was not acknowledged is there or not, and a
//! single access token that was used once is not taken again.
//!
//! Each writer changes things of its own, one change of each at a time, and
//! notes what it was told. `WEBROCKET_SEED` repeats a run.

mod support;

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use futures_util::future::join_all;
use kosmonaut::Client;
use serde_json::{Value, json};
use support::PATIENCE;
use support::serve::{Host, Serve};
use tokio_tungstenite::tungstenite::{self, Message};

const KILLS: usize = 100;

#[test]
fn nothing_acknowledged_is_lost_in_a_hundred_kills_st_01_st_04() {
    let seed = std::env::var("WEBROCKET_SEED").ok();
    let seed = seed.and_then(|seed| seed.parse().ok()).unwrap_or_else(|| {
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        now.map_or(1, |now| now.as_nanos() as u64)
    });
    println!("WEBROCKET_SEED={seed}");
    let mut random = Random(seed);
    let host = Host::new();
    let mut node = host.start(&["--shards", "2"]);
    let (status, _) = http(&node.target(), "POST", "/main").expect("answered");
    assert_eq!(status, 302);
    let mut books = Books::default();
    let told = AtomicUsize::new(0);
    for kill in 0..KILLS {
        let target = node.target();
        // So many changes after the start, and a bit: amid the next one.
        let goal = told.load(Ordering::Relaxed) + random.below(12) as usize;
        let after = Duration::from_micros(random.below(4_000));
        let seeds = [random.next(), random.next(), random.next(), random.next()];
        thread::scope(|scope| {
            let Books {
                vhosts,
                rest_channels,
                backend_channels,
                tokens,
            } = &mut books;
            let writer = |seed| Writer {
                target: &target,
                told: &told,
                random: Random(seed),
            };
            let [first, second, third, fourth] = seeds.map(writer);
            scope.spawn(|| first.write_vhosts(vhosts));
            scope.spawn(|| second.write_channels(rest_channels));
            scope.spawn(|| third.write_as_backend(backend_channels));
            scope.spawn(|| fourth.write_tokens(tokens));
            let begun = Instant::now();
            while told.load(Ordering::Relaxed) < goal {
                assert!(begun.elapsed() < PATIENCE, "nothing is acknowledged");
                thread::sleep(Duration::from_micros(100));
            }
            thread::sleep(after);
            node.kill();
        });
        // Whatever the kill left behind.
        node = host.start(&["--shards", "2"]);
        let now = told.load(Ordering::Relaxed);
        println!("kill {kill}: {now} changes acknowledged, {after:?} past {goal}");
        books.check(&node.target());
    }
    node.stop();
}

/// What a writer talks to.
struct Target {
    admin: SocketAddr,
    backend: SocketAddr,
    websocket: SocketAddr,
    cookie: String,
}

impl Serve {
    fn target(&self) -> Target {
        Target {
            admin: self.admin_addr(),
            backend: self.backend_addr(),
            websocket: self.websocket_addr(),
            cookie: self.cookie().to_owned(),
        }
    }
}

/// What the store must hold of one thing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Fate {
    #[default]
    Absent,
    Present,
    /// A change was sent and not acknowledged.
    Doubt,
}

impl Fate {
    fn check(&mut self, present: bool, what: &str) {
        let found = if present { Self::Present } else { Self::Absent };
        assert!(*self == Self::Doubt || *self == found, "{what}: {self:?}");
        *self = found;
    }
}

/// What the writers were told.
#[derive(Default)]
struct Books {
    /// By path: the vhost, its access token where it was seen, its one channel.
    vhosts: Ledger<(Fate, String, Fate)>,
    rest_channels: Ledger<Fate>,
    backend_channels: Ledger<Fate>,
    tokens: Ledger<Fate>,
}

/// By name or token.
type Ledger<T> = BTreeMap<String, T>;

impl Books {
    fn check(&mut self, target: &Target) {
        let listed = get(target, "/");
        let listed = listed["vhosts"].as_array().expect("a list");
        assert!(listed.iter().any(|it| it["path"] == "/main"));
        for (path, (fate, token, channel)) in &mut self.vhosts {
            let found = listed.iter().find(|it| it["path"] == path.as_str());
            let known = *fate == Fate::Present;
            fate.check(found.is_some(), path);
            let Some(found) = found else {
                *channel = Fate::Absent;
                continue;
            };
            let size = &get(target, path)["vhost"]["channels"]["size"];
            channel.check(size == 1, &format!("the channel of {path}, {size}"));
            let found = found["accessToken"].as_str().expect("a token");
            let seen = known && !token.is_empty();
            assert!(!seen || token == found, "{path}: another token");
            found.clone_into(token);
        }
        let listed = get(target, "/main/channels");
        let listed = listed["channels"].as_array().expect("a list");
        let rest = self.rest_channels.iter_mut();
        for (name, fate) in rest.chain(&mut self.backend_channels) {
            let found = listed.iter().any(|it| it["name"] == name.as_str());
            fate.check(found, name);
        }
        // Looking at a token spends it.
        for (token, fate) in std::mem::take(&mut self.tokens) {
            let mut fate = fate;
            let found = authenticate(target.websocket, &token).expect("answered");
            fate.check(found, "a token");
            let again = authenticate(target.websocket, &token).expect("answered");
            assert!(!again, "a token was taken twice");
            if found {
                self.tokens.insert(token, Fate::Absent);
            }
        }
    }
}

/// Changes things until the node is killed; notes each change before it is
/// asked for and when it is acknowledged.
struct Writer<'a> {
    target: &'a Target,
    /// Changes acknowledged to all writers.
    told: &'a AtomicUsize,
    random: Random,
}

impl Writer<'_> {
    fn note(&self) {
        self.told.fetch_add(1, Ordering::Relaxed);
    }

    /// Through admin REST: vhosts with one channel each.
    fn write_vhosts(mut self, ledger: &mut Ledger<(Fate, String, Fate)>) -> Option<()> {
        let target = self.target;
        loop {
            let path = format!("/v{}", self.random.below(6));
            let thing = ledger.entry(path.clone()).or_default();
            let kind = self.random.below(4);
            match thing {
                (fate @ Fate::Absent, token, _) => {
                    *fate = Fate::Doubt;
                    token.clear();
                    expect(http(target, "POST", &path)?.0, 302);
                    *fate = Fate::Present;
                    *token = access_token(target, &path)?;
                }
                (Fate::Present, token, _) if kind == 0 => {
                    let before = std::mem::take(token);
                    expect(http(target, "PUT", &format!("{path}/token"))?.0, 302);
                    *token = access_token(target, &path)?;
                    assert_ne!(*token, before);
                }
                (Fate::Present, _, channel @ Fate::Absent) if kind == 1 => {
                    *channel = Fate::Doubt;
                    expect(http(target, "POST", &format!("{path}/channels/x"))?.0, 302);
                    *channel = Fate::Present;
                }
                (fate, _, channel) => {
                    let before = *channel;
                    (*fate, *channel) = (Fate::Doubt, Fate::Doubt);
                    if let Some((status, _)) = http(target, "DELETE", &path) {
                        expect(status, 202);
                    } else {
                        // If the vhost lives its channel does.
                        *channel = before;
                        return None;
                    }
                    (*fate, *channel) = (Fate::Absent, Fate::Absent);
                }
            }
            self.note();
        }
    }

    /// Through admin REST: channels of one vhost.
    fn write_channels(mut self, ledger: &mut Ledger<Fate>) -> Option<()> {
        let target = self.target;
        loop {
            let name = format!("rest-{}", self.random.below(40));
            let path = format!("/main/channels/{name}");
            let fate = ledger.entry(name).or_default();
            let before = std::mem::replace(fate, Fate::Doubt);
            if before == Fate::Absent {
                expect(http(target, "POST", &path)?.0, 302);
                *fate = Fate::Present;
            } else {
                expect(http(target, "DELETE", &path)?.0, 202);
                *fate = Fate::Absent;
            }
            self.note();
        }
    }

    /// Through Kosmonaut, eight channels at once over one connection.
    fn write_as_backend(mut self, ledger: &mut Ledger<Fate>) -> Option<()> {
        let target = self.target;
        let client = Client::with_timeout(main_url(target)?.parse().expect("a URL"), PATIENCE);
        block_on(async {
            loop {
                let first = self.random.below(40);
                let names = (first..first + 8).map(|number| format!("private-{number}"));
                let changes = names.map(|name| {
                    let fate = ledger.entry(name.clone()).or_default();
                    let before = std::mem::replace(fate, Fate::Doubt);
                    let client = &client;
                    async move {
                        let (after, done) = match before {
                            Fate::Absent => (Fate::Present, client.open_channel(&name).await),
                            _ => (Fate::Absent, client.close_channel(&name).await),
                        };
                        (name, after, done)
                    }
                });
                let changes: Vec<_> = changes.collect();
                let mut lost = false;
                for (name, after, done) in join_all(changes).await {
                    match done {
                        Ok(()) => {
                            ledger.insert(name, after);
                            self.note();
                        }
                        Err(error) => {
                            assert!(error.code().is_none(), "{error}");
                            lost = true;
                        }
                    }
                }
                if lost {
                    return None;
                }
            }
        })
    }

    /// Asks for single access tokens and uses some of them.
    fn write_tokens(mut self, ledger: &mut Ledger<Fate>) -> Option<()> {
        let target = self.target;
        let client = Client::with_timeout(main_url(target)?.parse().expect("a URL"), PATIENCE);
        block_on(async {
            loop {
                let token = client.request_single_access_token("joe", ".*").await.ok()?;
                let fate = ledger.entry(token.as_str().into()).or_default();
                *fate = Fate::Present;
                self.note();
                if self.random.below(2) == 0 {
                    *fate = Fate::Doubt;
                    assert!(
                        authenticate(target.websocket, token.as_str())?,
                        "a new token"
                    );
                    *fate = Fate::Absent;
                    self.note();
                }
            }
        })
    }
}

/// Killed before this, a vhost has a token that nobody saw.
fn access_token(target: &Target, path: &str) -> Option<String> {
    let (status, body) = http(target, "GET", path)?;
    expect(status, 200);
    let body: Value = serde_json::from_str(&body).expect("JSON");
    body["vhost"]["accessToken"].as_str().map(Into::into)
}

fn main_url(target: &Target) -> Option<String> {
    let token = access_token(target, "/main")?;
    Some(format!("wr://{token}@{}/main", target.backend))
}

fn get(target: &Target, path: &str) -> Value {
    let (status, body) = http(target, "GET", path).expect("answered");
    expect(status, 200);
    serde_json::from_str(&body).expect("JSON")
}

fn expect(status: u16, expected: u16) {
    assert_eq!(status, expected);
}

/// Status and body of one request; `None` where the node was killed first.
fn http(target: &Target, method: &str, path: &str) -> Option<(u16, String)> {
    let mut stream = TcpStream::connect(target.admin).ok()?;
    stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    let request = format!(
        "{method} {path} HTTP/1.1\r\nHost: test\r\nConnection: close\r\nX-WebRocket-Cookie: {}\r\n\r\n",
        target.cookie
    );
    stream.write_all(request.as_bytes()).ok()?;
    let mut text = String::new();
    stream.read_to_string(&mut text).ok()?;
    // The answer's head came whole or not at all: it is one segment.
    let (head, body) = text.split_once("\r\n\r\n")?;
    let status = head.split(' ').nth(1).expect("a status");
    Some((status.parse().expect("a number"), body.to_owned()))
}

/// Whether the node takes the token; `None` where it was killed first.
fn authenticate(addr: SocketAddr, token: &str) -> Option<bool> {
    let stream = TcpStream::connect(addr).ok()?;
    stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    let (mut socket, _) = tungstenite::client(format!("ws://{addr}/main"), stream).ok()?;
    let auth = json!({"auth": {"token": token}}).to_string();
    socket.send(Message::text(auth)).ok()?;
    loop {
        let text = match socket.read().ok()? {
            Message::Text(text) => text,
            _ => continue,
        };
        let message: Value = serde_json::from_str(&text).expect("JSON");
        if message.get(":authenticated").is_some() {
            return Some(true);
        }
        if let Some(error) = message.get(":error") {
            assert_eq!(error["code"], 402, "{message}");
            return Some(false);
        }
    }
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    runtime.expect("a runtime").block_on(future)
}

/// splitmix64.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut word = self.0;
        word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        word ^ (word >> 31)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }
}
