use std::io;

use super::{Failure, default_shards};
use crate::doctor::{Demand, Detail, Severity, examine_here, write_json, write_text};

/// What the README and the tuning files are about.
const CONNECTIONS: u32 = 100_000;

/// Reads the host and changes nothing. Run it as the node's user and with the
/// node's limits to judge them: from the same shell, or in the unit as
/// ExecStartPre=webrocket doctor.
#[derive(clap::Args)]
#[command(after_help = EXIT_CODES)]
pub(super) struct Arguments {
    /// Can this host carry so many connections at once?
    #[arg(long, value_name = "N", default_value_t = CONNECTIONS,
        value_parser = clap::value_parser!(u32).range(1..))]
    connections: u32,
    /// Shards of the node [default: the number of cores]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=256))]
    shards: Option<u16>,
    /// Show what is in order too
    #[arg(long, conflicts_with = "json")]
    all: bool,
    /// Print everything as JSON, schema 1 of docs/doctor.md
    #[arg(long)]
    json: bool,
    /// End with 1 for warnings too
    #[arg(long)]
    strict: bool,
}

const EXIT_CODES: &str = "Exit codes: 0 no failure (with --strict: no warning either); 1 a node \
would not start here, or not carry the connections asked for; 2 the command line is wrong.";

pub(super) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let shards = arguments.shards.unwrap_or_else(default_shards);
    let demand = Demand::new(arguments.connections, shards);
    let diagnosis = examine_here(demand);
    let written = if arguments.json {
        write_json(&mut io::stdout().lock(), &diagnosis)
    } else {
        let detail = match arguments.all {
            true => Detail::All,
            false => Detail::Wrong,
        };
        // Takes the colours out where nobody would see them.
        write_text(&mut anstream::stdout().lock(), &diagnosis, detail)
    };
    match written {
        // A reader such as `head` that has seen enough.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {}
        written => written.map_err(Failure::system("report"))?,
    }
    match diagnosis.severity() {
        Severity::Failure => Err(Failure::Unfit("this host has failures")),
        Severity::Warning if arguments.strict => {
            Err(Failure::Unfit("this host has warnings, and --strict is on"))
        }
        _ => Ok(()),
    }
}
