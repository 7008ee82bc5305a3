use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::Settings;
use super::problem::Reason;
use super::value::{UNLIMITED, Value, show_bytes, show_count, show_duration, show_size};
use crate::cli::log;
use crate::limits::{
    CHANNELS_PER_VHOST_MAX, CONFIGURED_BYTES_PER_SECOND_MAX, CONFIGURED_BYTES_PER_SECOND_MIN,
    CONFIGURED_CORK_MAX, CONFIGURED_MESSAGE_BYTES_MAX, CONFIGURED_MESSAGE_BYTES_MIN,
    CONFIGURED_OUTBOX_BYTES_MAX, CONFIGURED_OUTBOXES_BYTES_MAX, CONFIGURED_OUTBOXES_BYTES_MIN,
    CONFIGURED_SUBSCRIPTIONS_MAX, CONFIGURED_UNFINISHED_BYTES_MAX, CONFIGURED_UNFINISHED_BYTES_MIN,
    DRAIN_TIMEOUT_MAX, DRAIN_TIMEOUT_MIN, SHARDS_MAX,
};
use crate::model::{SlowConsumers, VhostQuota};

/// A setting: one key of the file, one variable, one flag.
pub(in crate::cli) struct Setting {
    /// Section and name in the file; the variable follows from it.
    pub(super) key: &'static str,
    /// The flag without its dashes.
    pub(super) flag: &'static str,
    /// What the value is, for the help.
    pub(super) value: &'static str,
    pub(super) help: &'static str,
    /// Whether a reload applies it; else it needs a restart.
    pub(super) reloads: bool,
    pub(super) place: Place,
}

/// Where a setting goes and how it reads back.
pub(super) enum Place {
    Node(
        fn(&mut Settings, &Value) -> Result<(), Reason>,
        fn(&Settings) -> String,
    ),
    /// May be overridden for a vhost.
    Vhost(
        fn(&mut VhostQuota, &Value) -> Result<(), Reason>,
        fn(&VhostQuota) -> String,
    ),
}

impl Setting {
    /// The name below its section.
    pub(super) fn name(&self) -> &'static str {
        self.key.split_once('.').map_or(self.key, |(_, name)| name)
    }

    /// `WEBROCKET_SECTION_NAME`.
    pub(super) fn variable(&self) -> String {
        let name = self.key.replace('.', "_").to_ascii_uppercase();
        format!("{VARIABLES}{name}")
    }

    /// Its value, as it would be written.
    pub(super) fn show(&self, settings: &Settings) -> String {
        match self.place {
            Place::Node(_, show) => show(settings),
            Place::Vhost(_, show) => show(&settings.quotas.default),
        }
    }
}

/// What the variables begin with.
pub(super) const VARIABLES: &str = "WEBROCKET_";

/// Every setting there is. Whatever lists them (flags, variables, help, the
/// check of the example file) walks this.
pub(super) const SETTINGS: &[Setting] = &[
    Setting {
        key: "node.name",
        flag: "node-name",
        value: "NAME",
        help: "Names the node's files",
        reloads: false,
        place: Place::Node(
            |settings, value| {
                settings.node_name = Some(node_name(value.text()?)?);
                Ok(())
            },
            |settings| {
                settings
                    .node_name
                    .clone()
                    .unwrap_or("the host's name".into())
            },
        ),
    },
    Setting {
        key: "node.storage_dir",
        flag: "storage-dir",
        value: "DIR",
        help: "Where the node keeps its store, its cookie and its lock",
        reloads: false,
        place: Place::Node(
            |settings, value| {
                let text = value.text()?;
                if text.is_empty() {
                    return Err(not(text, "a directory"));
                }
                settings.storage_dir = text.into();
                Ok(())
            },
            |settings| show_path(&settings.storage_dir),
        ),
    },
    Setting {
        key: "node.shards",
        flag: "shards",
        value: "N",
        help: "Shards, each on a core of its own as long as there are cores",
        reloads: false,
        place: Place::Node(
            |settings, value| {
                settings.shards = Some(value.count(SHARDS_MAX as u32)? as u16);
                Ok(())
            },
            |settings| {
                let shards = settings.shards.map(|shards| shards.to_string());
                shards.unwrap_or("the number of cores".into())
            },
        ),
    },
    Setting {
        key: "listen.websocket",
        flag: "websocket-addr",
        value: "ADDR",
        help: "Where browsers connect",
        reloads: false,
        place: Place::Node(
            |settings, value| put(&mut settings.websocket_addr, value.addr()),
            |settings| show_addr(settings.websocket_addr),
        ),
    },
    Setting {
        key: "listen.backend",
        flag: "backend-addr",
        value: "ADDR",
        help: "Where backends connect with Kosmonaut",
        reloads: false,
        place: Place::Node(
            |settings, value| put(&mut settings.backend_addr, value.addr()),
            |settings| show_addr(settings.backend_addr),
        ),
    },
    Setting {
        key: "listen.admin",
        flag: "admin-addr",
        value: "ADDR",
        help: "Where operators connect",
        reloads: false,
        place: Place::Node(
            |settings, value| put(&mut settings.admin_addr, value.addr()),
            |settings| show_addr(settings.admin_addr),
        ),
    },
    Setting {
        key: "listen.websocket_tls",
        flag: "websocket-tls-addr",
        value: "ADDR",
        help: "Where browsers connect over TLS, with wss",
        reloads: false,
        place: Place::Node(
            |settings, value| put(&mut settings.websocket_tls_addr, value.addr().map(Some)),
            |settings| settings.websocket_tls_addr.map_or("none".into(), show_addr),
        ),
    },
    Setting {
        key: "listen.backend_tls",
        flag: "backend-tls-addr",
        value: "ADDR",
        help: "Where backends connect over TLS, with wrs",
        reloads: false,
        place: Place::Node(
            |settings, value| put(&mut settings.backend_tls_addr, value.addr().map(Some)),
            |settings| settings.backend_tls_addr.map_or("none".into(), show_addr),
        ),
    },
    Setting {
        key: "tls.certificates",
        flag: "tls-certificates",
        value: "FILES",
        help: "Certificates in PEM, each with its chain, with commas between them; \
               the name that a client asks for chooses, else it is the first",
        reloads: true,
        place: Place::Node(
            |settings, value| put(&mut settings.tls_files.certificates, value.paths()),
            |settings| show_paths(&settings.tls_files.certificates),
        ),
    },
    Setting {
        key: "tls.keys",
        flag: "tls-keys",
        value: "FILES",
        help: "Their private keys, in the same order; not needed where each stands in \
               its certificate's file",
        reloads: true,
        place: Place::Node(
            |settings, value| put(&mut settings.tls_files.keys, value.paths()),
            |settings| show_paths(&settings.tls_files.keys),
        ),
    },
    Setting {
        key: "tls.backend_ca",
        flag: "tls-backend-ca",
        value: "FILE",
        help: "Authorities in PEM: a backend over TLS must bring a certificate of one",
        reloads: true,
        place: Place::Node(
            |settings, value| {
                let file = value.text()?;
                settings.tls_files.backend_authorities = match file {
                    "" => return Err(not(file, "a file")),
                    _ => Some(file.into()),
                };
                Ok(())
            },
            |settings| {
                let file = settings.tls_files.backend_authorities.as_deref();
                file.map_or("none".into(), show_path)
            },
        ),
    },
    Setting {
        key: "log.filter",
        flag: log::FILTER_FLAG,
        value: "FILTER",
        help: "What to log to stderr, as \"info\" or \"webrocket::control=debug\"",
        reloads: true,
        place: Place::Node(
            |settings, value| {
                settings.log_filter = log_filter(value.text()?)?;
                Ok(())
            },
            |settings| settings.log_filter.clone(),
        ),
    },
    Setting {
        key: "log.format",
        flag: log::FORMAT_FLAG,
        value: "FORMAT",
        help: "How to log: text or json",
        reloads: false,
        place: Place::Node(
            |settings, value| {
                let text = value.text()?;
                let format = log::Format::parse(text);
                settings.log_format = format.ok_or_else(|| not(text, "\"text\" or \"json\""))?;
                Ok(())
            },
            |settings| settings.log_format.name().into(),
        ),
    },
    Setting {
        key: "drain.timeout",
        flag: "drain-timeout",
        value: "TIME",
        help: "Time that a stopping node gives its connections. Past it they are cut",
        reloads: true,
        place: Place::Node(
            |settings, value| {
                let time = value.duration(DRAIN_TIMEOUT_MIN, DRAIN_TIMEOUT_MAX);
                put(&mut settings.drain_timeout, time)
            },
            |settings| show_duration(settings.drain_timeout),
        ),
    },
    Setting {
        key: "drain.window",
        flag: "drain-window",
        value: "TIME",
        help: "Time over which a stopping node closes its frontends; half of the timeout at most",
        reloads: false,
        place: Place::Node(
            |settings, value| {
                let time = value.duration(Duration::ZERO, DRAIN_TIMEOUT_MAX);
                put(&mut settings.drain_window, time)
            },
            |settings| show_duration(settings.drain_window),
        ),
    },
    Setting {
        key: "limits.connections",
        flag: "connections",
        value: "N",
        help: "Connections of the node at once. Past it: HTTP 503",
        reloads: true,
        place: Place::Node(
            |settings, value| put(&mut settings.quotas.connections_max, value.count(UNLIMITED)),
            |settings| show_count(settings.quotas.connections_max),
        ),
    },
    Setting {
        key: "limits.connections_per_address",
        flag: "connections-per-address",
        value: "N",
        help: "Connections at once from one IPv4 address or IPv6 /64, loopback exempt. \
               Past it: HTTP 429",
        reloads: true,
        place: Place::Node(
            |settings, value| {
                let count = value.count(UNLIMITED);
                put(&mut settings.quotas.connections_per_address_max, count)
            },
            |settings| show_count(settings.quotas.connections_per_address_max),
        ),
    },
    Setting {
        key: "limits.wrong_tokens_per_address",
        flag: "wrong-tokens-per-address",
        value: "N",
        help: "Wrong tokens of one address in a minute, loopback exempt. Past it: close 1013, \
               ER 403 to a backend",
        reloads: true,
        place: Place::Node(
            |settings, value| {
                let count = value.count(UNLIMITED);
                put(&mut settings.quotas.wrong_tokens_per_address_max, count)
            },
            |settings| show_count(settings.quotas.wrong_tokens_per_address_max),
        ),
    },
    Setting {
        key: "limits.outboxes_bytes",
        flag: "outboxes-bytes",
        value: "BYTES",
        help: "Bytes of deliveries that wait for all connections of the node. Past it the \
               fullest are closed: 1013",
        reloads: true,
        place: Place::Node(
            |settings, value| {
                let bytes =
                    value.size(CONFIGURED_OUTBOXES_BYTES_MIN, CONFIGURED_OUTBOXES_BYTES_MAX);
                put(&mut settings.quotas.outboxes_bytes_max, bytes)
            },
            |settings| show_size(settings.quotas.outboxes_bytes_max),
        ),
    },
    Setting {
        key: "limits.unfinished_bytes",
        flag: "unfinished-bytes",
        value: "BYTES",
        help: "Bytes received and not handled of all connections of the node. Past it who \
               sends a large message is closed: 1013",
        reloads: true,
        place: Place::Node(
            |settings, value| {
                let bytes = value.size(
                    CONFIGURED_UNFINISHED_BYTES_MIN,
                    CONFIGURED_UNFINISHED_BYTES_MAX,
                );
                put(&mut settings.quotas.unfinished_bytes_max, bytes)
            },
            |settings| show_size(settings.quotas.unfinished_bytes_max),
        ),
    },
    Setting {
        key: "limits.connections_per_vhost",
        flag: "connections-per-vhost",
        value: "N",
        help: "Frontends of one vhost at once. Past it: HTTP 503",
        reloads: true,
        place: Place::Vhost(
            |quota, value| put(&mut quota.connections_max, value.count(UNLIMITED)),
            |quota| show_count(quota.connections_max),
        ),
    },
    Setting {
        key: "limits.channels_per_vhost",
        flag: "channels-per-vhost",
        value: "N",
        help: "Open channels of one vhost. Past it: 597 to a backend, 503 to admin",
        reloads: true,
        place: Place::Vhost(
            |quota, value| {
                let count = value.count(CHANNELS_PER_VHOST_MAX as u32);
                put(&mut quota.channels_max, count)
            },
            |quota| show_count(quota.channels_max),
        ),
    },
    Setting {
        key: "limits.subscriptions",
        flag: "subscriptions",
        value: "N",
        help: "Subscriptions of one session. Past it: 403",
        reloads: true,
        place: Place::Vhost(
            |quota, value| {
                let count = value.count(CONFIGURED_SUBSCRIPTIONS_MAX as u32);
                put(&mut quota.subscriptions_max, count)
            },
            |quota| show_count(quota.subscriptions_max),
        ),
    },
    Setting {
        key: "limits.message_bytes",
        flag: "message-bytes",
        value: "BYTES",
        help: "Bytes of one message of a frontend. Past it: close 1009",
        reloads: true,
        place: Place::Vhost(
            |quota, value| {
                let bytes = value.bytes(CONFIGURED_MESSAGE_BYTES_MIN, CONFIGURED_MESSAGE_BYTES_MAX);
                put(&mut quota.message_bytes_max, bytes)
            },
            |quota| show_bytes(quota.message_bytes_max),
        ),
    },
    Setting {
        key: "limits.messages_per_second",
        flag: "messages-per-second",
        value: "N",
        help: "Messages of one frontend in a second. Past it the frontend waits",
        reloads: true,
        place: Place::Vhost(
            |quota, value| put(&mut quota.messages_per_second_max, value.count(UNLIMITED)),
            |quota| show_count(quota.messages_per_second_max),
        ),
    },
    Setting {
        key: "limits.bytes_per_second",
        flag: "bytes-per-second",
        value: "BYTES",
        help: "Bytes of one frontend in a second. Past it the frontend waits",
        reloads: true,
        place: Place::Vhost(
            |quota, value| {
                let (min, max) = (
                    CONFIGURED_BYTES_PER_SECOND_MIN,
                    CONFIGURED_BYTES_PER_SECOND_MAX,
                );
                put(&mut quota.bytes_per_second_max, value.bytes(min, max))
            },
            |quota| show_bytes(quota.bytes_per_second_max),
        ),
    },
    Setting {
        key: "limits.outbox_bytes",
        flag: "outbox-bytes",
        value: "BYTES",
        help: "Bytes of deliveries that wait for one frontend. Past it: see --slow-consumers",
        reloads: true,
        place: Place::Vhost(
            |quota, value| {
                let bytes = value.bytes(1, CONFIGURED_OUTBOX_BYTES_MAX);
                put(&mut quota.outbox_bytes_max, bytes)
            },
            |quota| show_bytes(quota.outbox_bytes_max),
        ),
    },
    Setting {
        key: "limits.slow_consumers",
        flag: "slow-consumers",
        value: "POLICY",
        help: "Frontends past --outbox-bytes: evict closes them with 1013, drop lets \
               deliveries pass them by and tells how many",
        reloads: true,
        place: Place::Vhost(
            |quota, value| {
                let text = value.text()?;
                let mut all = SlowConsumers::ALL.into_iter();
                let policy = all.find(|policy| policy.as_str() == text);
                quota.slow_consumers = policy.ok_or_else(|| not(text, "\"evict\" or \"drop\""))?;
                Ok(())
            },
            |quota| quota.slow_consumers.as_str().into(),
        ),
    },
    Setting {
        key: "limits.origins",
        flag: "origins",
        value: "ORIGINS",
        help: "Origins that are let in, as https://example.com, with commas between them. \
               Others: HTTP 403",
        reloads: true,
        place: Place::Vhost(
            |quota, value| put(&mut quota.origins, value.origins()),
            |quota| match quota.origins[..] {
                [] => "any".into(),
                _ => quota.origins.join(","),
            },
        ),
    },
    Setting {
        key: "limits.compression",
        flag: "compression",
        value: "BOOL",
        help: "Whether messages are compressed (permessage-deflate) for those who offer it",
        reloads: true,
        place: Place::Vhost(
            |quota, value| put(&mut quota.compression, value.switch()),
            |quota| quota.compression.to_string(),
        ),
    },
    Setting {
        key: "limits.cork",
        flag: "cork",
        value: "TIME",
        help: "Time for which what is published may wait for more, so that it goes out in \
               fewer sends",
        reloads: true,
        place: Place::Vhost(
            |quota, value| {
                let time = value.duration(Duration::ZERO, CONFIGURED_CORK_MAX);
                put(&mut quota.cork, time)
            },
            |quota| show_duration(quota.cork),
        ),
    },
];

fn put<T>(place: &mut T, value: Result<T, Reason>) -> Result<(), Reason> {
    *place = value?;
    Ok(())
}

fn not(value: &str, expected: &'static str) -> Reason {
    let value = value.to_owned();
    Reason::Not { value, expected }
}

/// A node's name is part of file names.
pub(super) fn node_name(name: &str) -> Result<String, Reason> {
    let valid = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_');
    if name.len() >= 2 && name.len() <= 64 && name.bytes().all(valid) && name != ".." {
        return Ok(name.to_owned());
    }
    Err(not(
        name,
        "a node name: 2 to 64 of letters, digits, '.', '-' and '_'",
    ))
}

fn log_filter(text: &str) -> Result<String, Reason> {
    match tracing_subscriber::EnvFilter::try_new(text) {
        Ok(_) => Ok(text.to_owned()),
        Err(source) => Err(Reason::Filter {
            value: text.to_owned(),
            source,
        }),
    }
}

fn show_addr(addr: SocketAddr) -> String {
    addr.to_string()
}

fn show_paths(paths: &[PathBuf]) -> String {
    match paths {
        [] => "none".into(),
        _ => paths
            .iter()
            .map(|it| show_path(it))
            .collect::<Vec<_>>()
            .join(","),
    }
}

fn show_path(path: &Path) -> String {
    path.display().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn node_names() {
        for good in ["ab", "node-1.example_x", &"n".repeat(64)] {
            assert!(node_name(good).is_ok(), "{good}");
        }
        for bad in ["", "a", "..", "a/b", "a b", "ä1", &"n".repeat(65)] {
            assert!(node_name(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn keys_and_flags_are_given_once() {
        for (at, setting) in SETTINGS.iter().enumerate() {
            for other in &SETTINGS[at + 1..] {
                assert_ne!(setting.key, other.key);
                assert_ne!(setting.flag, other.flag);
                assert_ne!(setting.variable(), other.variable());
            }
            let (section, name) = setting.key.split_once('.').expect("a section");
            assert!(
                section != "vhosts" && !name.contains('.'),
                "{}",
                setting.key
            );
        }
    }
}
