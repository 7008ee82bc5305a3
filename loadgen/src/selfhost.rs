//! A broker of our own, in a child process: its own descriptors, its own
//! processor time and memory. Both sides of the pipe between them are here.
//!
//! The child says on its standard output, in one line of JSON, where it listens,
//! and stops when its standard input ends. That happens however the parent dies.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::SocketAddr;
use std::os::unix::process::CommandExt;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use thiserror::Error;
use tokio::runtime::Builder;
use webrocket::control;
use webrocket::model::{Quotas, VhostPath};
use webrocket::server::{Config, Node, StartError};

use crate::host::{HostError, raise_descriptor_limit};
use crate::limits::STOP_TIMEOUT;

/// A running child.
#[derive(Debug)]
pub(crate) struct SelfHosted {
    child: Child,
    input: Option<ChildStdin>,
    ready: Ready,
    shards: u16,
}

/// What the child says when it is ready.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Ready {
    websocket: SocketAddr,
    backend: SocketAddr,
    admin: SocketAddr,
    vhost: String,
    token: String,
}

/// Why there is no broker. What the child itself says is on standard error.
#[derive(Debug, Error)]
pub(crate) enum SelfHostError {
    /// No process.
    #[error("cannot start the broker: {0}")]
    Process(#[from] io::Error),
    /// It ended, or said something else.
    #[error("the broker did not start")]
    NotReady,
}

impl SelfHosted {
    /// Starts a broker with its vhost, and waits until it is ready.
    ///
    /// # Errors
    /// Nothing is left running.
    pub(crate) fn start(shards: u16) -> Result<Self, SelfHostError> {
        let mut child = Command::new(std::env::current_exe()?)
            .arg("self-hosted-broker")
            .arg(shards.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            // An interrupt from the terminal is for the load generator alone.
            .process_group(0)
            .spawn()?;
        let input = child.stdin.take();
        let mut line = String::new();
        if let Some(output) = child.stdout.take() {
            BufReader::new(output).read_line(&mut line)?;
        }
        match serde_json::from_str(&line) {
            Ok(ready) => Ok(Self {
                child,
                input,
                ready,
                shards,
            }),
            Err(_) => {
                drop(input);
                stop(&mut child);
                Err(SelfHostError::NotReady)
            }
        }
    }

    /// Where browsers connect.
    pub(crate) fn websocket_addr(&self) -> SocketAddr {
        self.ready.websocket
    }

    /// How many it has.
    pub(crate) fn shards(&self) -> u16 {
        self.shards
    }

    /// The vhost's path.
    pub(crate) fn vhost(&self) -> &str {
        &self.ready.vhost
    }

    /// Where backends connect, and with what.
    ///
    /// # Errors
    /// The child speaks of something else.
    pub(crate) fn backend(&self) -> Result<kosmonaut::Url, kosmonaut::UrlError> {
        let Ready {
            backend,
            vhost,
            token,
            ..
        } = &self.ready;
        format!("wr://{token}@{backend}{vhost}").parse()
    }

    /// Where operators ask, `/metrics` too.
    pub(crate) fn admin_addr(&self) -> SocketAddr {
        self.ready.admin
    }

    /// The broker's process.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for SelfHosted {
    fn drop(&mut self) {
        self.input = None;
        stop(&mut self.child);
    }
}

/// Waits for the end of a child whose input has ended.
fn stop(child: &mut Child) {
    let deadline = Instant::now() + STOP_TIMEOUT;
    while matches!(child.try_wait(), Ok(None)) {
        if Instant::now() >= deadline {
            // Fails only when it has just ended.
            let _ = child.kill();
            let _ = child.wait();
            return;
        }
        thread::sleep(Duration::from_millis(10));
    }
}

/// Why the child ends before its parent wants it to.
#[derive(Debug, Error)]
pub(crate) enum ServeError {
    /// Too few descriptors.
    #[error(transparent)]
    Host(#[from] HostError),
    /// No directory, runtime or output.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// The node does not start.
    #[error(transparent)]
    Start(#[from] StartError),
    /// No vhost or channel.
    #[error(transparent)]
    Control(#[from] control::Error),
}

/// The child: serves until its standard input ends.
///
/// # Errors
/// What can't be had.
pub(crate) fn serve(shards: u16) -> Result<(), ServeError> {
    raise_descriptor_limit()?;
    let storage = tempfile::tempdir()?;
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    let node = Node::start(Config {
        websocket_addr: any,
        backend_addr: any,
        admin_addr: any,
        storage_dir: storage.path().into(),
        node_name: "self-hosted".into(),
        shards,
        quotas: unbounded(),
        drain_window: Duration::ZERO,
        tls: None,
    })?;
    let runtime = Builder::new_current_thread().build()?;
    let ready = runtime.block_on(open(&node))?;
    let mut output = io::stdout().lock();
    serde_json::to_writer(&mut output, &ready).map_err(io::Error::from)?;
    writeln!(output)?;
    output.flush()?;
    // Whatever ends the reading, there is nobody left to serve.
    let _ = io::stdin().lock().read_to_end(&mut Vec::new());
    node.stop(STOP_TIMEOUT / 2);
    Ok(())
}

/// The load is what is asked for, not what is let in.
fn unbounded() -> Quotas {
    let mut quotas = Quotas {
        connections_per_address_max: u32::MAX,
        ..Quotas::default()
    };
    quotas.default.messages_per_second_max = u32::MAX;
    quotas.default.bytes_per_second_max = u32::MAX;
    quotas
}

/// The vhost.
async fn open(node: &Node) -> Result<Ready, control::Error> {
    let path = VhostPath::parse("/load").ok_or(control::Error::InvalidPath)?;
    let vhost = node.handle().create_vhost(path.clone()).await?;
    Ok(Ready {
        websocket: node.websocket_addr(),
        backend: node.backend_addr(),
        admin: node.admin_addr(),
        vhost: path.as_str().to_owned(),
        token: vhost.token.to_string(),
    })
}
