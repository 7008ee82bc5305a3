use std::collections::HashMap;
use std::net::SocketAddr;

use super::problem::{Problem, Reason, Source};
use super::table::Place;
use super::value::show_duration;
use super::{Given, Settings, Target};
use crate::limits::outbox_bytes_min;
use crate::model::{VhostPath, VhostQuota};

/// Settings while they are put together.
pub(super) struct Loader {
    pub(super) settings: Settings,
    /// Who gave each key that does not have its default.
    sources: HashMap<String, Source>,
    pub(super) problems: Vec<Problem>,
}

impl Loader {
    pub(super) fn new(problems: Vec<Problem>) -> Self {
        Self {
            settings: Settings::default(),
            sources: HashMap::new(),
            problems,
        }
    }

    pub(super) fn apply(&mut self, given: &[Given]) {
        // A vhost's quota begins as the default one, which must be whole before.
        for Given {
            target,
            value,
            source,
        } in given
        {
            if let Target::Node(setting) = target {
                let done = match setting.place {
                    Place::Node(set, _) => set(&mut self.settings, value),
                    Place::Vhost(set, _) => set(&mut self.settings.quotas.default, value),
                };
                self.note(setting.key.into(), source, done);
            }
        }
        for Given {
            target,
            value,
            source,
        } in given
        {
            if let Target::Vhost(path, setting) = target
                && let Place::Vhost(set, _) = setting.place
            {
                let quotas = &mut self.settings.quotas;
                let default = &quotas.default;
                let quota = quotas.vhosts.entry(path.clone());
                let done = set(quota.or_insert_with(|| default.clone()), value);
                self.note(vhost_key(path, setting.name()), source, done);
            }
        }
    }

    fn note(&mut self, key: String, source: &Source, done: Result<(), Reason>) {
        match done {
            Ok(()) => drop(self.sources.insert(key, source.clone())),
            Err(reason) => self.problems.push(Problem {
                source: source.clone(),
                key,
                reason,
            }),
        }
    }

    /// What settings that are valid each by itself owe to each other.
    pub(super) fn check_relations(&mut self) {
        let default = self.settings.quotas.default.clone();
        self.check_outbox(&default, |name| format!("limits.{name}"));
        for (path, quota) in self.settings.quotas.vhosts.clone() {
            self.check_outbox(&quota, |name| vhost_key(&path, name));
        }
        self.check_window();
        self.check_addresses();
        self.check_tls();
    }

    /// A receiver that keeps up is never over its bound: two of the largest turns fit.
    fn check_outbox(&mut self, quota: &VhostQuota, key: impl Fn(&str) -> String) {
        let needed = outbox_bytes_min(quota.message_bytes_max as usize) as u32;
        if quota.outbox_bytes_max >= needed {
            return;
        }
        let (outbox, message) = (key("outbox_bytes"), key("message_bytes"));
        // Whichever was given; a vhost may have the one and inherit the other.
        let given = [outbox, message]
            .into_iter()
            .find_map(|key| Some((self.sources.get(&key)?.clone(), key)));
        let Some((source, key)) = given else {
            // Both are inherited: said where they come from.
            return;
        };
        self.problems.push(Problem {
            source,
            key,
            reason: Reason::Outbox {
                outbox: quota.outbox_bytes_max,
                needed,
                message: quota.message_bytes_max,
            },
        });
    }

    /// The last to be told needs time to go as well. A window that nobody asked
    /// for gives way by itself.
    fn check_window(&mut self) {
        let Settings {
            drain_timeout,
            drain_window,
            ..
        } = self.settings;
        if let Some(source) = self.sources.get("drain.window")
            && drain_window > drain_timeout / 2
        {
            self.problems.push(Problem {
                source: source.clone(),
                key: "drain.window".into(),
                reason: Reason::Window {
                    window: show_duration(drain_window),
                    timeout: show_duration(drain_timeout),
                },
            });
        }
    }

    fn check_addresses(&mut self) {
        let settings = &self.settings;
        let all = [
            ("websocket", Some(settings.websocket_addr)),
            ("backend", Some(settings.backend_addr)),
            ("admin", Some(settings.admin_addr)),
            ("websocket_tls", settings.websocket_tls_addr),
            ("backend_tls", settings.backend_tls_addr),
        ];
        let all = all.map(|(name, addr)| Some((name, addr?)));
        let all: Vec<(&str, SocketAddr)> = all.into_iter().flatten().collect();
        for (at, &(name, addr)) in all.iter().enumerate() {
            let before = all[..at].iter().find(|(_, other)| *other == addr);
            // Each gets a port of its own for 0.
            if let Some(&(other, _)) = before
                && addr.port() != 0
            {
                let key = format!("listen.{name}");
                let source = self.sources.get(&key).or_else(|| {
                    let other = format!("listen.{other}");
                    self.sources.get(&other)
                });
                self.problems.push(Problem {
                    source: source.cloned().unwrap_or(Source::Default),
                    key,
                    reason: Reason::SameAddress {
                        addr: addr.to_string(),
                        other,
                    },
                });
            }
        }
    }

    /// A listener has something to show, a key is that of a certificate, and
    /// nobody takes backends for identified that come in elsewhere.
    fn check_tls(&mut self) {
        let Settings {
            websocket_tls_addr,
            backend_tls_addr,
            tls_files,
            ..
        } = &self.settings;
        let (certificates, keys) = (tls_files.certificates.len(), tls_files.keys.len());
        let mut found = Vec::new();
        let listeners = [
            ("listen.websocket_tls", websocket_tls_addr),
            ("listen.backend_tls", backend_tls_addr),
        ];
        for (key, addr) in listeners {
            if addr.is_some() && certificates == 0 {
                found.push((key, Reason::Needs("tls.certificates")));
            }
        }
        if keys > 0 && keys != certificates {
            found.push(("tls.keys", Reason::Keys { keys, certificates }));
        }
        if tls_files.backend_authorities.is_some() && backend_tls_addr.is_none() {
            found.push(("tls.backend_ca", Reason::Needs("listen.backend_tls")));
        }
        for (key, reason) in found {
            let source = self.sources.get(key).cloned().unwrap_or(Source::Default);
            self.problems.push(Problem {
                source,
                key: key.into(),
                reason,
            });
        }
    }
}

fn vhost_key(path: &VhostPath, name: &str) -> String {
    format!("vhosts.\"{path}\".{name}")
}
