//! Processors: their speed, their memory, their clock, and who shares them.

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

pub(super) fn check(host: &Host, demand: &Demand, findings: &mut Vec<Finding>) {
    findings.extend(governor(host));
    findings.extend(clock(host));
    findings.extend(pinning(host, demand));
    findings.extend(numa(host));
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

/// Shard n stays on core n where there are cores enough.
fn pinning(host: &Host, demand: &Demand) -> Option<Finding> {
    let allowed = host.cores()?;
    let missing = (0..demand.shards).any(|core| !allowed.iter().any(|one| u64::from(*one) == core));
    let first_cores = match demand.shards {
        1 => "0".to_owned(),
        shards => format!("0-{}", shards - 1),
    };
    let severity = match (demand.shards > allowed.len() as u64, missing) {
        (true, _) => Severity::Note,
        (false, missing) => Severity::Warning.unless(!missing),
    };
    Some(Finding {
        id: "pinning",
        group: Group::Cores,
        severity,
        affects: Affects::Latency,
        found: format!("cores {}", host.status("Cpus_allowed_list")?),
        wanted: format!("cores {first_cores}"),
        limits: "Shard n stays on core n; a control group without that core refuses it. With \
                 more shards than cores none is pinned, and they wait for each other."
            .into(),
        fixes: match severity {
            Severity::Warning => vec![Fix::new(Place::Unit, format!("AllowedCPUs={first_cores}"))],
            _ => Vec::new(),
        },
    })
}

fn numa(host: &Host) -> Option<Finding> {
    let nodes = cpu_list(&host.text("sys/devices/system/node/online")?)?.len();
    let severity = Severity::Note.unless(nodes <= 1);
    Some(Finding {
        id: "numa",
        group: Group::Cores,
        severity,
        affects: Affects::Latency,
        found: counted(nodes as u64, "node"),
        wanted: "1".into(),
        limits: "Shards hand messages to each other, and from one NUMA node to the next that \
                 takes two to three times as long. Let shards and the network card share one."
            .into(),
        fixes: match (severity, cores_of_first_node(host)) {
            (Severity::Note, Some(cores)) => vec![
                Fix::new(Place::Unit, format!("CPUAffinity=0-{}", cores - 1)),
                Fix::new(Place::Unit, "NUMAPolicy=preferred"),
                Fix::new(Place::Unit, "NUMAMask=0"),
            ],
            _ => Vec::new(),
        },
    })
}

/// How many cores, counted from 0 on, are the first node's; shards take the
/// first ones. `None` where the numbering goes back and forth between nodes.
fn cores_of_first_node(host: &Host) -> Option<usize> {
    let cores = cpu_list(&host.text("sys/devices/system/node/node0/cpulist")?)?;
    let count = cores
        .iter()
        .zip(0..)
        .take_while(|(core, at)| *core == at)
        .count();
    (count > 1).then_some(count)
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
