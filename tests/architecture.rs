//! The floors hold: imports point down only, `unsafe` stays in its rooms, and
//! runtimes are named only where they belong (docs/architecture.md).

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// Floor by floor: a module, and what it may import of this crate besides itself.
const MAY_IMPORT: &[(&str, &[&str])] = &[
    ("limits", &[]),
    ("model", &["limits"]),
    ("wire", &["limits", "model"]),
    ("sys", &["limits"]),
    ("meter", &["limits", "model"]),
    // Frames are encoded where they get their place in the order (decision 0002).
    ("hub", &["limits", "model", "wire", "meter"]),
    ("session", &["limits", "model", "wire", "hub", "meter"]),
    ("net", &["limits", "model", "sys", "meter"]),
    ("tls", &["limits"]),
    ("mesh", &["limits", "model", "hub", "sys", "meter"]),
    (
        "shard",
        &[
            "limits", "model", "wire", "hub", "session", "net", "mesh", "sys", "meter", "tls",
        ],
    ),
    (
        "control",
        &["limits", "model", "hub", "mesh", "sys", "meter"],
    ),
    (
        "server",
        &[
            "limits", "model", "hub", "mesh", "net", "sys", "shard", "control", "meter", "tls",
        ],
    ),
    ("doctor", &["limits", "net"]),
    (
        "cli",
        &["limits", "model", "server", "control", "sys", "doctor"],
    ),
    ("main", &["cli"]),
];

const MAY_HOLD_UNSAFE: &[&str] = &["net", "sys"];

/// Crates that only some floors may name.
const ROOMS: &[(&str, &[&str])] = &[
    ("glommio", &["shard"]),
    ("tokio", &["control", "server", "cli", "mesh"]),
    ("axum", &["control", "cli"]),
    ("io_uring", &["net"]),
    ("libc", &["net", "sys"]),
    ("flate2", &["wire"]),
    ("rustls", &["tls"]),
    ("kosmonaut", &["cli"]),
    ("ratatui", &["cli"]),
    ("ureq", &["cli"]),
];

/// A peer's bytes come this far: no input may end a shard.
const ON_DATA_PLANE: &[&str] = &[
    "limits", "model", "wire", "meter", "hub", "session", "net", "mesh", "shard", "tls",
];

/// Shards wait for nobody; only who is connected is counted under locks
/// (docs/decisions/0009).
const MAY_LOCK: &[&str] = &["meter"];

const MAY_PANIC: &[&str] = &[
    ".unwrap()",
    ".expect(",
    "panic!(",
    "unreachable!(",
    "todo!(",
    "unimplemented!(",
];

/// Past this a file is split.
const LINES_MAX: usize = 800;

struct Source {
    module: String,
    path: PathBuf,
    text: String,
}

fn sources() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found = Vec::new();
    collect(&root, &root, &mut found);
    found
}

fn collect(root: &Path, folder: &Path, found: &mut Vec<Source>) {
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            collect(root, &path, found);
        } else if path.extension().is_some_and(|end| end == "rs") {
            let inside = path.strip_prefix(root).expect("below the root");
            let first = inside.components().next().expect("a name").as_os_str();
            let module = first.to_string_lossy().trim_end_matches(".rs").to_owned();
            let text = fs::read_to_string(&path).expect("text");
            found.push(Source { module, path, text });
        }
    }
}

/// The text without comments, literals and what only tests hold.
fn code(source: &Source) -> String {
    let is_test = source
        .path
        .components()
        .any(|part| part.as_os_str() == "tests" || part.as_os_str() == "tests.rs");
    if is_test {
        return String::new();
    }
    let end = source
        .text
        .find("#[cfg(test)]\nmod tests {")
        .unwrap_or(source.text.len());
    bare(&source.text[..end])
}

/// The text without line comments and string literals: neither imports anything, and
/// a `//` in a string must not hide what follows it.
fn bare(text: &str) -> String {
    let mut bare = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(letter) = rest.chars().next() {
        let skipped = if rest.starts_with("//") {
            rest.find('\n').unwrap_or(rest.len())
        } else if rest.starts_with("'\"'") {
            // A quote as a character opens no string.
            "'\"'".len()
        } else {
            literal_len(rest)
        };
        if skipped == 0 {
            bare.push(letter);
        }
        rest = &rest[skipped.max(letter.len_utf8())..];
    }
    bare
}

/// Bytes of the string literal, plain or raw, with which `text` begins; else 0.
fn literal_len(text: &str) -> usize {
    if let Some(raw) = text.strip_prefix('r') {
        let hashes = raw.bytes().take_while(|byte| *byte == b'#').count();
        let Some(inside) = raw[hashes..].strip_prefix('"') else {
            return 0;
        };
        let end = format!("\"{}", "#".repeat(hashes));
        let len = inside.find(&end).map_or(inside.len(), |at| at + end.len());
        return text.len() - inside.len() + len;
    }
    let Some(inside) = text.strip_prefix('"') else {
        return 0;
    };
    let mut escaped = false;
    let end = inside.bytes().position(|byte| {
        let ends = byte == b'"' && !escaped;
        escaped = byte == b'\\' && !escaped;
        ends
    });
    end.map_or(text.len(), |at| at + 2)
}

fn is_word(byte: Option<&u8>) -> bool {
    byte.is_some_and(|byte| byte.is_ascii_alphanumeric() || *byte == b'_')
}

/// The modules that follow `crate::`, one by one or in braces.
fn imports(code: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for (at, _) in code.match_indices("crate::") {
        if at > 0 && (is_word(code.as_bytes().get(at - 1)) || code.as_bytes()[at - 1] == b'$') {
            continue;
        }
        let rest = &code[at + "crate::".len()..];
        if let Some(list) = rest.strip_prefix('{') {
            let mut depth = 0;
            let mut name = String::new();
            for letter in list.chars() {
                match letter {
                    '{' => depth += 1,
                    '}' if depth == 0 => break,
                    '}' => depth -= 1,
                    ',' if depth == 0 => found.extend([std::mem::take(&mut name)]),
                    letter if depth == 0 && !letter.is_whitespace() => name.push(letter),
                    _ => {}
                }
            }
            found.insert(name);
        } else {
            found.insert(rest.to_owned());
        }
    }
    let word = |name: &String| {
        name.split(|c: char| !c.is_alphanumeric() && c != '_')
            .next()
            .map(str::to_owned)
    };
    found
        .iter()
        .filter_map(word)
        .filter(|name| !name.is_empty())
        .collect()
}

/// What follows the name of a crate wherever the code names it in a path.
fn paths<'a>(code: &'a str, name: &str) -> impl Iterator<Item = &'a str> {
    let path = format!("{name}::");
    let starts: Vec<usize> = code.match_indices(&path).map(|(at, _)| at).collect();
    starts.into_iter().filter_map(move |at| {
        let before = at.checked_sub(1).map(|before| code.as_bytes()[before]);
        let inside = is_word(before.as_ref()) || before == Some(b':');
        (!inside).then(|| &code[at + path.len()..])
    })
}

fn violations(module: &str, code: &str) -> Vec<String> {
    let mut wrong = Vec::new();
    let allowed = MAY_IMPORT
        .iter()
        .find(|(name, _)| *name == module)
        .map(|(_, allowed)| *allowed);
    let Some(allowed) = allowed else {
        return vec![format!("{module} stands on no floor")];
    };
    for import in imports(code) {
        if import != module && !allowed.contains(&import.as_str()) {
            wrong.push(format!("{module} imports {import}"));
        }
    }
    if !MAY_HOLD_UNSAFE.contains(&module) {
        for (at, word) in code.match_indices("unsafe") {
            if code
                .as_bytes()
                .get(at + word.len())
                .is_some_and(u8::is_ascii_whitespace)
            {
                wrong.push(format!("{module} holds unsafe code"));
            }
        }
    }
    if module == "mesh" && paths(code, "tokio").any(|rest| !rest.starts_with("sync::")) {
        wrong.push("mesh names more of tokio than its channels".to_owned());
    }
    if ON_DATA_PLANE.contains(&module) {
        for word in MAY_PANIC {
            if code.contains(word) {
                wrong.push(format!("{module} may panic: {word}"));
            }
        }
        for word in ["Mutex", "RwLock", "Condvar"] {
            if code.contains(word) && !MAY_LOCK.contains(&module) {
                wrong.push(format!("{module} locks: {word}"));
            }
        }
    }
    for (name, rooms) in ROOMS {
        if paths(code, name).next().is_some() && !rooms.contains(&module) {
            wrong.push(format!("{module} names {name}"));
        }
    }
    wrong
}

#[test]
fn imports_point_down() {
    let mut wrong = Vec::new();
    for source in sources().iter().filter(|source| source.module != "lib") {
        let found = violations(&source.module, &code(source));
        wrong.extend(
            found
                .into_iter()
                .map(|what| format!("{}: {what}", source.path.display())),
        );
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_table_catches_violations() {
    assert_eq!(
        violations("hub", "use crate::net::Driver;"),
        ["hub imports net"]
    );
    assert_eq!(
        violations("wire", "use crate::{limits, hub::{Hub, Flow}};"),
        ["wire imports hub"]
    );
    assert_eq!(
        violations("session", "fn f() { crate::shard::g() }"),
        ["session imports shard"]
    );
    assert_eq!(
        violations("hub", "fn f() { unsafe { g() } }"),
        ["hub holds unsafe code"]
    );
    assert_eq!(
        violations("hub", "use glommio::Task;"),
        ["hub names glommio"]
    );
    assert_eq!(violations("attic", ""), ["attic stands on no floor"]);
    assert_eq!(
        violations("mesh", "use tokio::net::TcpStream;"),
        ["mesh names more of tokio than its channels"]
    );
    assert!(violations("mesh", "use tokio::sync::mpsc;").is_empty());
    assert_eq!(
        violations("wire", "fn f() { g().unwrap() }"),
        ["wire may panic: .unwrap()"]
    );
    assert!(violations("cli", "fn f() { g().unwrap() }").is_empty());
    assert_eq!(
        violations("shard", "use std::sync::Mutex;"),
        ["shard locks: Mutex"]
    );
    assert!(violations("meter", "use std::sync::Mutex;").is_empty());
    assert!(
        violations(
            "hub",
            "use crate::{limits::A, model::{B, C}}; use super::net;"
        )
        .is_empty()
    );
    assert!(violations("model", "#![forbid(unsafe_code)]").is_empty());
}

#[test]
fn comments_and_literals_import_nothing_and_hide_nothing() {
    for (text, left) in [
        ("a // crate::net\nb", "a \nb"),
        (r#"f("ws://x"); use crate::net;"#, "f(); use crate::net;"),
        (r#"f("a\"crate::net\\"); g"#, "f(); g"),
        ("f('\"'); use crate::net;", "f(); use crate::net;"),
        (
            r###"f(br#"{"crate::net":""#); g(r"\"); h"###,
            "f(b); g(); h",
        ),
        (r##"error(r#"a"#, error)"##, "error(, error)"),
    ] {
        assert_eq!(bare(text), left, "{text}");
    }
}

#[test]
fn every_safe_module_forbids_unsafe() {
    for source in sources() {
        let name = source.path.file_name().expect("a name");
        // A module in one file, or the file that its folder begins with. The crate's
        // root forbids nothing: it allows `unsafe` to its two rooms.
        let flat = *name == *format!("{}.rs", source.module) && source.module != "lib";
        let is_root = flat
            || name == "mod.rs"
                && source.path.parent().is_some_and(|folder| {
                    folder
                        .file_name()
                        .is_some_and(|folder| *folder == *source.module)
                });
        let exempt = MAY_HOLD_UNSAFE.contains(&source.module.as_str());
        if is_root && !exempt {
            let forbids = source.text.contains("#![forbid(unsafe_code)]");
            assert!(
                forbids,
                "{} does not forbid unsafe code",
                source.path.display()
            );
        }
    }
}

#[test]
fn files_stay_small() {
    for source in sources() {
        let lines = source.text.lines().count();
        assert!(
            lines <= LINES_MAX,
            "{} has {lines} lines",
            source.path.display()
        );
    }
}

#[test]
fn every_bound_gives_its_reason() {
    let source = sources()
        .into_iter()
        .find(|source| source.module == "limits")
        .expect("limits");
    let mut before = "";
    for line in source.text.lines() {
        if line.starts_with("pub const") {
            assert!(before.starts_with("///"), "no reason for {line}");
        }
        before = line;
    }
}

/// What the compiler counts as one: a block in code, not the word.
fn unsafe_blocks(code: &str) -> usize {
    code.matches("unsafe {").count()
}

#[test]
fn every_unsafe_block_is_in_the_review() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let review = fs::read_to_string(root.join("docs/unsafe.md")).expect("the review");
    let rows = review.lines().filter_map(|line| {
        let (file, rest) = line.strip_prefix("| `")?.split_once("` | ")?;
        let blocks: usize = rest.split(' ').next()?.parse().ok()?;
        Some((file.to_owned(), blocks))
    });
    let reviewed: BTreeSet<(String, usize)> = rows.collect();
    let found = sources().into_iter().filter_map(|source| {
        let blocks = unsafe_blocks(&code(&source));
        let file = source.path.strip_prefix(root).expect("below the root");
        (blocks > 0).then(|| (file.display().to_string(), blocks))
    });
    assert_eq!(found.collect::<BTreeSet<_>>(), reviewed);
}
