use std::time::SystemTime;

use super::super::{Merge, run};
use super::*;
use crate::limits::LOG_BYTES_MAX;
use crate::report::{self, Interval};
use std::fs::{self, File};
use std::path::PathBuf;

fn interval(second: u64, tag: report::Tag, us: &[u64]) -> Interval {
    let mut histogram = Histogram::new_with_bounds(1, 60_000_000_000, 3).expect("bounds");
    for us in us {
        histogram.record(1000 * us).expect("in bounds");
    }
    Interval {
        start: Duration::from_secs(second),
        length: Duration::from_secs(1),
        tag,
        histogram,
    }
}

fn began(seconds: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(seconds)
}

fn log(folder: &Path, name: &str, started: SystemTime, intervals: &[Interval]) -> PathBuf {
    let mut text = Vec::new();
    report::write_hlog(&mut text, started, intervals).expect("written");
    let path = folder.join(name);
    fs::write(&path, text).expect("a file");
    path
}

/// Second after the first, tag, count and greatest of each line.
fn lines(path: &Path) -> Vec<(u64, String, u64, u64)> {
    let text = fs::read_to_string(path).expect("a log");
    IntervalLogIterator::new(text.as_bytes())
        .filter_map(|entry| match entry.expect("a line") {
            LogEntry::Interval(it) => {
                let bytes = STANDARD.decode(it.encoded_histogram()).expect("base64");
                let histogram: Histogram<u64> = Deserializer::new()
                    .deserialize(&mut bytes.as_slice())
                    .expect("a histogram");
                let tag = it.tag().map_or("", |tag| tag.as_str()).to_owned();
                let us = (histogram.max() as f64 / 1000.0).round() as u64;
                Some((it.start_timestamp().as_secs(), tag, histogram.len(), us))
            }
            _ => None,
        })
        .collect()
}

fn merge(logs: Vec<PathBuf>, output: Option<PathBuf>) -> Result<(), String> {
    run(&Merge {
        files: logs,
        output,
    })
    .map_err(|error| error.to_string())
}

#[test]
fn seconds_of_the_clock_are_added_by_tag() {
    let folder = tempfile::tempdir().expect("a directory");
    let folder = folder.path();
    use report::Tag::{Corrected, Raw};
    let one = [
        interval(0, Corrected, &[1, 2]),
        interval(0, Raw, &[1]),
        interval(1, Corrected, &[5]),
    ];
    // Began a second later: its first second is the other's second one.
    let other = [interval(0, Corrected, &[9]), interval(1, Corrected, &[4])];
    let logs = vec![
        log(folder, "one", began(1_000_000_000), &one),
        log(folder, "other", began(1_000_000_001), &other),
    ];
    let output = folder.join("both");
    merge(logs, Some(output.clone())).expect("merged");
    let tag = |name: &str| name.to_owned();
    let expected = [
        (0, tag("corrected"), 2, 2),
        (0, tag("raw"), 1, 1),
        (1, tag("corrected"), 2, 9),
        (2, tag("corrected"), 1, 4),
    ];
    assert_eq!(lines(&output), expected);
    // Merged logs can be merged again.
    let again = folder.join("again");
    merge(vec![output], Some(again.clone())).expect("merged");
    assert_eq!(lines(&again), expected);
}

#[test]
fn the_place_of_damage_is_named() {
    let folder = tempfile::tempdir().expect("a directory");
    let folder = folder.path();
    let good = log(
        folder,
        "good",
        began(5),
        &[interval(0, report::Tag::Raw, &[1])],
    );
    let text = fs::read_to_string(&good).expect("a log");
    let last = text.lines().count();
    let bad = folder.join("bad");
    for (text, said) in [
        (
            text.replace("HISTF", "AAAAA"),
            format!("bad, line {last}: the histogram is damaged"),
        ),
        (
            format!("{text}nonsense\n"),
            format!("bad, line {}: not a line", last + 1),
        ),
        (
            "#[nothing]\n".to_owned(),
            "there is no histogram".to_owned(),
        ),
        (String::new(), "there is no histogram".to_owned()),
    ] {
        fs::write(&bad, text).expect("a file");
        let error = merge(vec![good.clone(), bad.clone()], None).expect_err(&said);
        assert!(error.contains(&said), "{error}");
    }
    let error = merge(vec![folder.join("none")], None).expect_err("no file");
    assert!(error.contains("none"), "{error}");
}

#[test]
fn a_log_that_was_cut_keeps_its_whole_lines() {
    let folder = tempfile::tempdir().expect("a directory");
    let folder = folder.path();
    let intervals = [0, 1].map(|second| interval(second, report::Tag::Raw, &[7]));
    let path = log(folder, "cut", began(5), &intervals);
    let text = fs::read_to_string(&path).expect("a log");
    fs::write(&path, &text[..text.len() - 20]).expect("a file");
    let output = folder.join("out");
    merge(vec![path], Some(output.clone())).expect("merged");
    assert_eq!(lines(&output).len(), 1);
}

#[test]
fn a_log_past_the_bound_is_refused() {
    let folder = tempfile::tempdir().expect("a directory");
    let path = folder.path().join("large");
    let file = File::create(&path).expect("a file");
    file.set_len(LOG_BYTES_MAX + 1).expect("a sparse file");
    let error = merge(vec![path.clone()], None).expect_err("too large");
    assert!(error.contains("larger than"), "{error}");
    file.set_len(LOG_BYTES_MAX).expect("a sparse file");
    let error = merge(vec![path], None).expect_err("nothing in it");
    assert!(error.contains("no histogram"), "{error}");
}
