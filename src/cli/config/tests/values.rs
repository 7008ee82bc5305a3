//! Each kind of value at its bounds and past them.

use std::time::Duration;

use super::{load, problems};
use crate::limits::{
    CHANNELS_PER_VHOST_MAX, CONFIGURED_BYTES_PER_SECOND_MAX, CONFIGURED_BYTES_PER_SECOND_MIN,
    CONFIGURED_CORK_MAX, CONFIGURED_MESSAGE_BYTES_MAX, CONFIGURED_MESSAGE_BYTES_MIN,
    CONFIGURED_OUTBOX_BYTES_MAX, CONFIGURED_OUTBOXES_BYTES_MAX, CONFIGURED_OUTBOXES_BYTES_MIN,
    CONFIGURED_SUBSCRIPTIONS_MAX, CONFIGURED_UNFINISHED_BYTES_MAX, CONFIGURED_UNFINISHED_BYTES_MIN,
    DRAIN_TIMEOUT_MAX, MESSAGE_BYTES_MAX, SHARDS_MAX, outbox_bytes_min,
};
use crate::model::SlowConsumers;

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
    bounds("limits.wrong_tokens_per_address", 1, None);
    bounds("limits.connections_per_vhost", 1, None);
    bounds("limits.messages_per_second", 1, None);
    bounds(
        "limits.bytes_per_second",
        CONFIGURED_BYTES_PER_SECOND_MIN,
        Some(CONFIGURED_BYTES_PER_SECOND_MAX),
    );
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
    let outbox_min = outbox_bytes_min(MESSAGE_BYTES_MAX);
    bounds(
        "limits.outbox_bytes",
        outbox_min,
        Some(CONFIGURED_OUTBOX_BYTES_MAX),
    );
    bounds(
        "limits.outboxes_bytes",
        CONFIGURED_OUTBOXES_BYTES_MIN as usize,
        Some(CONFIGURED_OUTBOXES_BYTES_MAX as usize),
    );
    bounds(
        "limits.unfinished_bytes",
        CONFIGURED_UNFINISHED_BYTES_MIN as usize,
        Some(CONFIGURED_UNFINISHED_BYTES_MAX as usize),
    );
    for (number, told) in [
        ("-1", "-1 is below 1"),
        (
            "9_223_372_036_854_775_808",
            "9223372036854775807 is past 8192",
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
fn slow_consumers_are_evicted_or_drop() {
    let text = "[limits]\nslow_consumers = \"drop\"\n[vhosts.\"/a\"]\nslow_consumers = \"evict\"";
    let quotas = load(text, &[], &[]).expect("valid").quotas;
    assert_eq!(quotas.default.slow_consumers, SlowConsumers::Drop);
    let own = quotas.vhosts.values().next().expect("one");
    assert_eq!(own.slow_consumers, SlowConsumers::Evict);
    for (given, told) in [
        ("\"Drop\"", "\"Drop\" is not \"evict\" or \"drop\""),
        ("1", "integer found, a string expected"),
    ] {
        assert_eq!(
            problems(&format!("[limits]\nslow_consumers = {given}")),
            [format!("w.toml:2: limits.slow_consumers: {told}")]
        );
    }
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
fn corks_are_short_and_a_vhosts_own() {
    let cork = |text: &str| load(&format!("[limits]\ncork = {text}"), &[], &[]);
    for (text, time) in [
        ("\"0ms\"", Duration::ZERO),
        ("\"500us\"", Duration::from_micros(500)),
        ("\"100ms\"", CONFIGURED_CORK_MAX),
    ] {
        assert_eq!(cork(text).expect(text).quotas.default.cork, time);
    }
    assert_eq!(
        cork("\"101ms\"").expect_err("refused"),
        ["w.toml:2: limits.cork: 101ms is past 100ms"]
    );
    let text = "[limits]\ncork = \"10ms\"\n[vhosts.\"/a\"]\ncork = \"0ms\"";
    let quotas = load(text, &[], &[]).expect("valid").quotas;
    assert_eq!(quotas.default.cork, Duration::from_millis(10));
    let own = quotas.vhosts.values().next().expect("one");
    assert_eq!(own.cork, Duration::ZERO);
}

#[test]
fn an_outbox_holds_two_of_the_largest_turns() {
    // 2 * (256 KiB + 64 KiB)
    let text =
        |outbox: &str| format!("[limits]\nmessage_bytes = \"64KiB\"\noutbox_bytes = {outbox}");
    assert!(load(&text("\"640KiB\""), &[], &[]).is_ok());
    assert_eq!(
        problems(&text("655359")),
        ["w.toml:3: limits.outbox_bytes: 655359 is below 640KiB, the least for messages of 64KiB"]
    );
    // What frames of other shards may pass a turn by: 2 * (256 KiB + 18 KiB)
    let small = |outbox: u32| {
        format!(
            "[limits]\nmessage_bytes = \"1KiB\"\nbytes_per_second = \"1MiB\"\noutbox_bytes = {outbox}"
        )
    };
    assert!(load(&small(548 * 1024), &[], &[]).is_ok());
    assert_eq!(
        problems(&small(548 * 1024 - 1)),
        ["w.toml:4: limits.outbox_bytes: 561151 is below 548KiB, the least for messages of 1KiB"]
    );
    // The message was given, the outbox was not.
    assert_eq!(
        load("", &[("WEBROCKET_LIMITS_MESSAGE_BYTES", "2MiB")], &[]).expect_err("refused"),
        ["WEBROCKET_LIMITS_MESSAGE_BYTES: 3MiB is below 4608KiB, the least for messages of 2MiB"]
    );
    // A vhost has the message of its own and inherits the outbox.
    assert_eq!(
        problems("[vhosts.\"/a\"]\nmessage_bytes = \"2MiB\""),
        [
            "w.toml:2: vhosts.\"/a\".message_bytes: 3MiB is below 4608KiB, the least for messages of 2MiB"
        ]
    );
    // What it inherits whole is told once.
    let inherited = "[limits]\noutbox_bytes = \"1MiB\"\n[vhosts.\"/a\"]\nsubscriptions = 1";
    assert_eq!(problems(inherited).len(), 1);
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
