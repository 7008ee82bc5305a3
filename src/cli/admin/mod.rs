//! `webrocket admin`: the admin REST routes as commands (section 6 of the wire
//! protocols), for scripts and for people.

mod answer;
mod command;
mod error;
mod line;
mod show;

use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;
use std::time::Duration;

use clap::{ArgMatches, ValueHint};

use command::Command;
use error::Error;
pub(super) use line::Line;
use show::Form;

use super::node::Target;
use crate::limits::{ADMIN_ANSWER_BYTES_MAX, ADMIN_ANSWER_TIMEOUT};

/// Asks or changes a running node
#[derive(clap::Args)]
#[command(after_help = EXIT_CODES)]
pub(super) struct Arguments {
    #[command(subcommand)]
    command: Command,
    #[command(flatten)]
    options: Options,
}

const EXIT_CODES: &str = "\
Without --cookie and --cookie-file the cookie is read from <storage-dir>/<node>.cookie,
so that on the node's own machine, as its user, no option is needed. A vhost may be
given without its leading slash. What clears or deletes does so at once: nothing is
asked back.

Where stdout is no terminal the output is lines for scripts, their fields apart by TABs.

Exit codes:
  0  done
  1  refused by the node, or the command line is wrong
  3  the node cannot be reached, or gave no valid answer
  4  the cookie cannot be read, or is not the node's
  5  there is no such vhost, channel, session or user

The names of 2012 (add_vhost, ...) are understood too; with them every failure exits with 1.";

#[derive(clap::Args)]
#[command(next_help_heading = "Admin options")]
struct Options {
    #[command(flatten)]
    target: Target,
    /// How long to wait for the node
    #[arg(
        long,
        global = true,
        env = "WEBROCKET_ADMIN_TIMEOUT",
        value_name = "SECONDS",
        value_hint = ValueHint::Other,
        default_value_t = ADMIN_ANSWER_TIMEOUT.as_secs(),
        value_parser = clap::value_parser!(u64).range(1..=3600)
    )]
    timeout: u64,
    /// Prints the node's JSON as it comes, indented on a terminal
    #[arg(long, global = true)]
    json: bool,
}

/// Runs one command; what failed is said in one line on stderr.
pub(super) fn run(arguments: &Arguments, matches: &ArgMatches, line: &Line) -> ExitCode {
    match attempt(arguments, matches, line) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            complain(&error);
            line.exit_code(&error)
        }
    }
}

fn attempt(arguments: &Arguments, matches: &ArgMatches, line: &Line) -> Result<(), Error> {
    let options = &arguments.options;
    let matches = matches.subcommand_matches("admin").unwrap_or(matches);
    let timeout = Duration::from_secs(options.timeout);
    let client = options
        .target
        .client(matches, timeout, ADMIN_ANSWER_BYTES_MAX)?;
    let form = Form::new(options.json, io::stdout().is_terminal(), line.is_of_2012());
    let text = arguments.command.run(&client, form)?;
    super::print(&text).map_err(Error::Output)
}

fn complain(error: &Error) {
    let mut stderr = io::stderr();
    let text = show::clean(&error.to_string()).into_owned();
    let colours = stderr.is_terminal() && std::env::var_os("NO_COLOR").is_none();
    // Where not even this can be said there is nobody to tell; the exit code is left.
    let _ = if colours {
        writeln!(stderr, "\x1b[31mERR: {text}\x1b[0m")
    } else {
        writeln!(stderr, "ERR: {text}")
    };
}
