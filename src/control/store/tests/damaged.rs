//! A file that is no store, or no longer one: told, never taken for another
//! state, and left as it was.

use std::fs;
use std::path::PathBuf;

use redb::ReadableDatabase;

use super::*;
use crate::control::store::Damage;
use crate::control::store::file::builder;
use crate::control::store::layout::*;

struct Whole {
    dir: tempfile::TempDir,
    file: PathBuf,
    bytes: Vec<u8>,
    snapshot: Snapshot,
}

impl Whole {
    fn new() -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let mut records = vec![added(0), added(1), issued(1, 1)];
        records.extend((0..200).map(|id| opened(0, id, &format!("channel-{id}"))));
        let mut rig = Rig::open(dir.path()).expect("made");
        for batch in records.chunks(40) {
            rig.commit(batch.to_vec()).expect("stored");
        }
        drop(rig);
        let file = dir.path().join("test-node.redb");
        let bytes = fs::read(&file).expect("read");
        Self {
            dir,
            file,
            bytes,
            snapshot: applied(records),
        }
    }

    /// What a start makes of these bytes.
    fn open(&self, bytes: &[u8]) -> Result<Snapshot, Error> {
        fs::write(&self.file, bytes).expect("written");
        Rig::open(self.dir.path()).map(|mut rig| rig.load())
    }
}

#[test]
fn no_flipped_byte_makes_another_state() {
    let whole = Whole::new();
    let step = whole.bytes.len() / 250;
    let mut refused = 0;
    // The header byte by byte, the rest in steps.
    let offsets = (0..200).chain((200..whole.bytes.len()).step_by(step));
    for offset in offsets {
        let mut bytes = whole.bytes.clone();
        bytes[offset] ^= 1 << (offset % 8);
        match whole.open(&bytes) {
            Ok(snapshot) => assert!(snapshot == whole.snapshot, "byte {offset}"),
            Err(error) => {
                refused += 1;
                let text = error.to_string();
                assert!(text.contains("test-node.redb"), "byte {offset}: {text}");
                assert!(!text.contains('\n'), "byte {offset}: {text}");
            }
        }
    }
    assert!(refused > 10, "{refused}");
}

#[test]
fn no_missing_end_makes_another_state() {
    let whole = Whole::new();
    let step = whole.bytes.len() / 100;
    for len in (0..whole.bytes.len()).step_by(step).chain([1, 9, 320]) {
        match whole.open(&whole.bytes[..len]) {
            Ok(snapshot) => assert!(snapshot == whole.snapshot, "{len} bytes"),
            Err(error) => {
                let text = error.to_string();
                assert!(text.contains("test-node.redb"), "{len} bytes: {text}");
            }
        }
    }
    let empty = whole.open(&[]);
    assert!(matches!(
        empty,
        Err(Error::Damaged {
            damage: Damage::Cut,
            ..
        })
    ));
}

/// Of a node that was killed: its pages are looked through, and more is written
/// before it shows that some are missing.
#[test]
fn what_is_left_of_a_cut_store_stays_as_it_was() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut rig = Rig::open(dir.path()).expect("made");
    let records = (0..200).map(|id| opened(0, id, &format!("channel-{id}")));
    let records: Vec<_> = [added(0)].into_iter().chain(records).collect();
    for batch in records.chunks(40) {
        rig.commit(batch.to_vec()).expect("stored");
    }
    let file = dir.path().join("test-node.redb");
    // Not closed: as a kill leaves it.
    let bytes = fs::read(&file).expect("read");
    drop(rig);
    let mut refused = 0;
    for len in (4096..bytes.len()).step_by(4096) {
        fs::write(&file, &bytes[..len]).expect("written");
        if Rig::open(dir.path()).is_err() {
            refused += 1;
            let left = fs::read(&file).expect("read");
            assert!(left == bytes[..len], "{len} bytes");
        }
    }
    assert!(refused > 2, "{refused}");
}

#[test]
fn what_is_no_store_is_left_alone() {
    let whole = Whole::new();
    for text in ["#!/bin/sh\nexit 0\n".repeat(1000), "x".into()] {
        let error = whole.open(text.as_bytes()).expect_err("no store");
        let told = error.to_string();
        assert!(matches!(error, Error::Damaged { .. }), "{told}");
        let left = fs::read(&whole.file).expect("read");
        assert_eq!(left, text.as_bytes());
    }
    // A database of somebody else.
    fs::remove_file(&whole.file).expect("removed");
    drop(redb::Database::create(&whole.file).expect("made"));
    let error = Rig::open(whole.dir.path()).err().expect("no store");
    assert!(matches!(
        error,
        Error::Damaged {
            damage: Damage::Foreign,
            ..
        }
    ));
}

#[test]
fn a_format_of_another_release_is_refused_with_advice() {
    let whole = Whole::new();
    put(&whole, META, FORMAT_KEY, &encode_format(7));
    let text = Rig::open(whole.dir.path())
        .err()
        .expect("unknown")
        .to_string();
    for part in ["format 7", "reads 1", "move the file away"] {
        assert!(text.contains(part), "{text}");
    }
    put(&whole, META, FORMAT_KEY, &encode_format(FORMAT));
    let snapshot = Rig::open(whole.dir.path()).expect("opened").load();
    assert_eq!(snapshot, whole.snapshot, "not a byte of it is lost");
}

#[test]
fn whole_pages_with_entries_that_no_node_writes() {
    let path = encode_vhost("/v0", &AccessToken::from_random([1; 20]));
    let bad_path = encode_vhost("v0", &AccessToken::from_random([1; 20]));
    let Record::TokenIssued { stored, .. } = issued(9, 1) else {
        unreachable!("made so");
    };
    let entries: [(Table, Vec<u8>, Vec<u8>, &str); 9] = [
        (META, FORMAT_KEY.into(), vec![1], "no format"),
        (META, STATE_KEY.into(), vec![1], "no state"),
        (VHOSTS, vec![0, 0, 0, 0], bad_path, "a path"),
        (VHOSTS, vec![0, 0, 0, 1], path.clone(), "two vhosts"),
        (VHOSTS, vec![0, 0, 0, 2], path, "never handed out"),
        (CHANNELS, b"\0\0\0\x09a".into(), vec![0; 8], "of no vhost"),
        (
            CHANNELS,
            b"\0\0\0\0a".into(),
            vec![1; 8],
            "never handed out",
        ),
        (CHANNELS, b"\0\0\0\0/".into(), vec![0; 8], "a name"),
        (
            TOKENS,
            token_key(VhostId(9), &token(1)),
            encode_token(&stored),
            "of no vhost",
        ),
    ];
    for (table, key, value, expected) in entries {
        let whole = Whole::new();
        put(&whole, table, &key, &value);
        let text = Rig::open(whole.dir.path())
            .err()
            .expect("damaged")
            .to_string();
        assert!(text.contains(expected), "{text}");
    }
}

#[test]
fn a_missing_table_is_told() {
    let whole = Whole::new();
    let database = builder().open(&whole.file).expect("opened");
    let transaction = database.begin_write().expect("begun");
    transaction.delete_table(CHANNELS).expect("deleted");
    transaction.commit().expect("committed");
    assert!(database.begin_read().is_ok());
    drop(database);
    let text = Rig::open(whole.dir.path())
        .err()
        .expect("damaged")
        .to_string();
    assert!(text.contains("channels"), "{text}");
}

/// Writes an entry as no node would.
fn put(whole: &Whole, table: Table, key: &[u8], value: &[u8]) {
    let database = builder().open(&whole.file).expect("opened");
    let transaction = database.begin_write().expect("begun");
    {
        let mut table = transaction.open_table(table).expect("there");
        table.insert(key, value).expect("put");
    }
    transaction.commit().expect("committed");
}
