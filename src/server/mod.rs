//! Boot and drain order of a node.

#![forbid(unsafe_code)]

mod control_thread;
mod error;
mod tls;

pub use error::StartError;
pub use tls::{TlsConfig, TlsFileError, TlsFiles};

use std::fs::DirBuilder;
use std::io;
use std::mem::ManuallyDrop;
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::DirBuilderExt;
use std::path::PathBuf;
use std::sync::{Arc, mpsc};
use std::thread::available_parallelism;
use std::time::Duration;

use crate::control::{self, Cookie, DiskStore, Handle, NodeFacts, NodeLock, Observer};
use crate::limits::SHARDS_MAX;
use crate::meter::{Clock, Occupancy, ShardMeter};
use crate::model::Quotas;
use crate::shard::{Listeners, Seat, Shard};
use crate::tls::Acceptors;
use crate::{net, sys};
use control_thread::{Anchor, ControlThread, LoadedControl};

/// What a node is started with. Port 0 stands for one that the kernel picks.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where browsers connect.
    pub websocket_addr: SocketAddr,
    /// Where Kosmonaut connects.
    pub backend_addr: SocketAddr,
    /// Where operators connect.
    pub admin_addr: SocketAddr,
    /// Store, cookie and lock live here.
    pub storage_dir: PathBuf,
    /// Names the files in it.
    pub node_name: String,
    /// How many shards; from 1 to [`SHARDS_MAX`]. Each is pinned to one of the cores that
    /// the process may use, in their order; none where there are more shards than cores.
    pub shards: u16,
    /// What the node and its vhosts grant; replaced by [`Node::reload`].
    pub quotas: Quotas,
    /// Time over which a stopping node spreads the closing of its frontends;
    /// a millisecond each at the most, and less where the stop has no time for it.
    pub drain_window: Duration,
    /// Where it speaks TLS beside that, and with what.
    pub tls: Option<TlsConfig>,
}

/// A running node.
pub struct Node {
    shards: Vec<Shard>,
    meters: Vec<Arc<ShardMeter>>,
    occupancy: Arc<Occupancy>,
    drain_window: Duration,
    control: ControlThread,
    websocket_addr: SocketAddr,
    backend_addr: SocketAddr,
    admin_addr: SocketAddr,
    tls_websocket_addr: Option<SocketAddr>,
    tls_backend_addr: Option<SocketAddr>,
    acceptors: Option<Arc<Acceptors>>,
    cookie: Cookie,
    /// Stays open with the shards where these have not been joined.
    anchor: ManuallyDrop<Anchor>,
    /// Held as long as the node runs.
    _lock: NodeLock,
}

impl Node {
    /// Starts a node; returns when all that its store holds can be used.
    /// Connections made before wait until then.
    ///
    /// # Errors
    /// What can't be had, and where.
    pub fn start(config: Config) -> Result<Self, StartError> {
        let Config {
            websocket_addr,
            backend_addr,
            admin_addr,
            storage_dir,
            node_name,
            shards,
            quotas,
            drain_window,
            tls,
        } = config;
        if shards == 0 || usize::from(shards) > SHARDS_MAX {
            return Err(StartError::Shards(shards));
        }
        // Before anything is made: the files are the likeliest to be wrong.
        let offer = tls.as_ref().map(|tls| tls.files.load()).transpose()?;
        // A browser takes a descriptor; the usual soft limit is made for shells.
        sys::raise_descriptor_limit().map_err(StartError::Thread)?;
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&storage_dir)
            .map_err(|source| control::Error::Storage {
                path: storage_dir.clone(),
                source,
            })?;
        let lock = NodeLock::acquire(&storage_dir, &node_name)?;
        let cookie = Cookie::load_or_create(&storage_dir, &node_name)?;
        let failed = |what, addr| move |source| StartError::Bind { what, addr, source };
        let frontends =
            net::bind_all(websocket_addr, shards).map_err(failed("websocket", websocket_addr))?;
        let backends =
            net::bind_all(backend_addr, shards).map_err(failed("backend", backend_addr))?;
        let bind_tls = |what, addr: Option<SocketAddr>| {
            let bound = addr.map(|addr| net::bind_all(addr, shards).map_err(failed(what, addr)));
            bound.transpose()
        };
        let tls_frontends = bind_tls(
            "TLS websocket",
            tls.as_ref().and_then(|it| it.websocket_addr),
        )?;
        let tls_backends = bind_tls("TLS backend", tls.as_ref().and_then(|it| it.backend_addr))?;
        let admin = TcpListener::bind(admin_addr).map_err(failed("admin", admin_addr))?;
        let websocket_addr = address(&frontends)?;
        let backend_addr = address(&backends)?;
        let tls_websocket_addr = tls_frontends.as_deref().map(address).transpose()?;
        let tls_backend_addr = tls_backends.as_deref().map(address).transpose()?;
        let admin_addr = admin.local_addr().map_err(StartError::Thread)?;

        // Before any thread, so that a store that can't be used leaves none behind.
        let store = DiskStore::open(&storage_dir, &node_name)?;
        let quotas = Arc::new(quotas);
        let (control, ports, anchor) = LoadedControl::load(shards, store, Arc::clone(&quotas))?;
        // A quota may grant less than the cores that the process may use.
        let granted = available_parallelism().map_or(1, usize::from);
        let cores = match usize::from(shards) <= granted {
            true => sys::allowed_cores(),
            false => Vec::new(),
        };
        let clock = Clock::start();
        let occupancy = Arc::new(Occupancy::default());
        let meters: Vec<Arc<ShardMeter>> = ports.iter().map(|_| Arc::default()).collect();
        let acceptors = offer.map(|(offer, names)| {
            log_names(&names);
            Arc::new(Acceptors::new(offer))
        });
        let mut tls_frontends = tls_frontends.map(Vec::into_iter);
        let mut tls_backends = tls_backends.map(Vec::into_iter);
        let (ready, readiness) = mpsc::channel();
        let shards = ports
            .into_iter()
            .zip(frontends)
            .zip(backends)
            .zip(&meters)
            .map(|(((port, frontends), backends), meter)| {
                let core = cores.get(usize::from(port.id())).copied();
                Shard::start(
                    Seat {
                        port,
                        meter: Arc::clone(meter),
                        quotas: quotas.clone(),
                        occupancy: occupancy.clone(),
                        core,
                        clock,
                        acceptors: acceptors.clone(),
                    },
                    Listeners {
                        frontends,
                        backends,
                        tls_frontends: tls_frontends.as_mut().and_then(Iterator::next),
                        tls_backends: tls_backends.as_mut().and_then(Iterator::next),
                    },
                    ready.clone(),
                )
            })
            .collect::<Result<Vec<_>, _>>()?;
        drop(ready);
        for outcome in readiness.iter().take(shards.len()) {
            outcome?;
        }
        let facts = NodeFacts {
            name: node_name,
            websocket_addr,
        };
        let observed = meters.clone();
        let observe = |handle| Observer::new(facts, clock, observed, handle);
        let control = control.start(admin, cookie.clone(), observe)?;
        Ok(Self {
            shards,
            meters,
            occupancy,
            control,
            drain_window,
            websocket_addr,
            backend_addr,
            admin_addr,
            tls_websocket_addr,
            tls_backend_addr,
            acceptors,
            cookie,
            anchor: ManuallyDrop::new(anchor),
            _lock: lock,
        })
    }

    /// Where browsers connect.
    pub fn websocket_addr(&self) -> SocketAddr {
        self.websocket_addr
    }

    /// Where Kosmonaut connects.
    pub fn backend_addr(&self) -> SocketAddr {
        self.backend_addr
    }

    /// Where browsers connect with `wss`.
    pub fn tls_websocket_addr(&self) -> Option<SocketAddr> {
        self.tls_websocket_addr
    }

    /// Where Kosmonaut connects with `wrs`.
    pub fn tls_backend_addr(&self) -> Option<SocketAddr> {
        self.tls_backend_addr
    }

    /// Where operators connect.
    pub fn admin_addr(&self) -> SocketAddr {
        self.admin_addr
    }

    /// The operators' secret.
    pub fn cookie(&self) -> &str {
        self.cookie.as_str()
    }

    /// What each shard counts, by its id.
    pub fn meters(&self) -> &[Arc<ShardMeter>] {
        &self.meters
    }

    /// Who is connected, over all shards.
    pub fn occupancy(&self) -> &Occupancy {
        &self.occupancy
    }

    /// Vhosts and channels, for whoever runs in the same process.
    pub fn handle(&self) -> Handle {
        self.control.handle()
    }

    /// Replaces what the node and its vhosts grant. Who has more already keeps it.
    ///
    /// # Errors
    /// [`control::Error::Stopped`].
    pub async fn reload(&self, quotas: Quotas) -> Result<(), control::Error> {
        self.handle().set_quotas(Arc::new(quotas)).await
    }

    /// Lets connections over TLS in with these from now on; nothing where there is
    /// no such listener. Who is connected stays as it came in.
    ///
    /// # Errors
    /// The file that can't be used: the old ones stay.
    pub fn reload_tls(&self, files: &TlsFiles) -> Result<(), TlsFileError> {
        if let Some(acceptors) = &self.acceptors {
            let (offer, names) = files.load()?;
            acceptors.replace(offer);
            log_names(&names);
        }
        Ok(())
    }

    /// Closes every connection in order and stops; tells whether all were
    /// closed within `timeout`. Where not, the rest goes with the process.
    pub fn stop(self, timeout: Duration) -> bool {
        let drained = self.control.stop(timeout, self.drain_window);
        // A shard that has not drained can't be joined.
        let stopped = drained && self.shards.into_iter().all(|shard| shard.join().is_ok());
        if stopped {
            drop(ManuallyDrop::into_inner(self.anchor));
        }
        stopped
    }
}

fn log_names(names: &[String]) {
    let names = names.join(", ");
    tracing::info!(names, "TLS certificates loaded");
}

fn address(listeners: &[TcpListener]) -> Result<SocketAddr, StartError> {
    let first = listeners
        .first()
        .ok_or_else(|| io::Error::other("no listener"));
    first
        .and_then(TcpListener::local_addr)
        .map_err(StartError::Thread)
}
