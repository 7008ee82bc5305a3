//! The tuning files and the doctor agree: the same lines, each explained.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use webrocket::doctor::{Diagnosis, Place};

use crate::fixture::Fixture;

fn file(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tuning")
        .join(name);
    fs::read_to_string(path).expect("a tuning file")
}

/// A host on which everything is wrong that a line can mend.
fn worst() -> Diagnosis {
    let cgroup = "sys/fs/cgroup/system.slice/webrocket.service";
    let in_cgroup = |file: &str| format!("{cgroup}/{file}");
    Fixture::with(&[
        ("proc/sys/kernel/io_uring_disabled", "2"),
        ("proc/sys/fs/nr_open", "1024"),
        ("proc/sys/fs/file-max", "1024"),
        ("proc/sys/net/core/somaxconn", "128"),
        ("proc/sys/net/ipv4/tcp_max_syn_backlog", "128"),
        ("proc/sys/net/ipv4/tcp_syncookies", "0"),
        ("proc/sys/net/ipv4/ip_local_port_range", "32768 60999"),
        ("proc/sys/net/ipv4/tcp_mem", "1 2 3"),
        ("proc/sys/net/ipv4/tcp_rmem", "4096 131072 6291456"),
        ("proc/sys/net/ipv4/tcp_wmem", "4096 16384 4194304"),
        ("proc/sys/net/netfilter/nf_conntrack_max", "1024"),
        ("proc/sys/vm/overcommit_memory", "2"),
        (
            "proc/self/limits",
            &crate::fixture::limits("1024 4096", "65536 65536"),
        ),
        (
            "proc/meminfo",
            "MemTotal: 16777216 kB\nMemAvailable: 65536 kB\nSwapTotal: 1024 kB\n",
        ),
        (&in_cgroup("memory.max"), "67108864"),
        (&in_cgroup("cpu.max"), "50000 100000"),
        (&in_cgroup("pids.max"), "8"),
    ])
    .examine()
}

fn lines(place: Place) -> BTreeSet<String> {
    let findings = worst().findings;
    let fixes = findings.iter().flat_map(|finding| &finding.fixes);
    let here = fixes.filter(|fix| fix.place == place);
    here.map(|fix| fix.line.clone()).collect()
}

#[test]
fn every_sysctl_is_a_line_of_the_doctor_and_the_other_way_round() {
    let text = file("90-webrocket.conf");
    let set: BTreeSet<String> = text
        .lines()
        .filter(|line| !line.is_empty() && *line != "#" && !line.starts_with("# "))
        .map(|line| line.trim_start_matches(['#', '-']).to_owned())
        .collect();
    assert_eq!(set, lines(Place::Sysctl));
}

#[test]
fn every_limit_of_a_login_is_a_line_of_the_doctor_and_the_other_way_round() {
    let text = file("limits.conf");
    let set: BTreeSet<String> = text
        .lines()
        .filter(|line| line.starts_with('*'))
        .map(str::to_owned)
        .collect();
    assert_eq!(set, lines(Place::Limits));
}

/// What concerns this host's processors is none of the unit's that all share.
#[test]
fn every_grant_of_the_unit_is_a_line_of_the_doctor_and_the_other_way_round() {
    let text = file("webrocket.service");
    let grants = ["Limit", "Tasks", "CPU", "Memory", "NUMA", "AllowedCPUs"];
    let set: BTreeSet<String> = text
        .lines()
        .filter(|line| grants.iter().any(|name| line.starts_with(name)))
        .map(str::to_owned)
        .collect();
    assert_eq!(set, lines(Place::Unit));
}

/// `see tuning/README.md#id` leads somewhere, and nothing is explained in vain.
#[test]
fn every_finding_is_explained() {
    let text = file("README.md");
    let explained: BTreeSet<&str> = text
        .lines()
        .filter_map(|line| line.strip_prefix("### "))
        .collect();
    let findings = worst().findings;
    let found: BTreeSet<&str> = findings.iter().map(|finding| finding.id).collect();
    assert_eq!(explained, found);
}

/// Why, what it does, how to go back: each section names the way back where the
/// doctor has a line.
#[test]
fn every_line_has_a_way_back() {
    let text = file("README.md");
    for section in text.split("\n### ").skip(1) {
        let (id, body) = section.split_once('\n').expect("a body");
        let has_line = worst()
            .findings
            .iter()
            .any(|finding| finding.id == id && !finding.fixes.is_empty());
        if has_line {
            assert!(body.contains("Back:"), "{id} tells no way back");
        }
    }
}
