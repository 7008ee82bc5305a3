//! Memory: how much there is, and how the kernel hands it out.

use super::Demand;
use super::cgroup;
use super::figures::{bytes, grouped};
use super::finding::{Affects, Finding, Fix, Group, Place, Severity};
use super::host::{Host, UNLIMITED};

/// Bytes of an idle frontend in the kernel: socket, file, inode and the poll of
/// the ring. Measured with 18,000 sockets on Linux 6.18: 3.9 KB of slab and 254
/// bytes of poll; rounded up, for receive and send queues are seldom quite empty.
const KERNEL_BYTES: u64 = 5 * 1024;

/// Bytes of an idle subscribed frontend in the broker: 363 to 370 in
/// `docs/performance.md`, rounded up for channel names and presence data.
const USER_BYTES: u64 = 512;

/// Both.
pub(super) const CONNECTION_BYTES: u64 = KERNEL_BYTES + USER_BYTES;

/// Bytes of a shard without connections when its rings and buffers are in full
/// use; a fresh one has not touched a tenth of them.
const SHARD_BYTES: u64 = 16 * 1024 * 1024;

pub(super) fn check(host: &Host, demand: &Demand, findings: &mut Vec<Finding>) {
    findings.extend(memory(host, demand));
    findings.extend(huge_pages(host));
    findings.extend(swap(host));
    findings.extend(overcommit(host));
}

/// Bytes that a node could have: what is free or can be freed, as far as its
/// control group allows.
pub(super) fn available(host: &Host) -> Option<u64> {
    let available = host.memory("MemAvailable")?;
    Some(available.min(cgroup::memory_max(host).unwrap_or(UNLIMITED)))
}

/// Idle connections that so many bytes carry. A quarter stays for what idle
/// connections don't need: outboxes and sockets with data in them.
pub(super) fn connections(available: u64, demand: &Demand) -> u64 {
    let shards = demand.shards * SHARD_BYTES;
    (available / 4 * 3).saturating_sub(shards) / CONNECTION_BYTES
}

fn memory(host: &Host, demand: &Demand) -> Option<Finding> {
    let available = available(host)?;
    let connections = connections(available, demand);
    let needed = (demand.connections * CONNECTION_BYTES + demand.shards * SHARD_BYTES) / 3 * 4;
    Some(Finding {
        id: "memory",
        group: Group::Memory,
        severity: Severity::Failure.unless(connections >= demand.connections),
        affects: Affects::Connections,
        found: format!("{} to be had", bytes(available)),
        wanted: format!("{} or more", bytes(needed)),
        limits: format!(
            "An idle frontend takes about {} in kernel and broker, and a quarter stays for \
             data on its way: enough for {} connections.",
            bytes(CONNECTION_BYTES),
            grouped(connections)
        ),
        fixes: Vec::new(),
    })
}

fn huge_pages(host: &Host) -> Option<Finding> {
    let modes = host.text("sys/kernel/mm/transparent_hugepage/enabled")?;
    let mode = modes.split(['[', ']']).nth(1)?.to_owned();
    let severity = Severity::Warning.unless(mode != "always");
    Some(Finding {
        id: "huge-pages",
        group: Group::Memory,
        severity,
        affects: Affects::Latency,
        found: mode,
        wanted: "madvise or never".into(),
        limits: "With `always` the kernel clears or compacts 2 MiB at a time while a shard \
                 waits, and keeps memory resident that the node has given back."
            .into(),
        fixes: match severity {
            Severity::Ok => Vec::new(),
            _ => vec![
                Fix::new(
                    Place::Tmpfiles,
                    "w /sys/kernel/mm/transparent_hugepage/enabled - - - - madvise",
                ),
                Fix::new(Place::KernelCommandLine, "transparent_hugepage=madvise"),
            ],
        },
    })
}

fn swap(host: &Host) -> Option<Finding> {
    let total = host.memory("SwapTotal")?;
    let severity = Severity::Note.unless(total == 0 || cgroup::swap_max(host) == Some(0));
    Some(Finding {
        id: "swap",
        group: Group::Memory,
        severity,
        affects: Affects::Latency,
        found: match total {
            0 => "none".into(),
            total => bytes(total),
        },
        wanted: "none for the node".into(),
        limits: "A connection idle for hours is swapped out, and its next delivery holds up the \
                 whole shard until a disk has read it back."
            .into(),
        fixes: match severity {
            Severity::Ok => Vec::new(),
            _ => vec![Fix::new(Place::Unit, "MemorySwapMax=0")],
        },
    })
}

fn overcommit(host: &Host) -> Option<Finding> {
    let [mode] = host.sysctl("vm.overcommit_memory")?;
    let severity = Severity::Warning.unless(mode != 2);
    Some(Finding {
        id: "overcommit",
        group: Group::Memory,
        severity,
        affects: Affects::Connections,
        found: mode.to_string(),
        wanted: "0 or 1".into(),
        limits: "With 2 the kernel counts memory that is reserved and never touched: a growing \
                 table of connections is refused, and the node ends, while memory is free."
            .into(),
        fixes: match severity {
            Severity::Ok => Vec::new(),
            _ => vec![Fix::sysctl("vm.overcommit_memory", 0)],
        },
    })
}
