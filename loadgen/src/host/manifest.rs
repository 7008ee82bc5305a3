//! What a report must say of its machine to be compared with another.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread::available_parallelism;
use std::time::SystemTime;

use serde::{Deserialize, Serialize};

/// Settings that bound or bend a run.
const SYSCTLS: [&str; 13] = [
    "fs.file-max",
    "fs.nr_open",
    "net.core.somaxconn",
    "net.core.netdev_max_backlog",
    "net.ipv4.ip_local_port_range",
    "net.ipv4.tcp_congestion_control",
    "net.ipv4.tcp_max_syn_backlog",
    "net.ipv4.tcp_mem",
    "net.ipv4.tcp_rmem",
    "net.ipv4.tcp_wmem",
    "net.ipv4.tcp_tw_reuse",
    "net.netfilter.nf_conntrack_max",
    "vm.overcommit_memory",
];

/// Facts in groups, in the order in which they are shown. What a machine does
/// not tell is left out.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct HostManifest {
    pub(crate) groups: Vec<Group>,
}

/// Facts of one kind.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Group {
    pub(crate) title: String,
    pub(crate) rows: Vec<Row>,
}

/// One fact.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Row {
    pub(crate) name: String,
    pub(crate) value: String,
}

/// The run that the machine carried.
#[derive(Clone, Copy, Debug)]
pub(crate) struct About<'a> {
    pub(crate) started: SystemTime,
    /// Where the load went.
    pub(crate) to: SocketAddr,
    /// Where the broker told it.
    pub(crate) broker_version: Option<&'a str>,
}

impl HostManifest {
    /// Of this machine.
    pub(crate) fn here(about: About<'_>) -> Self {
        let files = Files { root: "/".into() };
        let groups = [
            ("Run", run(about)),
            ("System", files.system()),
            ("Processor", files.processor()),
            ("Memory", files.memory()),
            ("Network", files.network(about.to)),
            ("Settings", files.settings()),
            ("Limits", files.limits()),
        ];
        let group = |(title, facts): (&str, Facts)| Group {
            title: title.into(),
            rows: facts.into_iter().filter_map(row).collect(),
        };
        let mut groups: Vec<Group> = groups.map(group).into();
        groups.retain(|group| !group.rows.is_empty());
        Self { groups }
    }
}

/// Name and value, none where it could not be found out.
type Facts = Vec<(&'static str, Option<String>)>;

fn row((name, value): (&str, Option<String>)) -> Option<Row> {
    let (name, value) = (name.to_owned(), value.filter(|text| !text.is_empty())?);
    Some(Row { name, value })
}

fn run(about: About<'_>) -> Facts {
    let words: Vec<String> = std::env::args_os()
        .map(|word| masked(&word.to_string_lossy()))
        .collect();
    vec![
        (
            "started",
            Some(humantime::format_rfc3339_seconds(about.started).to_string()),
        ),
        ("command line", Some(words.join(" "))),
        ("loadgen", Some(env!("CARGO_PKG_VERSION").into())),
        ("broker", about.broker_version.map(str::to_owned)),
        ("commit", commit()),
    ]
}

/// Without the access token of any backend URL in it.
fn masked(word: &str) -> String {
    const SCHEME: &str = "wr://";
    let mut text = String::new();
    let mut rest = word;
    while let Some(at) = rest.find(SCHEME) {
        let (before, url) = rest.split_at(at + SCHEME.len());
        text.push_str(before);
        rest = url;
        let authority = rest.find(['/', '?', ' ']).unwrap_or(rest.len());
        if let Some(token) = rest[..authority].rfind('@') {
            text.push_str("***");
            rest = &rest[token..];
        }
    }
    text + rest
}

/// Told at compile time, or asked of the checkout that the program lies in.
fn commit() -> Option<String> {
    if let Some(commit) = option_env!("WEBROCKET_COMMIT") {
        return Some(commit.into());
    }
    let program = std::env::current_exe().ok()?;
    let checkout = program.ancestors().find(|it| it.join(".git").exists())?;
    let mut git = Command::new("git");
    git.arg("-C").arg(checkout);
    let output = git.args(["describe", "--always", "--dirty", "--abbrev=12"]);
    let output = output.output().ok().filter(|it| it.status.success())?;
    Some(String::from_utf8(output.stdout).ok()?.trim().to_owned())
}

/// The files under a root that tell of a machine.
struct Files {
    root: PathBuf,
}

impl Files {
    fn system(&self) -> Facts {
        vec![
            ("host name", self.text("proc/sys/kernel/hostname")),
            ("kernel", self.text("proc/sys/kernel/osrelease")),
            ("build", self.text("proc/sys/kernel/version")),
            (
                "distribution",
                self.field("etc/os-release", "PRETTY_NAME", '=')
                    .map(|name| name.trim_matches('"').to_owned()),
            ),
            ("architecture", Some(std::env::consts::ARCH.into())),
        ]
    }

    fn processor(&self) -> Facts {
        let cpu = "sys/devices/system/cpu";
        vec![
            ("model", self.field("proc/cpuinfo", "model name", ':')),
            (
                "cores",
                available_parallelism().ok().map(|cores| cores.to_string()),
            ),
            (
                "governor",
                self.text(&format!("{cpu}/cpu0/cpufreq/scaling_governor")),
            ),
            ("mitigations", self.mitigations()),
        ]
    }

    /// The flaws that the kernel works around, or does not.
    fn mitigations(&self) -> Option<String> {
        let folder = "sys/devices/system/cpu/vulnerabilities";
        let entries = fs::read_dir(self.root.join(folder)).ok()?;
        let mut flaws: Vec<String> = entries
            .filter_map(|entry| {
                let name = entry.ok()?.file_name().into_string().ok()?;
                let state = self.text(&format!("{folder}/{name}"))?;
                let state = state.split([':', ';']).next()?.to_lowercase();
                (state != "not affected").then(|| format!("{name} ({state})"))
            })
            .collect();
        flaws.sort_unstable();
        Some(match flaws.is_empty() {
            true => "none needed".into(),
            false => flaws.join(", "),
        })
    }

    fn memory(&self) -> Facts {
        let info = |name| self.field("proc/meminfo", name, ':');
        vec![
            ("total", info("MemTotal")),
            ("available", info("MemAvailable")),
            ("swap", info("SwapTotal")),
            (
                "huge pages",
                self.text("sys/kernel/mm/transparent_hugepage/enabled"),
            ),
        ]
    }

    fn network(&self, to: SocketAddr) -> Facts {
        if to.ip().is_loopback() {
            return vec![("interface", Some("loopback: no network card".into()))];
        }
        let Some(card) = self.card() else {
            return Vec::new();
        };
        let folder = format!("sys/class/net/{card}");
        let driver = fs::read_link(self.root.join(&folder).join("device/driver")).ok();
        let driver = driver.as_deref().and_then(Path::file_name);
        let speed = self.text(&format!("{folder}/speed"));
        vec![
            ("interface", Some(format!("{card}, of the default route"))),
            // A virtual card says -1, or nothing.
            (
                "speed",
                speed
                    .filter(|speed| !speed.starts_with('-'))
                    .map(|speed| format!("{speed} Mbit/s")),
            ),
            ("driver", driver.map(|it| it.to_string_lossy().into_owned())),
            ("MTU", self.text(&format!("{folder}/mtu"))),
        ]
    }

    fn card(&self) -> Option<String> {
        let routes = self.text("proc/net/route")?;
        routes.lines().skip(1).find_map(|line| {
            let mut words = line.split_ascii_whitespace();
            let (card, destination) = (words.next()?, words.next()?);
            (destination == "00000000").then(|| card.to_owned())
        })
    }

    fn settings(&self) -> Facts {
        let setting = |key: &'static str| {
            let text = self.text(&format!("proc/sys/{}", key.replace('.', "/")));
            (key, text.map(|text| spaced(&text)))
        };
        SYSCTLS.map(setting).into()
    }

    fn limits(&self) -> Facts {
        let limits = self.text("proc/self/limits").unwrap_or_default();
        let of = |name| {
            let line = limits.lines().find_map(|line| line.strip_prefix(name))?;
            let mut words = line.split_ascii_whitespace();
            Some(format!("soft {}, hard {}", words.next()?, words.next()?))
        };
        let group = self.text("proc/self/cgroup").unwrap_or_default();
        let group = group.lines().find_map(|line| line.strip_prefix("0::"));
        let granted = |file: &str| {
            let group = group?.trim_end_matches('/');
            self.text(&format!("sys/fs/cgroup{group}/{file}"))
        };
        vec![
            ("open files", of("Max open files")),
            ("processes", of("Max processes")),
            ("locked memory", of("Max locked memory")),
            ("memory of the control group", granted("memory.max")),
            ("processors of the control group", granted("cpu.max")),
        ]
    }

    fn text(&self, path: &str) -> Option<String> {
        let text = fs::read_to_string(self.root.join(path)).ok()?;
        Some(text.trim().to_owned())
    }

    /// What follows a name and a sign on the first line that has them.
    fn field(&self, path: &str, name: &str, sign: char) -> Option<String> {
        let text = self.text(path)?;
        text.lines().find_map(|line| {
            let (key, value) = line.split_once(sign)?;
            (key.trim() == name).then(|| value.trim().to_owned())
        })
    }
}

/// One blank where there are tabs or several.
fn spaced(text: &str) -> String {
    text.split_ascii_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests;
