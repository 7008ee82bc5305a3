use std::io;

use super::{Failure, default_shards};
use crate::doctor::{Demand, Detail, Diagnosis, Severity, examine_here, write_json, write_text};
use crate::limits::SHARDS_MAX;

/// What the README and the tuning files are about.
const CONNECTIONS: u32 = 100_000;

#[derive(clap::Args)]
#[command(after_help = HELP)]
pub(super) struct Arguments {
    /// Can this host carry so many connections at once?
    #[arg(long, value_name = "N", default_value_t = CONNECTIONS,
        value_parser = clap::value_parser!(u32).range(1..))]
    connections: u32,
    /// Shards of the node [default: the number of cores]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=SHARDS_MAX as i64))]
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

/// Logs what keeps this host from carrying what the node is configured for: where
/// the node does not start, it may be the reason.
pub(super) fn warn_before_start(connections_max: u32, shards: u16) -> Diagnosis {
    // A node without a bound asks for nothing in particular.
    let connections = match connections_max {
        u32::MAX => 1,
        bound => bound,
    };
    let diagnosis = examine_here(Demand::new(connections, shards));
    for line in diagnosis.brief() {
        tracing::warn!("this host: {line}");
    }
    diagnosis
}

/// Logs how many connections the host would carry; of interest once a node runs.
pub(super) fn log_ceiling(diagnosis: &Diagnosis) {
    if let Some(bound) = diagnosis.ceiling.bounds.first() {
        let (connections, by) = (bound.connections, bound.name);
        tracing::info!(connections, by, "predicted ceiling of this host");
    }
}

const HELP: &str = "Reads the host and changes nothing. It judges the limits of its own \
process: run it as the node's user, and from the node's shell, in its container, or in its unit \
as ExecStartPre=-/usr/local/bin/webrocket doctor.

Exit codes: 0 no failure (with --strict: no warning either); 1 a node \
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
        Severity::Failure => Err(Failure::Unfit(
            "this host lacks what a node, or so many connections, need",
        )),
        Severity::Warning if arguments.strict => Err(Failure::Unfit(
            "this host has warnings, and --strict counts them",
        )),
        _ => Ok(()),
    }
}
