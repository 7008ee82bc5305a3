//! Puts load on a WebRocket broker and measures what becomes of it.

#![forbid(unsafe_code)]

mod args;
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
mod timeline;
mod tracker;

use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::process::ExitCode;

use clap::{CommandFactory, Parser};
use thiserror::Error;

use args::{Cli, Options, Role, Target};
use host::HostError;
use plan::{Plan, channel_name};
use report::{Report, Verdict};
use run::RunError;
use selfhost::{SelfHostError, SelfHosted};

/// Why a run did not happen.
#[derive(Debug, Error)]
enum Error {
    #[error("{0}")]
    Host(#[from] HostError),
    #[error("{0}")]
    SelfHost(#[from] SelfHostError),
    #[error("{0}")]
    Run(#[from] RunError),
    #[error("cannot find {host}: {source}")]
    Resolve { host: String, source: io::Error },
    #[error("cannot open channel {channel}: {source}")]
    Channel {
        channel: String,
        source: kosmonaut::Error,
    },
    #[error("cannot write the report: {0}")]
    Output(#[from] io::Error),
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    if let Some(Role::SelfHostedBroker { shards, channels }) = cli.role {
        return match selfhost::serve(shards, channels) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                eprintln!("loadgen: broker: {error}");
                ExitCode::from(2)
            }
        };
    }
    let plan = cli.options.plan().unwrap_or_else(|mismatch| {
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
    let report = if options.self_host {
        // Refused before a broker is started for nothing; where it listens
        // makes no difference on loopback.
        let loopback = SocketAddr::from(([127, 0, 0, 1], 0));
        host::check(&plan, loopback, Some(options.shards), descriptors)?;
        let broker = SelfHosted::start(options.shards, options.channels)?;
        let to = broker.websocket_addr();
        run::run(plan, to, &to.to_string(), broker.vhost(), Some(&broker))?
    } else {
        let target = &options.url;
        let to = resolve(target)?;
        host::check(&plan, to, None, descriptors)?;
        if let Some(url) = &options.backend {
            open_channels(url, options.channels)?;
        }
        let host = format!("{}:{}", target.host, target.port);
        run::run(plan, to, &host, target.path.as_str(), None)?
    };
    print(&report, options.json)?;
    Ok(report.verdict())
}

fn resolve(target: &Target) -> Result<SocketAddr, Error> {
    let failed = |source| Error::Resolve {
        host: target.host.clone(),
        source,
    };
    let text = format!("{}:{}", target.host, target.port);
    let mut addresses = text.to_socket_addrs().map_err(failed)?;
    addresses
        .next()
        .ok_or_else(|| failed(io::ErrorKind::NotFound.into()))
}

fn open_channels(url: &kosmonaut::Url, channels: u32) -> Result<(), Error> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(RunError::Start)?;
    let client = kosmonaut::Client::new(url.clone());
    runtime.block_on(async {
        for channel in (0..channels).map(channel_name) {
            let opened = client.open_channel(&channel).await;
            opened.map_err(|source| Error::Channel { channel, source })?;
        }
        Ok(())
    })
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
            Self::Host(_) | Self::SelfHost(_) | Self::Run(_) => 2,
            Self::Resolve { .. } | Self::Channel { .. } => 3,
            Self::Output(_) => 1,
        })
    }
}
