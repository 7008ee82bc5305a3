//! Processors: their speed, their memory, their clock, and who shares them.

use std::collections::BTreeSet;

use super::Demand;
use super::figures::{counted, grouped};
use super::finding::{Affects, Finding, Fix, Group, Place, Severity};
use super::host::{Host, cpu_list};

/// Clocks that are read without a system call.
const FAST_CLOCKS: &[&str] = &[
    "tsc",
    "kvm-clock",
    "hyperv_clocksource_tsc_page",
    "arch_sys_counter",
];

/// Share of all time since boot that the hypervisor gave to others, in percent,
/// from which on a shard that waits for its core shows in the latencies.
const STEAL_PERCENT_MAX: u64 = 1;

/// Microseconds that a core may take to wake: about what a shard's own wake-up takes.
const WAKE_UP_US_MAX: u64 = 50;

pub(super) fn check(host: &Host, demand: &Demand, findings: &mut Vec<Finding>) {
    findings.extend(governor(host));
    findings.extend(clock(host));
    findings.extend(pinning(host, demand));
    findings.extend(numa(host, demand));
    findings.extend(idle_states(host));
    findings.extend(mitigations(host));
    findings.extend(steal(host));
}

fn governor(host: &Host) -> Option<Finding> {
    let governors: Vec<String> = host
        .cores()?
        .iter()
        .filter_map(|core| {
            host.text(&format!(
                "sys/devices/system/cpu/cpu{core}/cpufreq/scaling_governor"
            ))
        })
        .collect();
    let slow = governors.iter().find(|governor| *governor != "performance");
    let severity = Severity::Warning.unless(slow.is_none());
    Some(Finding {
        id: "governor",
        group: Group::Cores,
        severity,
        affects: Affects::Latency,
        found: slow.or(governors.first())?.clone(),
        wanted: "performance".into(),
        limits: "A shard sleeps between messages; a governor that clocks the core down meanwhile \
                 makes it work through the first messages of a burst slowly."
            .into(),
        fixes: match severity {
            Severity::Ok => Vec::new(),
            _ => vec![Fix::new(
                Place::KernelCommandLine,
                "cpufreq.default_governor=performance",
            )],
        },
    })
}

fn clock(host: &Host) -> Option<Finding> {
    let folder = "sys/devices/system/clocksource/clocksource0";
    let clock = host.text(&format!("{folder}/current_clocksource"))?;
    let severity = Severity::Warning.unless(FAST_CLOCKS.contains(&clock.as_str()));
    Some(Finding {
        id: "clock-source",
        group: Group::Cores,
        severity,
        affects: Affects::Deliveries,
        found: clock,
        wanted: "tsc, or a clock read without a system call".into(),
        limits: "Every turn of a shard reads the clock, and the kernel for every packet: 20 ns \
                 with tsc, a microsecond or more with hpet or acpi_pm."
            .into(),
        fixes: match severity {
            Severity::Ok => Vec::new(),
            _ => vec![Fix::new(
                Place::KernelCommandLine,
                "clocksource=tsc tsc=reliable",
            )],
        },
    })
}

/// Shard n stays on the nth of the cores that the node may use, where they are enough.
fn pinning(host: &Host, demand: &Demand) -> Option<Finding> {
    let allowed = host.cores()?;
    let severity = Severity::Note.unless(demand.shards <= allowed.len() as u64);
    Some(Finding {
        id: "pinning",
        group: Group::Cores,
        severity,
        affects: Affects::Latency,
        found: format!("cores {}", host.status("Cpus_allowed_list")?),
        wanted: counted(demand.shards, "core"),
        limits: "Each shard stays on a core of its own. With more shards than cores none is \
                 pinned, and they wait for each other."
            .into(),
        fixes: Vec::new(),
    })
}

/// Shards of one node belong on one NUMA node, and best on that of the card.
fn numa(host: &Host, demand: &Demand) -> Option<Finding> {
    let folder = "sys/devices/system/node";
    let nodes = cpu_list(&host.text(&format!("{folder}/online"))?)?;
    let list = |node: &u32| host.text(&format!("{folder}/node{node}/cpulist"));
    let allowed = host.cores()?;
    let shards = match demand.shards > allowed.len() as u64 {
        true => &allowed[..],
        false => &allowed[..demand.shards as usize],
    };
    let used: Vec<u32> = nodes
        .iter()
        .copied()
        .filter(|node| {
            let cores = list(node).and_then(|list| cpu_list(&list));
            cores.is_some_and(|cores| cores.iter().any(|core| shards.contains(core)))
        })
        .collect();
    let card = super::card::node(host);
    let near = used.len() == 1 && card.is_none_or(|card| used == [card]);
    let severity = Severity::Note.unless(nodes.len() <= 1 || near);
    let best = card.or(nodes.first().copied());
    Some(Finding {
        id: "numa",
        group: Group::Cores,
        severity,
        affects: Affects::Latency,
        found: format!(
            "{}, shards on {}{}",
            counted(nodes.len() as u64, "node"),
            counted(used.len() as u64, "node"),
            card.map_or(String::new(), |card| format!(
                ", the network card on {card}"
            ))
        ),
        wanted: "shards on one node, that of the network card".into(),
        limits: "Shards hand messages to each other, and from one NUMA node to the next that \
                 takes two to three times as long. Let shards and the network card share one."
            .into(),
        fixes: match (severity, best.and_then(|node| Some((node, list(&node)?)))) {
            (Severity::Note, Some((node, list))) => vec![
                Fix::new(Place::Unit, format!("CPUAffinity={}", own_cores(&list))),
                Fix::new(Place::Unit, "NUMAPolicy=preferred"),
                Fix::new(Place::Unit, format!("NUMAMask={node}")),
            ],
            _ => Vec::new(),
        },
    })
}

/// Of a node's list as `0-15,32-47` the cores themselves: what follows are their second
/// threads. A list as `0,2,4` counts core by core and is taken whole.
fn own_cores(list: &str) -> &str {
    match list.split_once(',') {
        Some((first, _)) if first.contains('-') => first,
        _ => list,
    }
}

/// Sleep from which a core comes back late; a deep state saves power and costs that.
fn idle_states(host: &Host) -> Option<Finding> {
    let mut deepest = None;
    let mut late = BTreeSet::new();
    for core in host.cores()? {
        let folder = format!("sys/devices/system/cpu/cpu{core}/cpuidle");
        for state in host.names(&folder) {
            let number = |file: &str| host.number(&format!("{folder}/{state}/{file}"));
            let (Some(micros), Some(0)) = (number("latency"), number("disable")) else {
                continue;
            };
            deepest = deepest.max(Some(micros));
            if micros > WAKE_UP_US_MAX {
                late.insert(state);
            }
        }
    }
    let severity = Severity::Note.unless(late.is_empty());
    Some(Finding {
        id: "idle-states",
        group: Group::Cores,
        severity,
        affects: Affects::Latency,
        found: format!("back within {} us", grouped(deepest?)),
        wanted: format!("{WAKE_UP_US_MAX} us or less"),
        limits: "A core that has nothing to do goes to sleep, and the first message after that \
                 waits until it is back."
            .into(),
        fixes: late
            .iter()
            .map(|state| {
                let file = format!("/sys/devices/system/cpu/cpu*/cpuidle/{state}/disable");
                Fix::new(Place::Tmpfiles, format!("w {file} - - - - 1"))
            })
            .collect(),
    })
}

/// Only those that make each system call dearer; the others cost little.
fn mitigations(host: &Host) -> Option<Finding> {
    let folder = "sys/devices/system/cpu/vulnerabilities";
    let dear = [
        ("meltdown", "PTI"),
        ("retbleed", "IBRS"),
        ("retbleed", "untrained return thunk"),
        ("spectre_v2", "IBRS"),
        ("mds", "Clear CPU buffers"),
    ];
    host.text(&format!("{folder}/meltdown"))?;
    let found: Vec<String> = dear
        .iter()
        .filter_map(|(name, sign)| {
            let text = host.text(&format!("{folder}/{name}"))?;
            let mitigation = text.strip_prefix("Mitigation: ")?;
            let first = mitigation.split([';', ',']).next().unwrap_or_default();
            (first == *sign).then(|| format!("{name}: {first}"))
        })
        .collect();
    Some(Finding {
        id: "mitigations",
        group: Group::Cores,
        severity: Severity::Note.unless(found.is_empty()),
        affects: Affects::Deliveries,
        found: match found.is_empty() {
            true => "none that makes system calls dear".into(),
            false => found.join(", "),
        },
        wanted: "a processor that needs none of these".into(),
        limits: "A delivery is a system call, and these make each dearer by some hundred \
                 nanoseconds. Switch them off only where nobody else's code runs on the host."
            .into(),
        fixes: match found.is_empty() {
            true => Vec::new(),
            false => vec![Fix::new(Place::KernelCommandLine, "mitigations=off")],
        },
    })
}

fn steal(host: &Host) -> Option<Finding> {
    let stat = host.text("proc/stat")?;
    let line = stat.lines().next()?.strip_prefix("cpu ")?;
    let ticks: Option<Vec<u64>> = line
        .split_whitespace()
        .map(|word| word.parse().ok())
        .collect();
    let ticks = ticks?;
    // User, nice, system, idle, iowait, irq, softirq, steal; guests are counted in user.
    let total: u64 = ticks.iter().take(8).sum();
    let stolen = *ticks.get(7)?;
    let is_guest = host
        .text("proc/cpuinfo")
        .is_some_and(|info| info.split_whitespace().any(|flag| flag == "hypervisor"));
    let tenths = (stolen * 1000).checked_div(total)?;
    let severity = Severity::Warning.unless(tenths <= STEAL_PERCENT_MAX * 10);
    Some(Finding {
        id: "steal",
        group: Group::Cores,
        severity,
        affects: Affects::Latency,
        found: format!(
            "{}, {}.{} % of {} s stolen",
            if is_guest { "virtual" } else { "real" },
            tenths / 10,
            tenths % 10,
            grouped(total / 100)
        ),
        wanted: format!("{STEAL_PERCENT_MAX} % or less"),
        limits: "Time in which the hypervisor ran somebody else: a shard stands still, and no \
                 setting of this host helps. Ask for cores of your own."
            .into(),
        fixes: Vec::new(),
    })
}
