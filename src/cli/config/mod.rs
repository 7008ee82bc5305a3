//! File, variables and flags become valid settings, or lines that say what is
//! wrong with them. The later of the three is the stronger.

mod check;
mod file;
mod flags;
mod problem;
mod table;
mod value;

#[cfg(test)]
mod tests;

pub(in crate::cli) use check::{check, host_name};
pub(in crate::cli) use flags::Flags;
pub(in crate::cli) use problem::Problem;

use std::collections::HashMap;
use std::env;
use std::ffi::OsString;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::log;
use crate::limits::{BATCH_BYTES_MAX, DRAIN_TIMEOUT, DRAIN_WINDOW};
use crate::model::{Quotas, VhostPath, VhostQuota};
use problem::{Reason, Source};
use table::{Place, SETTINGS, Setting, VARIABLES};
use value::{Value, show_duration};

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
            log_filter: log::DEFAULT_FILTER.into(),
            log_format: log::Format::Text,
            drain_timeout: DRAIN_TIMEOUT,
            drain_window: DRAIN_WINDOW,
            quotas: Quotas::default(),
        }
    }
}

impl Settings {
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
        let paths: std::collections::BTreeSet<&VhostPath> = paths.collect();
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

/// Where the file is when nobody says.
const DEFAULT_FILE: &str = "/etc/webrocket/webrocket.toml";

/// Names the file where no flag does.
const FILE_VARIABLE: &str = "WEBROCKET_CONFIG";

/// Gives the log filter where no variable of ours does: other programs know it too.
const RUST_LOG: &str = "RUST_LOG";

/// What the process was started with; the file is read anew with each load.
pub(in crate::cli) struct Layers {
    file: Option<PathBuf>,
    variables: Vec<(OsString, OsString)>,
    flags: Vec<Given>,
}

/// A value on its way to its setting.
#[derive(Clone)]
struct Given {
    target: Target,
    value: Value,
    source: Source,
}

#[derive(Clone)]
enum Target {
    Node(&'static Setting),
    Vhost(VhostPath, &'static Setting),
}

impl Layers {
    /// The layers of this process.
    pub(in crate::cli) fn new(flags: Flags, log: &log::Flags) -> Self {
        let mut given = flags.given;
        for (flag, text) in log.given() {
            let setting = SETTINGS.iter().find(|setting| setting.flag == flag);
            given.extend(setting.map(|setting| Given {
                target: Target::Node(setting),
                value: Value::Plain(text.into()),
                source: Source::Flag(flag),
            }));
        }
        let file = flags
            .config
            .or_else(|| env::var_os(FILE_VARIABLE).map(PathBuf::from))
            .filter(|path| !path.as_os_str().is_empty())
            .or_else(|| {
                let usual = Path::new(DEFAULT_FILE);
                // One that can't be looked at is there, and reading it says why not.
                let missing = matches!(usual.try_exists(), Ok(false));
                (!missing).then(|| usual.into())
            });
        Self {
            file,
            variables: env::vars_os().collect(),
            flags: given,
        }
    }

    /// The file that is read, if any.
    pub(in crate::cli) fn file(&self) -> Option<&Path> {
        self.file.as_deref()
    }

    /// Reads and validates all of them.
    ///
    /// # Errors
    /// Every problem found, in the order of the layers.
    pub(in crate::cli) fn load(&self) -> Result<Settings, Vec<Problem>> {
        let mut problems = Vec::new();
        let mut given = match &self.file {
            Some(path) => file::read(path, &mut problems),
            None => Vec::new(),
        };
        variables(&self.variables, &mut given, &mut problems);
        given.extend(self.flags.iter().cloned());
        let mut loader = Loader {
            settings: Settings::default(),
            sources: HashMap::new(),
            problems,
        };
        loader.apply(&given);
        loader.check_relations();
        let Loader {
            settings,
            mut problems,
            ..
        } = loader;
        if problems.is_empty() {
            return Ok(settings);
        }
        problems.sort_by_key(|problem| problem.source.rank());
        Err(problems)
    }
}

/// Adds what the variables give. One of a section of ours that names no setting
/// is a mistake; others belong to somebody else (Kubernetes sets some for every
/// service, after its name).
fn variables(
    variables: &[(OsString, OsString)],
    given: &mut Vec<Given>,
    problems: &mut Vec<Problem>,
) {
    let filter = variables.iter().filter(|(name, _)| *name == *RUST_LOG);
    let ours = variables
        .iter()
        .filter(|(name, _)| name.as_encoded_bytes().starts_with(VARIABLES.as_bytes()));
    for (name, value) in filter.chain(ours) {
        let Some(name) = name.to_str() else { continue };
        let setting = SETTINGS.iter().find(|setting| {
            setting.variable() == name || (name == RUST_LOG && setting.key == "log.filter")
        });
        let source = Source::Variable(name.into());
        let refused = |reason| Problem {
            source: source.clone(),
            key: String::new(),
            reason,
        };
        match (setting, value.to_str()) {
            (Some(setting), Some(value)) => given.push(Given {
                target: Target::Node(setting),
                value: Value::Plain(value.into()),
                source,
            }),
            (Some(_), None) => problems.push(refused(Reason::NoText)),
            (None, _) if is_of_our_sections(name) => {
                let name = name.strip_prefix(VARIABLES).unwrap_or_default();
                let name = name.split_once('_').map_or(name, |(_, name)| name);
                let found = nearest_setting(&name.to_ascii_lowercase());
                problems.push(refused(Reason::Unknown(found.map(Setting::variable))));
            }
            (None, _) => {}
        }
    }
}

fn is_of_our_sections(variable: &str) -> bool {
    let rest = variable.strip_prefix(VARIABLES).unwrap_or_default();
    SETTINGS.iter().any(|setting| {
        let section = setting.key.split('.').next().unwrap_or_default();
        rest.split('_').next() == Some(section.to_ascii_uppercase().as_str())
    })
}

/// The setting whose name below its section was probably meant.
fn nearest_setting(name: &str) -> Option<&'static Setting> {
    let found = nearest(name, SETTINGS.iter().map(Setting::name))?;
    SETTINGS.iter().find(|setting| setting.name() == found)
}

/// The known name that was probably meant.
fn nearest<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    /// Below it two names have no more in common than any two.
    const ALIKE: f64 = 0.8;
    known
        .map(|known| (strsim::jaro_winkler(name, known), known))
        .filter(|(likeness, _)| *likeness >= ALIKE)
        .max_by(|(a, _), (b, _)| a.total_cmp(b))
        .map(|(_, known)| known)
}

/// Settings while they are put together.
struct Loader {
    settings: Settings,
    /// Who gave each key that does not have its default.
    sources: HashMap<String, Source>,
    problems: Vec<Problem>,
}

impl Loader {
    fn apply(&mut self, given: &[Given]) {
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

    fn check_relations(&mut self) {
        let default = self.settings.quotas.default.clone();
        self.check_outbox(&default, |name| format!("limits.{name}"));
        for (path, quota) in self.settings.quotas.vhosts.clone() {
            self.check_outbox(&quota, |name| vhost_key(&path, name));
        }
        self.check_window();
        self.check_addresses();
    }

    /// A receiver that keeps up is never over its bound: two of the largest turns fit.
    fn check_outbox(&mut self, quota: &VhostQuota, key: impl Fn(&str) -> String) {
        let needed = 2 * (BATCH_BYTES_MAX as u32 + quota.message_bytes_max);
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
            ("websocket", settings.websocket_addr),
            ("backend", settings.backend_addr),
            ("admin", settings.admin_addr),
        ];
        for (at, (name, addr)) in all.into_iter().enumerate() {
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
}

fn vhost_key(path: &VhostPath, name: &str) -> String {
    format!("vhosts.\"{path}\".{name}")
}
