mod example;
mod values;

use std::path::PathBuf;
use std::time::Duration;

use clap::Parser;

use super::settings::Change;
use super::*;
use crate::limits::{CONFIG_BYTES_MAX, VHOSTS_MAX};

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
            key if key.starts_with("listen.") => "[::1]:9".into(),
            "tls.certificates" | "tls.keys" => "/a.pem".into(),
            "tls.backend_ca" => "/ca.pem".into(),
            "log.filter" => "trace".into(),
            "log.format" => "json".into(),
            "drain.timeout" => "11s".into(),
            "drain.window" => "4s".into(),
            "limits.message_bytes" | "limits.bytes_per_second" => "64KiB".into(),
            "limits.outbox_bytes" => "4MiB".into(),
            "limits.compression" => "true".into(),
            "limits.outboxes_bytes" => "5GiB".into(),
            "limits.unfinished_bytes" => "6GiB".into(),
            "limits.slow_consumers" => "drop".into(),
            "limits.origins" => "https://a.b,app://c".into(),
            "limits.cork" => "7ms".into(),
            _ => String::from("7"),
        };
        let variable = setting.variable();
        // What a setting of TLS needs beside it.
        let file = match setting.key {
            "tls.backend_ca" => {
                "[listen]\nbackend_tls = \"[::1]:8\"\n[tls]\ncertificates = \"c.pem\""
            }
            "listen.websocket_tls" | "listen.backend_tls" | "tls.keys" => {
                "[tls]\ncertificates = \"c.pem\""
            }
            _ => "",
        };
        let by_variable = load(file, &[(&variable, &value)], &[]).expect("valid");
        assert_eq!(setting.show(&by_variable), value, "{variable}");
        assert!(by_variable != Settings::default(), "{variable}");
        if setting.key.starts_with("log.") {
            // Flags of every command.
            continue;
        }
        let flag = format!("--{}", setting.flag);
        let by_flag = load(file, &[], &[&flag, &value]).expect("valid");
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
fn addresses_differ() {
    assert_eq!(
        problems("[listen]\nadmin = \"127.0.0.1:8080\""),
        ["w.toml:2: listen.admin: 127.0.0.1:8080 is the websocket address as well"]
    );
    let any = "[listen]\nadmin = \"127.0.0.1:0\"\nbackend = \"127.0.0.1:0\"";
    assert!(load(any, &[], &[]).is_ok());
}

#[test]
fn tls_is_whole_or_refused() {
    let whole = "[listen]\nwebsocket_tls = \"[::1]:1\"\nbackend_tls = \"[::1]:2\"\n\
                 [tls]\ncertificates = [\"a.pem\", \"b.pem\"]\nkeys = [\"a.key\", \"b.key\"]\n\
                 backend_ca = \"ca.pem\"";
    let settings = load(whole, &[], &[]).expect("valid");
    let tls = settings.tls().expect("TLS");
    assert_eq!(tls.files.keys, ["a.key", "b.key"].map(PathBuf::from));
    assert!(load("", &[], &[]).expect("valid").tls().is_none());
    assert_eq!(
        problems(
            "[listen]\nwebsocket_tls = \"127.0.0.1:8080\"\n[tls]\nkeys = \"a.key\"\nbackend_ca = \"ca.pem\""
        ),
        [
            "w.toml:2: listen.websocket_tls: 127.0.0.1:8080 is the websocket address as well",
            "w.toml:2: listen.websocket_tls: needs tls.certificates",
            "w.toml:4: tls.keys: 1 for 0 certificates: one for each in their order, or none",
            "w.toml:5: tls.backend_ca: needs listen.backend_tls",
        ]
    );
    assert_eq!(
        problems("[tls]\ncertificates = [\"\"]\nkeys = 3"),
        [
            "w.toml:2: tls.certificates: \"\" is not a file",
            "w.toml:3: tls.keys: integer found, a list of files expected",
        ]
    );
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
