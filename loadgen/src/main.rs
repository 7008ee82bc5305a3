//! Puts load on a WebRocket broker and measures what becomes of it.

#![forbid(unsafe_code)]

mod args;
mod broker;
mod client;
mod host;
mod limits;
mod pace;
mod payload;
mod plan;
mod process;
mod progress;
mod pump;
mod report;
mod run;
mod scenario;
mod schedule;
mod selfhost;
mod shape;
mod timeline;
mod tracker;

use std::io;
use std::net::SocketAddr;
use std::process::ExitCode;

use clap::CommandFactory;
use thiserror::Error;

use args::{Cli, Options, Role};
use broker::{Broker, BrokerError};
use host::HostError;
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
    let cli = scenario::parse(std::env::args_os());
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
    match load(&cli.options, plan) {
        Ok(verdict) => verdict.exit_code(),
        Err(error) => {
            eprintln!("loadgen: {error}");
            error.exit_code()
        }
    }
}

fn load(options: &Options, plan: Plan) -> Result<Verdict, Error> {
    let descriptors = host::raise_descriptor_limit()?;
    if options.place.self_host {
        // Refused before a broker is started for nothing; where it listens
        // makes no difference on loopback.
        let loopback = SocketAddr::from(([127, 0, 0, 1], 0));
        host::check(&plan, loopback, Some(options.place.shards), descriptors)?;
    }
    let broker = Broker::at(&options.place)?;
    host::check(&plan, broker.websocket, None, descriptors)?;
    let report = run::run(plan, &broker)?;
    print(&report, options.output.json)?;
    Ok(report.verdict)
}

fn print(report: &Report, json: bool) -> io::Result<()> {
    use std::io::Write;
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
