//! What else would give, besides what gave: bounds on clients and on rates,
//! computed from what was measured and what the machine has.

use std::fs;
use std::net::IpAddr;
use std::thread::available_parallelism;

use procfs::{Current, Meminfo};
use serde::Serialize;
use webrocket::doctor::{Demand, examine_here};

use super::report::Edge;
use crate::host::local_ports;
use crate::limits::MEMORY_SHARE;

/// A bound that was not reached: computed, so extrapolated.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct Limit {
    /// `memory`, `descriptors`, `ports`, `conntrack`, `cores` or `nic`.
    pub(super) name: &'static str,
    /// What it bounds.
    #[serde(flatten)]
    pub(super) bound: Bound,
    pub(super) how: String,
    pub(super) is_extrapolated: bool,
}

/// What a limit allows.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Bound {
    /// Whatever they do.
    Clients(u64),
    /// Broadcasts a second with as many clients as the edge has.
    RatePerS(f64),
}

/// Bounds on clients, the lowest first. `bytes_per_client` in user memory and in
/// the kernel, where that was measured.
pub(super) fn on_clients(
    most: u32,
    shards: u16,
    sources: usize,
    bytes_per_client: Option<f64>,
) -> Vec<Limit> {
    let mut limits = Vec::new();
    let available = Meminfo::current().ok().and_then(|info| info.mem_available);
    if let Some((available, each)) = available.zip(bytes_per_client.filter(|it| *it > 0.0)) {
        let room = available as f64 * MEMORY_SHARE;
        limits.push(Limit {
            name: "memory",
            bound: Bound::Clients((room / each) as u64),
            how: format!(
                "{:.0} % of {:.1} GiB that are free, {each:.0} bytes each (measured)",
                100.0 * MEMORY_SHARE,
                available as f64 / f64::from(1 << 30)
            ),
            is_extrapolated: true,
        });
    }
    let diagnosis = examine_here(Demand::new(most, shards.max(1)));
    for bound in diagnosis.ceiling.bounds {
        let name = match bound.name {
            "nofile" | "file-max" => "descriptors",
            "conntrack" => "conntrack",
            _ => continue,
        };
        limits.push(Limit {
            name,
            bound: Bound::Clients(bound.connections),
            how: bound.how,
            is_extrapolated: true,
        });
    }
    let ports = u64::from(local_ports());
    let sources = sources.max(1) as u64;
    limits.push(Limit {
        name: "ports",
        bound: Bound::Clients(ports * sources),
        how: match sources {
            1 => format!("{ports} local ports of the clients' address"),
            _ => format!("{ports} local ports for each of {sources} addresses of clients"),
        },
        is_extrapolated: true,
    });
    limits.sort_by_key(|limit| match limit.bound {
        Bound::Clients(clients) => clients,
        Bound::RatePerS(_) => u64::MAX,
    });
    limits
}

/// Bounds on the rate of an edge: if nothing else gave, the broker's cores or the
/// network card would.
pub(super) fn on_rate(edge: &Edge, shards: u16, to: IpAddr) -> Vec<Limit> {
    let mut limits = Vec::new();
    let Some(rate) = edge.rate_per_s else {
        return limits;
    };
    let cores = available_parallelism().map_or(1, usize::from);
    let own = usize::from(shards.max(1)).min(cores);
    if let Some(percent) = edge.broker_cpu_percent.filter(|it| *it > 0.0) {
        limits.push(Limit {
            name: "cores",
            bound: Bound::RatePerS(rate * 100.0 * own as f64 / percent),
            how: match own {
                1 => format!("the broker used {percent:.0} % of one core"),
                _ => format!("the broker used {percent:.0} % of {own} cores, which have {own}00 %"),
            },
            is_extrapolated: true,
        });
    }
    let speed = link_bits_per_s().filter(|_| !to.is_loopback());
    let bits = edge.delivered_bytes_per_s * 8.0;
    if let Some(speed) = speed.filter(|_| bits > 0.0) {
        limits.push(Limit {
            name: "nic",
            bound: Bound::RatePerS(rate * speed / bits),
            how: format!("the fastest link has {:.1} Gbit/s", speed / 1e9),
            is_extrapolated: true,
        });
    }
    limits
}

/// Of the fastest network card that is up; none in most virtual machines.
fn link_bits_per_s() -> Option<f64> {
    let cards = fs::read_dir("/sys/class/net").ok()?;
    let speeds = cards.filter_map(|card| {
        let text = fs::read_to_string(card.ok()?.path().join("speed")).ok()?;
        let megabits: f64 = text.trim().parse().ok()?;
        (megabits > 0.0).then_some(megabits * 1e6)
    });
    speeds.reduce(f64::max)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::capacity::report::tests::edge;

    #[test]
    fn bounds_on_clients_come_from_memory_ports_and_descriptors() {
        let limits = on_clients(1000, 2, 3, Some(4096.0));
        let of = |name: &str| {
            let limit = limits.iter().find(|limit| limit.name == name);
            match limit.expect(name).bound {
                Bound::Clients(clients) => clients,
                Bound::RatePerS(_) => panic!("a bound on clients"),
            }
        };
        assert_eq!(of("ports"), 3 * u64::from(local_ports()));
        assert!(of("memory") > 0 && of("descriptors") > 0);
        let twice = on_clients(1000, 2, 6, None);
        assert!(twice.iter().all(|limit| limit.name != "memory"));
        assert!(limits.iter().all(|limit| limit.is_extrapolated));
        let clients = |limit: &Limit| match limit.bound {
            Bound::Clients(clients) => clients,
            Bound::RatePerS(_) => 0,
        };
        assert!(limits.is_sorted_by_key(clients), "the lowest first");
    }

    #[test]
    fn cores_allow_what_is_left_of_them() {
        let mut edge = edge(1000, 80.0);
        edge.broker_cpu_percent = Some(40.0);
        let loopback = IpAddr::from([127, 0, 0, 1]);
        let limits = on_rate(&edge, 1, loopback);
        assert_eq!(limits.len(), 1, "loopback has no card: {limits:?}");
        assert_eq!(limits[0].bound, Bound::RatePerS(200.0));
        edge.rate_per_s = None;
        assert!(on_rate(&edge, 1, loopback).is_empty());
    }
}
