//! `webrocket admin`: the admin REST routes as commands (section 6 of the wire
//! protocols), for scripts and for people.

mod answer;
mod client;
mod command;
mod cookie;
mod error;
mod line;
mod show;

use std::io::{self, IsTerminal, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{ArgMatches, ValueHint};

use client::{Address, Client};
use command::Command;
use error::Error;
pub(super) use line::Line;
use show::Form;

use crate::limits::ADMIN_ANSWER_TIMEOUT;

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
    /// Where the node listens for operators
    #[arg(
        long,
        global = true,
        env = "WEBROCKET_ADMIN_ADDR",
        value_name = "ADDR",
        value_hint = ValueHint::Hostname,
        default_value = "127.0.0.1:8082"
    )]
    admin_addr: Address,
    /// The node's cookie. Other users of this machine can see it in the list of
    /// processes: prefer the file or the environment
    #[arg(
        long,
        global = true,
        env = "WEBROCKET_COOKIE",
        hide_env_values = true,
        value_name = "COOKIE",
        value_hint = ValueHint::Other
    )]
    cookie: Option<String>,
    /// The file with the node's cookie
    #[arg(
        long,
        global = true,
        env = "WEBROCKET_COOKIE_FILE",
        value_name = "FILE",
        value_hint = ValueHint::FilePath
    )]
    cookie_file: Option<PathBuf>,
    /// The node's name [default: the host's name]
    #[arg(
        long,
        global = true,
        env = "WEBROCKET_NODE_NAME",
        value_name = "NAME",
        value_hint = ValueHint::Other
    )]
    node: Option<String>,
    /// Where the node keeps its cookie
    #[arg(
        long,
        global = true,
        env = "WEBROCKET_NODE_STORAGE_DIR",
        value_name = "DIR",
        value_hint = ValueHint::DirPath,
        default_value = "/var/lib/webrocket"
    )]
    storage_dir: PathBuf,
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
    let cookie = cookie::find(options, matches)?;
    let timeout = Duration::from_secs(options.timeout);
    let client = Client::new(options.admin_addr.clone(), cookie, timeout);
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
