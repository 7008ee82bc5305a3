use std::time::Duration;

use crate::cli::monitor::source::interval;

#[test]
fn intervals_at_their_bounds_and_past_them() {
    for (text, ms) in [
        ("1s", 1_000),
        ("2", 2_000),
        ("0.5", 500),
        ("100ms", 100),
        ("0.1", 100),
        ("3600s", 3_600_000),
    ] {
        assert_eq!(interval(text), Ok(Duration::from_millis(ms)), "{text}");
    }
    for text in [
        "", "s", "ms", "0", "-1", "99ms", "3600.001", "nan", "inf", "1e300", "1 s", "1m",
    ] {
        assert!(interval(text).is_err(), "{text}");
    }
}
