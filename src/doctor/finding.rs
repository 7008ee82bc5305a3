use serde::Serialize;

/// One thing that was looked at, and what came of it.
#[derive(Clone, Debug, Serialize)]
pub struct Finding {
    /// Stable name, and the heading in `tuning/README.md` that explains it.
    pub id: &'static str,
    /// Where the report shows it.
    pub group: Group,
    /// How bad it is.
    pub severity: Severity,
    /// What suffers.
    pub affects: Affects,
    /// The host's value, for people.
    pub found: String,
    /// The value that would be fine, for people.
    pub wanted: String,
    /// What it limits, in one or two sentences.
    pub limits: String,
    /// The lines that mend it; empty where it is fine, or where no setting helps.
    pub fixes: Vec<Fix>,
}

/// How bad a finding is, from harmless to worst.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// As it should be.
    Ok,
    /// Worth knowing; nothing is lost.
    Note,
    /// The node runs, slower or less evenly than it could.
    Warning,
    /// The node does not start, or does not carry the connections asked for.
    Failure,
}

/// Where a finding belongs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Group {
    /// Kernel and io_uring.
    Kernel,
    /// Descriptors and files.
    Descriptors,
    /// Sockets and the way to them.
    Network,
    /// Memory and how it is handed out.
    Memory,
    /// Processors and their clocks.
    Cores,
    /// The network card's queues and interrupts.
    Card,
    /// What a control group grants.
    Cgroup,
}

/// What suffers from a finding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Affects {
    /// Whether a node starts at all.
    Start,
    /// How many connections there can be, or how fast they come in.
    Connections,
    /// How many deliveries a second.
    Deliveries,
    /// How long a delivery takes, at worst.
    Latency,
}

/// One line for one file.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Fix {
    /// Where the line goes.
    pub place: Place,
    /// The line.
    pub line: String,
}

/// Where a line goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Place {
    /// `/etc/sysctl.d/90-webrocket.conf`, then `sysctl --system`.
    Sysctl,
    /// `/etc/security/limits.d/webrocket.conf`, then a new login.
    Limits,
    /// The `[Service]` section of the unit, then `systemctl daemon-reload` and a restart.
    Unit,
    /// The kernel's command line, then a reboot.
    KernelCommandLine,
    /// `/etc/tmpfiles.d/webrocket.conf`, then `systemd-tmpfiles --create`.
    Tmpfiles,
    /// `tuning/webrocket-card`, as root; `webrocket-card@.service` runs it at every boot.
    Script,
}

impl Place {
    /// The file, or what stands for it, and how its lines take effect.
    pub(super) fn title(self) -> &'static str {
        match self {
            Self::Sysctl => "/etc/sysctl.d/90-webrocket.conf; sysctl --system",
            Self::Limits => "/etc/security/limits.d/webrocket.conf; log in anew",
            Self::Unit => "webrocket.service, [Service]; systemctl daemon-reload",
            Self::KernelCommandLine => "kernel command line; reboot",
            Self::Script => "as root; `systemctl enable webrocket-card@CARD` keeps it",
            Self::Tmpfiles => "/etc/tmpfiles.d/webrocket.conf; systemd-tmpfiles --create",
        }
    }
}

impl Fix {
    pub(super) fn sysctl(key: &str, value: impl std::fmt::Display) -> Self {
        Self {
            place: Place::Sysctl,
            line: format!("{key} = {value}"),
        }
    }

    pub(super) fn new(place: Place, line: impl Into<String>) -> Self {
        Self {
            place,
            line: line.into(),
        }
    }
}

impl Finding {
    /// All of it in one line.
    pub(super) fn brief(&self) -> String {
        let Self {
            id, found, wanted, ..
        } = self;
        let mut line = format!("{id} is {found}, wanted {wanted}");
        if let Some(fix) = self.fixes.first() {
            line += &format!("; mend with {:?}", fix.line);
        }
        line
    }
}

impl Severity {
    /// `Ok` where it `holds`, else this severity.
    pub(super) fn unless(self, holds: bool) -> Self {
        if holds { Self::Ok } else { self }
    }
}
