//! Whether this machine can give what a run asks for, said before it starts.

mod lack;
mod manifest;
mod share;

pub(crate) use lack::Lack;
pub(crate) use manifest::{About, HostManifest};
pub(crate) use share::{shards, threads};

use std::fmt;
use std::fs;
use std::io;
use std::net::SocketAddr;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use thiserror::Error;

use crate::plan::Plan;
use lack::Lacks;

/// What the machine lacks. The operator helps; the text says how.
#[derive(Debug, Error)]
pub(crate) enum HostError {
    /// Too few descriptors.
    #[error(
        "{clients} clients need {needed} open files {by}, and the hard limit is {limit}: give \
         {option} {enough} or more, or raise it (as root `ulimit -Hn {needed}`, LimitNOFILE= in \
         systemd, --ulimit nofile= in docker)"
    )]
    Descriptors {
        /// Asked for.
        clients: u32,
        /// Descriptors for that, in one table.
        needed: u64,
        /// Whose table.
        by: &'static str,
        /// What there is.
        limit: u64,
        /// What spreads them over more tables.
        option: &'static str,
        /// Tables that would be enough, or the most that there can be.
        enough: u32,
    },
    /// The broker's doctor refuses.
    #[error("{0}")]
    Lacks(Lack),
    /// Too few local ports.
    #[error(
        "{clients} clients need as many local ports towards {to}, and there are {ports}: widen \
         them (as root `sysctl -w net.ipv4.ip_local_port_range=\"1024 65535\"`), use a broker on \
         127.0.0.1, where further addresses are used by themselves, or run part of the clients \
         on another machine"
    )]
    Ports {
        /// From one address to the same place.
        clients: u32,
        /// The place.
        to: SocketAddr,
        /// What there is.
        ports: u32,
    },
    /// The limit can't be changed.
    #[error("limit on open files: {0}")]
    Limit(#[from] io::Error),
}

/// Raises this process's limit on descriptors to what it may have; gives that.
///
/// # Errors
/// [`HostError::Limit`].
pub(crate) fn raise_descriptor_limit() -> Result<u64, HostError> {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        maximum: limit.maximum,
    };
    setrlimit(Resource::Nofile, raised).map_err(io::Error::from)?;
    Ok(limit.maximum.unwrap_or(u64::MAX))
}

/// What was found before a run.
#[derive(Debug, Default)]
pub(crate) struct Preflight {
    /// Each makes the run impossible.
    pub(crate) refusals: Vec<HostError>,
    /// Each may bend its figures.
    pub(crate) warnings: Vec<Lack>,
}

impl Preflight {
    /// Whether `plan` fits this machine, and a broker of `shards` beside it
    /// where that runs here too. `descriptors` are those of each table.
    pub(crate) fn look(plan: &Plan, to: SocketAddr, shards: Option<u16>, descriptors: u64) -> Self {
        let lacks = Lacks::look(plan, shards);
        let own = [
            check_threads(plan.population(), plan.threads, descriptors),
            shards.map_or(Ok(()), |shards| {
                check_shards(plan.population(), shards, descriptors)
            }),
            check_ports(plan.clients_of_a_source(to), to, local_ports()),
        ];
        let own = own.into_iter().filter_map(Result::err);
        let others = lacks.refusals.into_iter().map(HostError::Lacks);
        Self {
            refusals: own.chain(others).collect(),
            warnings: lacks.warnings,
        }
    }

    /// Tells, on standard error, what may keep clients out. `--preflight` tells all.
    ///
    /// # Errors
    /// The first refusal.
    pub(crate) fn pass(self) -> Result<(), HostError> {
        for lack in self.warnings.iter().filter(|it| it.keeps_clients_out()) {
            eprintln!("loadgen: {lack}");
        }
        self.refusals.into_iter().next().map_or(Ok(()), Err)
    }
}

impl fmt::Display for Preflight {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for refusal in &self.refusals {
            writeln!(f, "FAILURE  {refusal}")?;
        }
        for warning in &self.warnings {
            writeln!(f, "WARNING  {warning}")?;
        }
        f.write_str(match self.refusals.is_empty() {
            true => "This machine can give what is asked.\n",
            false => "This machine can't give what is asked.\n",
        })
    }
}

fn check_threads(clients: u32, threads: u16, limit: u64) -> Result<(), HostError> {
    let needed = share::thread_descriptors(clients, threads.into());
    if needed <= limit {
        return Ok(());
    }
    Err(HostError::Descriptors {
        clients,
        needed,
        by: "in each thread of clients",
        limit,
        option: "--threads",
        enough: share::threads_for(clients, limit),
    })
}

fn check_shards(clients: u32, shards: u16, limit: u64) -> Result<(), HostError> {
    let needed = share::shard_descriptors(clients, shards.into());
    if needed <= limit {
        return Ok(());
    }
    Err(HostError::Descriptors {
        clients,
        needed,
        by: "in the fullest shard of the self-hosted broker",
        limit,
        option: "--shards",
        enough: share::shards_for(clients, limit),
    })
}

fn check_ports(clients: u32, to: SocketAddr, ports: u32) -> Result<(), HostError> {
    if clients <= ports {
        return Ok(());
    }
    Err(HostError::Ports { clients, to, ports })
}

/// How many there are; Linux's default where `/proc` does not tell.
pub(crate) fn local_ports() -> u32 {
    let text = fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").unwrap_or_default();
    parse_port_range(&text).unwrap_or(28_232)
}

fn parse_port_range(text: &str) -> Option<u32> {
    let mut ends = text.split_ascii_whitespace().map(str::parse::<u32>);
    let (first, last) = (ends.next()?.ok()?, ends.next()?.ok()?);
    (last + 1).checked_sub(first)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::CLIENTS_PER_SOURCE;
    use crate::limits::TABLE_SPARE;

    #[test]
    fn descriptors_at_the_bound_and_past_it() {
        let limit = 100 + TABLE_SPARE;
        assert!(check_threads(200, 2, limit).is_ok());
        let refused = check_threads(201, 2, limit);
        let text = refused.expect_err("too many").to_string();
        assert!(text.contains("229 open files in each thread"), "{text}");
        assert!(text.contains("give --threads 3 or more"), "{text}");
        assert!(check_shards(100, 1, limit).is_ok());
        let refused = check_shards(101, 1, limit);
        let text = refused.expect_err("too many").to_string();
        assert!(text.contains("give --shards 2 or more"), "{text}");
    }

    #[test]
    fn all_refusals_are_told_and_the_first_one_ends_the_run() {
        let loopback = SocketAddr::from(([127, 0, 0, 1], 1));
        let plan = Plan::example(1000);
        let preflight = Preflight::look(&plan, loopback, Some(1), TABLE_SPARE);
        let told = preflight.to_string();
        assert!(told.contains("--threads"), "{told}");
        assert!(told.contains("--shards"), "{told}");
        assert!(told.ends_with("can't give what is asked.\n"), "{told}");
        let first = preflight.pass().expect_err("a refusal").to_string();
        assert!(first.contains("--threads"), "{first}");
    }

    #[test]
    fn ports_at_the_bound_and_past_it() {
        let loopback = SocketAddr::from(([127, 0, 0, 1], 1));
        let other = SocketAddr::from(([192, 0, 2, 1], 1));
        assert!(check_ports(28_232, other, 28_232).is_ok());
        assert!(check_ports(28_233, other, 28_232).is_err());
        let most = |to| Plan::example(100_000).clients_of_a_source(to);
        assert_eq!(most(loopback), CLIENTS_PER_SOURCE);
        let loopback_6 = SocketAddr::from((std::net::Ipv6Addr::LOCALHOST, 1));
        assert_eq!(most(loopback_6), 100_000);
    }

    #[test]
    fn port_ranges() {
        assert_eq!(parse_port_range("32768\t60999\n"), Some(28_232));
        assert_eq!(parse_port_range("9 9"), Some(1));
        assert_eq!(parse_port_range("9"), None);
        assert_eq!(parse_port_range("9 1"), None);
    }

    #[test]
    fn the_limit_is_raised_to_the_hard_one() {
        let raised = raise_descriptor_limit().expect("raised");
        let limit = getrlimit(Resource::Nofile);
        assert_eq!(limit.current.unwrap_or(u64::MAX), raised);
    }
}
