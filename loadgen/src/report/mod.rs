//! What a run says: figures, warnings and a verdict, as text or JSON.
//!
//! The types are the JSON's schema, field by field (docs/loadgen.md).

mod assert;
mod backend;
mod build;
mod distribution;
mod hlog;
mod html;
mod interval;
mod life;
mod merge;
mod presence;
mod series;
mod spent;
mod table;
mod text;

pub(crate) use assert::{Assertion, Assertions};
pub(crate) use backend::{BackendReport, Requests, TriggerReport};
pub(crate) use build::{Marks, Sample};
pub(crate) use distribution::Distribution;
pub(crate) use hlog::{FORMAT as LOG_FORMAT, NANOSECONDS_PER_MILLISECOND, write as write_hlog};
pub(crate) use html::{Chart, Line, Scale, hosts, page};
pub(crate) use interval::{Interval, Tag};
pub(crate) use life::{Comebacks, SlowReport};
pub(crate) use merge::{Incompatible, Part};
pub(crate) use presence::Presence;
pub(crate) use series::{PhaseSpan, Series, Tick};
pub(crate) use spent::Spent;
pub(crate) use table::Table;
pub(crate) use text::grouped;

use std::collections::BTreeMap;
use std::fmt;
use std::process::ExitCode;
use std::time::SystemTime;

use serde::{Deserialize, Serialize};

use crate::host::HostManifest;

/// Version of the JSON's schema. A member that is added keeps it; one that
/// changes its meaning or goes raises it.
pub(crate) const SCHEMA: u32 = 1;

/// Everything that is reported. The field names are those of the JSON.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Report {
    /// [`SCHEMA`].
    pub(crate) schema: u32,
    pub(crate) verdict: Verdict,
    /// When the run's clock began; seconds and nanoseconds since 1970.
    #[serde(default = "unix_epoch")]
    pub(crate) began: SystemTime,
    pub(crate) interrupted: bool,
    /// When all connections were lost, which ended the run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) broker_gone_s: Option<f64>,
    pub(crate) warnings: Vec<Warning>,
    /// The reports that this one was merged of.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) parts: Vec<Part>,
    /// Agents that brought no report, and why.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) lost_parts: BTreeMap<String, String>,
    /// What `--assert` asked for.
    #[serde(default)]
    pub(crate) assertions: Vec<Assertion>,
    pub(crate) load: Load,
    pub(crate) connections: Connections,
    pub(crate) broadcasts: Broadcasts,
    pub(crate) deliveries: DeliveryCounts,
    /// None where nothing was delivered.
    pub(crate) latency: Option<Latency>,
    /// None where nobody has joined.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) joining: Option<Joining>,
    /// None where nobody triggers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) triggers: Option<TriggerReport>,
    /// None where the backend asks for nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) backend: Option<BackendReport>,
    /// None but on presence channels.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) presence: Option<Presence>,
    /// None where nobody was to leave and come back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) comebacks: Option<Comebacks>,
    /// None where all read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) slow: Option<SlowReport>,
    /// `:error` messages by code.
    pub(crate) errors: BTreeMap<u16, u64>,
    /// Close frames by code.
    pub(crate) closes: BTreeMap<u16, u64>,
    pub(crate) generator: Generator,
    /// None where the broker is neither our own nor can be looked at.
    pub(crate) broker: Option<Broker>,
    /// The parts of the run, one after the other.
    #[serde(default)]
    pub(crate) phases: Vec<PhaseSpan>,
    #[serde(default)]
    pub(crate) series: Series,
    /// The generator's machine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) host: Option<HostManifest>,
    /// Second by second; not in the JSON, but the source of its series.
    #[serde(skip)]
    pub(crate) intervals: Vec<Interval>,
}

/// What became of the run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Verdict {
    /// All were connected all the time, and all came once and in order.
    Passed,
    /// Not so.
    Failed,
    /// Nobody was connected.
    NotConnected,
}

/// Why the figures may mislead.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub(crate) enum Warning {
    /// Sends were late.
    Late {
        /// Milliseconds.
        p99_ms: f64,
    },
    /// A thread used nearly all of a core.
    Busy {
        /// Of that core.
        percent: f64,
    },
    /// Too many sends missed their tick.
    Missed {
        /// Of all sends.
        percent: f64,
    },
    /// What came waited too long before it was read.
    Lagging {
        /// Milliseconds.
        p99_ms: f64,
    },
    /// More threads than cores.
    Crowded {
        /// Shards and threads of clients.
        threads: usize,
        /// Of the machine.
        cores: usize,
    },
    /// More gaps than can be remembered.
    Inexact,
}

/// What was asked for.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Load {
    pub(crate) clients: u32,
    pub(crate) channels: u32,
    pub(crate) publishers_per_channel: u32,
    pub(crate) threads: u16,
    /// 0 in a closed loop, which has none.
    pub(crate) rate_per_s: f64,
    /// Of each publisher at one time, in a closed loop; 0 in an open one.
    #[serde(default)]
    pub(crate) in_flight: u32,
    pub(crate) data_bytes: usize,
    pub(crate) measured_s: f64,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Connections {
    pub(crate) subscribed: u64,
    pub(crate) failed: u64,
    /// Subscribed first, disconnected before the end.
    pub(crate) lost: u64,
    /// Given up before they were tried.
    pub(crate) not_tried: u64,
    pub(crate) ramp_s: f64,
    pub(crate) per_s: f64,
    pub(crate) failed_by_cause: BTreeMap<String, u64>,
    pub(crate) lost_by_cause: BTreeMap<String, u64>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Broadcasts {
    pub(crate) sent: u64,
    /// The publisher had no connection, or its broker did not read.
    pub(crate) unsent: u64,
    pub(crate) per_s: f64,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct DeliveryCounts {
    pub(crate) expected: u64,
    pub(crate) delivered: u64,
    pub(crate) per_s: f64,
    pub(crate) lost: u64,
    pub(crate) duplicated: u64,
    pub(crate) reordered: u64,
    /// Damaged, or of another channel.
    pub(crate) strange: u64,
    /// Of another run on the same channels.
    pub(crate) foreign: u64,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Latency {
    /// Since the broadcast was due.
    pub(crate) corrected: Distribution,
    /// Since it was sent.
    pub(crate) raw: Distribution,
}

/// How long it took to join.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Joining {
    /// From the start of a connection to `:connected`.
    pub(crate) connect: Distribution,
    /// From the request to `:subscribed`.
    pub(crate) subscribe: Distribution,
    /// The backend's requests for access tokens, one for each connection.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) token: Option<Distribution>,
    /// From the token to `:authenticated`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) authenticate: Option<Distribution>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Generator {
    /// Of one core each.
    pub(crate) busiest_thread_cpu_percent: f64,
    /// All threads together, of one core.
    pub(crate) cpu_percent: f64,
    pub(crate) late_p99_us: f64,
    pub(crate) late_max_us: f64,
    /// Broadcasts that left more than a millisecond late.
    pub(crate) missed_ticks: u64,
    /// From the kernel's word that a client can be read to its reading.
    pub(crate) receive_lag_p99_us: f64,
    pub(crate) receive_lag_max_us: f64,
    /// All threads together.
    pub(crate) cpu_us_per_delivery: Option<f64>,
    pub(crate) resident_bytes_per_client: Option<u64>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Broker {
    /// All threads together, of one core.
    pub(crate) cpu_percent: f64,
    pub(crate) cpu_us_per_delivery: Option<f64>,
    pub(crate) resident_bytes_per_client: Option<u64>,
    pub(crate) resident_bytes: u64,
    /// None where it could only be asked how much.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) spent: Option<Spent>,
}

fn unix_epoch() -> SystemTime {
    SystemTime::UNIX_EPOCH
}

impl Report {
    /// Takes in what became of `assertions`; one that does not hold fails a run
    /// that had passed.
    pub(crate) fn assert(&mut self, assertions: &Assertions) {
        let checked = assertions.check(self);
        if self.verdict == Verdict::Passed && !checked.iter().all(|it| it.holds) {
            self.verdict = Verdict::Failed;
        }
        self.assertions.extend(checked);
    }
}

impl Verdict {
    pub(crate) fn exit_code(self) -> ExitCode {
        ExitCode::from(match self {
            Self::Passed => 0,
            Self::Failed => 1,
            Self::NotConnected => 3,
        })
    }
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Late { p99_ms } => write!(
                f,
                "sends were late (p99 {p99_ms:.1} ms): latencies are partly the generator's"
            ),
            Self::Busy { percent } => write!(
                f,
                "a generator thread used {percent:.0} % of its core: it limits the run"
            ),
            Self::Missed { percent } => write!(
                f,
                "{percent:.1} % of the sends left more than 1 ms late: the schedule was not kept"
            ),
            Self::Lagging { p99_ms } => write!(
                f,
                "the generator read late (p99 {p99_ms:.1} ms): latencies are partly its own"
            ),
            Self::Crowded { threads, cores } => write!(
                f,
                "{threads} threads share {cores} cores: broker and generator are in each other's way"
            ),
            Self::Inexact => f.write_str(
                "too many gaps to remember: lost is a lower bound, duplicated may be late ones",
            ),
        }
    }
}
