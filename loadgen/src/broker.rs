//! The broker under load: found or started, and made ready for a run.

use std::io;
use std::net::{SocketAddr, ToSocketAddrs};

use thiserror::Error;
use tokio::task::JoinSet;

use crate::args::{Place, Target, Watch};
use crate::limits::OPENERS_MAX;
use crate::plan::Plan;
use crate::process::Usage;
use crate::selfhost::{SelfHostError, SelfHosted};
use crate::server::{FetchError, MetricsUrl, Source};

/// Where all roles of a run connect.
#[derive(Debug)]
pub(crate) struct Broker {
    /// Where frontends connect.
    pub(crate) websocket: SocketAddr,
    /// The same as in a URL, for the `Host` header.
    pub(crate) host: String,
    /// The vhost's path.
    pub(crate) vhost: String,
    /// Where backends connect; without it channels must exist.
    pub(crate) backend: Option<kosmonaut::Url>,
    /// Where to look at what it spends.
    pub(crate) source: Source,
    /// Our own.
    hosted: Option<SelfHosted>,
}

/// Why there is nothing to put load on.
#[derive(Debug, Error)]
pub(crate) enum BrokerError {
    /// No child.
    #[error("{0}")]
    SelfHost(#[from] SelfHostError),
    /// The name leads nowhere.
    #[error("cannot find {host}: {source}")]
    Resolve {
        /// As given.
        host: String,
        /// What the resolver says.
        source: io::Error,
    },
    /// No process, or another user's.
    #[error("cannot look at process {pid} (--server-pid): {source}")]
    Process {
        /// As given.
        pid: u32,
        /// What `/proc` says.
        source: procfs::ProcError,
    },
    /// The address leads to no metrics.
    #[error("cannot read the broker's metrics (--metrics-url): {0}")]
    Metrics(#[from] FetchError),
    /// No backend to ask for what the run needs.
    #[error("{0} needs a backend: give --self-host, or --backend wr://TOKEN@host:port/vhost")]
    NoBackend(&'static str),
    /// The backend refuses a channel.
    #[error("cannot open channel {channel}: {source}")]
    Channel {
        /// Its name.
        channel: String,
        /// What the broker says.
        source: kosmonaut::Error,
    },
}

impl Broker {
    /// Starts a broker where `place` asks for one, with shards for so many
    /// clients, or finds the one it names.
    ///
    /// # Errors
    /// It does not start, or its name leads nowhere.
    pub(crate) fn at(place: &Place, clients: u32) -> Result<Self, BrokerError> {
        if place.self_host {
            return Self::start(place.shards_for(clients));
        }
        let Target { host, port, path } = &place.url;
        let host = format!("{host}:{port}");
        let websocket = resolve(&host)?;
        Ok(Self {
            websocket,
            host,
            vhost: path.as_str().to_owned(),
            backend: place.backend.clone(),
            source: Source::default(),
            hosted: None,
        })
    }

    /// A broker of our own.
    ///
    /// # Errors
    /// It does not start.
    pub(crate) fn start(shards: u16) -> Result<Self, BrokerError> {
        let hosted = SelfHosted::start(shards)?;
        let backend = hosted.backend().map_err(|_| SelfHostError::NotReady)?;
        Ok(Self {
            websocket: hosted.websocket_addr(),
            host: hosted.websocket_addr().to_string(),
            vhost: hosted.vhost().to_owned(),
            backend: Some(backend),
            source: Source {
                pid: Some(hosted.pid()),
                metrics: MetricsUrl::at(hosted.admin_addr()).ok(),
            },
            hosted: Some(hosted),
        })
    }

    /// The same, looked at as `watch` asks. Tries that once.
    ///
    /// # Errors
    /// There is nothing to see.
    pub(crate) fn watched(mut self, watch: &Watch) -> Result<Self, BrokerError> {
        if let Some(pid) = watch.server_pid {
            Usage::of(pid).map_err(|source| BrokerError::Process { pid, source })?;
            self.source.pid = Some(pid);
        }
        if let Some(url) = &watch.metrics_url {
            url.fetch()?;
            self.source.metrics = Some(url.clone());
        }
        Ok(self)
    }

    /// For an agent's command line.
    pub(crate) fn to_options(&self) -> Vec<String> {
        let mut options = vec![format!("--url=ws://{}{}", self.host, self.vhost)];
        let backend = self.backend.as_ref();
        options.extend(backend.map(|url| format!("--backend={}", url.reveal())));
        options
    }

    /// Whether there is a backend where the run needs one.
    ///
    /// # Errors
    /// Not so, and for what it would be.
    pub(crate) fn suit(&self, plan: &Plan) -> Result<(), BrokerError> {
        match (&self.backend, plan.needs_backend()) {
            (None, Some(option)) => Err(BrokerError::NoBackend(option)),
            (Some(_), _) | (_, None) => Ok(()),
        }
    }

    /// Opens the channels of a run, where there is a backend to do so. A channel
    /// that is there already stays as it is.
    ///
    /// # Errors
    /// The first that is refused.
    pub(crate) async fn open_channels(&self, plan: &Plan) -> Result<(), BrokerError> {
        let Some(url) = &self.backend else {
            return Ok(());
        };
        // One connection opens one channel at a time; the store commits those
        // of many connections together.
        let channels = plan.channels;
        let openers = channels.min(OPENERS_MAX);
        let mut tasks = JoinSet::<Result<(), BrokerError>>::new();
        for opener in 0..openers {
            let client = kosmonaut::Client::new(url.clone());
            let own = (opener..channels).step_by(openers as usize);
            let names: Vec<String> = own.map(|number| plan.channel_name(number)).collect();
            tasks.spawn(async move {
                for channel in names {
                    let opened = client.open_channel(&channel).await;
                    opened.map_err(|source| BrokerError::Channel { channel, source })?;
                }
                Ok(())
            });
        }
        while let Some(done) = tasks.join_next().await {
            // Nobody cancels them.
            done.unwrap_or_else(|panic| std::panic::resume_unwind(panic.into_panic()))?;
        }
        Ok(())
    }

    /// How many shards it has; 0 where it is another's.
    pub(crate) fn shards(&self) -> u16 {
        self.hosted.as_ref().map_or(0, SelfHosted::shards)
    }

    /// Its process, where it is known.
    pub(crate) fn pid(&self) -> Option<u32> {
        self.source.pid
    }

    /// What its process has used; nothing once it has died.
    pub(crate) fn usage(&self) -> Option<Usage> {
        self.pid().map(|pid| Usage::of(pid).unwrap_or_default())
    }
}

fn resolve(host: &str) -> Result<SocketAddr, BrokerError> {
    let failed = |source| BrokerError::Resolve {
        host: host.to_owned(),
        source,
    };
    let mut addresses = host.to_socket_addrs().map_err(failed)?;
    addresses
        .next()
        .ok_or_else(|| failed(io::ErrorKind::NotFound.into()))
}
