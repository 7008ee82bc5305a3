//! The kernel's version, and whether it lets this process have rings.

use super::figures::bytes;
use super::finding::{Affects, Finding, Fix, Group, Place, Severity};
use super::host::{Host, UNLIMITED};
use crate::net::ProbeError;

/// The first kernel with every flag that the driver's rings are made with.
const KERNEL_MIN: (u32, u32) = (6, 1);

/// glommio starts no executor with less, although a kernel from 5.12 on charges
/// rings to the control group and not to this limit.
const MEMLOCK_BYTES_MIN: u64 = 512 * 1024;

pub(super) fn check(host: &Host, ring: &Result<(), ProbeError>, findings: &mut Vec<Finding>) {
    findings.extend(version(host));
    findings.push(io_uring(ring));
    findings.extend(io_uring_disabled(host));
    findings.extend(memlock(host));
}

fn version(host: &Host) -> Option<Finding> {
    let (version, release) = host.kernel()?;
    Some(Finding {
        id: "kernel",
        group: Group::Kernel,
        severity: Severity::Failure.unless(version >= KERNEL_MIN),
        affects: Affects::Start,
        found: release,
        wanted: format!("{}.{} or newer", KERNEL_MIN.0, KERNEL_MIN.1),
        limits: "An older kernel has no rings with deferred task work: no shard starts.".into(),
        fixes: Vec::new(),
    })
}

/// What counts is what works, so the probe made a ring as a shard does.
fn io_uring(ring: &Result<(), ProbeError>) -> Finding {
    Finding {
        id: "io-uring",
        group: Group::Kernel,
        severity: Severity::Failure.unless(ring.is_ok()),
        affects: Affects::Start,
        found: match ring {
            Ok(()) => "a shard's ring, multishot poll and accept work".into(),
            Err(error) => error.to_string(),
        },
        wanted: "a ring as every shard has one".into(),
        limits: "Every shard waits in a ring of its own: without one no shard starts. In a \
                 container the seccomp profile must allow the io_uring system calls too."
            .into(),
        // What forbids it is a finding of its own, with its line.
        fixes: Vec::new(),
    }
}

fn io_uring_disabled(host: &Host) -> Option<Finding> {
    let [disabled] = host.sysctl("kernel.io_uring_disabled")?;
    let group = host.text("proc/sys/kernel/io_uring_group");
    let is_member = group.as_ref().is_some_and(|group| belongs_to(host, group));
    let severity = match disabled {
        0 => Severity::Ok,
        1 if is_member => Severity::Ok,
        // This process may be privileged where the node's will not be.
        1 => Severity::Warning,
        _ => Severity::Failure,
    };
    Some(Finding {
        id: "io-uring-disabled",
        group: Group::Kernel,
        severity,
        affects: Affects::Start,
        found: match (disabled, group) {
            (1, Some(group)) => format!("1, group {group}"),
            _ => disabled.to_string(),
        },
        wanted: "0, or 1 and the node's user in kernel.io_uring_group".into(),
        limits: "With 1 only members of a group and privileged processes get a ring, with 2 \
                 nobody: no shard starts."
            .into(),
        fixes: match severity {
            Severity::Ok => Vec::new(),
            _ => vec![Fix::sysctl("kernel.io_uring_disabled", 0)],
        },
    })
}

fn belongs_to(host: &Host, group: &str) -> bool {
    ["Gid", "Groups"]
        .into_iter()
        .filter_map(|name| host.status(name))
        .any(|ids| ids.split_whitespace().any(|id| id == group))
}

fn memlock(host: &Host) -> Option<Finding> {
    let [soft, _] = host.limit("Max locked memory")?;
    let severity = Severity::Failure.unless(soft >= MEMLOCK_BYTES_MIN);
    Some(Finding {
        id: "memlock",
        group: Group::Kernel,
        severity,
        affects: Affects::Start,
        found: match soft {
            UNLIMITED => "unlimited".into(),
            soft => bytes(soft),
        },
        wanted: format!("{} or more", bytes(MEMLOCK_BYTES_MIN)),
        limits: "A shard's executor refuses to start with less, although a kernel from 5.12 on \
                 charges the memory of rings to the control group instead."
            .into(),
        fixes: match severity {
            Severity::Ok => Vec::new(),
            _ => vec![
                Fix::new(Place::Unit, "LimitMEMLOCK=8M"),
                Fix::new(Place::Limits, "*  -  memlock  8192"),
            ],
        },
    })
}
