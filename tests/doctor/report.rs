use webrocket::doctor::{Detail, Severity, write_json, write_text};

use crate::fixture::{Fixture, limits};

fn text(fixture: &Fixture, detail: Detail) -> String {
    let mut text = Vec::new();
    write_text(&mut text, &fixture.examine(), detail).expect("written");
    let text = String::from_utf8(text).expect("text");
    anstream::adapter::strip_str(&text).to_string()
}

fn narrow() -> Fixture {
    let few = limits("1024 4096", "65536 65536");
    Fixture::with(&[
        ("proc/self/limits", &few),
        ("proc/sys/net/core/somaxconn", "128"),
        ("proc/self/cgroup", "0::/a\n"),
        ("sys/fs/cgroup/a/cpu.max", "50000 100000"),
    ])
}

#[test]
fn it_shows_only_what_is_wrong_unless_asked_for_all() {
    let fixture = narrow();
    let wrong = text(&fixture, Detail::Wrong);
    for part in [
        "Can this host carry 100,000 connections on 4 shards? No.",
        "FAILURE  nofile",
        "hard 4,096, soft 1,024",
        "hard 26,014 or more",
        "LimitNOFILE=1048576",
        "*  hard  nofile  1048576",
        "net.core.somaxconn = 65535",
        "warning  cgroup-cpu",
        "Predicted ceiling: 0 connections",
        "memlock binds first; were it raised, nofile would be next, at 14,370.",
        "failures 2, warnings 2, notes 0,",
    ] {
        assert!(wrong.contains(part), "no {part:?} in\n{wrong}");
    }
    assert!(!wrong.contains("clock-source"), "{wrong}");
    for (somaxconn, answer) in [
        ("4096", "shards? Yes.\n"),
        ("128", "shards? Yes, with warnings.\n"),
    ] {
        let fixture = Fixture::with(&[("proc/sys/net/core/somaxconn", somaxconn)]);
        let text = text(&fixture, Detail::Wrong);
        assert!(text.contains(answer), "{text}");
    }
    let all = text(&fixture, Detail::All);
    assert!(all.contains("ok       clock-source"), "{all}");
}

#[test]
fn it_fits_80_columns() {
    for line in text(&narrow(), Detail::All).lines() {
        assert!(line.chars().count() <= 80, "{line}");
    }
}

#[test]
fn json_keeps_its_shape() {
    let mut text = Vec::new();
    write_json(&mut text, &narrow().examine()).expect("written");
    let document: serde_json::Value = serde_json::from_slice(&text).expect("JSON");
    let keys = |value: &serde_json::Value| {
        let object = value.as_object().expect("an object");
        let mut keys: Vec<String> = object.keys().cloned().collect();
        keys.sort_unstable();
        keys.join(" ")
    };
    assert_eq!(
        keys(&document),
        "ceiling demand findings schema severity version"
    );
    assert_eq!(document["schema"], 1);
    assert_eq!(document["severity"], "failure");
    assert_eq!(document["demand"]["connections"], 100_000);
    assert_eq!(document["demand"]["shards"], 4);
    let findings = document["findings"].as_array().expect("findings");
    for finding in findings {
        assert_eq!(
            keys(finding),
            "affects explained fixes found group id limits severity wanted"
        );
    }
    let nofile = findings.iter().find(|finding| finding["id"] == "nofile");
    let nofile = nofile.expect("there");
    assert_eq!(nofile["severity"], "failure");
    assert_eq!(nofile["affects"], "connections");
    assert_eq!(nofile["explained"], "tuning/README.md#nofile");
    assert_eq!(nofile["fixes"][0]["place"], "unit");
    assert_eq!(nofile["fixes"][0]["line"], "LimitNOFILE=1048576");
    assert_eq!(document["ceiling"]["connections"], 0);
    assert_eq!(
        keys(&document["ceiling"]["bounds"][0]),
        "connections how name"
    );
}

#[test]
fn a_brief_has_the_worst_first_and_few_lines() {
    assert!(Fixture::fit().examine().brief().is_empty());
    // Latency is nothing to be told before the first packet.
    let slow = Fixture::with(&[("proc/sys/net/core/somaxconn", "128")]);
    assert_eq!(
        slow.examine().brief(),
        ["somaxconn is 128, wanted 4,096 or more; mend with \"net.core.somaxconn = 65535\""]
    );
    let brief = narrow().examine().brief();
    let ids: Vec<_> = brief
        .iter()
        .filter_map(|line| line.split(' ').next())
        .collect();
    assert_eq!(ids, ["memlock", "nofile", "somaxconn"]);

    let many = Fixture::with(&[
        ("proc/sys/net/core/somaxconn", "128"),
        ("proc/sys/net/ipv4/tcp_syncookies", "0"),
        ("proc/sys/fs/nr_open", "1024"),
        ("proc/sys/fs/file-max", "1024"),
        ("proc/self/limits", &limits("64 64", "1 1")),
    ]);
    let brief = many.examine().brief();
    assert_eq!(brief.len(), 5);
    assert_eq!(brief[4], "and 2 more: see webrocket doctor");
}

#[test]
fn the_worst_finding_is_the_severity() {
    assert_eq!(Fixture::fit().examine().severity(), Severity::Ok);
    let notes = Fixture::with(&[("proc/sys/net/ipv4/tcp_syncookies", "2")]);
    assert_eq!(notes.examine().severity(), Severity::Note);
    let warns = Fixture::with(&[("proc/sys/net/core/somaxconn", "128")]);
    assert_eq!(warns.examine().severity(), Severity::Warning);
    assert_eq!(narrow().examine().severity(), Severity::Failure);
}
