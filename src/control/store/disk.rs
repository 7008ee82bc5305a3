use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use redb::Database;

use super::file::{Opener, StoreFile, Unreadable, on_disk};
use super::layout::State;
use super::tables::{read, read_state, write};
use super::{Record, Snapshot, Store};
use crate::control::Error;
use crate::control::cookie::node_file;

/// The store of a node in one file, `<storage_dir>/<node>.redb`.
///
/// redb blocks: it works on tokio's threads for that, one call at a time.
#[derive(Debug)]
pub struct DiskStore(Arc<Mutex<Books>>);

impl DiskStore {
    /// Opens the node's store and reads it, or makes an empty one, for its
    /// owner's eyes only, where there is none. Blocks. Take the
    /// [`NodeLock`](crate::control::NodeLock) first.
    ///
    /// # Errors
    /// [`Error::Damaged`], [`Error::UnknownFormat`] and [`Error::Locked`] leave
    /// the file as it was; [`Error::Storage`], [`Error::Store`],
    /// [`Error::InvalidNodeName`].
    pub fn open(storage_dir: &Path, node: &str) -> Result<Self, Error> {
        let path = node_file(storage_dir, node, "redb")?;
        Self::open_with(path, Arc::new(on_disk))
    }

    pub(super) fn open_with(path: PathBuf, opener: Opener) -> Result<Self, Error> {
        let file = StoreFile { path, opener };
        let database = match file.open() {
            Err(Error::Storage { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
                file.create()?
            }
            opened => opened?,
        };
        let (state, snapshot) = read(&database).map_err(|error| file.explain(error))?;
        Ok(Self(Arc::new(Mutex::new(Books {
            file,
            database: Some(database),
            state,
            snapshot: Some(snapshot),
        }))))
    }
}

impl Store for DiskStore {
    async fn load(&mut self) -> Result<Snapshot, Error> {
        self.run(Books::load).await
    }

    async fn commit(&mut self, records: Vec<Record>) -> Result<(), Error> {
        self.run(move |books| books.commit(&records)).await
    }
}

impl DiskStore {
    async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Books) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let books = Arc::clone(&self.0);
        let done = tokio::task::spawn_blocking(move || {
            work(&mut books.lock().unwrap_or_else(PoisonError::into_inner))
        });
        // Only a runtime that ends loses the work.
        done.await.unwrap_or(Err(Error::Stopped))
    }
}

/// What the thread that blocks works with.
#[derive(Debug)]
struct Books {
    file: StoreFile,
    /// `None` after a failure: redb takes nothing more until it is opened anew.
    database: Option<Database>,
    /// As of the newest batch that was told to be durable.
    state: State,
    /// What was read at the opening, for the first that asks.
    snapshot: Option<Snapshot>,
}

impl Books {
    fn load(&mut self) -> Result<Snapshot, Error> {
        if let Some(snapshot) = self.snapshot.take() {
            return Ok(snapshot);
        }
        let database = self.take_database()?;
        let (_, snapshot) = read(&database).map_err(|error| self.file.explain(error))?;
        self.database = Some(database);
        Ok(snapshot)
    }

    fn commit(&mut self, records: &[Record]) -> Result<(), Error> {
        let database = self.take_database()?;
        let after = self.state.after(records);
        match write(&database, records, after) {
            Ok(()) => {
                self.database = Some(database);
                self.state = after;
                Ok(())
            }
            Err(error) => {
                drop(database);
                let error = self.file.explain(Unreadable::Database(error));
                self.settle(after, error)
            }
        }
    }

    /// A failed commit may have reached the file all the same: only the file
    /// tells. Where it can't be opened now, the next commit asks it.
    fn settle(&mut self, after: State, error: Error) -> Result<(), Error> {
        let Ok((database, found)) = self.reopen() else {
            return Err(error);
        };
        if found != after && found != self.state {
            return Err(error);
        }
        self.database = Some(database);
        if found == after {
            self.state = after;
            return Ok(());
        }
        Err(error)
    }

    fn take_database(&mut self) -> Result<Database, Error> {
        if let Some(database) = self.database.take() {
            return Ok(database);
        }
        let (database, found) = self.reopen()?;
        // Control has long said that the batch was not stored. What it decided
        // since does not fit to it.
        if found != self.state {
            return Err(Error::StoreAhead(self.file.path.clone()));
        }
        tracing::debug!(path = %self.file.path.display(), "store opened anew");
        Ok(database)
    }

    fn reopen(&self) -> Result<(Database, State), Error> {
        let database = self.file.open()?;
        let state = read_state(&database).map_err(|error| self.file.explain(error))?;
        Ok((database, state))
    }
}
