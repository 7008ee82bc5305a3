//! `webrocket serve`: a node from its start to its end, and what signals do to it.

mod reload;
mod systemd;

use std::thread;
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::oneshot;

use super::config::{self, Flags, Layers, Settings};
use super::{Failure, default_shards, doctor, log, runtime};
use crate::control::{self, DASHBOARD, Handle};
use crate::server::{Config, Node};
use reload::Reloader;

pub(super) fn run(flags: Flags, log: &log::Flags) -> Result<(), Failure> {
    let check_only = flags.check;
    let layers = Layers::new(flags, log);
    let settings = layers.load().map_err(Failure::Invalid)?;
    if check_only {
        return check(&settings);
    }
    let filter = log::start(&settings.log_filter, settings.log_format);
    let config = node_config(&settings)?;
    let shards = config.shards;
    let runtime = runtime()?;
    // Before the node starts: a signal that comes meanwhile waits for its turn.
    let signals = {
        let _context = runtime.enter();
        Signals::new()?
    };
    let host = doctor::warn_before_start(config.quotas.connections_max, shards);
    let node = Node::start(config.clone())?;
    doctor::log_ceiling(&host);
    announce(&config, &node);
    runtime.block_on(supervise(
        node,
        shards,
        signals,
        Reloader::new(layers, settings, filter),
    ))
}

fn check(settings: &Settings) -> Result<(), Failure> {
    let problems = config::check(settings);
    if !problems.is_empty() {
        return Err(Failure::Invalid(problems));
    }
    println!("configuration is valid");
    Ok(())
}

fn node_config(settings: &Settings) -> Result<Config, Failure> {
    let named = settings.node_name.clone().map(Ok);
    let node_name = named.unwrap_or_else(config::host_name);
    Ok(Config {
        websocket_addr: settings.websocket_addr,
        backend_addr: settings.backend_addr,
        admin_addr: settings.admin_addr,
        storage_dir: settings.storage_dir.clone(),
        node_name: node_name.map_err(|problem| Failure::Invalid(vec![problem]))?,
        shards: settings.shards.unwrap_or_else(default_shards),
        quotas: settings.quotas.clone(),
        drain_window: settings.drain_window,
        tls: settings.tls(),
    })
}

fn announce(config: &Config, node: &Node) {
    println!("node       {}, {} shards", config.node_name, config.shards);
    println!("cookie     {}", node.cookie());
    println!("storage    {}", config.storage_dir.display());
    println!("websocket  ws://{}", node.websocket_addr());
    println!("backend    wr://{}", node.backend_addr());
    if let Some(addr) = node.tls_websocket_addr() {
        println!("websocket  wss://{addr}");
    }
    if let Some(addr) = node.tls_backend_addr() {
        println!("backend    wrs://{addr}");
    }
    println!("admin      http://{}", node.admin_addr());
    println!("dashboard  http://{}{DASHBOARD}", node.admin_addr());
}

/// Serves until a signal says to stop, then drains.
async fn supervise(
    node: Node,
    shards: u16,
    mut signals: Signals,
    mut reloader: Reloader,
) -> Result<(), Failure> {
    // Listening is not yet serving: every shard has to be at its work.
    tokio::select! {
        answered = probe(node.handle(), shards) => answered?,
        () = signals.stop() => return drain(node, reloader.drain_timeout(), &mut signals).await,
    }
    systemd::ready();
    if let Some(limit) = systemd::watchdog_limit() {
        let handle = node.handle();
        let probe = move || probe(handle.clone(), shards);
        tokio::spawn(systemd::watch(limit, probe, systemd::alive));
    }
    while let Said::Reload = signals.next().await {
        systemd::reloading();
        reloader.reload(&node).await;
        systemd::ready();
    }
    drain(node, reloader.drain_timeout(), &mut signals).await
}

/// Drains until all are gone, `timeout` is over, or a second signal comes.
async fn drain(node: Node, timeout: Duration, signals: &mut Signals) -> Result<(), Failure> {
    systemd::stopping(timeout);
    tracing::info!(?timeout, "draining");
    let (done, drained) = oneshot::channel();
    // On a thread of its own, so that signals and watchdog go on.
    thread::Builder::new()
        .name("drain".into())
        .spawn(move || done.send(node.stop(timeout)))
        .map_err(Failure::system("thread"))?;
    tokio::select! {
        drained = drained => match drained {
            Ok(true) => Ok(()),
            _ => Err(Failure::NotDrained),
        },
        () = signals.stop() => Err(Failure::StoppedTwice),
    }
}

/// Waits until control and each of the shards have answered.
async fn probe(handle: Handle, shards: u16) -> Result<(), control::Error> {
    for shard in 0..shards {
        handle.probe(shard).await?;
    }
    Ok(())
}

/// Where an operator or systemd is heard.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
}

impl Signals {
    fn new() -> Result<Self, Failure> {
        let listen = |kind| signal(kind).map_err(Failure::system("signals"));
        Ok(Self {
            terminate: listen(SignalKind::terminate())?,
            interrupt: listen(SignalKind::interrupt())?,
            hangup: listen(SignalKind::hangup())?,
        })
    }

    async fn next(&mut self) -> Said {
        tokio::select! {
            _ = self.terminate.recv() => Said::Stop,
            _ = self.interrupt.recv() => Said::Stop,
            _ = self.hangup.recv() => Said::Reload,
        }
    }

    /// Waits for SIGTERM or SIGINT; a SIGHUP meanwhile stays for [`Self::next`].
    async fn stop(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

/// What they say.
enum Said {
    /// SIGTERM or SIGINT.
    Stop,
    /// SIGHUP.
    Reload,
}
