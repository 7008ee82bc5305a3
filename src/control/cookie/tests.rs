use std::os::unix::fs::PermissionsExt;

use super::*;

fn storage_dir() -> tempfile::TempDir {
    tempfile::tempdir().expect("a directory")
}

#[test]
fn a_cookie_is_made_once_and_kept_st_01() {
    let dir = storage_dir();
    let made = Cookie::load_or_create(dir.path(), "node-1").expect("made");
    assert_eq!(made.as_str().len(), 40);
    let file = dir.path().join("node-1.cookie");
    assert_eq!(fs::read_to_string(&file).expect("there"), made.as_str());
    let mode = fs::metadata(&file).expect("there").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let kept = Cookie::load_or_create(dir.path(), "node-1").expect("kept");
    assert_eq!(kept.as_str(), made.as_str());
    let other = Cookie::load_or_create(dir.path(), "node-2").expect("made");
    assert_ne!(other.as_str(), made.as_str());
    let mut names: Vec<_> = fs::read_dir(dir.path())
        .expect("there")
        .map(|entry| entry.expect("there").file_name())
        .collect();
    names.sort();
    assert_eq!(names, ["node-1.cookie", "node-2.cookie"], "no draft left");
}

#[test]
fn a_draft_of_a_start_cut_short_is_replaced() {
    let dir = storage_dir();
    let draft = dir.path().join("node.cookie.new");
    fs::write(&draft, "half").expect("written");
    let mode = fs::Permissions::from_mode(0o644);
    fs::set_permissions(&draft, mode).expect("set");
    Cookie::load_or_create(dir.path(), "node").expect("made");
    let file = dir.path().join("node.cookie");
    let mode = fs::metadata(file).expect("there").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    assert!(!draft.exists());
}

#[test]
fn a_malformed_cookie_is_refused_and_left_alone() {
    let dir = storage_dir();
    let file = dir.path().join("node.cookie");
    let digits = "0123456789abcdef0123456789abcdef01234567";
    let malformed = [
        String::new(),
        digits[1..].to_owned(),
        format!("{digits}0"),
        format!("{digits}\n"),
        digits.to_uppercase(),
        "g".repeat(40),
    ];
    for text in malformed {
        fs::write(&file, &text).expect("written");
        let error = Cookie::load_or_create(dir.path(), "node").expect_err("malformed");
        assert!(matches!(&error, Error::MalformedCookie(path) if *path == file));
        assert!(error.to_string().contains("node.cookie"), "{error}");
        assert_eq!(fs::read_to_string(&file).expect("there"), text);
    }
    fs::write(&file, digits).expect("written");
    let cookie = Cookie::load_or_create(dir.path(), "node").expect("well-formed");
    assert_eq!(cookie.as_str(), digits);
}

#[test]
fn only_the_same_bytes_match_ad_01() {
    let dir = storage_dir();
    let cookie = Cookie::load_or_create(dir.path(), "node").expect("made");
    let text = cookie.as_str().as_bytes();
    assert!(cookie.matches(text));
    for at in [0, 20, 39] {
        let mut forged = text.to_vec();
        forged[at] ^= 1;
        assert!(!cookie.matches(&forged));
    }
    assert!(!cookie.matches(&text[..39]));
    assert!(!cookie.matches(&[text, b"0"].concat()));
    assert!(!cookie.matches(b""));
    assert_eq!(format!("{cookie:?}"), "Cookie(..)");
}

#[test]
fn a_node_runs_once() {
    let dir = storage_dir();
    let held = NodeLock::acquire(dir.path(), "node").expect("free");
    let error = NodeLock::acquire(dir.path(), "node").expect_err("held");
    assert!(matches!(error, Error::Locked(_)));
    assert!(error.to_string().contains("node.lock"), "{error}");
    NodeLock::acquire(dir.path(), "other-node").expect("another");
    drop(held);
    NodeLock::acquire(dir.path(), "node").expect("free again");
}

#[test]
fn a_node_name_does_not_lead_elsewhere() {
    let dir = storage_dir();
    for bad in ["", "a", "/a", "../a", "a/b", "a\0b", "*a", " a"] {
        let lock = NodeLock::acquire(dir.path(), bad);
        assert!(matches!(lock, Err(Error::InvalidNodeName(_))), "{bad:?}");
        let cookie = Cookie::load_or_create(dir.path(), bad);
        assert!(matches!(cookie, Err(Error::InvalidNodeName(_))), "{bad:?}");
    }
    for good in ["ab", "my-host.example", "_1", ".."] {
        NodeLock::acquire(dir.path(), good).expect("valid");
    }
    assert_eq!(fs::read_dir(dir.path()).expect("there").count(), 4);
}

#[test]
fn a_storage_directory_that_is_not_there_is_named() {
    let dir = storage_dir();
    let missing = dir.path().join("missing");
    let error = Cookie::load_or_create(&missing, "node").expect_err("missing");
    assert!(error.to_string().contains("missing"), "{error}");
    let error = NodeLock::acquire(&missing, "node").expect_err("missing");
    assert!(matches!(error, Error::Storage { .. }));
}
