use std::time::{Duration, UNIX_EPOCH};

use super::*;

fn report(began_s: u64, spans: usize) -> Report {
    let mut report = Report::example();
    report.began = UNIX_EPOCH + Duration::from_secs(began_s);
    report.series.span_s = 1.0;
    report.series.grow(spans);
    report
}

fn save(folder: &Path, name: &str, report: &Report) -> PathBuf {
    let path = folder.join(name);
    fs::write(&path, serde_json::to_vec(report).expect("JSON")).expect("a file");
    path
}

fn merge(files: Vec<PathBuf>, output: Option<PathBuf>) -> Result<(), String> {
    run(&Merge { files, output }).map_err(|error| error.to_string())
}

#[test]
fn reports_become_one_report() {
    let folder = tempfile::tempdir().expect("a directory");
    let files = vec![
        save(folder.path(), "a.json", &report(100, 3)),
        save(folder.path(), "b.json", &report(102, 3)),
    ];
    let output = folder.path().join("both.json");
    merge(files, Some(output.clone())).expect("merged");
    let text = fs::read_to_string(output).expect("a report");
    let both: Report = serde_json::from_str(&text).expect("of our own form");
    assert_eq!(both.load.clients, 8);
    assert_eq!(both.series.at_s.len(), 5, "side by side by the clock");
    assert_eq!(both.parts.len(), 2);
}

#[test]
fn runs_of_different_days_are_laid_over_each_other() {
    let named = |began_s| (String::new(), report(began_s, 3));
    assert_eq!(begins(&[named(100), named(103)]), [100.0, 103.0]);
    assert_eq!(begins(&[named(100), named(104)]), [0.0, 0.0]);
}

#[test]
fn logs_and_reports_are_not_mixed() {
    let folder = tempfile::tempdir().expect("a directory");
    let log = folder.path().join("a.hlog");
    fs::write(&log, "#[Histogram log format version 1.3]\n").expect("a file");
    let files = vec![save(folder.path(), "b.json", &report(1, 1)), log];
    let refused = merge(files, None).expect_err("mixed");
    assert!(
        refused.contains("a.hlog: not of the same kind"),
        "{refused}"
    );
}

#[test]
fn damage_is_told_by_name() {
    let folder = tempfile::tempdir().expect("a directory");
    let path = folder.path().join("a.json");
    fs::write(&path, "{\"schema\":1}").expect("a file");
    let refused = merge(vec![path], None).expect_err("no report");
    assert!(
        refused.contains("a.json is no report: missing field"),
        "{refused}"
    );
}

#[test]
fn files_at_the_bound_and_past_it() {
    let folder = tempfile::tempdir().expect("a directory");
    let path = save(folder.path(), "a.json", &report(1, 1));
    merge(vec![path.clone(); MERGE_FILES_MAX], None).expect("as many as may be");
    let refused = merge(vec![path; MERGE_FILES_MAX + 1], None).expect_err("one more");
    assert!(refused.contains("merge in steps"), "{refused}");
}
