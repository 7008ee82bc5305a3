use std::fs::{self, File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use redb::backends::FileBackend;
use redb::{Builder, Database, DatabaseError};

use super::Damage;
use super::tables::write_new;
use crate::control::Error;
use crate::limits::STORE_CACHE_BYTES;

/// Makes a database of a file; another in tests alone.
pub(super) type Opener = Arc<dyn Fn(File) -> Result<Database, DatabaseError> + Send + Sync>;

pub(super) fn on_disk(file: File) -> Result<Database, DatabaseError> {
    builder().create_with_backend(FileBackend::new(file)?)
}

pub(super) fn builder() -> Builder {
    let mut builder = Builder::new();
    builder
        .set_cache_size(STORE_CACHE_BYTES)
        // The file may come from a copy or a failing disk; it is read as a whole anyway.
        .set_check_integrity_on_open(true);
    builder
}

/// Where the store is, and how it is opened.
pub(super) struct StoreFile {
    pub(super) path: PathBuf,
    pub(super) opener: Opener,
}

impl std::fmt::Debug for StoreFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("StoreFile").field(&self.path).finish()
    }
}

impl StoreFile {
    pub(super) fn open(&self) -> Result<Database, Error> {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .open(&self.path)
            .map_err(|source| self.storage(source))?;
        let header = Header::of(&file).map_err(|source| self.storage(source))?;
        // redb would take an empty file for a new one.
        if header.bytes.is_empty() {
            return Err(self.explain(Unreadable::Damaged(Damage::Cut)));
        }
        (self.opener)(file).map_err(|error| {
            let error = self.explain(Unreadable::Database(error.into()));
            if matches!(error, Error::Damaged { .. })
                && let Err(error) = header.put_back()
            {
                tracing::warn!(path = %self.path.display(), %error, "header not put back");
            }
            error
        })
    }

    /// Whole or not at all: a start cut short leaves no half store behind.
    pub(super) fn create(&self) -> Result<Database, Error> {
        let mut draft = self.path.as_os_str().to_owned();
        draft.push(".new");
        let draft = PathBuf::from(draft);
        let drafted = StoreFile {
            path: draft.clone(),
            opener: Arc::clone(&self.opener),
        };
        let database = drafted.create_draft().inspect_err(|_| {
            // Nothing is lost with it, and the next start makes another.
            let _ = fs::remove_file(&draft);
        })?;
        fs::rename(&draft, &self.path)
            .and_then(|()| File::open(self.path.parent().unwrap_or(Path::new(".")))?.sync_all())
            .map_err(|source| self.storage(source))?;
        Ok(database)
    }

    fn create_draft(&self) -> Result<Database, Error> {
        // Left by a start cut short; its mode may be another.
        if let Err(error) = fs::remove_file(&self.path)
            && error.kind() != io::ErrorKind::NotFound
        {
            return Err(self.storage(error));
        }
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&self.path)
            .map_err(|source| self.storage(source))?;
        let failed = |error| self.explain(Unreadable::Database(error));
        let database = (self.opener)(file).map_err(|error| failed(error.into()))?;
        write_new(&database).map_err(failed)?;
        Ok(database)
    }

    fn storage(&self, source: io::Error) -> Error {
        Error::Storage {
            path: self.path.clone(),
            source,
        }
    }

    /// What the operator is to know.
    pub(super) fn explain(&self, unreadable: Unreadable) -> Error {
        let path = self.path.clone();
        match unreadable {
            Unreadable::Damaged(damage) => Error::Damaged { path, damage },
            Unreadable::UnknownFormat(found) => Error::UnknownFormat { path, found },
            Unreadable::Database(redb::Error::DatabaseAlreadyOpen) => Error::Locked(path),
            Unreadable::Database(error) => match Damage::of(error) {
                Ok(damage) => Error::Damaged { path, damage },
                Err(redb::Error::Io(source)) => Error::Storage { path, source },
                Err(source) => Error::Store {
                    path,
                    source: Box::new(source),
                },
            },
        }
    }
}

/// The beginning of a file as it was found. redb fits it to the file's length
/// before it sees that pages are missing; what it then refuses is to stay as it
/// was, for whoever looks for the rest.
struct Header {
    file: File,
    bytes: Vec<u8>,
}

impl Header {
    /// Longer than what redb keeps there, 320 bytes.
    const BYTES: usize = 512;

    fn of(file: &File) -> io::Result<Self> {
        let file = file.try_clone()?;
        let mut bytes = Vec::new();
        (&file).take(Self::BYTES as u64).read_to_end(&mut bytes)?;
        Ok(Self { file, bytes })
    }

    fn put_back(&self) -> io::Result<()> {
        let mut now = vec![0; self.bytes.len()];
        self.file.read_exact_at(&mut now, 0)?;
        // What is not a store at all is not even touched.
        if now == self.bytes {
            return Ok(());
        }
        self.file.write_all_at(&self.bytes, 0)?;
        self.file.sync_data()
    }
}

/// Why the store was not read, or not written; where it is adds [`StoreFile::explain`].
pub(super) enum Unreadable {
    Database(redb::Error),
    Damaged(Damage),
    UnknownFormat(u32),
}

impl<E: Into<redb::Error>> From<E> for Unreadable {
    fn from(error: E) -> Self {
        Self::Database(error.into())
    }
}

impl From<Damage> for Unreadable {
    fn from(damage: Damage) -> Self {
        Self::Damaged(damage)
    }
}
