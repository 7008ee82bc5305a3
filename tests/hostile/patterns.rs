//! Permission patterns made to hurt: what is too large is refused, and the rest
//! is linear.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use webrocket::limits::{PATTERN_BYTES_MAX, PATTERN_CACHE_MAX, PATTERN_COMPILED_BYTES_MAX};
use webrocket::meter::Refused;

use crate::bystanders::report;
use crate::raw::Raw;
use crate::stage::Stage;

/// Patterns that other engines explode at, and the largest that can be made.
fn hostile() -> Vec<(String, bool)> {
    let many = |piece: &str| piece.repeat(PATTERN_BYTES_MAX / piece.len());
    vec![
        ("(a+)+b".into(), true),
        ("(a|a)*b".into(), true),
        ("(a?){64}a{64}".into(), true),
        ("(.*.*)*=.*".into(), true),
        ("((((a*)*)*)*)*b".into(), true),
        ("x".repeat(PATTERN_BYTES_MAX), true),
        ("x".repeat(PATTERN_BYTES_MAX + 1), false),
        ("((a{100}){100}){100}".into(), false),
        ("a{100000}".into(), false),
        (many(r"\w"), true),
        (many(r"\pL+"), false),
        (many("(?i)[^a-z]*"), true),
        (many("(a|)"), true),
        // 20 seconds each where they are taken for Unicode.
        (many(r"(?i)[\x{0}-\x{10ffff}]"), false),
        (many(r"(?iu)[\x{0}-\x{10ffff}]"), false),
        (many(r"(?iu)\pL{0}"), false),
        ("(".repeat(1000) + &")".repeat(1000), false),
        ("(".repeat(PATTERN_BYTES_MAX), false),
    ]
}

#[test]
fn patterns() {
    let stage = Stage::start("");
    for channel in ["private-a", &format!("private-{}", "a".repeat(240))] {
        stage.open("/test", channel);
    }
    let before = stage.resident_bytes();
    let mut client = stage.client();
    let mut slowest = (Duration::ZERO, String::new());
    let mut good = Vec::new();
    for (pattern, fits) in hostile() {
        let begun = Instant::now();
        let answer = client.request(format!("AT\njoe\n{pattern}\n\r\n\r\n").as_bytes());
        let took = begun.elapsed();
        let start: String = pattern.chars().take(20).collect();
        if took > slowest.0 {
            slowest = (took, start.clone());
        }
        match fits {
            true => good.push(answer[3..131].to_owned()),
            false => assert_eq!(answer, "ER\n597\n\r\n\r\n", "{start}"),
        }
    }
    // The ones that fit are matched against the longest names, for nothing.
    for token in &good {
        let mut raw = Raw::upgraded(stage.frontends(), "/test");
        raw.send_text(&format!(r#"{{"auth":{{"token":"{token}"}}}}"#));
        assert_eq!(raw.text(), r#"{":authenticated":{}}"#);
        let name = format!("private-{}", "a".repeat(240));
        raw.send_text(&format!(r#"{{"subscribe":{{"channel":"{name}"}}}}"#));
        assert!(raw.text().contains("403"));
    }
    // A backend that sends another pattern each time, as large as they get.
    let count = AtomicU64::new(0);
    let turns = stage.by_turns(vec![Box::new(|gate| {
        while gate.is_open() {
            let number = count.fetch_add(1, Ordering::Relaxed);
            let refused = number.is_multiple_of(2);
            let pattern = match refused {
                true => format!(r"{number}(\w{{1000}}-){{100}}"),
                false => format!(r"{number}(\w+-){{1,4}}"),
            };
            let answer = client.request(format!("AT\njoe\n{pattern}\n\r\n\r\n").as_bytes());
            assert_eq!(answer == "ER\n597\n\r\n\r\n", refused, "{answer}");
        }
    })]);
    for cause in Refused::ALL {
        assert_eq!(stage.refused(cause), 0, "{}", cause.as_str());
    }
    // Each shard keeps so many patterns and no more.
    let grown = stage.resident_bytes().saturating_sub(before);
    let kept = count.into_inner().min(2 * PATTERN_CACHE_MAX as u64) + 32;
    let bytes_max = kept * 2 * PATTERN_COMPILED_BYTES_MAX as u64 + (16 << 20);
    assert!(grown <= bytes_max, "{grown} bytes of {bytes_max}");
    report(
        "pathological patterns",
        &format!("{} known ones, {kept} of a backend", hostile().len()),
        &format!(
            "{PATTERN_BYTES_MAX} B, 256 KiB compiled, else 597; slowest {:.1} ms ({}), {} MiB more",
            slowest.0.as_secs_f64() * 1e3,
            slowest.1,
            grown >> 20
        ),
        &turns,
    );
}
