use std::time::Duration;

use super::config::{Layers, Settings};
use super::log;
use crate::limits::CHANGES_LOGGED_MAX;
use crate::server::Node;

/// Reads the settings anew on SIGHUP and applies what can be.
pub(super) struct Reloader {
    layers: Layers,
    /// Those that hold. What needs a restart stays as it was at the start, so
    /// that each reload says so again.
    settings: Settings,
    filter: log::Filter,
}

impl Reloader {
    pub(super) fn new(layers: Layers, settings: Settings, filter: log::Filter) -> Self {
        Self {
            layers,
            settings,
            filter,
        }
    }

    pub(super) fn drain_timeout(&self) -> Duration {
        self.settings.drain_timeout
    }

    /// All or nothing: settings with a problem change nothing.
    pub(super) async fn reload(&mut self, node: &Node) {
        let new = match self.layers.load() {
            Ok(new) => new,
            Err(problems) => {
                for problem in problems {
                    tracing::error!(%problem, "settings refused, the old ones stay");
                }
                return;
            }
        };
        let changes = self.settings.changes(&new);
        // Also where no setting has changed: a renewed certificate has its old path.
        // Files that belong to other listeners wait for them: a listener that is
        // still open must not lose the authorities of its backends.
        let listens_on = |it: &Settings| (it.websocket_tls_addr, it.backend_tls_addr);
        let same_listeners = listens_on(&new) == listens_on(&self.settings);
        if !same_listeners {
            tracing::warn!("certificates stay as they are until the restart that TLS needs");
        } else if let Err(error) = node.reload_tls(&new.tls_files) {
            tracing::error!(%error, "certificates refused, the old ones and all settings stay");
            return;
        }
        if new.quotas != self.settings.quotas
            && let Err(error) = node.reload(new.quotas.clone()).await
        {
            tracing::error!(%error, "settings not applied, the old ones stay");
            return;
        }
        // Under the filter that was, or a stricter one would hide the lines.
        for change in changes.iter().take(CHANGES_LOGGED_MAX) {
            let (key, old, new) = (&change.key, &change.old, &change.new);
            if change.reloads {
                tracing::info!(%key, %old, %new, "setting changed");
            } else {
                tracing::warn!(%key, %old, %new, "setting needs a restart");
            }
        }
        if new.log_filter != self.settings.log_filter
            && let Err(error) = log::replace(&self.filter, &new.log_filter)
        {
            tracing::error!(%error, "log filter not replaced");
        }
        let file = self.layers.file().map(|path| path.display());
        let file = file.map(tracing::field::display);
        tracing::info!(file, changes = changes.len(), "settings reloaded");
        self.settings.quotas = new.quotas;
        if same_listeners {
            self.settings.tls_files = new.tls_files;
        }
        self.settings.log_filter = new.log_filter;
        self.settings.drain_timeout = new.drain_timeout;
    }
}
