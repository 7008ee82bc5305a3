use super::*;

#[test]
fn tokens_are_masked() {
    for (word, shown) in [
        ("wr://0123abcd@host:1/v", "wr://***@host:1/v"),
        (
            "--backend=wr://secret@[::1]:1/v",
            "--backend=wr://***@[::1]:1/v",
        ),
        ("wr://a@h/x,wr://b@h/y", "wr://***@h/x,wr://***@h/y"),
        // A second @ is part of the token, as whoever mistypes one finds.
        ("wr://a@b@h/x", "wr://***@h/x"),
        ("wr://host:1/v@w", "wr://host:1/v@w"),
        ("wr://secret@", "wr://***@"),
        ("--clients", "--clients"),
        ("wr://", "wr://"),
    ] {
        assert_eq!(masked(word), shown);
    }
}

fn files(texts: &[(&str, &str)]) -> (tempfile::TempDir, Files) {
    let folder = tempfile::tempdir().expect("a directory");
    for (path, text) in texts {
        let path = folder.path().join(path);
        fs::create_dir_all(path.parent().expect("a folder")).expect("made");
        fs::write(path, text).expect("written");
    }
    let root = folder.path().into();
    (folder, Files { root })
}

fn value(facts: Facts, name: &str) -> Option<String> {
    facts.into_iter().find(|(it, _)| *it == name)?.1
}

#[test]
fn a_machine_is_told_from_its_files() {
    let flaws = "sys/devices/system/cpu/vulnerabilities";
    let (_folder, files) = files(&[
        ("etc/os-release", "ID=x\nPRETTY_NAME=\"Some Linux 1\"\n"),
        ("proc/cpuinfo", "processor\t: 0\nmodel name\t: Fast CPU\n"),
        ("proc/meminfo", "MemTotal:       24684 kB\n"),
        ("proc/sys/net/ipv4/tcp_mem", "1\t2\t3\n"),
        (
            "proc/self/limits",
            "Max open files            1024   20000  files\n",
        ),
        ("proc/self/cgroup", "0::/a\n"),
        ("sys/fs/cgroup/a/memory.max", "max\n"),
        (&format!("{flaws}/meltdown"), "Not affected\n"),
        (&format!("{flaws}/spectre_v1"), "Mitigation: barriers\n"),
    ]);
    let text = |text: &str| Some(text.to_owned());
    assert_eq!(value(files.system(), "distribution"), text("Some Linux 1"));
    assert_eq!(value(files.system(), "kernel"), None);
    assert_eq!(value(files.processor(), "model"), text("Fast CPU"));
    let mitigations = value(files.processor(), "mitigations");
    assert_eq!(mitigations, text("spectre_v1 (mitigation)"));
    assert_eq!(value(files.memory(), "total"), text("24684 kB"));
    assert_eq!(value(files.settings(), "net.ipv4.tcp_mem"), text("1 2 3"));
    let limits = files.limits();
    let granted = value(files.limits(), "memory of the control group");
    assert_eq!(granted, text("max"));
    assert_eq!(value(limits, "open files"), text("soft 1024, hard 20000"));
}

#[test]
fn the_card_is_that_of_the_default_route() {
    let (_folder, files) = files(&[
        (
            "proc/net/route",
            "Iface Destination\neth1 0000FEA9\neth0 00000000\n",
        ),
        ("sys/class/net/eth0/speed", "-1\n"),
        ("sys/class/net/eth0/mtu", "1500\n"),
    ]);
    let away = SocketAddr::from(([192, 0, 2, 1], 1));
    let card = value(files.network(away), "interface").expect("a card");
    assert!(card.starts_with("eth0,"), "{card}");
    assert_eq!(value(files.network(away), "speed"), None);
    let here = SocketAddr::from(([127, 0, 0, 1], 1));
    let card = value(files.network(here), "interface").expect("none needed");
    assert!(card.starts_with("loopback"), "{card}");
}

#[test]
fn an_empty_machine_has_no_facts_and_no_panic() {
    let (_folder, files) = files(&[]);
    let away = SocketAddr::from(([192, 0, 2, 1], 1));
    for facts in [files.memory(), files.network(away), files.settings()] {
        assert!(facts.iter().all(|(_, value)| value.is_none()));
    }
}

#[test]
fn here_every_group_has_rows() {
    let manifest = HostManifest::here(About {
        started: SystemTime::UNIX_EPOCH,
        to: SocketAddr::from(([127, 0, 0, 1], 1)),
        broker_version: Some("9.9.9"),
    });
    let run = &manifest.groups[0].rows;
    assert_eq!(run[0].value, "1970-01-01T00:00:00Z");
    assert!(
        run.iter()
            .any(|row| row.name == "broker" && row.value == "9.9.9")
    );
    assert_eq!(manifest.groups.len(), 7);
}
