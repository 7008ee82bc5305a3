//! The command line: flags become a valid configuration, or one line that says
//! what is wrong with them.

#![forbid(unsafe_code)]

mod demo;
mod monitor;
mod serve;

use std::io::IsTerminal;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, Subcommand};
use tracing_subscriber::EnvFilter;

/// A WebSocket broker between browsers and backend applications.
#[derive(Parser)]
#[command(name = "webrocket", version, after_help = EXIT_CODES)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
    /// What to log to stderr, as "info" or "webrocket::control=debug"
    #[arg(
        long,
        global = true,
        env = "RUST_LOG",
        value_name = "FILTER",
        default_value = "info"
    )]
    log: String,
}

#[derive(Subcommand)]
enum Command {
    /// Runs a node until SIGINT or SIGTERM
    Serve(serve::Arguments),
    /// Runs a throw-away node with a page to try it
    Demo(demo::Arguments),
    /// Shows a running node in the terminal, refreshed live
    Monitor(monitor::Arguments),
}

const EXIT_CODES: &str = "Exit codes: 0 all went in order; 1 the node could not start, or not \
close every connection in time; 2 the command line is wrong.";

/// Time that a stopping node gives its connections.
const STOP_TIMEOUT: Duration = Duration::from_secs(10);

/// Runs the program with the arguments of the process.
pub fn run() -> ExitCode {
    let arguments = Arguments::parse();
    let log = match &arguments.command {
        // It would write over the picture.
        Command::Monitor(_) => "off",
        Command::Serve(_) | Command::Demo(_) => &arguments.log,
    };
    let filter = match EnvFilter::try_new(log) {
        Ok(filter) => filter,
        Err(error) => {
            eprintln!("webrocket: --log {:?}: {error}", arguments.log);
            return ExitCode::from(2);
        }
    };
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .init();
    let outcome = match arguments.command {
        Command::Serve(arguments) => serve::run(arguments),
        Command::Demo(arguments) => demo::run(&arguments),
        Command::Monitor(arguments) => return monitor::run(&arguments),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("webrocket: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Why the program ends with 1.
#[derive(Debug, thiserror::Error)]
enum Failure {
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
    #[error("some connections were not closed in time")]
    NotDrained,
}

impl Failure {
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

/// A runtime for what runs beside the node.
fn runtime() -> Result<tokio::runtime::Runtime, Failure> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(Failure::system("runtime"))
}

/// The cores of this machine, as far as the process may use them.
fn default_shards() -> u16 {
    std::thread::available_parallelism().map_or(1, |cores| cores.get().min(256) as u16)
}
