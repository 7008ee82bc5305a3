//! Puts load on a WebRocket broker and measures what becomes of it.

#![forbid(unsafe_code)]

mod args;
mod broker;
mod client;
mod host;
mod limits;
mod payload;
mod plan;
mod process;
mod progress;
mod pump;
mod report;
mod run;
mod schedule;
mod selfhost;
mod server;
mod timeline;
mod tracker;

use std::io::{self, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::process::ExitCode;
use std::time::SystemTime;

use clap::{CommandFactory, Parser};
use thiserror::Error;

use args::{Cli, Options, Role};
use broker::{Broker, BrokerError};
use host::{About, HostError, HostManifest, Preflight};
use plan::Plan;
use report::{Report, Verdict};
use run::RunError;

/// Why a run did not happen.
#[derive(Debug, Error)]
enum Error {
    #[error("{0}")]
    Host(#[from] HostError),
    #[error("{0}")]
    Broker(#[from] BrokerError),
    #[error("{0}")]
    Run(#[from] RunError),
    #[error("cannot write the report: {0}")]
    Output(#[from] io::Error),
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    if let Some(Role::SelfHostedBroker { shards }) = cli.role {
        return match selfhost::serve(shards) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                eprintln!("loadgen: broker: {error}");
                ExitCode::from(2)
            }
        };
    }
    let plan = cli.options.load.plan().unwrap_or_else(|mismatch| {
        let kind = clap::error::ErrorKind::ArgumentConflict;
        Cli::command().error(kind, mismatch).exit()
    });
    let done = match cli.options.watch.preflight {
        true => preflight(&cli.options, &plan),
        false => load(&cli.options, plan).map(Verdict::exit_code),
    };
    done.unwrap_or_else(|error| {
        eprintln!("loadgen: {error}");
        error.exit_code()
    })
}

/// Where a broker of our own listens makes no difference on loopback.
const LOOPBACK: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

fn preflight(options: &Options, plan: &Plan) -> Result<ExitCode, Error> {
    let descriptors = host::raise_descriptor_limit()?;
    let (to, shards) = match options.place.self_host {
        true => (LOOPBACK, Some(options.place.shards_for(plan.clients))),
        false => (Broker::at(&options.place, plan.clients)?.websocket, None),
    };
    let preflight = Preflight::look(plan, to, shards, descriptors);
    write!(io::stdout(), "{preflight}")?;
    Ok(ExitCode::from(match preflight.refusals.is_empty() {
        true => 0,
        false => 2,
    }))
}

fn load(options: &Options, plan: Plan) -> Result<Verdict, Error> {
    let started = SystemTime::now();
    let descriptors = host::raise_descriptor_limit()?;
    if options.place.self_host {
        // Refused before a broker is started for nothing.
        let shards = options.place.shards_for(plan.clients);
        Preflight::look(&plan, LOOPBACK, Some(shards), descriptors).pass()?;
    }
    let broker = Broker::at(&options.place, plan.clients)?.watched(&options.watch)?;
    if !options.place.self_host {
        Preflight::look(&plan, broker.websocket, None, descriptors).pass()?;
    }
    let mut report = run::run(plan, &broker)?;
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
    print(&report, options.output.json)?;
    Ok(report.verdict)
}

fn print(report: &Report, json: bool) -> io::Result<()> {
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
            Self::Output(_) => 1,
        })
    }
}
