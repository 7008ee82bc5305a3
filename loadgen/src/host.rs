//! Whether this machine can give what a run asks for, said before it starts.

use std::fs;
use std::io;
use std::net::SocketAddr;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use thiserror::Error;

use crate::limits::{CLIENTS_PER_SOURCE, DESCRIPTORS_SPARE};
use crate::plan::{Plan, has_many_sources};

/// What the machine lacks. The operator helps; the text says how.
#[derive(Debug, Error)]
pub(crate) enum HostError {
    /// Too few descriptors.
    #[error(
        "{clients} clients need {needed} open files {by}, and the hard limit is {limit}: raise it \
         (as root `ulimit -Hn {needed}`, LimitNOFILE= in systemd, --ulimit nofile= in docker) or \
         use at most {most} clients"
    )]
    Descriptors {
        /// Asked for.
        clients: u32,
        /// Descriptors for that.
        needed: u64,
        /// Which process.
        by: &'static str,
        /// What there is.
        limit: u64,
        /// Clients that would fit.
        most: u64,
    },
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

/// Whether `plan` fits this machine, and a broker of `shards` beside it where
/// that runs here too.
///
/// # Errors
/// What is missing.
pub(crate) fn check(
    plan: &Plan,
    to: SocketAddr,
    shards: Option<u16>,
    descriptors: u64,
) -> Result<(), HostError> {
    let own = DESCRIPTORS_SPARE + 4 * u64::from(plan.threads);
    check_descriptors(plan.clients, own, "in the load generator", descriptors)?;
    if let Some(shards) = shards {
        let broker = DESCRIPTORS_SPARE + 16 * u64::from(shards);
        check_descriptors(
            plan.clients,
            broker,
            "in the self-hosted broker",
            descriptors,
        )?;
    }
    check_ports(plan.clients, to, local_ports())
}

fn check_descriptors(
    clients: u32,
    spare: u64,
    by: &'static str,
    limit: u64,
) -> Result<(), HostError> {
    let needed = u64::from(clients) + spare;
    if needed <= limit {
        return Ok(());
    }
    Err(HostError::Descriptors {
        clients,
        needed,
        by,
        limit,
        most: limit.saturating_sub(spare),
    })
}

fn check_ports(clients: u32, to: SocketAddr, ports: u32) -> Result<(), HostError> {
    let clients = if has_many_sources(to) {
        clients.min(CLIENTS_PER_SOURCE)
    } else {
        clients
    };
    if clients <= ports {
        return Ok(());
    }
    Err(HostError::Ports { clients, to, ports })
}

/// How many there are; Linux's default where `/proc` does not tell.
fn local_ports() -> u32 {
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

    #[test]
    fn descriptors_at_the_bound_and_past_it() {
        assert!(check_descriptors(100, 64, "here", 164).is_ok());
        let refused = check_descriptors(101, 64, "here", 164);
        let text = refused.expect_err("too many").to_string();
        assert!(text.contains("165 open files here"), "{text}");
        assert!(text.contains("at most 100 clients"), "{text}");
    }

    #[test]
    fn ports_at_the_bound_and_past_it() {
        let loopback = SocketAddr::from(([127, 0, 0, 1], 1));
        let other = SocketAddr::from(([192, 0, 2, 1], 1));
        assert!(check_ports(28_232, other, 28_232).is_ok());
        assert!(check_ports(28_233, other, 28_232).is_err());
        assert!(check_ports(100_000, loopback, 28_232).is_ok());
        assert!(check_ports(100_000, loopback, CLIENTS_PER_SOURCE - 1).is_err());
        let loopback_6 = SocketAddr::from((std::net::Ipv6Addr::LOCALHOST, 1));
        assert!(check_ports(28_233, loopback_6, 28_232).is_err());
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
