use std::collections::BTreeSet;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use super::table::{Place, SETTINGS};
use crate::cli::log;
use crate::limits::{DRAIN_TIMEOUT, DRAIN_WINDOW};
use crate::model::{Quotas, VhostPath};
use crate::server::{TlsConfig, TlsFiles};

/// What `serve` can be told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::cli) struct Settings {
    /// The host's name where none is given.
    pub(in crate::cli) node_name: Option<String>,
    pub(in crate::cli) storage_dir: PathBuf,
    /// One per core where no number is given.
    pub(in crate::cli) shards: Option<u16>,
    pub(in crate::cli) websocket_addr: SocketAddr,
    pub(in crate::cli) backend_addr: SocketAddr,
    pub(in crate::cli) admin_addr: SocketAddr,
    pub(in crate::cli) websocket_tls_addr: Option<SocketAddr>,
    pub(in crate::cli) backend_tls_addr: Option<SocketAddr>,
    pub(in crate::cli) tls_files: TlsFiles,
    pub(in crate::cli) log_filter: String,
    pub(in crate::cli) log_format: log::Format,
    pub(in crate::cli) drain_timeout: Duration,
    pub(in crate::cli) drain_window: Duration,
    pub(in crate::cli) quotas: Quotas,
}

impl Default for Settings {
    fn default() -> Self {
        let local = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        Self {
            node_name: None,
            storage_dir: "/var/lib/webrocket".into(),
            shards: None,
            websocket_addr: local(8080),
            backend_addr: local(8081),
            admin_addr: local(8082),
            websocket_tls_addr: None,
            backend_tls_addr: None,
            tls_files: TlsFiles::default(),
            log_filter: log::DEFAULT_FILTER.into(),
            log_format: log::Format::Text,
            drain_timeout: DRAIN_TIMEOUT,
            drain_window: DRAIN_WINDOW,
            quotas: Quotas::default(),
        }
    }
}

impl Settings {
    /// What the TLS listeners are started with, if there are any.
    pub(in crate::cli) fn tls(&self) -> Option<TlsConfig> {
        let addrs = [self.websocket_tls_addr, self.backend_tls_addr];
        addrs.iter().any(Option::is_some).then(|| TlsConfig {
            websocket_addr: self.websocket_tls_addr,
            backend_addr: self.backend_tls_addr,
            files: self.tls_files.clone(),
        })
    }

    /// The settings that differ in `new`, each as it was and as it is to be.
    pub(in crate::cli) fn changes(&self, new: &Self) -> Vec<Change> {
        let mut changes: Vec<Change> = SETTINGS
            .iter()
            .map(|setting| Change {
                key: setting.key.into(),
                old: setting.show(self),
                new: setting.show(new),
                reloads: setting.reloads,
            })
            .collect();
        let paths = self.quotas.vhosts.keys().chain(new.quotas.vhosts.keys());
        let paths: BTreeSet<&VhostPath> = paths.collect();
        for path in paths {
            let (old_default, new_default) = (&self.quotas.default, &new.quotas.default);
            let (old, new) = (self.quotas.of(path), new.quotas.of(path));
            for setting in SETTINGS {
                // What is inherited has been told.
                if let Place::Vhost(_, show) = setting.place
                    && (show(old) != show(old_default) || show(new) != show(new_default))
                {
                    changes.push(Change {
                        key: format!("vhosts.\"{path}\".{}", setting.name()),
                        old: show(old),
                        new: show(new),
                        reloads: setting.reloads,
                    });
                }
            }
        }
        changes.retain(|change| change.old != change.new);
        changes
    }
}

/// A setting that another load gave another value.
pub(in crate::cli) struct Change {
    pub(in crate::cli) key: String,
    pub(in crate::cli) old: String,
    pub(in crate::cli) new: String,
    /// Whether a reload applies it; else it needs a restart.
    pub(in crate::cli) reloads: bool,
}
