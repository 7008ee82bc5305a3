//! A disk that fails at any of its operations: whatever a commit says is true,
//! and once the disk works again the store does too.

use std::fs::File;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};

use redb::StorageBackend;
use redb::backends::FileBackend;

use super::*;
use crate::control::store::file::{Opener, builder};

/// When the disk fails, shared with the test.
#[derive(Debug)]
pub(super) struct Faults {
    /// Changes of the file until it fails; a failing one stays so until it is healed.
    left: AtomicI64,
    /// Whether the first change that fails is made all the same.
    made_all_the_same: bool,
    /// Whether the first that failed was a sync: what it was to make durable
    /// may be so or not.
    in_doubt: AtomicBool,
}

const HEALTHY: i64 = i64::MAX;

impl Faults {
    pub(super) fn new(left: i64, made_all_the_same: bool) -> Arc<Self> {
        Arc::new(Self {
            left: AtomicI64::new(left),
            made_all_the_same,
            in_doubt: AtomicBool::new(false),
        })
    }

    fn change(&self, is_sync: bool, change: impl FnOnce() -> io::Result<()>) -> io::Result<()> {
        let left = self.left.fetch_sub(1, Ordering::Relaxed);
        if left > 0 {
            return change();
        }
        if left == 0 {
            self.in_doubt.store(is_sync, Ordering::Relaxed);
        }
        if left == 0 && self.made_all_the_same {
            change()?;
        }
        Err(io::ErrorKind::StorageFull.into())
    }
}

#[derive(Debug)]
struct Disk {
    file: FileBackend,
    faults: Arc<Faults>,
}

impl StorageBackend for Disk {
    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.file.read(offset, out)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.faults.change(false, || self.file.set_len(len))
    }

    fn sync_data(&self) -> io::Result<()> {
        // The test's disk does not fail for real: nothing to wait for.
        self.faults.change(true, || Ok(()))
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.faults.change(false, || self.file.write(offset, data))
    }

    fn close(&self) -> io::Result<()> {
        self.file.close()
    }
}

pub(super) fn open(path: PathBuf, faults: &Arc<Faults>) -> Result<Rig, Error> {
    let faults = Arc::clone(faults);
    let opener: Opener = Arc::new(move |file: File| {
        let file = FileBackend::new(file)?;
        let faults = Arc::clone(&faults);
        builder().create_with_backend(Disk { file, faults })
    });
    DiskStore::open_with(path, opener).map(Rig::of)
}

/// One commit over a disk that fails from its `at`th change on, and a second
/// over a healed one. Tells whether the disk failed at all.
fn commit_through(at: i64, made_all_the_same: bool) -> bool {
    let dir = tempfile::tempdir().expect("a directory");
    let faults = Faults::new(HEALTHY, made_all_the_same);
    let path = dir.path().join("test-node.redb");
    let mut rig = open(path, &faults).expect("made");
    let before = vec![added(0), opened(0, 0, "a")];
    rig.commit(before.clone()).expect("stored");

    // Much, so that the file has to grow.
    let batch: Vec<_> = (1..400)
        .map(|id| opened(0, id, &format!("{id:0200}")))
        .collect();
    faults.left.store(at, Ordering::Relaxed);
    let first = rig.commit(batch.clone());
    let failed = faults.left.swap(HEALTHY, Ordering::Relaxed) < 0;
    let behind = vec![opened(0, 5000, "z")];
    let second = rig.commit(behind.clone());
    drop(rig);

    let kept = Rig::open(dir.path()).expect("undamaged").load();
    let all = |batches: [&[Record]; 3]| applied(batches.concat());
    match (&first, &second) {
        (Ok(()), Ok(())) => assert!(kept == all([&before, &batch, &behind]), "change {at}"),
        (Err(_), Ok(())) => assert!(kept == all([&before, &[], &behind]), "change {at}"),
        // The batch was whole when the disk failed, and could not be looked
        // for. Control has said that it is not stored: a restart is needed.
        (Err(_), Err(Error::StoreAhead(_))) => {
            let in_doubt = faults.in_doubt.load(Ordering::Relaxed);
            assert!(in_doubt || made_all_the_same, "change {at}");
            assert!(kept == all([&before, &batch, &[]]), "change {at}");
        }
        other => panic!("change {at}: {other:?}"),
    }
    failed
}

#[test]
fn a_commit_tells_the_truth_whatever_fails() {
    for made_all_the_same in [false, true] {
        let mut at = 0;
        while commit_through(at, made_all_the_same) {
            at += 1;
        }
        assert!(at > 5, "{at}");
    }
}

#[test]
fn a_store_that_cannot_be_made_leaves_nothing() {
    for at in 0.. {
        let dir = tempfile::tempdir().expect("a directory");
        let faults = Faults::new(at, false);
        let path = dir.path().join("test-node.redb");
        match open(path, &faults) {
            Ok(_) => break,
            Err(error) => assert!(matches!(error, Error::Storage { .. }), "{error}"),
        }
        let left = dir.path().read_dir().expect("there").count();
        assert_eq!(left, 0, "change {at}");
        Rig::open(dir.path()).expect("once there is room");
    }
}
