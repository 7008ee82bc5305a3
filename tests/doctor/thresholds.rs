use webrocket::doctor::Severity::{self, Failure, Note, Ok as Fine, Warning};
use webrocket::doctor::{Affects, Place};
use webrocket::net::ProbeError;

use crate::fixture::{Fixture, RESERVED, limits};

const CGROUP: &str = "sys/fs/cgroup/system.slice/webrocket.service";
const GOVERNOR: &str = "sys/devices/system/cpu/cpu3/cpufreq/scaling_governor";
const CLOCK: &str = "sys/devices/system/clocksource/clocksource0/current_clocksource";
const VULNERABILITIES: &str = "sys/devices/system/cpu/vulnerabilities";

/// One file changed: what the finding says then, and whether it brings a line.
fn judge(id: &str, path: &str, text: &str, severity: Severity) {
    let fixture = Fixture::with(&[(path, text)]);
    let finding = fixture.find(id).unwrap_or_else(|| panic!("{id}: none"));
    assert_eq!(finding.severity, severity, "{id} with {path} = {text:?}");
    if severity == Fine {
        assert!(finding.fixes.is_empty(), "{id} mends what is in order");
    }
}

#[test]
fn a_fit_host_has_nothing_to_mend() {
    let diagnosis = Fixture::fit().examine();
    let wrong: Vec<_> = diagnosis
        .findings
        .iter()
        .filter(|finding| finding.severity != Fine)
        .collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert!(diagnosis.findings.len() >= 25, "{:#?}", diagnosis.findings);
}

#[test]
fn kernel() {
    let path = "proc/sys/kernel/osrelease";
    for (release, severity) in [
        ("6.1.0", Fine),
        ("6.0.19-1", Failure),
        ("5.15.0-generic", Failure),
        ("10.0", Fine),
    ] {
        judge("kernel", path, release, severity);
    }
    assert!(Fixture::with(&[(path, "odd")]).find("kernel").is_none());
}

#[test]
fn a_ring_that_does_not_work_is_a_failure() {
    for error in [
        ProbeError::MultishotPoll,
        ProbeError::Ring(std::io::ErrorKind::PermissionDenied.into()),
    ] {
        let text = error.to_string();
        let diagnosis = Fixture::fit().examine_with(&Err(error));
        let finding = diagnosis.findings.iter().find(|one| one.id == "io-uring");
        let finding = finding.expect("always there");
        assert_eq!(finding.severity, Failure);
        assert_eq!(finding.found, text);
        assert_eq!(diagnosis.ceiling.connections, 0);
        assert_eq!(diagnosis.ceiling.bounds[0].name, "io-uring");
    }
}

#[test]
fn io_uring_disabled() {
    let path = "proc/sys/kernel/io_uring_disabled";
    judge("io-uring-disabled", path, "1", Warning);
    judge("io-uring-disabled", path, "2", Failure);
    for (group, severity) in [("990", Fine), ("991", Fine), ("99", Warning)] {
        let fixture = Fixture::with(&[(path, "1"), ("proc/sys/kernel/io_uring_group", group)]);
        let finding = fixture.find("io-uring-disabled").expect("there");
        assert_eq!(finding.severity, severity, "{group}");
    }
}

#[test]
fn memlock() {
    let path = "proc/self/limits";
    for (locked, severity) in [
        ("524288 524288", Fine),
        ("524287 524288", Failure),
        ("unlimited unlimited", Fine),
    ] {
        judge("memlock", path, &limits("1024 524288", locked), severity);
    }
}

/// Of the fullest of four shards: the mean of 25,000 and six standard deviations.
const FULLEST: u64 = 25_822;

#[test]
fn nofile() {
    let needed = FULLEST + RESERVED;
    for (hard, severity) in [(needed, Fine), (needed - 1, Failure)] {
        let text = limits(&format!("1024 {hard}"), "8388608 8388608");
        judge("nofile", "proc/self/limits", &text, severity);
    }
}

#[test]
fn slots() {
    for (connections, severity) in [(1 << 24, Fine), ((1 << 24) + 1, Failure)] {
        let findings = Fixture::fit().examine_for(connections, 1).findings;
        let finding = findings.iter().find(|one| one.id == "slots");
        assert_eq!(finding.expect("there").severity, severity);
    }
}

#[test]
fn nr_open_and_file_max() {
    let needed = FULLEST + RESERVED;
    let path = "proc/sys/fs/nr_open";
    judge("nr-open", path, &needed.to_string(), Fine);
    judge("nr-open", path, &(needed - 1).to_string(), Failure);
    // 1,200 are open.
    let needed = 100_000 + RESERVED;
    let path = "proc/sys/fs/file-max";
    judge("file-max", path, &(needed + 1200).to_string(), Fine);
    judge("file-max", path, &(needed + 1199).to_string(), Failure);
}

#[test]
fn lines_grow_with_the_connections_asked_for() {
    let few = ("proc/sys/fs/file-max", "1048576");
    let fixture = Fixture::with(&[few]);
    for (id, shards, line) in [
        ("nofile", 1, "LimitNOFILE=4194304"),
        ("nofile", 4, "LimitNOFILE=1048576"),
        ("nr-open", 1, "fs.nr_open = 4194304"),
        ("file-max", 4, "fs.file-max = 8388608"),
        ("conntrack", 4, "net.netfilter.nf_conntrack_max = 4194304"),
        ("tcp-mem", 4, "net.ipv4.tcp_mem = 4500000 6000000 9000000"),
    ] {
        let diagnosis = fixture.examine_for(3_000_000, shards);
        let finding = diagnosis.findings.iter().find(|one| one.id == id);
        let finding = finding.expect("there");
        let has = finding.fixes.iter().any(|fix| fix.line == line);
        assert!(has, "{id}: {:?}", finding.fixes);
    }
}

#[test]
fn backlogs() {
    let path = "proc/sys/net/core/somaxconn";
    judge("somaxconn", path, "4096", Fine);
    judge("somaxconn", path, "4095", Warning);
    let cookies = "proc/sys/net/ipv4/tcp_syncookies";
    for (value, severity) in [("0", Warning), ("1", Fine), ("2", Note)] {
        judge("syncookies", cookies, value, severity);
    }
    let backlog = "proc/sys/net/ipv4/tcp_max_syn_backlog";
    for (value, on, severity) in [
        ("4096", "0", Fine),
        ("4095", "0", Warning),
        ("4095", "1", Fine),
    ] {
        let fixture = Fixture::with(&[(backlog, value), (cookies, on)]);
        let finding = fixture.find("syn-backlog").expect("there");
        assert_eq!(finding.severity, severity, "{value}, cookies {on}");
    }
}

#[test]
fn port_range() {
    let path = "proc/sys/net/ipv4/ip_local_port_range";
    judge("port-range", path, "1024 65535", Fine);
    judge("port-range", path, "1025 65535", Note);
    // Nonsense that a kernel never shows must not end the doctor.
    judge("port-range", path, "65535 1024", Note);
    let few = Fixture::with(&[(path, "60001 65000")]);
    for (connections, severity) in [(5_000, Fine), (5_001, Note)] {
        let findings = few.examine_for(connections, 4).findings;
        let finding = findings.iter().find(|one| one.id == "port-range");
        assert_eq!(finding.expect("there").severity, severity);
    }
}

#[test]
fn tcp_memory() {
    let path = "proc/sys/net/ipv4/tcp_mem";
    judge("tcp-mem", path, "1 200000 200001", Fine);
    judge("tcp-mem", path, "1 199999 200001", Warning);
    for (id, file) in [("tcp-rmem", "tcp_rmem"), ("tcp-wmem", "tcp_wmem")] {
        let path = format!("proc/sys/net/ipv4/{file}");
        for (most, severity) in [
            (64 * 1024 - 1, Warning),
            (64 * 1024, Fine),
            (1024 * 1024, Fine),
            (1024 * 1024 + 1, Note),
        ] {
            judge(id, &path, &format!("4096 16384 {most}"), severity);
        }
    }
}

#[test]
fn packets_that_found_no_room() {
    let max = "proc/sys/net/core/netdev_max_backlog";
    let stat = "proc/net/softnet_stat";
    // Hexadecimal, the second column, over all cores.
    let dropped = "000000ff 00000000 00000001\n000000ff 0000000a 00000001\n";
    judge("packet-backlog", stat, dropped, Warning);
    for (packets, severity) in [("16383", Warning), ("16384", Fine)] {
        let fixture = Fixture::with(&[(stat, dropped), (max, packets)]);
        let finding = fixture.find("packet-backlog").expect("there");
        assert_eq!(finding.severity, severity, "{packets}");
        assert!(finding.found.ends_with("10 dropped since boot"));
    }
    // A network namespace of its own does not show it.
    let namespace = Fixture::with(&[(stat, dropped)]).without(max);
    assert!(namespace.find("packet-backlog").is_none());
}

#[test]
fn busy_poll() {
    for key in ["busy_poll", "busy_read"] {
        let path = format!("proc/sys/net/core/{key}");
        judge("busy-poll", &path, "0", Fine);
        judge("busy-poll", &path, "1", Note);
    }
}

#[test]
fn conntrack() {
    let max = "proc/sys/net/netfilter/nf_conntrack_max";
    for (value, severity) in [
        ("125000", Fine),
        ("124999", Warning),
        ("100000", Warning),
        ("99999", Failure),
    ] {
        judge("conntrack", max, value, severity);
    }
    // Loaded, and nothing uses it.
    let count = "proc/sys/net/netfilter/nf_conntrack_count";
    let fixture = Fixture::with(&[(max, "99999"), (count, "0")]);
    assert_eq!(fixture.find("conntrack").expect("there").severity, Warning);
    assert!(Fixture::fit().without(max).find("conntrack").is_none());
}

#[test]
fn memory() {
    // 5,632 bytes each and 16 MiB a shard, of which a quarter more is left free.
    let needed = (100_000 * 5_632 + 4 * (16 << 20)) / 3 * 4 / 1024;
    for (kib, severity) in [(needed + 8, Fine), (needed - 8, Failure)] {
        let text = format!("MemTotal: 16777216 kB\nMemAvailable: {kib} kB\nSwapTotal: 0 kB");
        judge("memory", "proc/meminfo", &text, severity);
    }
}

#[test]
fn how_memory_is_handed_out() {
    let path = "sys/kernel/mm/transparent_hugepage/enabled";
    judge("huge-pages", path, "[always] madvise never", Warning);
    judge("huge-pages", path, "always madvise [never]", Fine);
    let path = "proc/sys/vm/overcommit_memory";
    for (mode, severity) in [("0", Fine), ("1", Fine), ("2", Warning)] {
        judge("overcommit", path, mode, severity);
    }
    let swap = "MemTotal: 16777216 kB\nMemAvailable: 15728640 kB\nSwapTotal: 4 kB";
    judge("swap", "proc/meminfo", swap, Note);
    let path = format!("{CGROUP}/memory.swap.max");
    let kept_out = Fixture::with(&[("proc/meminfo", swap), (&path, "0")]);
    assert_eq!(kept_out.find("swap").expect("there").severity, Fine);
}

#[test]
fn governor_and_clock() {
    judge("governor", GOVERNOR, "powersave", Warning);
    judge("clock-source", CLOCK, "kvm-clock", Fine);
    judge("clock-source", CLOCK, "hpet", Warning);
    let guest = Fixture::fit()
        .without("sys/devices/system/cpu/cpu0")
        .without("sys/devices/system/cpu/cpu3");
    assert!(guest.find("governor").is_none());
}

#[test]
fn pinning() {
    let status = |list: &str| format!("Gid:\t990\nCpus_allowed_list:\t{list}\n");
    for (list, severity) in [
        ("0-3", Fine),
        ("0-1,2-7", Fine),
        ("16-19", Fine),
        ("0-2", Note),
    ] {
        judge("pinning", "proc/self/status", &status(list), severity);
    }
}

const ONLINE: &str = "sys/devices/system/node/online";
const FIRST: &str = "sys/devices/system/node/node0/cpulist";
const SECOND: &str = "sys/devices/system/node/node1/cpulist";
const ALLOWED: &str = "proc/self/status";
const CARD_NODE: &str = "sys/class/net/eth0/device/numa_node";

#[test]
fn numa_places_shards_beside_the_card() {
    // The cores that the node may use, the card's NUMA node, and what comes of it.
    for (allowed, card, severity) in [
        ("0-3", "0", Fine),
        ("0-3", "-1", Fine),
        ("0-3", "1", Note),
        ("16-31", "1", Fine),
        ("16-31", "0", Note),
        // Four shards stay on the first four.
        ("12-31", "0", Fine),
        ("13-31", "0", Note),
        ("13-31", "-1", Note),
    ] {
        let fixture = Fixture::with(&[
            (ONLINE, "0-1"),
            (FIRST, "0-15"),
            (SECOND, "16-31"),
            (ALLOWED, &format!("Cpus_allowed_list:\t{allowed}\n")),
            (CARD_NODE, card),
        ]);
        let finding = fixture.find("numa").expect("there");
        assert_eq!(finding.severity, severity, "{allowed}, card on {card}");
    }
}

#[test]
fn numa_takes_the_cores_of_one_node() {
    for (list, card, lines) in [
        ("0-15,32-47", "0", ["0-15", "0"]),
        ("0,2,4,6", "-1", ["0,2,4,6", "0"]),
        ("0-15", "1", ["16-31", "1"]),
    ] {
        let fixture = Fixture::with(&[
            (ONLINE, "0-1"),
            (FIRST, list),
            (SECOND, "16-31"),
            (ALLOWED, "Cpus_allowed_list:\t6,16-19\n"),
            (CARD_NODE, card),
        ]);
        let fixes = fixture.find("numa").expect("there").fixes;
        let found: Vec<_> = fixes.iter().map(|fix| fix.line.as_str()).collect();
        let affinity = format!("CPUAffinity={}", lines[0]);
        let mask = format!("NUMAMask={}", lines[1]);
        assert_eq!(
            found,
            [&*affinity, "NUMAPolicy=preferred", &*mask],
            "{list}"
        );
    }
}

#[test]
fn idle_states() {
    let latency = "sys/devices/system/cpu/cpu0/cpuidle/state1/latency";
    judge("idle-states", latency, "50", Fine);
    judge("idle-states", latency, "51", Note);
    let deep = Fixture::with(&[(latency, "133")]);
    let finding = deep.find("idle-states").expect("there");
    let lines: Vec<_> = finding.fixes.iter().map(|fix| fix.line.as_str()).collect();
    assert_eq!(
        lines,
        ["w /sys/devices/system/cpu/cpu*/cpuidle/state1/disable - - - - 1"]
    );
    let disabled = "sys/devices/system/cpu/cpu0/cpuidle/state1/disable";
    let off = Fixture::with(&[(latency, "133"), (disabled, "1")]);
    assert_eq!(off.find("idle-states").expect("there").severity, Fine);
    let guest = Fixture::fit().without("sys/devices/system/cpu/cpu0/cpuidle");
    assert!(guest.find("idle-states").is_none());
}

#[test]
fn only_dear_mitigations_are_noted() {
    for (name, text, severity) in [
        ("meltdown", "Mitigation: PTI", Note),
        ("retbleed", "Mitigation: IBRS", Note),
        ("retbleed", "Mitigation: Enhanced IBRS", Fine),
        ("mds", "Mitigation: Clear CPU buffers; SMT vulnerable", Note),
        ("mds", "Vulnerable", Fine),
    ] {
        judge(
            "mitigations",
            &format!("{VULNERABILITIES}/{name}"),
            text,
            severity,
        );
    }
}

#[test]
fn steal() {
    for (idle, stolen, severity) in [(9_700, 100, Fine), (9_690, 110, Warning)] {
        let text = format!("cpu  100 0 100 {idle} 0 0 0 {stolen} 0 0\n");
        judge("steal", "proc/stat", &text, severity);
    }
    judge("steal", "proc/cpuinfo", "flags : fpu hypervisor", Fine);
    // A machine that just started: no time to take a share of.
    let fresh = Fixture::with(&[("proc/stat", "cpu  0 0 0 0 0 0 0 0 0 0\n")]);
    assert!(fresh.find("steal").is_none());
}

#[test]
fn receiving_on_fewer_cores_than_shards() {
    let irq = "proc/irq/43/effective_affinity_list";
    judge("receive-queues", irq, "2", Warning);
    // RPS makes up for it.
    let rps = "sys/class/net/eth0/queues/rx-0/rps_cpus";
    for (mask, severity) in [("f", Fine), ("7", Warning)] {
        let fixture = Fixture::with(&[(irq, "2"), (rps, mask)]);
        let finding = fixture.find("receive-queues").expect("there");
        assert_eq!(finding.severity, severity, "{mask}");
    }
    let fixture = Fixture::with(&[(irq, "2")]);
    let fixes = fixture.find("receive-queues").expect("there").fixes;
    let found: Vec<_> = fixes
        .iter()
        .map(|fix| (fix.place, fix.line.as_str()))
        .collect();
    assert_eq!(
        found,
        [
            (Place::Script, "webrocket-card eth0"),
            (
                Place::Tmpfiles,
                "w /sys/class/net/eth0/queues/rx-*/rps_cpus - - - - f"
            ),
        ]
    );
}

#[test]
fn rps_without_rfs() {
    let rps = ("sys/class/net/eth0/queues/rx-2/rps_cpus", "f");
    let entries = "proc/sys/net/core/rps_sock_flow_entries";
    let flows = |queue: u8| format!("sys/class/net/eth0/queues/rx-{queue}/rps_flow_cnt");
    let [zero, one, two, three] = [0, 1, 2, 3].map(flows);
    let files = [
        rps,
        (entries, "32768"),
        (&zero, "8192"),
        (&one, "8192"),
        (&two, "8192"),
        (&three, "8192"),
    ];
    let severity = |files: &[(&str, &str)]| {
        let finding = Fixture::with(files).find("flow-steering");
        finding.expect("there").severity
    };
    assert_eq!(severity(&files), Fine);
    // Each of its files can be what is missing.
    for missing in 1..files.len() {
        let mut files = files;
        files[missing].1 = "0";
        assert_eq!(severity(&files), Note, "{}", files[missing].0);
    }
    assert_eq!(severity(&[(entries, "0")]), Fine, "RPS off needs no RFS");
    let fixes = Fixture::with(&[rps]).find("flow-steering").expect("there");
    let lines: Vec<_> = fixes.fixes.iter().map(|fix| fix.line.as_str()).collect();
    assert_eq!(
        lines,
        [
            "webrocket-card eth0",
            "w /proc/sys/net/core/rps_sock_flow_entries - - - - 32768",
            "w /sys/class/net/eth0/queues/rx-*/rps_flow_cnt - - - - 8192",
        ]
    );
}

#[test]
fn a_virtual_card_has_its_parents_interrupts() {
    let fixture = Fixture::with(&[
        ("sys/class/net/eth0/device/driver", ""),
        ("sys/class/net/eth0/msi_irqs/40", "msix"),
        ("sys/class/net/eth0/msi_irqs/41", "msix"),
    ])
    .without("sys/class/net/eth0/device/msi_irqs");
    let finding = fixture.find("receive-queues").expect("there");
    assert_eq!(finding.severity, Warning);
    assert!(
        finding.found.contains("4 queues on 2 cores"),
        "{}",
        finding.found
    );
}

#[test]
fn sending_without_xps() {
    let files = [
        ("sys/class/net/eth0/queues/tx-0/xps_cpus", "0"),
        ("sys/class/net/eth0/queues/tx-1/xps_cpus", "0"),
    ];
    let finding = Fixture::with(&files).find("send-queues").expect("there");
    assert_eq!(finding.severity, Note);
    let lines: Vec<_> = finding.fixes.iter().map(|fix| fix.line.as_str()).collect();
    assert_eq!(
        lines,
        [
            "webrocket-card eth0",
            "w /sys/class/net/eth0/queues/tx-0/xps_cpus - - - - 5",
            "w /sys/class/net/eth0/queues/tx-1/xps_cpus - - - - a",
        ]
    );
    // One queue needs none.
    let one = Fixture::with(&files).without("sys/class/net/eth0/queues/tx-1");
    assert_eq!(one.find("send-queues").expect("there").severity, Fine);
}

#[test]
fn cgroups_of_version_2() {
    let path = format!("{CGROUP}/memory.max");
    judge("cgroup-memory", &path, "17179869184", Fine);
    judge("cgroup-memory", &path, "17179869183", Note);
    let path = format!("{CGROUP}/cpu.max");
    judge("cgroup-cpu", &path, "400000 100000", Fine);
    judge("cgroup-cpu", &path, "399000 100000", Warning);
    let path = format!("{CGROUP}/pids.max");
    judge("cgroup-pids", &path, "40", Fine);
    judge("cgroup-pids", &path, "39", Failure);
    // The group above binds as well.
    judge("cgroup-pids", "sys/fs/cgroup/pids.max", "39", Failure);
    assert!(Fixture::fit().find("cgroup-cpu").is_none());
}

#[test]
fn cgroups_of_version_1() {
    let groups = "4:memory:/box/a\n3:cpu,cpuacct:/box\n2:pids:/elsewhere\n0::/\n";
    let fixture = Fixture::with(&[
        ("proc/self/cgroup", groups),
        (
            "sys/fs/cgroup/memory/box/a/memory.limit_in_bytes",
            "9223372036854771712",
        ),
        (
            "sys/fs/cgroup/memory/box/memory.limit_in_bytes",
            "1073741824",
        ),
        ("sys/fs/cgroup/cpu,cpuacct/box/cpu.cfs_quota_us", "150000"),
        ("sys/fs/cgroup/cpu,cpuacct/box/cpu.cfs_period_us", "100000"),
        ("sys/fs/cgroup/pids/pids.max", "20"),
    ]);
    let memory = fixture.find("cgroup-memory").expect("there");
    assert_eq!((memory.severity, memory.found.as_str()), (Note, "1 GiB"));
    let cpu = fixture.find("cgroup-cpu").expect("there");
    assert_eq!((cpu.severity, cpu.found.as_str()), (Warning, "1.50 cores"));
    let pids = fixture.find("cgroup-pids").expect("there");
    assert_eq!((pids.severity, pids.affects), (Failure, Affects::Start));
}

#[test]
fn a_host_that_shows_nothing_is_no_failure() {
    let diagnosis = Fixture::bare().examine();
    let ids: Vec<_> = diagnosis.findings.iter().map(|one| one.id).collect();
    assert_eq!(ids, ["io-uring", "slots"], "what can't be read is left out");
    assert_eq!(diagnosis.severity(), Fine);
}
