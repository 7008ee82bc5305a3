//! The tuning files and the doctor agree: the same lines, each explained.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use webrocket::doctor::{Diagnosis, Place, Severity};

use crate::fixture::{Fixture, limits};

fn file(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tuning")
        .join(name);
    fs::read_to_string(path).expect("a tuning file")
}

/// A host on which everything is wrong that a line can mend.
fn worst() -> Diagnosis {
    worst_host().examine()
}

fn worst_host() -> Fixture {
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
        ("proc/sys/net/core/busy_poll", "50"),
        (
            "proc/net/softnet_stat",
            "000000ff 00000001 00000000 00000000\n",
        ),
        ("proc/sys/net/netfilter/nf_conntrack_max", "1024"),
        (
            "sys/kernel/mm/transparent_hugepage/enabled",
            "[always] madvise never",
        ),
        ("proc/sys/vm/overcommit_memory", "2"),
        ("proc/self/limits", &limits("1024 4096", "65536 65536")),
        (
            "proc/meminfo",
            "MemTotal: 16777216 kB\nMemAvailable: 65536 kB\nSwapTotal: 1024 kB\n",
        ),
        (&in_cgroup("memory.max"), "67108864"),
        (&in_cgroup("cpu.max"), "50000 100000"),
        (&in_cgroup("pids.max"), "8"),
    ])
}

/// A machine of two sockets on which neither the node nor its card has been placed.
fn two_sockets() -> Fixture {
    Fixture::with(&[
        ("sys/devices/system/node/online", "0-1"),
        ("sys/devices/system/node/node0/cpulist", "0-15,32-47"),
        ("sys/devices/system/node/node1/cpulist", "16-31,48-63"),
        ("sys/class/net/eth0/device/numa_node", "0"),
        ("proc/self/status", "Gid:\t990\nCpus_allowed_list:\t15-63\n"),
    ])
}

fn lines(place: Place) -> BTreeSet<String> {
    let findings = worst().findings;
    let fixes = findings.iter().flat_map(|finding| &finding.fixes);
    let here = fixes.filter(|fix| fix.place == place);
    here.map(|fix| fix.line.clone()).collect()
}

fn lines_of(name: &str, is_line: impl Fn(&str) -> bool) -> BTreeSet<String> {
    let text = file(name);
    let lines = text.lines().filter(|line| is_line(line));
    lines.map(str::to_owned).collect()
}

/// Lines that depend on the host, behind a `#` without a blank, are among them.
fn sysctls() -> BTreeSet<String> {
    let is_line = |line: &str| !line.is_empty() && line != "#" && !line.starts_with("# ");
    let lines = lines_of("90-webrocket.conf", is_line).into_iter();
    lines
        .map(|line| line.trim_start_matches(['#', '-']).to_owned())
        .collect()
}

fn login_limits() -> BTreeSet<String> {
    lines_of("limits.conf", |line| line.starts_with('*'))
}

fn tmpfiles() -> BTreeSet<String> {
    lines_of("tmpfiles.conf", |line| line.starts_with("w "))
}

#[test]
fn every_sysctl_is_a_line_of_the_doctor_and_the_other_way_round() {
    assert_eq!(sysctls(), lines(Place::Sysctl));
}

#[test]
fn every_limit_of_a_login_is_a_line_of_the_doctor_and_the_other_way_round() {
    assert_eq!(login_limits(), lines(Place::Limits));
}

/// Settings of a unit or drop-in that grant something.
fn grants(file: &str) -> BTreeSet<String> {
    let grants = ["Limit", "Tasks", "CPU", "Memory", "NUMA", "Allowed"];
    let lines = file.lines();
    lines
        .filter(|line| grants.iter().any(|name| line.starts_with(name)))
        .map(str::to_owned)
        .collect()
}

/// What concerns one machine's processors is none of the unit's that all share.
#[test]
fn every_grant_of_the_unit_is_a_line_of_the_doctor_and_the_other_way_round() {
    assert_eq!(grants(&file("webrocket.service")), lines(Place::Unit));
}

#[test]
fn every_line_of_the_drop_in_is_one_of_the_doctor_and_the_other_way_round() {
    let finding = two_sockets().find("numa").expect("there");
    let fixes: BTreeSet<String> = finding.fixes.into_iter().map(|fix| fix.line).collect();
    assert_eq!(grants(&file("webrocket.service.d/numa.conf")), fixes);
}

/// Lines for one machine's card and cores are the script's.
#[test]
fn every_line_of_tmpfiles_is_one_of_the_doctor_and_the_other_way_round() {
    assert_eq!(tmpfiles(), lines(Place::Tmpfiles));
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
    let places = two_sockets().examine().findings;
    let findings: Vec<_> = worst().findings.into_iter().chain(places).collect();

    let text = file("README.md");
    for section in text.split("\n### ").skip(1) {
        let (id, body) = section.split_once('\n').expect("a body");
        let has_line = findings
            .iter()
            .any(|finding| finding.id == id && !finding.fixes.is_empty());
        if has_line {
            assert!(body.contains("Back:"), "{id} tells no way back");
        }
    }
}

/// What a kernel shows of a host once these lines are in force.
fn show(host: &Fixture, line: &str) {
    let group = |file: &str| format!("sys/fs/cgroup/system.slice/webrocket.service/{file}");
    let locked = "8388608 8388608";
    if let Some((key, value)) = line.split_once(" = ") {
        host.write(&format!("proc/sys/{}", key.replace('.', "/")), value);
    } else if let Some(line) = line.strip_prefix("w /") {
        let (path, value) = line.split_once(" - - - - ").expect("a value");
        host.write(path, &format!("[{value}]"));
    } else if line.starts_with('*') {
        // Both lines of the file; `memlock` is in KiB.
        match line.split_whitespace().collect::<Vec<_>>()[..] {
            ["*", "hard", "nofile", hard] => {
                host.write("proc/self/limits", &limits(&format!("1024 {hard}"), locked));
            }
            ["*", "-", "memlock", "8192"] => {}
            _ => panic!("unknown: {line}"),
        }
    } else {
        match line.split_once('=').expect("a setting") {
            ("LimitNOFILE", hard) => {
                host.write("proc/self/limits", &limits(&format!("1024 {hard}"), locked));
            }
            ("LimitMEMLOCK", "8M") => {}
            ("TasksMax", tasks) => host.write(&group("pids.max"), tasks),
            ("CPUQuota", "") => host.write(&group("cpu.max"), "max 100000"),
            ("MemoryMax", "infinity") => host.write(&group("memory.max"), "max"),
            ("MemorySwapMax", bytes) => host.write(&group("memory.swap.max"), bytes),
            ("CPUAffinity", cores) => {
                let status = format!("Gid:\t990\nCpus_allowed_list:\t{cores}\n");
                host.write("proc/self/status", &status);
            }
            ("NUMAPolicy" | "NUMAMask", _) => {}
            _ => panic!("unknown: {line}"),
        }
    }
}

/// Ids of what is not in order.
fn wrong(host: &Fixture) -> Vec<&'static str> {
    let findings = host.examine().findings.into_iter();
    findings
        .filter(|finding| finding.severity > Severity::Ok)
        .map(|finding| finding.id)
        .collect()
}

/// The files are applied to a host on which everything is wrong: the doctor is content
/// with every value in them, and only what no line mends is left.
#[test]
fn what_the_files_set_is_what_the_doctor_wants() {
    let common: Vec<String> = sysctls().into_iter().chain(tmpfiles()).collect();
    for node in [login_limits(), grants(&file("webrocket.service"))] {
        let host = worst_host();
        assert!(wrong(&host).len() > 15, "{:?}", wrong(&host));
        // A login has no control group of the unit's: it starts from one without limits.
        if node == login_limits() {
            grants(&file("webrocket.service"))
                .iter()
                .filter(|line| !line.starts_with("Limit"))
                .for_each(|line| show(&host, line));
        }
        common
            .iter()
            .chain(&node)
            .for_each(|line| show(&host, line));
        assert_eq!(wrong(&host), ["memory"]);
    }
}

#[test]
fn the_drop_in_places_a_node_as_the_doctor_wants_it() {
    let host = two_sockets();
    assert_eq!(wrong(&host), ["numa"]);
    for line in grants(&file("webrocket.service.d/numa.conf")) {
        show(&host, &line);
    }
    assert_eq!(wrong(&host), [""; 0]);
}

/// Each knob by its own name, whichever section it is in.
#[test]
fn every_knob_of_the_files_is_named_in_the_readme() {
    let text = file("README.md");
    let keys = sysctls().into_iter().map(|line| {
        let (key, _) = line.split_once(" = ").expect("a value");
        key.to_owned()
    });
    let settings = ["webrocket.service", "webrocket.service.d/numa.conf"]
        .iter()
        .flat_map(|name| grants(&file(name)))
        .map(|line| line.split('=').next().expect("a name").to_owned());
    let logins = login_limits()
        .into_iter()
        .map(|line| line.split_whitespace().nth(2).expect("an item").to_owned());
    let paths = tmpfiles()
        .into_iter()
        .map(|line| line.split_whitespace().nth(1).expect("a path").to_owned());
    let script = file("webrocket-card");
    let options = script
        .lines()
        .filter_map(|line| line.strip_prefix("  --"))
        .map(|line| format!("--{}", line.split(' ').next().expect("a name")));
    let files = fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("tuning"))
        .expect("a folder")
        .map(|entry| entry.expect("a file").file_name())
        .map(|name| name.into_string().expect("text"));
    let knobs: Vec<String> = keys
        .chain(settings)
        .chain(logins)
        .chain(paths)
        .chain(options)
        .chain(files.filter(|name| name != "README.md"))
        .collect();
    assert!(knobs.len() > 30, "{knobs:?}");
    for knob in knobs {
        let ends = ["`", " ", "="].map(|end| format!("{knob}{end}"));
        let named = ends.iter().any(|name| text.contains(name));
        assert!(named, "README.md says nothing of {knob}");
    }
}

/// The table at the top has what can be mended, each once, and where it leads to.
#[test]
fn the_table_has_every_finding_with_a_line() {
    let text = file("README.md");
    let rows: Vec<&str> = text
        .lines()
        .filter_map(|line| line.strip_prefix("| ["))
        .filter_map(|line| line.split_once("](#"))
        .inspect(|(id, link)| assert!(link.starts_with(&format!("{id}) | ")), "{id}"))
        .map(|(id, _)| id)
        .collect();
    let findings = [worst(), two_sockets().examine(), worst_machine().examine()];
    let mended: BTreeSet<&str> = findings
        .iter()
        .flat_map(|diagnosis| &diagnosis.findings)
        .filter(|finding| !finding.fixes.is_empty())
        .map(|finding| finding.id)
        .collect();
    assert_eq!(rows.len(), mended.len(), "{rows:?}");
    assert_eq!(rows.into_iter().collect::<BTreeSet<_>>(), mended);
}

/// What is wrong with cores and card where everything is.
fn worst_machine() -> Fixture {
    Fixture::with(&[
        ("sys/class/net/eth0/queues/rx-0/rps_cpus", "1"),
        ("sys/class/net/eth0/queues/tx-0/xps_cpus", "0"),
        ("sys/class/net/eth0/queues/tx-1/xps_cpus", "0"),
        ("proc/irq/43/effective_affinity_list", "0"),
        (
            "sys/devices/system/cpu/cpu0/cpufreq/scaling_governor",
            "powersave",
        ),
        ("sys/devices/system/cpu/cpu0/cpuidle/state1/latency", "133"),
        (
            "sys/devices/system/clocksource/clocksource0/current_clocksource",
            "hpet",
        ),
        (
            "sys/devices/system/cpu/vulnerabilities/meltdown",
            "Mitigation: PTI",
        ),
    ])
}
