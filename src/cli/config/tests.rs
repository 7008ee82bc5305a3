use std::collections::BTreeSet;

use clap::Parser;

use super::*;
use crate::limits::{
    CHANNELS_PER_VHOST_MAX, CONFIG_BYTES_MAX, CONFIGURED_MESSAGE_BYTES_MAX,
    CONFIGURED_MESSAGE_BYTES_MIN, CONFIGURED_OUTBOX_BYTES_MAX, CONFIGURED_SUBSCRIPTIONS_MAX,
    DRAIN_TIMEOUT_MAX, SHARDS_MAX, VHOSTS_MAX,
};

const EXAMPLE: &str = include_str!("../../../webrocket.example.toml");

#[derive(Parser)]
struct Line {
    #[command(flatten)]
    flags: Flags,
}

/// What the layers give, with the file's own path taken out of the problems.
fn load(file: &str, variables: &[(&str, &str)], flags: &[&str]) -> Result<Settings, Vec<String>> {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let path = dir.path().join("w.toml");
    std::fs::write(&path, file).expect("written");
    let line = Line::try_parse_from([&["serve"], flags].concat()).expect("known flags");
    let layers = Layers {
        file: Some(path),
        variables: variables
            .iter()
            .map(|(name, value)| (name.into(), value.into()))
            .collect(),
        flags: line.flags.given,
    };
    let dir = format!("{}/", dir.path().display());
    layers.load().map_err(|problems| {
        let told = problems.iter().map(|it| it.to_string().replace(&dir, ""));
        told.collect()
    })
}

fn problems(file: &str) -> Vec<String> {
    load(file, &[], &[]).expect_err("refused")
}

fn vhost(path: &str) -> VhostPath {
    VhostPath::parse(path).expect("a path")
}

#[test]
fn the_example_has_every_setting_with_its_default() {
    let example = load(EXAMPLE, &[], &[]).expect("valid");
    assert!(example == Settings::default());
    for setting in SETTINGS {
        // Those that have no default of their own stand there as a comment.
        let line = format!("\n{} = ", setting.name());
        let comment = format!("\n#{} = ", setting.name());
        let has_default = !["node.name", "node.shards"].contains(&setting.key);
        let (there, other) = if has_default {
            (&line, &comment)
        } else {
            (&comment, &line)
        };
        assert!(EXAMPLE.contains(there), "{}", setting.key);
        assert!(has_default || !EXAMPLE.contains(other), "{}", setting.key);
    }
}

#[test]
fn all_that_the_example_shows_is_valid() {
    let shown = EXAMPLE.lines().map(|line| match line.strip_prefix('#') {
        Some(rest) if !rest.starts_with(' ') => rest,
        _ => line,
    });
    let shown = shown.collect::<Vec<_>>().join("\n");
    let settings = load(&shown, &[], &[]).expect("valid");
    assert_eq!(settings.node_name.as_deref(), Some("node-1"));
    assert_eq!(settings.shards, Some(4));
    let quota = &settings.quotas.vhosts[&vhost("/shop")];
    let default = &settings.quotas.default;
    for setting in SETTINGS {
        if let Place::Vhost(_, show) = setting.place {
            assert_ne!(show(quota), show(default), "{}", setting.key);
        }
    }
}

#[test]
fn the_example_tells_how_each_setting_takes_effect() {
    // The text above a setting ends with its marker; settings that stand
    // together share it.
    let mut marker = None;
    let mut told = BTreeSet::new();
    let mut section = String::new();
    for line in EXAMPLE.lines() {
        if let Some(prose) = line.strip_prefix("# ") {
            let ends = |mark: &str| prose.trim_end().ends_with(mark);
            marker = ends("[reload]").then_some(true);
            marker = marker.or_else(|| ends("[restart]").then_some(false));
        } else if let Some((name, _)) = line.trim_start_matches('#').split_once(" = ") {
            let key = format!("{section}.{name}");
            if let Some(setting) = SETTINGS.iter().find(|setting| setting.key == key) {
                assert_eq!(marker, Some(setting.reloads), "{key}");
                told.insert(setting.key);
            }
        } else if let Some(name) = line.strip_prefix('[') {
            section = name.trim_end_matches(']').to_owned();
        }
    }
    assert_eq!(told.len(), SETTINGS.len());
}

#[test]
fn the_later_layer_is_the_stronger() {
    let file = "[drain]\ntimeout = \"20s\"\n[limits]\nsubscriptions = 1\nchannels_per_vhost = 1\n[log]\nfilter = \"error\"";
    let variables = [
        ("WEBROCKET_LIMITS_SUBSCRIPTIONS", "2"),
        ("WEBROCKET_LIMITS_CHANNELS_PER_VHOST", "2"),
        ("RUST_LOG", "warn"),
    ];
    let settings = load(file, &variables, &["--channels-per-vhost", "3"]).expect("valid");
    assert_eq!(settings.drain_timeout, Duration::from_secs(20));
    assert_eq!(settings.quotas.default.subscriptions_max, 2);
    assert_eq!(settings.quotas.default.channels_max, 3);
    assert_eq!(settings.log_filter, "warn");
    // The variable of ours before everyone's, whatever their order.
    let variables = [("WEBROCKET_LOG_FILTER", "debug"), ("RUST_LOG", "warn")];
    let settings = load(file, &variables, &[]).expect("valid");
    assert_eq!(settings.log_filter, "debug");
}

#[test]
fn every_setting_has_a_variable_and_a_flag() {
    // What each shows is what it takes, but for the two that name the host's.
    for setting in SETTINGS {
        let value = match setting.key {
            "node.name" => "node-1".into(),
            "node.shards" => "3".into(),
            "node.storage_dir" => "/tmp/x".into(),
            "listen.websocket" | "listen.backend" | "listen.admin" => "[::1]:9".into(),
            "log.filter" => "trace".into(),
            "log.format" => "json".into(),
            "drain.timeout" => "11s".into(),
            "drain.window" => "4s".into(),
            "limits.message_bytes" => "64KiB".into(),
            "limits.outbox_bytes" => "4MiB".into(),
            "limits.origins" => "https://a.b,app://c".into(),
            _ => String::from("7"),
        };
        let variable = setting.variable();
        let by_variable = load("", &[(&variable, &value)], &[]).expect("valid");
        assert_eq!(setting.show(&by_variable), value, "{variable}");
        assert!(by_variable != Settings::default(), "{variable}");
        if setting.key.starts_with("log.") {
            // Flags of every command.
            continue;
        }
        let flag = format!("--{}", setting.flag);
        let by_flag = load("", &[], &[&flag, &value]).expect("valid");
        assert!(by_flag == by_variable, "{flag}");
    }
}

#[test]
fn a_refusal_names_source_key_and_reason() {
    assert_eq!(
        problems("\n[limits]\nmessage_bytes = 99999999"),
        ["w.toml:3: limits.message_bytes: 99999999 is past 16MiB"]
    );
    assert_eq!(
        load("", &[("WEBROCKET_NODE_SHARDS", "many")], &[]).expect_err("refused"),
        ["WEBROCKET_NODE_SHARDS: \"many\" is not a whole number"]
    );
    assert_eq!(
        load("", &[], &["--shards", "257"]).expect_err("refused"),
        ["--shards: 257 is past 256"]
    );
    // Whatever the layer, all are told, in order.
    let all = load(
        "[node]\nshards = \"2\"\nname = 3\n[log]\nformat = \"xml\"",
        &[("WEBROCKET_LISTEN_ADMIN", "8082")],
        &["--drain-timeout", "10"],
    );
    assert_eq!(
        all.expect_err("refused"),
        [
            "w.toml:2: node.shards: string found, a whole number expected",
            "w.toml:3: node.name: integer found, a string expected",
            "w.toml:5: log.format: \"xml\" is not \"text\" or \"json\"",
            "WEBROCKET_LISTEN_ADMIN: \"8082\" is not an address with its port, as 127.0.0.1:8080 or [::1]:8080",
            "--drain-timeout: \"10\" is not a time with its unit, as \"10s\" or \"1m 30s\"",
        ]
    );
}

#[test]
fn what_does_not_exist_is_refused_with_what_is_near() {
    assert_eq!(
        problems(
            "[limit]\n[limits]\nmessage_byte = 1\nx = 1\n[vhosts.\"/a\"]\norigin = []\nconnections = 2\n[vhosts.shop]"
        ),
        [
            "w.toml:1: limit: unknown key; is it limits?",
            "w.toml:3: limits.message_byte: unknown key; is it limits.message_bytes?",
            "w.toml:4: limits.x: unknown key",
            "w.toml:6: vhosts.\"/a\".origin: unknown key; is it origins?",
            // One of the node has no place in a vhost.
            "w.toml:7: vhosts.\"/a\".connections: unknown key; is it connections_per_vhost?",
            "w.toml:8: vhosts.\"shop\": \"shop\" is not a vhost path, as \"/shop\"",
        ]
    );
    assert_eq!(
        problems("node = 3\nvhosts = []"),
        [
            "w.toml:1: node: integer found, a table expected",
            "w.toml:2: vhosts: array found, a table expected",
        ]
    );
    let variables = [
        ("WEBROCKET_DRAIN_TIME", "10s"),
        // Of somebody else: set by Kubernetes for a service of this name.
        ("WEBROCKET_SERVICE_HOST", "10.0.0.1"),
        ("WEBROCKET_PORT", "tcp://10.0.0.1:80"),
        ("WEBROCKET_LIMITS_X", "1"),
        ("WEBROCKET_CONFIG", "elsewhere"),
    ];
    assert_eq!(
        load("", &variables, &[]).expect_err("refused"),
        [
            "WEBROCKET_DRAIN_TIME: unknown key; is it WEBROCKET_DRAIN_TIMEOUT?",
            "WEBROCKET_LIMITS_X: unknown key",
        ]
    );
}

#[test]
fn a_file_that_is_none() {
    assert_eq!(
        problems("[node]\nname = \"a\n"),
        ["w.toml:2: no TOML: invalid basic string, expected `\"`"]
    );
    assert_eq!(
        problems("[node]\n[node]\n"),
        ["w.toml:2: no TOML: duplicate key"]
    );
    let comment = |bytes: usize| format!("#{}", "x".repeat(bytes - 1));
    assert!(load(&comment(CONFIG_BYTES_MAX), &[], &[]).is_ok());
    assert_eq!(
        problems(&comment(CONFIG_BYTES_MAX + 1)),
        ["w.toml: more than 4194304 bytes are no configuration"]
    );
    let dir = tempfile::tempdir().expect("a temporary directory");
    for (path, told) in [("missing", "No such file"), (".", "Is a directory")] {
        let layers = Layers {
            file: Some(dir.path().join(path)),
            variables: Vec::new(),
            flags: Vec::new(),
        };
        let problems = layers.load().expect_err("refused");
        let [problem] = &problems[..] else {
            panic!("{problems:?}");
        };
        let told = [told, &dir.path().display().to_string()].map(|part| {
            let message = problem.to_string();
            (message.contains(part), message)
        });
        assert!(told.iter().all(|(there, _)| *there), "{told:?}");
    }
}

/// A number that fits at both ends and not past them.
fn bounds(key: &str, min: usize, max: Option<usize>) {
    let (section, name) = key.split_once('.').expect("a section");
    // A large message needs an outbox to match.
    let rest = match key {
        "limits.message_bytes" => format!("outbox_bytes = {CONFIGURED_OUTBOX_BYTES_MAX}"),
        _ => String::new(),
    };
    let given = |number: usize| {
        let loaded = load(&format!("[{section}]\n{name} = {number}\n{rest}"), &[], &[]);
        loaded.map_err(|problems| problems.join("\n"))
    };
    assert!(given(min).is_ok(), "{key}: {:?}", given(min));
    let below = given(min - 1).expect_err("refused");
    assert!(below.contains(" is below "), "{below}");
    let max = max.unwrap_or(u32::MAX as usize);
    assert!(given(max).is_ok(), "{key}: {:?}", given(max));
    let past = given(max + 1).expect_err("refused");
    assert!(past.contains(" is past "), "{past}");
    assert!(past.starts_with("w.toml:2: "), "{past}");
}

#[test]
fn numbers_fit_up_to_their_bounds() {
    bounds("node.shards", 1, Some(SHARDS_MAX));
    bounds("limits.connections", 1, None);
    bounds("limits.connections_per_address", 1, None);
    bounds("limits.connections_per_vhost", 1, None);
    bounds("limits.messages_per_second", 1, None);
    bounds("limits.channels_per_vhost", 1, Some(CHANNELS_PER_VHOST_MAX));
    bounds(
        "limits.subscriptions",
        1,
        Some(CONFIGURED_SUBSCRIPTIONS_MAX),
    );
    bounds(
        "limits.message_bytes",
        CONFIGURED_MESSAGE_BYTES_MIN,
        Some(CONFIGURED_MESSAGE_BYTES_MAX),
    );
    let outbox_min = 2 * (BATCH_BYTES_MAX + crate::limits::MESSAGE_BYTES_MAX);
    bounds(
        "limits.outbox_bytes",
        outbox_min,
        Some(CONFIGURED_OUTBOX_BYTES_MAX),
    );
    for (number, told) in [
        ("-1", "-1 is below 1"),
        (
            "9_223_372_036_854_775_808",
            "9223372036854775807 is past 65536",
        ),
        ("1.5", "float found, a whole number expected"),
        ("\"unlimited\"", "string found, a whole number expected"),
    ] {
        let told_now = problems(&format!("[limits]\nsubscriptions = {number}"));
        assert_eq!(
            told_now,
            [format!("w.toml:2: limits.subscriptions: {told}")]
        );
    }
    let text = "[limits]\nconnections = \"unlimited\"\nmessages_per_second = \"unlimited\"";
    let settings = load(text, &[], &[]).expect("valid");
    assert_eq!(settings.quotas.connections_max, u32::MAX);
    assert_eq!(settings.quotas.default.messages_per_second_max, u32::MAX);
}

#[test]
fn sizes_have_units() {
    for (text, bytes) in [
        ("65536", 65_536),
        ("\"65536\"", 65_536),
        ("\"64KiB\"", 65_536),
        ("\"64 KiB\"", 65_536),
        ("\"64kB\"", 64_000),
        ("\"0.5 MiB\"", 524_288),
    ] {
        let settings = load(&format!("[limits]\nmessage_bytes = {text}"), &[], &[]);
        let settings = settings.expect(text);
        assert_eq!(settings.quotas.default.message_bytes_max, bytes, "{text}");
    }
    for text in ["\"\"", "\"64 kilo\"", "\"-1KiB\"", "true"] {
        let problems = problems(&format!("[limits]\nmessage_bytes = {text}"));
        assert!(problems[0].contains("a number of bytes"), "{problems:?}");
    }
}

#[test]
fn times_have_units_and_bounds() {
    let timeout = |text: &str| load(&format!("[drain]\ntimeout = {text}"), &[], &[]);
    for (text, time) in [
        ("\"1s\"", Duration::from_secs(1)),
        ("\"1m 30s\"", Duration::from_secs(90)),
        ("\"1h\"", DRAIN_TIMEOUT_MAX),
    ] {
        assert_eq!(timeout(text).expect(text).drain_timeout, time);
    }
    for (text, told) in [
        ("\"999ms\"", "999ms is below 1s"),
        ("\"3601s\"", "1h 1s is past 1h"),
        ("10", "integer found, a time with its unit"),
        ("\"-1s\"", "\"-1s\" is not a time with its unit"),
    ] {
        let problems = timeout(text).expect_err(text);
        assert!(problems[0].contains(told), "{problems:?}");
    }
    // A window that nobody asked for is no problem.
    assert!(timeout("\"2s\"").is_ok());
    let window = |text: &str| load(&format!("[drain]\nwindow = {text}"), &[], &[]);
    assert!(window("\"0s\"").is_ok());
    assert!(window("\"5s\"").is_ok());
    assert_eq!(
        window("\"5001ms\"").expect_err("refused"),
        ["w.toml:2: drain.window: 5s 1ms is past half of the drain timeout of 10s"]
    );
}

#[test]
fn an_outbox_holds_two_of_the_largest_turns() {
    // 2 * (256 KiB + 64 KiB)
    let text =
        |outbox: &str| format!("[limits]\nmessage_bytes = \"64KiB\"\noutbox_bytes = {outbox}");
    assert!(load(&text("\"640KiB\""), &[], &[]).is_ok());
    assert_eq!(
        problems(&text("655359")),
        [
            "w.toml:3: limits.outbox_bytes: 655359 is below 640KiB, twice a message of 64KiB and a batch of 256KiB"
        ]
    );
    // The message was given, the outbox was not.
    assert_eq!(
        load("", &[("WEBROCKET_LIMITS_MESSAGE_BYTES", "2MiB")], &[]).expect_err("refused"),
        [
            "WEBROCKET_LIMITS_MESSAGE_BYTES: 3MiB is below 4608KiB, twice a message of 2MiB and a batch of 256KiB"
        ]
    );
    // A vhost has the message of its own and inherits the outbox.
    assert_eq!(
        problems("[vhosts.\"/a\"]\nmessage_bytes = \"2MiB\""),
        [
            "w.toml:2: vhosts.\"/a\".message_bytes: 3MiB is below 4608KiB, twice a message of 2MiB and a batch of 256KiB"
        ]
    );
    // What it inherits whole is told once.
    let inherited = "[limits]\noutbox_bytes = \"1MiB\"\n[vhosts.\"/a\"]\nsubscriptions = 1";
    assert_eq!(problems(inherited).len(), 1);
}

#[test]
fn a_vhost_inherits_what_it_is_not_given() {
    let text = "[vhosts.\"/a\"]\nsubscriptions = 5\n[vhosts.\"/b\"]\n[limits]\nsubscriptions = 9\nchannels_per_vhost = 8";
    let flags = ["--messages-per-second", "7"];
    let quotas = load(text, &[], &flags).expect("valid").quotas;
    let quota = quotas.of(&vhost("/a"));
    assert_eq!(quota.subscriptions_max, 5);
    assert_eq!(quota.channels_max, 8);
    assert_eq!(quota.messages_per_second_max, 7);
    for path in ["/b", "/c"] {
        assert_eq!(quotas.of(&vhost(path)), &quotas.default);
    }
}

#[test]
fn vhosts_of_their_own_quota_are_bounded() {
    let vhosts = |count: usize| {
        let sections = (0..count).map(|n| format!("[vhosts.\"/v{n}\"]\nsubscriptions = 5\n"));
        load(&sections.collect::<String>(), &[], &[])
    };
    let settings = vhosts(VHOSTS_MAX).expect("valid");
    assert_eq!(settings.quotas.vhosts.len(), VHOSTS_MAX);
    assert_eq!(
        vhosts(VHOSTS_MAX + 1).expect_err("refused"),
        ["w.toml:1: vhosts: more than 10000 vhosts"]
    );
}

#[test]
fn origins_are_as_browsers_send_them() {
    for (given, origins) in [
        ("[]", vec![]),
        ("[\"*\"]", vec![]),
        (
            "[\"https://Example.com\", \"http://a:3000\"]",
            vec!["https://example.com", "http://a:3000"],
        ),
        (
            "[\"https://a:443\", \"http://a:80\", \"http://a:443\"]",
            vec!["https://a", "http://a", "http://a:443"],
        ),
        (
            "[\"http://[::1]:3000\", \"app://local\"]",
            vec!["http://[::1]:3000", "app://local"],
        ),
    ] {
        let settings = load(&format!("[limits]\norigins = {given}"), &[], &[]);
        let settings = settings.expect(given);
        let found: Vec<&str> = settings
            .quotas
            .default
            .origins
            .iter()
            .map(AsRef::as_ref)
            .collect();
        assert_eq!(found, origins, "{given}");
    }
    for bad in [
        "example.com",
        "https://",
        "https:///",
        "https://a/",
        "https://a/b",
        "https://a?b",
        "https://u@a",
        "https://a:port",
        "https://a:65536",
        "https://a:",
        "https://*.a",
        "https://ä",
        "https://[::g]",
        "*",
        "null",
        "",
    ] {
        // The good one beside it: "*" alone would be any.
        let text = format!("[limits]\norigins = [\"https://a\", \"{bad}\"]");
        let problems = problems(&text);
        assert!(problems[0].contains("is no origin"), "{bad}: {problems:?}");
    }
    let of_flag = load("", &[], &["--origins", "https://a, https://b"]).expect("valid");
    assert_eq!(of_flag.quotas.default.origins.len(), 2);
}

#[test]
fn addresses_differ() {
    assert_eq!(
        problems("[listen]\nadmin = \"127.0.0.1:8080\""),
        ["w.toml:2: listen.admin: 127.0.0.1:8080 is the websocket address as well"]
    );
    let any = "[listen]\nadmin = \"127.0.0.1:0\"\nbackend = \"127.0.0.1:0\"";
    assert!(load(any, &[], &[]).is_ok());
}

#[test]
fn changes_are_told_by_key() {
    let old = load("[vhosts.\"/a\"]\nsubscriptions = 5", &[], &[]).expect("valid");
    let new = "[node]\nshards = 2\n[limits]\nmessages_per_second = 3\n[vhosts.\"/b\"]\norigins = [\"https://b\"]";
    let new = load(new, &[], &[]).expect("valid");
    let told = |change: &Change| {
        let Change {
            key,
            old,
            new,
            reloads,
        } = change;
        format!("{key}: {old} -> {new}, {reloads}")
    };
    let changes: Vec<String> = old.changes(&new).iter().map(told).collect();
    assert_eq!(
        changes,
        [
            "node.shards: the number of cores -> 2, false",
            "limits.messages_per_second: 1000 -> 3, true",
            "vhosts.\"/a\".subscriptions: 5 -> 1024, true",
            "vhosts.\"/b\".origins: any -> https://b, true",
        ]
    );
    assert!(new.changes(&new).is_empty());
}
