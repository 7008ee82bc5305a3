//! A throw-away node, and beside it what an application would be: a page, an
//! endpoint that vouches for the page's users, and a worker.

mod commands;
mod page;

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::Path;
use std::time::Duration;

use kosmonaut::{Client, Event, Url, Worker};
use serde::Deserialize;
use serde_json::json;

use super::{Failure, default_shards, runtime, stop_signal};
use crate::control::DASHBOARD;
use crate::limits::{DRAIN_TIMEOUT, SHARDS_MAX};
use crate::model::{ChannelName, Quotas, VhostPath};
use crate::server::{Config, Node};

#[derive(clap::Args)]
pub(super) struct Arguments {
    /// Where the page is [default: 127.0.0.1:8083, or a free port]
    #[arg(long, value_name = "ADDR")]
    page_addr: Option<SocketAddr>,
    /// Where browsers connect [default: 127.0.0.1:8080, or a free port]
    #[arg(long, value_name = "ADDR")]
    websocket_addr: Option<SocketAddr>,
    /// Where backends connect [default: 127.0.0.1:8081, or a free port]
    #[arg(long, value_name = "ADDR")]
    backend_addr: Option<SocketAddr>,
    /// Where operators connect [default: 127.0.0.1:8082, or a free port]
    #[arg(long, value_name = "ADDR")]
    admin_addr: Option<SocketAddr>,
    /// Shards [default: the number of cores]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=SHARDS_MAX as i64))]
    shards: Option<u16>,
}

/// The node's name, and its cookie's.
const NODE: &str = "demo";

/// Each is open to everybody, with a channel beside it that tells who is there.
const ROOMS: [&str; 3] = ["lobby", "backstage", "random"];

/// The channels that a single access token of the page is good for.
const MEMBERS: &str = "presence-(lobby|backstage|random)";

const VHOST: &str = "/demo";

pub(super) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let storage = ThrowAway::new()?;
    let config = Config {
        websocket_addr: address("websocket", arguments.websocket_addr, 8080),
        backend_addr: address("backend", arguments.backend_addr, 8081),
        admin_addr: address("admin", arguments.admin_addr, 8082),
        storage_dir: storage.0.clone(),
        node_name: NODE.into(),
        shards: arguments.shards.unwrap_or_else(default_shards),
        quotas: Quotas::default(),
        drain_window: Duration::ZERO,
        tls: None,
    };
    let page_addr = address("page", arguments.page_addr, 8083);
    let runtime = runtime()?;
    let page = runtime
        .block_on(tokio::net::TcpListener::bind(page_addr))
        .map_err(Failure::system("page address"))?;
    let node = Node::start(config)?;
    let outcome = runtime.block_on(beside(&node, page, &storage.0));
    let drained = node.stop(DRAIN_TIMEOUT);
    outcome?;
    if drained {
        Ok(())
    } else {
        Err(Failure::NotDrained)
    }
}

/// Runs the demo's backend until a signal.
async fn beside(node: &Node, page: tokio::net::TcpListener, storage: &Path) -> Result<(), Failure> {
    let token = open_world(node).await?;
    let url = format!("wr://{token}@{}{VHOST}", node.backend_addr());
    let vhost: Url = url.parse().map_err(kosmonaut::Error::from)?;
    let client = Client::new(vhost.clone());
    let page_addr = page.local_addr().map_err(Failure::system("page address"))?;
    let state = page::State {
        client: client.clone(),
        websocket: node.websocket_addr(),
    };
    let served = tokio::spawn(page::serve(page, state));
    let worker = Worker::new(vhost).on("command", move |event: Event| {
        let client = client.clone();
        async move { answer(&client, &event).await }
    });
    announce(node, page_addr, &url, storage);
    let outcome = tokio::select! {
        outcome = worker.run() => outcome.map_err(Failure::from),
        outcome = stop_signal() => outcome,
    };
    served.abort();
    outcome
}

/// A vhost with its channels; gives its access token.
async fn open_world(node: &Node) -> Result<String, Failure> {
    let handle = node.handle();
    let path = VhostPath::parse(VHOST).ok_or(crate::control::Error::InvalidPath)?;
    let vhost = handle.create_vhost(path.clone()).await?;
    for room in ROOMS {
        for name in [room, &format!("presence-{room}")] {
            let name = ChannelName::parse(name).ok_or(crate::control::Error::InvalidChannelName)?;
            handle.open_channel(path.clone(), name).await?;
        }
    }
    Ok(vhost.token.to_string())
}

/// What the page says with a line that begins with a slash.
#[derive(Deserialize)]
struct Command {
    text: String,
    channel: String,
}

/// The worker's part: an answer for everybody in the room.
async fn answer(client: &Client, event: &Event) {
    let Ok(command) = event.deserialize::<Command>() else {
        return;
    };
    // Whoever triggers it by hand may name any channel.
    if !ROOMS.contains(&&*command.channel) {
        return;
    }
    let text = commands::answer(&command.text);
    let payload = json!({ "from": "worker", "text": text });
    if let Err(error) = client.broadcast(&command.channel, "answer", &payload).await {
        tracing::warn!(%error, "answer not broadcast");
    }
}

fn announce(node: &Node, page: SocketAddr, url: &str, storage: &Path) {
    let (admin, cookie) = (node.admin_addr(), node.cookie());
    println!("page       http://{page}   (open it in two tabs)");
    println!("dashboard  http://{admin}{DASHBOARD}#cookie={cookie}");
    println!("backend    {url}");
    println!("admin      http://{admin}");
    println!("\nTry:");
    println!(
        "  cargo run --release -p kosmonaut -- broadcast {url} lobby message '{{\"from\":\"shell\",\"text\":\"hello\"}}'"
    );
    println!("  cargo run --release -p kosmonaut -- listen {url}");
    println!("  cargo run --release -p loadgen -- --self-host --clients 1000");
    let program = program();
    let which = format!(
        "--node {NODE} --storage-dir {} --admin-addr {}",
        storage.display(),
        node.admin_addr()
    );
    println!("  {program} monitor {which}");
    println!("  {program} admin {which} list-channels {VHOST}");
    println!("\nCtrl-C stops it; nothing is kept.");
}

/// This program as it was called, so that what is printed can be run as it is.
fn program() -> String {
    let called = std::env::args_os().next();
    called.map_or_else(
        || "webrocket".into(),
        |name| name.to_string_lossy().into_owned(),
    )
}

/// The address asked for; else the usual one, or a free one where that is taken.
fn address(what: &str, asked: Option<SocketAddr>, port: u16) -> SocketAddr {
    let usual = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    asked.unwrap_or_else(|| match TcpListener::bind(usual) {
        Ok(_) => usual,
        Err(error) => {
            println!("{what} address {usual}: {error}; using a free port");
            SocketAddr::from((Ipv4Addr::LOCALHOST, 0))
        }
    })
}

/// A directory that goes with the process.
struct ThrowAway(std::path::PathBuf);

impl ThrowAway {
    fn new() -> Result<Self, Failure> {
        let name = format!("webrocket-demo-{}", std::process::id());
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&path).map_err(Failure::system("temporary directory"))?;
        Ok(Self(path))
    }
}

impl Drop for ThrowAway {
    fn drop(&mut self) {
        // Left-overs in a temporary directory do no harm.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
