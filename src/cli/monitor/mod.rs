//! `webrocket monitor`: a node in a terminal, refreshed live. `source` looks at
//! it, `rates` tells what happened between two looks, `model` keeps what is
//! known, `view` draws it.

mod latency;
mod model;
mod rates;
mod screen;
mod source;
mod view;

#[cfg(test)]
mod tests;

use std::io::{IsTerminal, Write};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::ArgMatches;

use model::Model;
use source::{LookError, Source};
use view::plain_text;

use super::node::Target;
use crate::limits::{MONITOR_ANSWER_BYTES_MAX, MONITOR_TIMEOUT};

#[derive(clap::Args)]
#[command(after_help = EXIT_CODES)]
pub(super) struct Arguments {
    #[command(flatten)]
    target: Target,
    /// Time between two looks, as 2s or 500ms
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = source::interval)]
    interval: Duration,
    /// Prints one picture as plain text, after two looks, and ends
    #[arg(long)]
    once: bool,
}

const EXIT_CODES: &str = "\
Press ? in the monitor for its keys and what the figures mean. NO_COLOR=1 shows it
without colour.

Exit codes:
  0  ended by a key or a signal, or the picture is printed
  1  no terminal, or the node began anew between the looks of --once
  2  the command line is wrong
  3  with --once: the node cannot be reached, or gave no valid answer
  4  the cookie cannot be read, or is not the node's";

/// Why the monitor ends with another code than 0.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error(transparent)]
    Look(#[from] LookError),
    #[error("the node began anew between two looks; try again")]
    BeganAnew,
    #[error("stdout is no terminal; --once prints one picture as plain text")]
    NoTerminal,
    #[error("stdout: {0}")]
    Output(std::io::Error),
    #[error("terminal: {0}")]
    Terminal(std::io::Error),
}

/// Runs until a key or a signal ends it.
pub(super) fn run(arguments: &Arguments, matches: &ArgMatches) -> ExitCode {
    match attempt(arguments, matches) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("webrocket: {failure}");
            failure.code().into()
        }
    }
}

fn attempt(arguments: &Arguments, matches: &ArgMatches) -> Result<(), Failure> {
    let matches = matches.subcommand_matches("monitor").unwrap_or(matches);
    let client = arguments
        .target
        .client(matches, MONITOR_TIMEOUT, MONITOR_ANSWER_BYTES_MAX)
        .map_err(LookError::from)?;
    let source = Source::new(client);
    if arguments.once {
        once(source, arguments.interval)
    } else if std::io::stdout().is_terminal() {
        screen::run(source, arguments.interval)
    } else {
        Err(Failure::NoTerminal)
    }
}

impl Failure {
    fn code(&self) -> u8 {
        match self {
            Self::Look(LookError::NoStats { .. }) => 3,
            Self::Look(LookError::Node(error)) => error.exit_code(),
            Self::BeganAnew | Self::NoTerminal | Self::Output(_) | Self::Terminal(_) => 1,
        }
    }
}

/// Two looks, so that the rates are real, and one picture.
fn once(mut source: Source, interval: Duration) -> Result<(), Failure> {
    let mut model = Model::new(source.addr());
    model.handle_stats(source.look()?, Instant::now());
    std::thread::sleep(interval);
    model.handle_stats(source.look()?, Instant::now());
    if model.picture().rates.is_none() {
        return Err(Failure::BeganAnew);
    }
    let text = plain_text(&model, ONCE_COLUMNS);
    std::io::stdout()
        .write_all(text.as_bytes())
        .map_err(Failure::Output)
}

/// The width of mails, READMEs and most terminals.
const ONCE_COLUMNS: u16 = 80;
