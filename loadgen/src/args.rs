//! The command line.

mod load;
mod server;

pub(crate) use load::{Load, Mismatch};
pub(crate) use server::Watch;

use std::fmt::{self, Display, Formatter};
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, value_parser};
use thiserror::Error;
use webrocket::limits::SHARDS_MAX;
use webrocket::model::VhostPath;

use crate::agent::Agent;
use crate::capacity::PlanRole;
use crate::limits::PHASE_MAX;
use crate::merge::Merge;
use crate::pace::Pace;
use crate::plan::Plan;
use crate::report::Assertions;
use crate::scenario;
use crate::shape::{Record, Replay, Shape, ShapeError, mean_rate};

const AFTER_HELP: &str = "\
Broadcasts are sent on a fixed schedule, whatever the broker does. Latency is
measured from when a broadcast was due (corrected) and from when it was sent
(raw). Only broadcasts due while measuring count. With --closed-loop a slow
broker is asked less, and the two are one.

Durations: 500ms, 10s, 1m 30s.

Exit status: 0 all clients connected and every delivery came once and in order;
1 something was lost, duplicated, reordered or disconnected, the run was
interrupted, or an assertion does not hold; 2 wrong arguments, or the machine
can't give what is asked; 3 no client could connect.

Examples:
  loadgen --self-host --clients 1000
  loadgen --url ws://127.0.0.1:8080/demo --backend wr://TOKEN@127.0.0.1:8081/demo
  loadgen --self-host --clients 10000 --idle
  loadgen --self-host --scenario chat --assert 'p99<50ms,loss=0' --html chat.html
  loadgen plan --self-host --slo 'p99<50ms,loss=0'";

fn after_help() -> String {
    format!("{}\n{AFTER_HELP}", scenario::overview())
}

/// Puts load on a WebRocket broker and measures what becomes of it.
#[derive(Debug, Parser)]
#[command(version, after_help = after_help(), override_usage = "loadgen [OPTIONS]")]
#[command(args_conflicts_with_subcommands = true, disable_help_subcommand = true)]
// The last of two wins, so that scripts can add to a set of their own.
#[command(args_override_self = true)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) role: Option<Role>,
    #[command(flatten)]
    pub(crate) options: Options,
}

/// What this process is, where it is not the load generator.
#[derive(Debug, Subcommand)]
pub(crate) enum Role {
    /// The broker of a load generator, which is its parent.
    #[command(hide = true)]
    SelfHostedBroker {
        /// Its shards.
        shards: u16,
    },
    /// Make one log or report of those of several runs or machines
    Merge(Merge),
    /// Make the page for a browser of a report that --json wrote
    Html {
        /// The report
        #[arg(value_name = "REPORT")]
        report: PathBuf,
        /// The page
        #[arg(long, short, value_name = "FILE")]
        output: PathBuf,
    },
    /// Wait for a leader, and run its part of a load on this machine
    Agent(Agent),
    /// Find how much this machine carries, and what gives first
    Plan(Box<PlanRole>),
    /// Record the shape of a broker's traffic, or replay it
    #[command(subcommand)]
    Shape(ShapeRole),
}

/// What is done with a shape.
#[derive(Debug, Subcommand)]
pub(crate) enum ShapeRole {
    /// Write down how much a broker at work carries: rates, sizes, fan-outs; no payloads
    Record(Record),
    /// Put a load of a recorded shape on a broker
    Replay(Box<ReplayRole>),
}

/// A run whose clients, channels, size, rates and duration are a shape's.
#[derive(Debug, Args)]
pub(crate) struct ReplayRole {
    /// What was recorded
    #[arg(value_name = "SHAPE")]
    pub(crate) file: PathBuf,
    /// So many times the clients, and all that they do
    #[arg(long, value_name = "FACTOR", default_value = "1")]
    pub(crate) scale: Rate,
    /// So many times as fast
    #[arg(long, value_name = "FACTOR", default_value = "1")]
    pub(crate) speed: Rate,
    #[command(flatten)]
    pub(crate) options: Options,
}

impl ReplayRole {
    /// The run, and what of the shape it leaves out.
    ///
    /// # Errors
    /// The shape can't be used.
    pub(crate) fn plan(&self) -> Result<(Plan, Replay), ReplayError> {
        let shape = Shape::load(&self.file)?;
        let replay = Replay::of(&shape, self.scale.0, self.speed.0);
        let load = Load {
            clients: replay.clients,
            channels: replay.channels,
            size: replay.data_bytes as u32,
            idle: replay.is_silent(),
            warmup: Phase(Duration::ZERO),
            duration: Phase(Duration::from_secs_f64(replay.length_s)),
            ..self.options.load.clone()
        };
        let mut plan = load.plan()?;
        plan.rate = mean_rate(&replay.broadcasts, replay.length_s);
        plan.pace = Pace::steps(&replay.broadcasts);
        if plan.listeners() > 0 {
            plan.churn = replay.churn;
        }
        let has_backend = self.options.place.self_host || self.options.place.backend.is_some();
        let trigger_rate = mean_rate(&replay.triggers, replay.length_s);
        plan.backend.trigger_rate = if has_backend { trigger_rate } else { 0.0 };
        if plan.backend.trigger_rate > 0.0 && plan.triggerers() == 0 {
            plan.backend.trigger_rate = 0.0;
        }
        if plan.backend.trigger_rate > 0.0 {
            plan.backend.workers = plan.backend.workers.max(1);
            plan.trigger_pace = Pace::steps(&replay.triggers);
        }
        Ok((plan, replay))
    }
}

/// Why a shape can't be replayed.
#[derive(Debug, Error)]
pub(crate) enum ReplayError {
    /// The file.
    #[error("{0}")]
    Shape(#[from] ShapeError),
    /// Options that don't go with it.
    #[error("{0}")]
    Mismatch(#[from] Mismatch),
}

/// What a user may choose.
#[derive(Clone, Debug, Args)]
pub(crate) struct Options {
    /// Options under a name, as chat, or in a TOML file; those given here win
    #[arg(long, value_name = "NAME|FILE")]
    pub(crate) scenario: Option<String>,

    #[command(flatten)]
    pub(crate) place: Place,
    #[command(flatten)]
    pub(crate) watch: Watch,
    #[command(flatten)]
    pub(crate) fleet: Fleet,
    #[command(flatten)]
    pub(crate) load: Load,
    #[command(flatten)]
    pub(crate) output: Output,
}

/// Other machines that share the load.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Agents")]
pub(crate) struct Fleet {
    /// Machines that run the load together; on each is a loadgen agent
    #[arg(long, value_name = "HOST:PORT,..", value_delimiter = ',')]
    pub(crate) agents: Vec<String>,

    /// What the agents were told to ask for
    #[arg(
        long,
        value_name = "TOKEN",
        env = "LOADGEN_AGENT_TOKEN",
        hide_env_values = true
    )]
    agent_token: Option<String>,
}

impl Fleet {
    /// Empty where there is none.
    pub(crate) fn token(&self) -> &str {
        self.agent_token.as_deref().unwrap_or_default()
    }
}

/// Where the load goes.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Broker")]
pub(crate) struct Place {
    /// Broker and vhost to connect to
    #[arg(long, value_name = "URL", default_value = "ws://127.0.0.1:8080/vhost")]
    pub(crate) url: Target,

    /// Open the channels through this backend URL: wr://TOKEN@host:port/vhost
    #[arg(long, value_name = "URL", conflicts_with = "self_host")]
    pub(crate) backend: Option<kosmonaut::Url>,

    /// Start a broker in a process of its own and measure that too
    #[arg(long, conflicts_with = "url")]
    pub(crate) self_host: bool,

    /// Shards of the self-hosted broker; unless told half of the cores, more where open files ask for it
    #[arg(long, value_name = "N", requires = "self_host")]
    #[arg(value_parser = value_parser!(u16).range(1..=SHARDS_MAX as i64))]
    pub(crate) shards: Option<u16>,
}

/// What becomes of the report.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Report")]
pub(crate) struct Output {
    /// Report as JSON
    #[arg(long)]
    pub(crate) json: bool,

    /// Fail, with exit status 1, unless all of these hold: 'p99<20ms,loss=0,rate>=0.99'
    #[arg(long = "assert", value_name = "TERMS")]
    pub(crate) assertions: Vec<Assertions>,

    /// The report as one page for a browser, into this file
    #[arg(long, value_name = "FILE")]
    pub(crate) html: Option<PathBuf>,

    /// Histograms second by second into this file, as an HdrHistogram log
    #[arg(long, value_name = "FILE")]
    pub(crate) hlog: Option<PathBuf>,
}

/// `ws://host:port/vhost`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Target {
    /// As in the URL, IPv6 in brackets.
    pub(crate) host: String,
    /// 80 where the URL has none.
    pub(crate) port: u16,
    /// The vhost.
    pub(crate) path: VhostPath,
}

/// What is wrong with a URL, and how it should look.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub(crate) enum TargetError {
    /// TLS.
    #[error("wss:// is not supported: give a ws:// URL of the broker itself")]
    Tls,
    /// Something else.
    #[error("it should begin with ws://, as in ws://127.0.0.1:8080/vhost")]
    Scheme,
    /// No host.
    #[error("it has no host, as in ws://127.0.0.1:8080/vhost")]
    Host,
    /// Not a port.
    #[error("the port should be a number from 1 to 65535")]
    Port,
    /// No vhost.
    #[error("it should end with a vhost: /name, or /name/name, of letters, digits, _ and -")]
    Vhost,
}

impl FromStr for Target {
    type Err = TargetError;

    fn from_str(url: &str) -> Result<Self, TargetError> {
        if url.starts_with("wss://") {
            return Err(TargetError::Tls);
        }
        let rest = url.strip_prefix("ws://").ok_or(TargetError::Scheme)?;
        let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        // A colon within brackets belongs to an IPv6 address.
        let (host, port) = match authority.rsplit_once(':') {
            Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
            _ => (authority, None),
        };
        let port = port.map_or(Ok(80), |port| port.parse().map_err(|_| TargetError::Port))?;
        if port == 0 {
            return Err(TargetError::Port);
        }
        if host.is_empty() {
            return Err(TargetError::Host);
        }
        Ok(Self {
            host: host.to_owned(),
            port,
            path: VhostPath::parse(path).ok_or(TargetError::Vhost)?,
        })
    }
}

/// Events a second.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Rate(pub(crate) f64);

/// A rate that is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("it should be a number from 0.001 to 100000000, a second")]
pub(crate) struct RateError;

impl Rate {
    /// The lowest.
    pub(crate) const LEAST: f64 = 0.001;
}

impl FromStr for Rate {
    type Err = RateError;

    fn from_str(text: &str) -> Result<Self, RateError> {
        let rate: f64 = text.parse().map_err(|_| RateError)?;
        if (Self::LEAST..=1e8).contains(&rate) {
            Ok(Self(rate))
        } else {
            Err(RateError)
        }
    }
}

/// How long a phase lasts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Phase(pub(crate) Duration);

impl Display for Phase {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{}", humantime::format_duration(self.0))
    }
}

/// A duration that is none.
#[derive(Clone, Debug, PartialEq, Error)]
pub(crate) enum PhaseError {
    /// Not readable.
    #[error("{0}")]
    Form(#[from] humantime::DurationError),
    /// Past [`PHASE_MAX`].
    #[error("a day is the longest")]
    TooLong,
}

impl FromStr for Phase {
    type Err = PhaseError;

    fn from_str(text: &str) -> Result<Self, PhaseError> {
        let duration = humantime::parse_duration(text)?;
        if duration > PHASE_MAX {
            return Err(PhaseError::TooLong);
        }
        Ok(Self(duration))
    }
}

#[cfg(test)]
mod tests;
