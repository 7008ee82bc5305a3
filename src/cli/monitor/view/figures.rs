//! Numbers as people read them: three digits that matter, and a unit.

use std::time::Duration;

use crate::cli::monitor::latency::Bound;

/// What stands where nothing is known.
pub(super) const UNKNOWN: &str = "-";

/// `12,345`, and from a hundred thousand `123k`, `1.23M`, `4.56G`.
pub(super) fn count(count: u64) -> String {
    if count >= 100_000 {
        let (value, prefix) = scaled(count as f64);
        return format!("{value}{prefix}");
    }
    if count >= 1_000 {
        format!("{},{:03}", count / 1_000, count % 1_000)
    } else {
        count.to_string()
    }
}

/// A rate without its `/s`: one decimal while it is small.
pub(super) fn rate(rate: f64) -> String {
    if rate < 0.05 {
        "0".into()
    } else if rate < 99.95 {
        format!("{rate:.1}")
    } else {
        count(rate.round() as u64)
    }
}

/// `512 B`, `1.23 kB`, `45.6 MB`.
pub(super) fn bytes(bytes: f64) -> String {
    let (value, prefix) = scaled(bytes);
    format!("{value} {prefix}B")
}

/// `128 us`, `1.02 ms`, `2.50 s`.
pub(super) fn micros(us: u64) -> String {
    match us {
        0..1_000 => format!("{us} us"),
        1_000..1_000_000 => format!("{} ms", three_digits(us as f64 / 1e3)),
        1_000_000.. => format!("{} s", three_digits(us as f64 / 1e6)),
    }
}

/// The bound of a bucket.
pub(super) fn bound(bound: Option<Bound>) -> String {
    match bound {
        Some(Bound::AtMost(us)) => format!("≤{}", micros(us)),
        Some(Bound::Over(us)) => format!(">{}", micros(us)),
        None => UNKNOWN.into(),
    }
}

/// `63 %`; a share has no more digits than [`PERCENT_COLUMNS`] hold.
pub(super) fn percent(share: f64) -> String {
    format!("{:.0} %", (share * 100.0).clamp(0.0, 999.0))
}

/// Columns of a percentage.
pub(super) const PERCENT_COLUMNS: usize = 5;

/// A bar of so many columns.
pub(super) fn bar(share: f64, columns: usize) -> String {
    let full = (share.clamp(0.0, 1.0) * columns as f64).round() as usize;
    format!("{}{}", "█".repeat(full), "░".repeat(columns - full))
}

/// `3d 04:12:09`, without days `04:12:09`.
pub(super) fn uptime(uptime_ms: u64) -> String {
    let seconds = uptime_ms / 1_000;
    let (days, rest) = (seconds / 86_400, seconds % 86_400);
    let clock = format!("{:02}:{:02}:{:02}", rest / 3_600, rest / 60 % 60, rest % 60);
    if days > 0 {
        format!("{days}d {clock}")
    } else {
        clock
    }
}

/// `12 s`, `3 min`, `5 h`.
pub(super) fn age(age: Duration) -> String {
    match age.as_secs() {
        seconds @ 0..120 => format!("{seconds} s"),
        seconds @ 120..7_200 => format!("{} min", seconds / 60),
        seconds => format!("{} h", seconds / 3_600),
    }
}

/// A quantity in its unit: `1.23 GB`, `0.83 cores`, `1,024 descriptors`.
pub(super) fn quantity(value: f64, unit: &str) -> String {
    if unit == "bytes" {
        bytes(value)
    } else {
        let one = unit.strip_suffix('s').filter(|_| value == 1.0);
        format!("{} {}", number(value), one.unwrap_or(unit))
    }
}

/// Whole numbers as counts, others with two decimals.
pub(super) fn number(value: f64) -> String {
    if value.fract() == 0.0 || value >= 100.0 {
        count(value.max(0.0).round() as u64)
    } else {
        format!("{value:.2}")
    }
}

/// Three digits, and the prefix of their unit.
fn scaled(value: f64) -> (String, &'static str) {
    let mut value = value.max(0.0);
    let mut prefixes = ["", "k", "M", "G", "T", "P"].iter();
    let mut prefix = prefixes.next();
    // 999.5 would be rounded to four digits.
    while value >= 999.5 && prefixes.len() > 0 {
        value /= 1e3;
        prefix = prefixes.next();
    }
    match prefix {
        Some(&"") => (format!("{value:.0}"), ""),
        Some(prefix) => (three_digits(value), prefix),
        None => (three_digits(value), ""),
    }
}

fn three_digits(value: f64) -> String {
    if value < 9.995 {
        format!("{value:.2}")
    } else if value < 99.95 {
        format!("{value:.1}")
    } else {
        format!("{value:.0}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_at_their_edges() {
        for (value, text) in [
            (0, "0"),
            (999, "999"),
            (1_000, "1,000"),
            (12_345, "12,345"),
            (99_999, "99,999"),
            (100_000, "100k"),
            (999_499, "999k"),
            (999_500, "1.00M"),
            (1_234_567, "1.23M"),
            (45_678_901_234, "45.7G"),
            (u64::MAX, "18447P"),
        ] {
            assert_eq!(count(value), text);
        }
    }

    #[test]
    fn rates_and_bytes() {
        for (value, text) in [
            (0.0, "0"),
            (0.04, "0"),
            (0.05, "0.1"),
            (99.9, "99.9"),
            (99.96, "100"),
        ] {
            assert_eq!(rate(value), text);
        }
        for (value, text) in [
            (0.0, "0 B"),
            (999.0, "999 B"),
            (999.5, "1.00 kB"),
            (9_994.0, "9.99 kB"),
            (9_994_000.0, "9.99 MB"),
            (9_996_000.0, "10.0 MB"),
            (123_456_789.0, "123 MB"),
        ] {
            assert_eq!(bytes(value), text);
        }
    }

    #[test]
    fn times() {
        for (us, text) in [
            (0, "0 us"),
            (999, "999 us"),
            (1_000, "1.00 ms"),
            (999_999, "1000 ms"),
            (2_500_000, "2.50 s"),
        ] {
            assert_eq!(micros(us), text);
        }
        for (ms, text) in [
            (0, "00:00:00"),
            (86_399_999, "23:59:59"),
            (86_400_000, "1d 00:00:00"),
            (274_329_000, "3d 04:12:09"),
        ] {
            assert_eq!(uptime(ms), text);
        }
        for (seconds, text) in [(0, "0 s"), (119, "119 s"), (120, "2 min"), (7_200, "2 h")] {
            assert_eq!(age(Duration::from_secs(seconds)), text);
        }
    }

    #[test]
    fn bars_are_as_wide_as_asked() {
        for (share, text) in [
            (-1.0, "░░░░"),
            (0.0, "░░░░"),
            (0.5, "██░░"),
            (1.0, "████"),
            (7.0, "████"),
            (f64::NAN, "░░░░"),
        ] {
            assert_eq!(bar(share, 4), text, "{share}");
        }
        assert_eq!(bar(0.5, 0), "");
    }

    #[test]
    fn quantities_have_their_unit() {
        assert_eq!(quantity(1.5e9, "bytes"), "1.50 GB");
        assert_eq!(quantity(0.834, "cores"), "0.83 cores");
        assert_eq!(quantity(1.0, "cores"), "1 core");
        assert_eq!(quantity(1024.0, "descriptors"), "1,024 descriptors");
    }
}
