//! The way to a socket, and what sockets may hold.

use super::Demand;
use super::figures::{bytes, grouped};
use super::finding::{Affects, Finding, Fix, Group, Severity};
use super::host::Host;
use crate::limits::LISTEN_BACKLOG_CONNECTIONS;

/// The kernel's own default: a queue in which a fifth of a second's arrivals at one
/// shard have room.
const BACKLOG_MIN: u64 = 4096;

/// What the tuning files set for both queues, and the node's listeners ask for.
const BACKLOG: u64 = LISTEN_BACKLOG_CONNECTIONS as u64;

/// Bytes of one socket's buffer that a slow consumer may fill in the kernel
/// before its outbox, with a bound of its own, begins to count.
const BUFFER_BYTES_MAX: u64 = 1024 * 1024;

/// Bytes below which one turn of a busy shard needs many writable events.
const BUFFER_BYTES_MIN: u64 = 64 * 1024;

/// Pages that an active connection is charged: one to send, one to receive.
const PAGES_PER_CONNECTION: u64 = 2;

/// What the tuning files set: packets that wait for one core.
const PACKETS: u64 = 16_384;

/// Entries that a finished connection keeps for a while (`TIME_WAIT`), as a
/// share of the living: one in four.
const CONNTRACK_SPARE: u64 = 4;

/// What the tuning files set; about 300 bytes for each that is in use.
const CONNTRACK: u64 = 1_048_576;

pub(super) fn check(host: &Host, demand: &Demand, findings: &mut Vec<Finding>) {
    findings.extend(somaxconn(host));
    findings.extend(syn_backlog(host));
    findings.extend(syncookies(host));
    findings.extend(port_range(host, demand));
    findings.extend(tcp_mem(host, demand));
    findings.extend(buffers(host, "tcp-rmem", "net.ipv4.tcp_rmem"));
    findings.extend(buffers(host, "tcp-wmem", "net.ipv4.tcp_wmem"));
    findings.extend(socket_buffers(host));
    findings.extend(packet_backlog(host));
    findings.extend(busy_poll(host));
    findings.extend(conntrack(host, demand));
}

fn fix(severity: Severity, key: &str, value: impl std::fmt::Display) -> Vec<Fix> {
    match severity {
        Severity::Ok => Vec::new(),
        _ => vec![Fix::sysctl(key, value)],
    }
}

fn somaxconn(host: &Host) -> Option<Finding> {
    let [somaxconn] = host.sysctl("net.core.somaxconn")?;
    let severity = Severity::Warning.unless(somaxconn >= BACKLOG_MIN);
    Some(Finding {
        id: "somaxconn",
        group: Group::Network,
        severity,
        affects: Affects::Connections,
        found: grouped(somaxconn),
        wanted: format!("{} or more", grouped(BACKLOG_MIN)),
        limits: "Connections that wait to be accepted, for each shard. When all browsers \
                 reconnect at once and it is full, the kernel drops SYNs and they try again \
                 after a second or more."
            .into(),
        fixes: fix(severity, "net.core.somaxconn", BACKLOG),
    })
}

/// With SYN cookies the kernel does not look at this bound.
fn syn_backlog(host: &Host) -> Option<Finding> {
    let [backlog] = host.sysctl("net.ipv4.tcp_max_syn_backlog")?;
    let cookies = host
        .sysctl("net.ipv4.tcp_syncookies")
        .is_some_and(|[cookies]| cookies > 0);
    let severity = Severity::Warning.unless(cookies || backlog >= BACKLOG_MIN);
    Some(Finding {
        id: "syn-backlog",
        group: Group::Network,
        severity,
        affects: Affects::Connections,
        found: format!(
            "{}, SYN cookies {}",
            grouped(backlog),
            if cookies { "on" } else { "off" }
        ),
        wanted: format!("{} or more, or SYN cookies", grouped(BACKLOG_MIN)),
        limits: "Handshakes under way at once where SYN cookies are off; past three quarters \
                 of it SYNs of unknown peers are dropped."
            .into(),
        fixes: fix(severity, "net.ipv4.tcp_max_syn_backlog", BACKLOG),
    })
}

fn syncookies(host: &Host) -> Option<Finding> {
    let [cookies] = host.sysctl("net.ipv4.tcp_syncookies")?;
    let severity = match cookies {
        0 => Severity::Warning,
        1 => Severity::Ok,
        _ => Severity::Note,
    };
    Some(Finding {
        id: "syncookies",
        group: Group::Network,
        severity,
        affects: Affects::Connections,
        found: cookies.to_string(),
        wanted: "1".into(),
        limits: "Without cookies a full queue of handshakes refuses everybody; with 2 every \
                 connection begins with one, and those without timestamps lose window scaling."
            .into(),
        fixes: fix(severity, "net.ipv4.tcp_syncookies", 1),
    })
}

/// Local ports for connections that this host opens itself.
pub(super) fn ports(host: &Host) -> Option<u64> {
    let [first, last] = host.sysctl("net.ipv4.ip_local_port_range")?;
    Some(last.saturating_add(1).saturating_sub(first))
}

fn port_range(host: &Host, demand: &Demand) -> Option<Finding> {
    let [first, last] = host.sysctl("net.ipv4.ip_local_port_range")?;
    let ports = ports(host)?;
    let best = u64::from(u16::MAX) - 1024 + 1;
    let severity = Severity::Note.unless(ports >= demand.connections.min(best));
    Some(Finding {
        id: "port-range",
        group: Group::Network,
        severity,
        affects: Affects::Connections,
        found: format!("{first} to {last}, {} ports", grouped(ports)),
        wanted: format!("{} ports or more", grouped(demand.connections.min(best))),
        limits: format!(
            "The node needs none: this bounds a proxy or load generator on this host, which \
             opens {} connections at most from one address to one address and port.",
            grouped(ports)
        ),
        fixes: fix(severity, "net.ipv4.ip_local_port_range", "1024 65535"),
    })
}

fn tcp_mem(host: &Host, demand: &Demand) -> Option<Finding> {
    let [low, pressure, high] = host.sysctl("net.ipv4.tcp_mem")?;
    let pages = demand.connections * PAGES_PER_CONNECTION;
    let severity = Severity::Warning.unless(pressure >= pages);
    let value = format!("{} {pages} {}", pages * 3 / 4, pages * 3 / 2);
    Some(Finding {
        id: "tcp-mem",
        group: Group::Network,
        severity,
        affects: Affects::Deliveries,
        found: format!("{low} {pressure} {high} pages"),
        wanted: format!("{} pages or more before pressure", grouped(pages)),
        limits: format!(
            "Pages of all TCP buffers. A page sent and one received by each connection at once \
             are {} for {} connections; past the second figure the kernel shrinks every \
             socket's buffers, past the third it drops.",
            grouped(pages),
            grouped(demand.connections)
        ),
        fixes: fix(severity, "net.ipv4.tcp_mem", value),
    })
}

fn buffers(host: &Host, id: &'static str, key: &str) -> Option<Finding> {
    let [least, usual, most] = host.sysctl(key)?;
    let severity = match most {
        most if most < BUFFER_BYTES_MIN => Severity::Warning,
        most if most > BUFFER_BYTES_MAX => Severity::Note,
        _ => Severity::Ok,
    };
    Some(Finding {
        id,
        group: Group::Network,
        severity,
        affects: match severity {
            Severity::Warning => Affects::Deliveries,
            _ => Affects::Connections,
        },
        found: format!("{least} {usual} {most} bytes"),
        wanted: format!(
            "a third figure from {} to {}",
            bytes(BUFFER_BYTES_MIN),
            bytes(BUFFER_BYTES_MAX)
        ),
        limits: format!(
            "The third figure bounds one socket's buffer: a slow peer may make the kernel hold \
             {}. The broker needs no more than {}.",
            bytes(most),
            bytes(BUFFER_BYTES_MAX)
        ),
        fixes: fix(severity, key, "4096 16384 1048576"),
    })
}

fn socket_buffers(host: &Host) -> Option<Finding> {
    let [receive] = host.sysctl("net.core.rmem_max")?;
    let [send] = host.sysctl("net.core.wmem_max")?;
    Some(Finding {
        id: "socket-buffers",
        group: Group::Network,
        severity: Severity::Ok,
        affects: Affects::Deliveries,
        found: format!("net.core.rmem_max {receive}, wmem_max {send}"),
        wanted: "any".into(),
        limits: "Bounds only buffers of a size that a program asks for. The broker asks for \
                 none: tcp_rmem and tcp_wmem count."
            .into(),
        fixes: Vec::new(),
    })
}

/// Only loopback and RPS queue packets here; a card's queues are read as they are.
fn packet_backlog(host: &Host) -> Option<Finding> {
    let [max] = host.sysctl("net.core.netdev_max_backlog")?;
    let stat = host.text("proc/net/softnet_stat")?;
    let dropped: u64 = stat
        .lines()
        .filter_map(|core| u64::from_str_radix(core.split_whitespace().nth(1)?, 16).ok())
        .sum();
    let severity = Severity::Warning.unless(dropped == 0 || max >= PACKETS);
    Some(Finding {
        id: "packet-backlog",
        group: Group::Network,
        severity,
        affects: Affects::Deliveries,
        found: format!(
            "{} packets, {} dropped since boot",
            grouped(max),
            grouped(dropped)
        ),
        wanted: format!("none dropped, or {} packets", grouped(PACKETS)),
        limits: "Packets that wait for a core, over loopback and with RPS. A full queue drops \
                 them, and what was in them comes again after 200 ms."
            .into(),
        fixes: fix(severity, "net.core.netdev_max_backlog", PACKETS),
    })
}

/// For programs that wait in `poll`, `select`, `epoll` or `recv`: rings don't.
fn busy_poll(host: &Host) -> Option<Finding> {
    let keys = ["net.core.busy_poll", "net.core.busy_read"];
    let [[poll], [read]] = [host.sysctl(keys[0])?, host.sysctl(keys[1])?];
    let severity = Severity::Note.unless(poll == 0 && read == 0);
    Some(Finding {
        id: "busy-poll",
        group: Group::Network,
        severity,
        affects: Affects::Deliveries,
        found: format!("busy_poll {poll} us, busy_read {read} us"),
        wanted: "0, unless another program wants it".into(),
        limits: "Lets a program that waits spin on the card's queue, which takes core time from \
                 the shards. The node waits in rings that look at neither figure."
            .into(),
        fixes: match severity {
            Severity::Ok => Vec::new(),
            _ => keys.iter().map(|key| Fix::sysctl(key, 0)).collect(),
        },
    })
}

/// Connections that conntrack has entries for, and whether it tracks any now.
pub(super) fn tracked(host: &Host) -> Option<(u64, bool)> {
    let [max] = host.sysctl("net.netfilter.nf_conntrack_max")?;
    let tracks = host
        .sysctl("net.netfilter.nf_conntrack_count")
        .is_some_and(|[count]| count > 0);
    Some((max, tracks))
}

/// Without the module, or without a rule that needs it, nothing is tracked.
fn conntrack(host: &Host, demand: &Demand) -> Option<Finding> {
    let (max, tracks) = tracked(host)?;
    let wanted = demand.connections + demand.connections / CONNTRACK_SPARE;
    let severity = match max {
        max if max >= wanted => Severity::Ok,
        max if max < demand.connections && tracks => Severity::Failure,
        _ => Severity::Warning,
    };
    let value = CONNTRACK.max(wanted.next_power_of_two());
    Some(Finding {
        id: "conntrack",
        group: Group::Network,
        severity,
        affects: Affects::Connections,
        found: format!(
            "{} entries, {}",
            grouped(max),
            if tracks { "in use" } else { "none in use" }
        ),
        wanted: format!("{} or more", grouped(wanted)),
        limits: "The firewall keeps an entry for each connection it tracks; with a full table \
                 it drops the packets of every new one."
            .into(),
        fixes: fix(severity, "net.netfilter.nf_conntrack_max", value),
    })
}
