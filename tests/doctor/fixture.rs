use std::fs;
use std::path::Path;

use tempfile::TempDir;
use webrocket::doctor::{Demand, Diagnosis, Finding, Host, examine};
use webrocket::net::ProbeError;

/// What the fixtures are made for.
pub(crate) const CONNECTIONS: u32 = 100_000;
pub(crate) const SHARDS: u16 = 4;

/// Descriptors that a node of four shards takes besides its connections.
pub(crate) const RESERVED: u64 = 128 + 4 * 16;

/// A host that carries 100,000 connections on four shards, on bare metal.
const FIT: &[(&str, &str)] = &[
    ("proc/sys/kernel/osrelease", "6.1.0-32-amd64"),
    ("proc/sys/kernel/io_uring_disabled", "0"),
    ("proc/sys/kernel/io_uring_group", "-1"),
    ("proc/sys/fs/nr_open", "1048576"),
    ("proc/sys/fs/file-max", "4194304"),
    ("proc/sys/fs/file-nr", "1200\t0\t4194304"),
    ("proc/sys/net/core/somaxconn", "4096"),
    ("proc/sys/net/core/busy_poll", "0"),
    ("proc/sys/net/core/busy_read", "0"),
    ("proc/sys/net/core/netdev_max_backlog", "1000"),
    ("proc/sys/net/core/rps_sock_flow_entries", "0"),
    (
        "proc/net/softnet_stat",
        "0000a1b2 00000000 00000003 00000000\n0000a1b3 00000000 00000000 00000000\n",
    ),
    ("proc/sys/net/core/rmem_max", "212992"),
    ("proc/sys/net/core/wmem_max", "212992"),
    ("proc/sys/net/ipv4/tcp_max_syn_backlog", "4096"),
    ("proc/sys/net/ipv4/tcp_syncookies", "1"),
    ("proc/sys/net/ipv4/ip_local_port_range", "1024\t65535"),
    ("proc/sys/net/ipv4/tcp_mem", "190000\t250000\t380000"),
    ("proc/sys/net/ipv4/tcp_rmem", "4096\t16384\t1048576"),
    ("proc/sys/net/ipv4/tcp_wmem", "4096\t16384\t1048576"),
    ("proc/sys/net/netfilter/nf_conntrack_max", "262144"),
    ("proc/sys/net/netfilter/nf_conntrack_count", "12"),
    ("proc/sys/vm/overcommit_memory", "0"),
    (
        "proc/self/limits",
        "Limit                     Soft Limit           Hard Limit           Units     \n\
         Max open files            1024                 524288               files     \n\
         Max locked memory         8388608              8388608              bytes     \n",
    ),
    (
        "proc/self/status",
        "Name:\twebrocket\nGid:\t990\t990\t990\t990\nGroups:\t990 991\nCpus_allowed_list:\t0-3\n",
    ),
    ("proc/self/cgroup", "0::/system.slice/webrocket.service\n"),
    (
        "proc/meminfo",
        "MemTotal:       16777216 kB\nMemAvailable:   15728640 kB\nSwapTotal:             0 kB\n",
    ),
    ("proc/stat", "cpu  100 0 100 9800 0 0 0 0 0 0\n"),
    ("proc/cpuinfo", "flags\t\t: fpu vme\n"),
    (
        "proc/net/route",
        "Iface\tDestination\tGateway\neth0\t00000000\t0100000A\neth0\t0000000A\t00000000\n",
    ),
    ("proc/irq/40/effective_affinity_list", "0"),
    ("proc/irq/40/smp_affinity_list", "0"),
    ("proc/irq/41/effective_affinity_list", "1"),
    ("proc/irq/41/smp_affinity_list", "1"),
    ("proc/irq/42/effective_affinity_list", "2"),
    ("proc/irq/42/smp_affinity_list", "2"),
    ("proc/irq/43/effective_affinity_list", "3"),
    ("proc/irq/43/smp_affinity_list", "3"),
    ("sys/class/net/eth0/device/msi_irqs/40", "msix"),
    ("sys/class/net/eth0/device/msi_irqs/41", "msix"),
    ("sys/class/net/eth0/device/msi_irqs/42", "msix"),
    ("sys/class/net/eth0/device/msi_irqs/43", "msix"),
    ("sys/class/net/eth0/queues/rx-0/rps_cpus", "0"),
    ("sys/class/net/eth0/queues/rx-0/rps_flow_cnt", "0"),
    ("sys/class/net/eth0/queues/rx-1/rps_cpus", "0"),
    ("sys/class/net/eth0/queues/rx-1/rps_flow_cnt", "0"),
    ("sys/class/net/eth0/queues/rx-2/rps_cpus", "0"),
    ("sys/class/net/eth0/queues/rx-2/rps_flow_cnt", "0"),
    ("sys/class/net/eth0/queues/rx-3/rps_cpus", "0"),
    ("sys/class/net/eth0/queues/rx-3/rps_flow_cnt", "0"),
    ("sys/class/net/eth0/queues/tx-0/xps_cpus", "5"),
    ("sys/class/net/eth0/queues/tx-1/xps_cpus", "a"),
    (
        "sys/kernel/mm/transparent_hugepage/enabled",
        "always [madvise] never",
    ),
    (
        "sys/devices/system/clocksource/clocksource0/current_clocksource",
        "tsc",
    ),
    ("sys/devices/system/cpu/online", "0-3"),
    ("sys/devices/system/cpu/cpu0/cpuidle/state0/latency", "0"),
    ("sys/devices/system/cpu/cpu0/cpuidle/state0/disable", "0"),
    ("sys/devices/system/cpu/cpu0/cpuidle/state1/latency", "50"),
    ("sys/devices/system/cpu/cpu0/cpuidle/state1/disable", "0"),
    ("sys/devices/system/node/online", "0"),
    ("sys/devices/system/node/node0/cpulist", "0-3"),
    (
        "sys/devices/system/cpu/cpu0/cpufreq/scaling_governor",
        "performance",
    ),
    (
        "sys/devices/system/cpu/cpu3/cpufreq/scaling_governor",
        "performance",
    ),
    (
        "sys/devices/system/cpu/vulnerabilities/meltdown",
        "Not affected",
    ),
    (
        "sys/devices/system/cpu/vulnerabilities/spectre_v2",
        "Mitigation: Enhanced / Automatic IBRS; IBPB: conditional",
    ),
    (
        "sys/fs/cgroup/system.slice/webrocket.service/memory.max",
        "max",
    ),
    (
        "sys/fs/cgroup/system.slice/webrocket.service/cpu.max",
        "max 100000",
    ),
    (
        "sys/fs/cgroup/system.slice/webrocket.service/pids.max",
        "1024",
    ),
];

/// A folder with a host's files.
pub(crate) struct Fixture(TempDir);

impl Fixture {
    /// Everything in order.
    pub(crate) fn fit() -> Self {
        let fixture = Self(tempfile::tempdir().expect("a temporary directory"));
        for (path, text) in FIT {
            fixture.write(path, text);
        }
        fixture
    }

    /// Everything in order but these files.
    pub(crate) fn with(files: &[(&str, &str)]) -> Self {
        let fixture = Self::fit();
        for (path, text) in files {
            fixture.write(path, text);
        }
        fixture
    }

    /// A host that shows nothing.
    pub(crate) fn bare() -> Self {
        Self(tempfile::tempdir().expect("a temporary directory"))
    }

    pub(crate) fn without(self, path: &str) -> Self {
        let path = self.0.path().join(path);
        if path.is_dir() {
            fs::remove_dir_all(path).expect("a folder");
        } else {
            fs::remove_file(path).expect("a file");
        }
        self
    }

    pub(crate) fn write(&self, path: &str, text: &str) {
        let path = self.0.path().join(path);
        fs::create_dir_all(path.parent().expect("a folder")).expect("made");
        fs::write(path, text).expect("written");
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }

    pub(crate) fn examine(&self) -> Diagnosis {
        self.examine_with(&Ok(()))
    }

    pub(crate) fn examine_with(&self, ring: &Result<(), ProbeError>) -> Diagnosis {
        examine(
            &Host::at(self.path()),
            Demand::new(CONNECTIONS, SHARDS),
            ring,
        )
    }

    pub(crate) fn examine_for(&self, connections: u32, shards: u16) -> Diagnosis {
        examine(
            &Host::at(self.path()),
            Demand::new(connections, shards),
            &Ok(()),
        )
    }

    /// The finding with this id.
    pub(crate) fn find(&self, id: &str) -> Option<Finding> {
        let findings = self.examine().findings;
        findings.into_iter().find(|finding| finding.id == id)
    }
}

/// The process's limits, as the kernel writes them.
pub(crate) fn limits(open_files: &str, locked: &str) -> String {
    format!("Max open files {open_files} files\nMax locked memory {locked} bytes\n")
}
