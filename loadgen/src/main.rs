//! Puts load on a WebRocket broker and measures what becomes of it.

#![forbid(unsafe_code)]

mod agent;
mod args;
mod backend;
mod broker;
mod capacity;
mod client;
mod host;
mod limits;
mod merge;
mod numbers;
mod pace;
mod payload;
mod plan;
mod presence;
mod process;
mod progress;
mod pump;
mod report;
mod run;
mod scenario;
mod schedule;
mod selfhost;
mod server;
mod shape;
mod timeline;
mod tokens;
mod tracker;

use std::fmt::Display;
use std::fs::{self, File};
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::SystemTime;

use clap::CommandFactory;
use serde::Serialize;
use thiserror::Error;

use agent::FleetError;
use args::{Cli, Options, Place, ReplayRole, Role, ShapeRole, Watch};
use broker::{Broker, BrokerError};
use capacity::PlanRole;
use host::{About, HostError, HostManifest, Preflight};
use limits::REPORT_BYTES_MAX;
use plan::Plan;
use report::{Report, Verdict};
use run::{Gate, RunError};

/// Why a run did not happen.
#[derive(Debug, Error)]
enum Error {
    #[error("{0}")]
    Host(#[from] HostError),
    #[error("{0}")]
    Broker(#[from] BrokerError),
    #[error("{0}")]
    Run(#[from] RunError),
    #[error("{0}")]
    Fleet(#[from] FleetError),
    #[error("cannot write the report: {0}")]
    Output(#[from] io::Error),
    #[error("cannot write {}: {source}", path.display())]
    File { path: PathBuf, source: io::Error },
    #[error("{} is no report: {source}", path.display())]
    Read { path: PathBuf, source: io::Error },
}

fn main() -> ExitCode {
    let cli = scenario::parse(std::env::args_os());
    match cli.role {
        Some(Role::SelfHostedBroker { shards }) => {
            return ended(selfhost::serve(shards).map_err(|error| format!("broker: {error}")));
        }
        Some(Role::Merge(merge)) => return ended(merge::run(&merge)),
        Some(Role::Html { report, output }) => return ended(write_page(&report, &output)),
        Some(Role::Agent(agent)) => return ended(agent.run()),
        Some(Role::Plan(role)) => return planned(&role),
        Some(Role::Shape(ShapeRole::Record(record))) => return ended(record.run()),
        Some(Role::Shape(ShapeRole::Replay(replay))) => return replayed(&replay),
        None => {}
    }
    let plan = cli.options.load.plan().unwrap_or_else(|mismatch| {
        let kind = clap::error::ErrorKind::ArgumentConflict;
        Cli::command().error(kind, mismatch).exit()
    });
    started(&cli.options, plan)
}

/// A run, or the look at the machine before it.
fn started(options: &Options, plan: Plan) -> ExitCode {
    let done = match options.watch.preflight {
        true => preflight(options, &plan),
        false => load(options, plan).map(Verdict::exit_code),
    };
    done.unwrap_or_else(|error| {
        eprintln!("loadgen: {error}");
        error.exit_code()
    })
}

fn planned(role: &PlanRole) -> ExitCode {
    let told = role.run().map_err(|error| error.to_string());
    let told = told.and_then(|report| {
        let told = print(&report, role.options.output.json);
        told.map_err(|error| format!("cannot write the report: {error}"))?;
        Ok(report.exit_code())
    });
    told.unwrap_or_else(|error| ended(Err(error)))
}

fn replayed(role: &ReplayRole) -> ExitCode {
    if !role.options.fleet.agents.is_empty() {
        return ended(Err(
            "a shape is replayed by one loadgen alone, without --agents",
        ));
    }
    let (plan, replay) = match role.plan() {
        Ok(planned) => planned,
        Err(error) => return ended(Err(error)),
    };
    let triggered = replay.triggers.iter().any(|step| step.rate > 0.0);
    if triggered && plan.backend.trigger_rate == 0.0 {
        eprintln!("not replayed: triggers, which need a backend and a client that stays");
    }
    if replay.churn > 0.0 && plan.churn == 0.0 {
        eprintln!("not replayed: renewed connections, for every client publishes");
    }
    started(&role.options, plan)
}

fn ended(result: Result<(), impl Display>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("loadgen: {error}");
            ExitCode::from(2)
        }
    }
}

/// Where a broker of our own listens makes no difference on loopback.
pub(crate) const LOOPBACK: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

fn preflight(options: &Options, plan: &Plan) -> Result<ExitCode, Error> {
    let descriptors = host::raise_descriptor_limit()?;
    let (to, shards) = match options.place.self_host {
        true => (LOOPBACK, Some(options.place.shards_for(plan.population()))),
        false => (
            Broker::at(&options.place, plan.population())?.websocket,
            None,
        ),
    };
    let preflight = Preflight::look(plan, to, shards, descriptors);
    write!(io::stdout(), "{preflight}")?;
    Ok(ExitCode::from(match preflight.refusals.is_empty() {
        true => 0,
        false => 2,
    }))
}

/// The broker that the options ask for, once this machine and it can give what the
/// plan needs.
fn prepare(place: &Place, watch: &Watch, plan: &Plan) -> Result<Broker, Error> {
    let descriptors = host::raise_descriptor_limit()?;
    if place.self_host {
        // Refused before a broker is started for nothing.
        let shards = place.shards_for(plan.population());
        Preflight::look(plan, LOOPBACK, Some(shards), descriptors).pass()?;
    }
    let broker = Broker::at(place, plan.population())?.watched(watch)?;
    if !place.self_host {
        Preflight::look(plan, broker.websocket, None, descriptors).pass()?;
        broker.suit(plan)?;
    }
    Ok(broker)
}

/// The run itself, and where it was measured.
fn measure(plan: Plan, broker: &Broker, gate: Option<Gate>) -> Result<Report, Error> {
    let started = SystemTime::now();
    let mut report = run::run(plan, broker, gate)?;
    let metrics = broker
        .source
        .metrics
        .as_ref()
        .and_then(|it| it.fetch().ok());
    report.host = Some(HostManifest::here(About {
        started,
        to: broker.websocket,
        broker_version: metrics.as_ref().map(|it| it.version.as_str()),
    }));
    Ok(report)
}

fn load(options: &Options, plan: Plan) -> Result<Verdict, Error> {
    let mut report = if options.fleet.agents.is_empty() {
        let broker = prepare(&options.place, &options.watch, &plan)?;
        measure(plan, &broker, None)?
    } else {
        // The agents look at their machines themselves.
        host::raise_descriptor_limit()?;
        let broker = Broker::at(&options.place, plan.population())?.watched(&options.watch)?;
        broker.suit(&plan)?;
        agent::lead(&options.fleet, &options.load, &broker)?
    };
    for assertions in &options.output.assertions {
        report.assert(assertions);
    }
    if let Some(path) = &options.output.hlog {
        write_hlog(path, &report)?;
    }
    if let Some(path) = &options.output.html {
        write(path, report.to_html().as_bytes())?;
    }
    print(&report, options.output.json)?;
    Ok(report.verdict)
}

/// The page of a report that was written before.
fn write_page(from: &Path, to: &Path) -> Result<(), Error> {
    let read = |source| Error::Read {
        path: from.to_owned(),
        source,
    };
    let file = File::open(from).map_err(read)?.take(REPORT_BYTES_MAX);
    let report: Report = serde_json::from_reader(BufReader::new(file))
        .map_err(|error| read(io::Error::from(error)))?;
    write(to, report.to_html().as_bytes())
}

fn write(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    fs::write(path, bytes).map_err(|source| Error::File {
        path: path.to_owned(),
        source,
    })
}

fn write_hlog(path: &Path, report: &Report) -> Result<(), Error> {
    let write = || {
        let mut out = BufWriter::new(File::create(path)?);
        report::write_hlog(&mut out, report.began, &report.intervals)?;
        out.flush()
    };
    write().map_err(|source| Error::File {
        path: path.to_owned(),
        source,
    })
}

fn print(report: &(impl Serialize + Display), json: bool) -> io::Result<()> {
    let mut out = io::stdout().lock();
    if json {
        serde_json::to_writer_pretty(&mut out, report)?;
        writeln!(out)
    } else {
        write!(out, "{report}")
    }
}

impl Error {
    fn exit_code(&self) -> ExitCode {
        ExitCode::from(match self {
            Self::Broker(BrokerError::Resolve { .. }) | Self::Run(RunError::Broker(_)) => 3,
            Self::Host(_) | Self::Run(_) | Self::Broker(_) => 2,
            Self::Fleet(FleetError::Nothing(_) | FleetError::Merge(_)) => 1,
            Self::Fleet(_) => 2,
            Self::Output(_) | Self::File { .. } => 1,
            Self::Read { .. } => 2,
        })
    }
}
