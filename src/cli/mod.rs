//! The program: a module for each command, and `node`, through which commands
//! ask one that runs.

#![forbid(unsafe_code)]

mod admin;
mod config;
mod demo;
mod doctor;
mod log;
mod manual;
mod monitor;
mod node;
mod serve;

use std::io::{self, Write};
use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};

use crate::limits::SHARDS_MAX;

/// A WebSocket broker between browsers and backend applications.
#[derive(Parser)]
#[command(name = "webrocket", version, after_help = EXIT_CODES)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
    #[command(flatten)]
    log: log::Flags,
}

#[derive(Subcommand)]
enum Command {
    /// Runs a node until SIGINT or SIGTERM
    #[command(after_help = SERVE_HELP)]
    Serve(config::Flags),
    /// Runs a throw-away node with a page to try it
    Demo(demo::Arguments),
    Admin(admin::Arguments),
    /// Shows a running node in the terminal, refreshed live
    Monitor(monitor::Arguments),
    /// Tells what this host lacks to carry many connections, and what mends it
    Doctor(doctor::Arguments),
    Completions(manual::Completions),
    Man(manual::Man),
}

const EXIT_CODES: &str = "Exit codes: 0 all went in order; 1 the node could not start, or not \
close every connection in time; 2 the command line or the configuration is wrong. \
admin, monitor and doctor have their own, which their --help tells.";

const SERVE_HELP: &str = "\
Settings come from the file, then from variables, then from flags; the later is
the stronger. webrocket.example.toml lists them all. Times and sizes have units,
as 10s, 500ms, 64KiB or 3MiB; a size without one is in bytes.

Signals:
  SIGTERM, SIGINT  drain: every connection is told and closed; a second one ends at once
  SIGHUP           reads the file anew: limits, log filter and drain timeout change at
                   once, the log names what else changed and needs a restart

Exit codes:
  0  all went in order
  1  the node could not start, or not close every connection in time
  2  the command line or the configuration is wrong";

/// The exit code where the command line or the configuration is wrong; clap's own as well.
const INVALID: u8 = 2;

/// Runs the program with the arguments of the process.
pub fn run() -> ExitCode {
    let line = admin::Line::new(std::env::args_os(), Arguments::command());
    let (arguments, matches) = match line.parse::<Arguments>() {
        Ok(parsed) => parsed,
        Err(code) => return code,
    };
    let Arguments { command, log } = arguments;
    // The settings of `serve` have a say in what is logged; over the monitor's
    // picture nothing is to be written.
    if !matches!(command, Command::Serve(_) | Command::Monitor(_))
        && let Err(error) = log.start()
    {
        eprintln!("webrocket: {error}");
        return ExitCode::from(INVALID);
    }
    let outcome = match command {
        Command::Serve(flags) => serve::run(flags, &log),
        Command::Demo(arguments) => demo::run(&arguments),
        Command::Admin(arguments) => return admin::run(&arguments, &matches, &line),
        Command::Monitor(arguments) => return monitor::run(&arguments, &matches),
        Command::Doctor(arguments) => doctor::run(&arguments),
        Command::Completions(arguments) => manual::complete(&arguments, Arguments::command()),
        Command::Man(arguments) => manual::write(&arguments, Arguments::command()),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            failure.print();
            failure.exit_code()
        }
    }
}

/// Why the program ends with another code than 0.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error("{} problems with the settings", .0.len())]
    Invalid(Vec<config::Problem>),
    #[error(transparent)]
    Start(#[from] crate::server::StartError),
    #[error(transparent)]
    Control(#[from] crate::control::Error),
    #[error("demo backend: {0}")]
    Backend(#[from] kosmonaut::Error),
    #[error("{what}: {source}")]
    System {
        what: &'static str,
        source: std::io::Error,
    },
    #[error("manual pages in {}: {source}", dir.display())]
    Page {
        dir: std::path::PathBuf,
        source: std::io::Error,
    },
    #[error("{0}")]
    Unfit(&'static str),
    #[error("some connections were not closed in time")]
    NotDrained,
    #[error("stopped at once by a second signal: connections were cut")]
    StoppedTwice,
}

impl Failure {
    /// One line to stderr, for settings one for each problem.
    fn print(&self) {
        match self {
            Self::Invalid(problems) => problems
                .iter()
                .for_each(|problem| eprintln!("webrocket: {problem}")),
            failure => eprintln!("webrocket: {failure}"),
        }
    }

    fn exit_code(&self) -> ExitCode {
        match self {
            Self::Invalid(_) => ExitCode::from(INVALID),
            _ => ExitCode::FAILURE,
        }
    }

    fn system(what: &'static str) -> impl FnOnce(std::io::Error) -> Self {
        move |source| Self::System { what, source }
    }
}

/// Waits for SIGINT or SIGTERM.
async fn stop_signal() -> Result<(), Failure> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate()).map_err(Failure::system("signals"))?;
    tokio::select! {
        outcome = tokio::signal::ctrl_c() => outcome.map_err(Failure::system("signals")),
        _ = terminate.recv() => Ok(()),
    }
}

/// Writes to stdout. Where the reader has seen enough, as `head` has, all is well.
fn print(text: impl AsRef<[u8]>) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    let written = stdout
        .write_all(text.as_ref())
        .and_then(|()| stdout.flush());
    match written {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        written => written,
    }
}

/// A runtime for what runs beside the node.
fn runtime() -> Result<tokio::runtime::Runtime, Failure> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(Failure::system("runtime"))
}

/// The name of this machine, that of its node where none is given.
fn host_name() -> io::Result<String> {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname")?;
    Ok(name.trim().to_owned())
}

/// The cores of this machine, as far as the process may use them.
fn default_shards() -> u16 {
    std::thread::available_parallelism().map_or(1, |cores| cores.get().min(SHARDS_MAX) as u16)
}
