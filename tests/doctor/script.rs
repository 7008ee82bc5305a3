//! `tuning/webrocket-card` on a machine that is a folder: what it writes, that it
//! says so, refuses in whole sentences, and puts everything back.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::symlink;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use rustix::process::geteuid;
use webrocket::doctor::Severity;

use crate::fixture::Fixture;

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tuning/webrocket-card");

const RPS: [&str; 2] = [
    "sys/class/net/eth0/queues/rx-0/rps_cpus",
    "sys/class/net/eth0/queues/rx-1/rps_cpus",
];

/// Four cores, a card with two queues each way whose interrupts go to core 0, and
/// clocks that save power: as a machine comes.
fn machine() -> Fixture {
    let mut fixture = Fixture::fit();
    for queue in ["rx-2", "rx-3"] {
        fixture = fixture.without(&format!("sys/class/net/eth0/queues/{queue}"));
    }
    fixture = fixture.without("sys/class/net/eth0/device/msi_irqs/43");
    for (irq, action) in [(40, "eth0-config"), (41, "eth0-0"), (42, "eth0-1@pci:0")] {
        fs::create_dir_all(fixture.path().join(format!("proc/irq/{irq}/{action}"))).expect("made");
        fixture.write(&format!("proc/irq/{irq}/smp_affinity_list"), "0");
        fixture.write(&format!("proc/irq/{irq}/effective_affinity_list"), "0");
    }
    for path in RPS {
        fixture.write(path, "00000000,00000000");
    }
    for queue in ["tx-0", "tx-1"] {
        fixture.write(&format!("sys/class/net/eth0/queues/{queue}/xps_cpus"), "0");
    }
    for core in 0..4 {
        let folder = format!("sys/devices/system/cpu/cpu{core}/cpufreq");
        fixture.write(&format!("{folder}/scaling_governor"), "powersave");
    }
    fixture.write("sys/class/net/eth0/napi_defer_hard_irqs", "0");
    fixture.write("sys/class/net/eth0/gro_flush_timeout", "0");
    fixture
}

fn run(machine: &Fixture, arguments: &[&str]) -> Output {
    Command::new(SCRIPT)
        .args(["--root", machine.path().to_str().expect("text")])
        .args(arguments)
        .output()
        .expect("started")
}

/// Lines on standard output of a run that must end well.
fn told(machine: &Fixture, arguments: &[&str]) -> Vec<String> {
    let output = run(machine, arguments);
    assert!(output.status.success(), "{arguments:?}: {output:?}");
    let text = String::from_utf8(output.stdout).expect("text");
    text.lines().map(str::to_owned).collect()
}

/// What is said on standard error, with this exit code.
fn refused(machine: &Fixture, code: i32, arguments: &[&str]) -> String {
    let output = run(machine, arguments);
    assert_eq!(
        output.status.code(),
        Some(code),
        "{arguments:?}: {output:?}"
    );
    String::from_utf8(output.stderr).expect("text")
}

/// Every file of the machine but what the script keeps, with its text.
fn files(machine: &Fixture) -> BTreeMap<String, String> {
    fn walk(folder: &Path, root: &Path, found: &mut BTreeMap<String, String>) {
        for entry in fs::read_dir(folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            let name = path
                .strip_prefix(root)
                .expect("below")
                .display()
                .to_string();
            match path.is_dir() {
                true if name == "run" => {}
                true => walk(&path, root, found),
                false => {
                    let text = fs::read_to_string(&path).expect("a file");
                    found.insert(name, text.trim().to_owned());
                }
            }
        }
    }
    let mut found = BTreeMap::new();
    walk(machine.path(), machine.path(), &mut found);
    found
}

/// What became of files that are not as they were.
fn changed(before: &BTreeMap<String, String>, machine: &Fixture) -> BTreeMap<String, String> {
    let after = files(machine);
    assert!(before.keys().eq(after.keys()), "files came or went");
    after
        .into_iter()
        .filter(|(name, text)| before[name] != *text)
        .collect()
}

fn expected(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    let pairs = pairs.iter();
    pairs
        .map(|(name, text)| ((*name).to_owned(), (*text).to_owned()))
        .collect()
}

const CPU: [&str; 4] = [
    "sys/devices/system/cpu/cpu0/cpufreq/scaling_governor",
    "sys/devices/system/cpu/cpu1/cpufreq/scaling_governor",
    "sys/devices/system/cpu/cpu2/cpufreq/scaling_governor",
    "sys/devices/system/cpu/cpu3/cpufreq/scaling_governor",
];

fn all_changes() -> BTreeMap<String, String> {
    expected(&[
        (CPU[0], "performance"),
        (CPU[1], "performance"),
        (CPU[2], "performance"),
        (CPU[3], "performance"),
        // The first queue's interrupt is where it belongs.
        ("proc/irq/42/smp_affinity_list", "1"),
        ("proc/sys/net/core/rps_sock_flow_entries", "32768"),
        (RPS[0], "f"),
        (RPS[1], "f"),
        ("sys/class/net/eth0/queues/rx-0/rps_flow_cnt", "16384"),
        ("sys/class/net/eth0/queues/rx-1/rps_flow_cnt", "16384"),
        ("sys/class/net/eth0/queues/tx-0/xps_cpus", "5"),
        ("sys/class/net/eth0/queues/tx-1/xps_cpus", "a"),
    ])
}

#[test]
fn what_is_written_is_written_once_and_undone_whole() {
    let machine = machine();
    let before = files(&machine);

    let lines = told(&machine, &["eth0"]);
    assert_eq!(changed(&before, &machine), all_changes());
    for line in [
        "/sys/class/net/eth0/queues/rx-0/rps_cpus: 00000000,00000000 -> f",
        "/proc/irq/41/smp_affinity_list: 0 already",
        "/proc/irq/42/smp_affinity_list: 0 -> 1",
    ] {
        assert!(lines.iter().any(|told| told == line), "{line}: {lines:?}");
    }

    // Nothing is left to do, and what was found first is still what is kept.
    let again = told(&machine, &["eth0"]);
    assert!(
        again.iter().all(|line| line.ends_with(" already")),
        "{again:?}"
    );
    assert_eq!(changed(&before, &machine), all_changes());
    told(&machine, &["--cpus", "0-1", "eth0"]);

    told(&machine, &["--undo", "eth0"]);
    assert_eq!(changed(&before, &machine), BTreeMap::new());
    assert_eq!(
        told(&machine, &["--undo", "eth0"]),
        ["eth0: nothing saved, nothing to undo"]
    );
}

#[test]
fn a_dry_run_says_all_of_it_and_writes_nothing() {
    let machine = machine();
    let before = files(&machine);
    let lines = told(&machine, &["--dry-run", "eth0"]);
    assert_eq!(changed(&before, &machine), BTreeMap::new());
    assert!(!machine.path().join("run").exists());
    let said: BTreeMap<String, String> = lines
        .iter()
        .filter_map(|line| line.strip_suffix(" (not written)"))
        .map(|line| line.split_once(": ").expect("a file"))
        .map(|(file, change)| (file[1..].to_owned(), change))
        .map(|(file, change)| {
            (
                file,
                change.split_once(" -> ").expect("old and new").1.to_owned(),
            )
        })
        .collect();
    assert_eq!(said, all_changes());

    told(&machine, &["eth0"]);
    let lines = told(&machine, &["--undo", "--dry-run", "eth0"]);
    assert_eq!(lines.len(), all_changes().len());
    assert_eq!(changed(&before, &machine), all_changes());
}

/// The doctor asks for the script, and is content when it has run.
#[test]
fn the_doctor_is_content_with_what_the_script_writes() {
    let machine = machine();
    let ids = ["governor", "receive-queues", "send-queues"];
    let severities = |machine: &Fixture| {
        let find = |id: &str| machine.find(id).expect("there").severity;
        (ids.map(find), find("flow-steering"))
    };
    for id in ["receive-queues", "send-queues"] {
        let fixes = machine.find(id).expect("there").fixes;
        assert_eq!(fixes[0].line, "webrocket-card eth0", "{id}");
    }
    let comes = (
        [Severity::Warning, Severity::Warning, Severity::Note],
        Severity::Ok,
    );
    assert_eq!(severities(&machine), comes);

    told(&machine, &["eth0"]);
    kernel_follows(&machine);
    assert_eq!(severities(&machine), ([Severity::Ok; 3], Severity::Ok));

    told(&machine, &["--undo", "eth0"]);
    kernel_follows(&machine);
    assert_eq!(severities(&machine), comes);
}

/// A kernel shows where an interrupt goes once it was told.
fn kernel_follows(machine: &Fixture) {
    for irq in 40..43 {
        let folder = machine.path().join(format!("proc/irq/{irq}"));
        let list = fs::read_to_string(folder.join("smp_affinity_list")).expect("a list");
        fs::write(folder.join("effective_affinity_list"), list).expect("written");
    }
}

#[test]
fn the_lines_of_the_doctor_are_what_the_script_writes() {
    let machine = machine();
    let mut asked = BTreeMap::new();
    for id in ["receive-queues", "send-queues"] {
        for fix in machine.find(id).expect("there").fixes {
            if let Some(line) = fix.line.strip_prefix("w /") {
                let (path, value) = line.split_once(" - - - - ").expect("a value");
                for queue in ["0", "1"] {
                    asked.insert(path.replace('*', queue), value.to_owned());
                }
            }
        }
    }
    assert_eq!(asked.len(), 4, "{asked:?}");
    let written = all_changes();
    for (file, value) in asked {
        assert_eq!(written.get(&file), Some(&value), "{file}");
    }
}

/// With a queue for each core the card spreads what it receives, and RPS stays off.
#[test]
fn enough_queues_need_no_rps() {
    let machine = machine();
    let before = files(&machine);
    machine.write(RPS[0], "3");
    told(&machine, &["--cpus", "2,3", "--only", "irq,rps", "eth0"]);
    let written = [
        ("proc/irq/41/smp_affinity_list", "2"),
        ("proc/irq/42/smp_affinity_list", "3"),
        (RPS[0], "0"),
    ];
    assert_eq!(changed(&before, &machine), expected(&written));
}

#[test]
fn cores_are_those_of_the_cards_numa_node() {
    let machine = machine();
    machine.write("sys/devices/system/cpu/online", "0-34");
    // One of them is switched off.
    machine.write("sys/class/net/eth0/device/local_cpulist", "31-35");
    let lines = told(&machine, &["--dry-run", "--only", "rps,xps", "eth0"]);
    // 31 and 33 send by the first queue, 32 and 34 by the second.
    for (file, mask) in [
        ("rx-0/rps_cpus", "7,80000000"),
        ("rx-1/rps_cpus", "7,80000000"),
        ("tx-0/xps_cpus", "2,80000000"),
        ("tx-1/xps_cpus", "5,00000000"),
    ] {
        let line = lines.iter().find(|line| line.contains(file));
        let line = line.expect("told");
        assert!(line.contains(&format!(" -> {mask} ")), "{line}");
    }
}

#[test]
fn busy_polling_and_deferred_interrupts_are_asked_for_by_name() {
    let machine = machine();
    let before = files(&machine);
    let only = ["--only", "xps"];
    let more = ["--busy-poll", "50", "--defer-irqs", "10,20000", "eth0"];
    told(&machine, &[&only[..], &more].concat());
    let written = [
        ("proc/sys/net/core/busy_poll", "50"),
        ("proc/sys/net/core/busy_read", "50"),
        ("sys/class/net/eth0/gro_flush_timeout", "20000"),
        ("sys/class/net/eth0/napi_defer_hard_irqs", "10"),
        ("sys/class/net/eth0/queues/tx-0/xps_cpus", "5"),
        ("sys/class/net/eth0/queues/tx-1/xps_cpus", "a"),
    ];
    assert_eq!(changed(&before, &machine), expected(&written));
    told(&machine, &["--undo", "eth0"]);
    assert_eq!(changed(&before, &machine), BTreeMap::new());

    for (option, at, past) in [
        ("--busy-poll", "1000", "1001"),
        ("--defer-irqs", "1000,1000000", "1001,0"),
        ("--defer-irqs", "0,0", "0,1000001"),
    ] {
        told(&machine, &["--dry-run", option, at, "eth0"]);
        refused(&machine, 2, &["--dry-run", option, past, "eth0"]);
    }
}

/// Nothing at all is written where something can't be.
#[test]
fn refusals_name_the_reason_and_change_nothing() {
    let flows = "sys/class/net/eth0/queues/rx-1/rps_flow_cnt";
    let governors = |machine: Fixture| {
        let none = |machine: Fixture, core: usize| {
            machine.without(&format!("sys/devices/system/cpu/cpu{core}/cpufreq"))
        };
        (0..4).fold(machine, none)
    };
    let balanced = machine();
    balanced.write("proc/812/comm", "irqbalance");
    let slow = machine();
    let known = "sys/devices/system/cpu/cpu2/cpufreq/scaling_available_governors";
    slow.write(known, "powersave schedutil");
    let one_queue = machine().without("sys/class/net/eth0/queues/tx-1");
    for (machine, arguments, parts) in [
        (
            machine().without(flows),
            &["eth0"][..],
            &[flows, "nothing was changed"][..],
        ),
        (machine(), &["eth9"], &["no card eth9", "there are: eth0"]),
        (
            machine(),
            &["--cpus", "3-4", "eth0"],
            &["core 4 is not online"],
        ),
        (balanced, &["eth0"], &["irqbalance runs"]),
        // What is asked for by name has to be there.
        (
            governors(machine()),
            &["--only", "governor", "eth0"],
            &["no cpufreq"],
        ),
        (
            slow,
            &["--only", "governor", "eth0"],
            &["core 2 has only powersave schedutil"],
        ),
        (
            machine().without("sys/class/net/eth0/device/msi_irqs"),
            &["--only", "irq", "eth0"],
            &["no interrupts of its own"],
        ),
        (
            one_queue,
            &["--only", "xps", "eth0"],
            &["one queue to send"],
        ),
    ] {
        let before = files(&machine);
        let text = refused(&machine, 1, arguments);
        for part in parts {
            assert!(text.contains(part), "{arguments:?}: {text}");
        }
        assert_eq!(changed(&before, &machine), BTreeMap::new(), "{text}");
    }
}

/// The table of flows is the machine's: one that another wants larger stays, and a
/// namespace that does not show it has RPS alone.
#[test]
fn flows_that_are_remembered_already_stay() {
    let entries = "proc/sys/net/core/rps_sock_flow_entries";
    for (found, left) in [("32767", "32768"), ("32768", "32768"), ("65536", "65536")] {
        let machine = machine();
        machine.write(entries, found);
        told(&machine, &["--only", "rps", "eth0"]);
        assert_eq!(files(&machine)[entries], left);
    }
    let namespace = machine().without(entries);
    let before = files(&namespace);
    told(&namespace, &["--only", "rps", "eth0"]);
    let written = [(RPS[0], "f"), (RPS[1], "f")];
    assert_eq!(changed(&before, &namespace), expected(&written));
}

/// As most virtual machines are: what is not there is said, and the rest is done.
#[test]
fn what_a_machine_need_not_have_is_left() {
    let mut machine = machine()
        .without("sys/class/net/eth0/device/msi_irqs")
        .without("sys/class/net/eth0/queues/tx-1");
    for core in 0..4 {
        machine = machine.without(&format!("sys/devices/system/cpu/cpu{core}/cpufreq"));
    }
    let before = files(&machine);
    let lines = told(&machine, &["eth0"]);
    let left = lines.iter().filter(|line| line.ends_with(", left")).count();
    assert_eq!(left, 3, "{lines:?}");
    let all = all_changes();
    let written: BTreeMap<_, _> = all
        .into_iter()
        .filter(|(file, _)| file.contains("rps_"))
        .collect();
    assert_eq!(changed(&before, &machine), written);
}

/// A kernel may refuse what a file allows, as for interrupts that it manages itself.
#[test]
fn a_write_that_is_refused_is_told_and_the_rest_is_done() {
    let machine = machine().without("proc/irq/42/smp_affinity_list");
    let refuses = machine.path().join("proc/irq/42/smp_affinity_list");
    // Root may open it, and is refused; others may not even open it.
    symlink("/proc/version", &refuses).expect("linked");
    let before = files(&machine);
    let text = refused(&machine, 1, &["eth0"]);
    if !geteuid().is_root() {
        assert!(text.contains("may not write"), "{text}");
        assert_eq!(changed(&before, &machine), BTreeMap::new());
        return;
    }
    assert!(text.contains("the kernel refused 1"), "{text}");
    let mut written = all_changes();
    written.remove("proc/irq/42/smp_affinity_list");
    assert_eq!(changed(&before, &machine), written);
    told(&machine, &["--undo", "eth0"]);
    assert_eq!(changed(&before, &machine), BTreeMap::new());
}

#[test]
fn only_root_may_write_to_a_real_machine() {
    // Read from standard input, for another user may not be able to open the file.
    let mut command = Command::new("sh");
    command.args(["-s", "--", "lo"]);
    if geteuid().is_root() {
        command.uid(65_534);
    }
    let output = command
        .current_dir("/")
        .stdin(Stdio::from(fs::File::open(SCRIPT).expect("the script")))
        .output()
        .expect("started");
    let text = String::from_utf8(output.stderr).expect("text");
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.contains("not root"), "{text}");
}

#[test]
fn a_wrong_command_line_is_2() {
    let machine = machine();
    for wrong in [
        &[][..],
        &["eth0", "eth1"],
        &["--what", "eth0"],
        &["../eth0"],
        &[".."],
        &["--only", "irq,queues", "eth0"],
        &["--cpus", "0-x", "eth0"],
        &["--cpus", "3-0", "eth0"],
        &["--cpus", ",", "eth0"],
        &["--only", "", "eth0"],
        &["--defer-irqs", "10", "eth0"],
        &["--busy-poll", "-1", "eth0"],
        &["eth0", "--busy-poll"],
    ] {
        refused(&machine, 2, wrong);
    }
    let help = told(&machine, &["--help"]);
    assert!(help.iter().all(|line| line.len() <= 80), "{help:?}");
}
