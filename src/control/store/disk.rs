use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use redb::backends::FileBackend;
use redb::{Builder, Database, DatabaseError, ReadableDatabase, ReadableTable, TableError};

use super::layout::{self, CHANNELS, FORMAT, FORMAT_KEY, META, STATE_KEY, State, TOKENS, VHOSTS};
use super::{Damage, Record, Snapshot, Store};
use crate::control::Error;
use crate::control::cookie::node_file;
use crate::limits::STORE_CACHE_BYTES;

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

/// Makes a database of a file; another in tests alone.
pub(super) type Opener = Arc<dyn Fn(File) -> Result<Database, DatabaseError> + Send + Sync>;

fn on_disk(file: File) -> Result<Database, DatabaseError> {
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

struct StoreFile {
    path: PathBuf,
    opener: Opener,
}

impl std::fmt::Debug for StoreFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("StoreFile").field(&self.path).finish()
    }
}

impl StoreFile {
    fn open(&self) -> Result<Database, Error> {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .open(&self.path)
            .map_err(|source| self.storage(source))?;
        // redb would take an empty file for a new one.
        let metadata = file.metadata().map_err(|source| self.storage(source))?;
        if metadata.len() == 0 {
            return Err(self.explain(Unreadable::Damaged(Damage::Cut)));
        }
        (self.opener)(file).map_err(|error| self.explain(Unreadable::Database(error.into())))
    }

    /// Whole or not at all: a start cut short leaves no half store behind.
    fn create(&self) -> Result<Database, Error> {
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
    fn explain(&self, unreadable: Unreadable) -> Error {
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

/// Why the store was not read, or not written; where it is adds [`StoreFile::explain`].
enum Unreadable {
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

fn write_new(database: &Database) -> Result<(), redb::Error> {
    let transaction = database.begin_write()?;
    {
        let mut meta = transaction.open_table(META)?;
        meta.insert(FORMAT_KEY, &layout::encode_format(FORMAT)[..])?;
        meta.insert(STATE_KEY, &State::default().encode()[..])?;
        for table in [VHOSTS, CHANNELS, TOKENS] {
            transaction.open_table(table)?;
        }
    }
    transaction.commit()?;
    Ok(())
}

/// One transaction, durable when this returns.
fn write(database: &Database, records: &[Record], after: State) -> Result<(), redb::Error> {
    let transaction = database.begin_write()?;
    {
        let mut meta = transaction.open_table(META)?;
        meta.insert(STATE_KEY, &after.encode()[..])?;
        let mut tables = Tables {
            vhosts: transaction.open_table(VHOSTS)?,
            channels: transaction.open_table(CHANNELS)?,
            tokens: transaction.open_table(TOKENS)?,
        };
        for record in records {
            tables.apply(record)?;
        }
    }
    transaction.commit()?;
    Ok(())
}

type Table<'a> = redb::Table<'a, &'static [u8], &'static [u8]>;

struct Tables<'a> {
    vhosts: Table<'a>,
    channels: Table<'a>,
    tokens: Table<'a>,
}

impl Tables<'_> {
    /// Does what [`Snapshot::apply`] does.
    fn apply(&mut self, record: &Record) -> Result<(), redb::Error> {
        match record {
            Record::VhostAdded { vhost, path, token } => {
                let value = layout::encode_vhost(path.as_str(), token);
                self.vhosts
                    .insert(&layout::vhost_key(*vhost)[..], &value[..])?;
            }
            Record::VhostDeleted { vhost } => {
                self.vhosts.remove(&layout::vhost_key(*vhost)[..])?;
                let keys = layout::keys_of(*vhost);
                let keys = &keys.start[..]..&keys.end[..];
                self.channels
                    .retain_in::<&[u8], _>(keys.clone(), |_, _| false)?;
                self.tokens.retain_in::<&[u8], _>(keys, |_, _| false)?;
            }
            Record::TokenReplaced { vhost, token } => {
                let key = layout::vhost_key(*vhost);
                let stored = self.vhosts.get(&key[..])?;
                let value = stored.and_then(|stored| {
                    Some(layout::encode_vhost(
                        layout::path_of(stored.value())?,
                        token,
                    ))
                });
                if let Some(value) = value {
                    self.vhosts.insert(&key[..], &value[..])?;
                }
            }
            Record::ChannelOpened {
                vhost,
                channel,
                name,
            } => {
                if self.vhosts.get(&layout::vhost_key(*vhost)[..])?.is_some() {
                    let key = layout::channel_key(*vhost, name);
                    self.channels
                        .insert(&key[..], &layout::encode_channel(*channel)[..])?;
                }
            }
            Record::ChannelClosed { vhost, name } => {
                self.channels
                    .remove(&layout::channel_key(*vhost, name)[..])?;
            }
            Record::TokenIssued { token, stored } => {
                let vhost = stored.vhost;
                if self.vhosts.get(&layout::vhost_key(vhost)[..])?.is_some() {
                    let key = layout::token_key(vhost, token);
                    self.tokens
                        .insert(&key[..], &layout::encode_token(stored)[..])?;
                }
            }
            Record::TokenForgotten { vhost, token } => {
                self.tokens.remove(&layout::token_key(*vhost, token)[..])?;
            }
        }
        Ok(())
    }
}

fn read_state(database: &Database) -> Result<State, Unreadable> {
    let meta = match database.begin_read()?.open_table(META) {
        Ok(meta) => meta,
        Err(TableError::TableDoesNotExist(_)) => return Err(Damage::Foreign.into()),
        Err(error) => return Err(error.into()),
    };
    let no_format = layout::damage("meta", "no format");
    let format = meta.get(FORMAT_KEY)?.ok_or(no_format)?;
    let format = layout::decode_format(format.value())?;
    if format != FORMAT {
        return Err(Unreadable::UnknownFormat(format));
    }
    let no_state = layout::damage("meta", "no state");
    let state = meta.get(STATE_KEY)?.ok_or(no_state)?;
    Ok(State::decode(state.value())?)
}

fn read(database: &Database) -> Result<(State, Snapshot), Unreadable> {
    let state = read_state(database)?;
    let transaction = database.begin_read()?;
    let mut snapshot = Snapshot {
        next_vhost: state.next_vhost,
        next_channel: state.next_channel,
        ..Snapshot::default()
    };
    let mut paths = std::collections::HashSet::new();
    for entry in transaction.open_table(VHOSTS)?.iter()? {
        let (key, value) = entry?;
        let (id, vhost) = layout::decode_vhost(key.value(), value.value())?;
        if id.0 >= state.next_vhost {
            return Err(layout::damage("vhosts", "an id that was never handed out").into());
        }
        if !paths.insert(vhost.path.clone()) {
            return Err(layout::damage("vhosts", "two vhosts at one path").into());
        }
        snapshot.vhosts.insert(id, vhost);
    }
    for entry in transaction.open_table(CHANNELS)?.iter()? {
        let (key, value) = entry?;
        let (vhost, name, channel) = layout::decode_channel(key.value(), value.value())?;
        if channel.0 >= state.next_channel {
            return Err(layout::damage("channels", "an id that was never handed out").into());
        }
        let vhost = snapshot
            .vhosts
            .get_mut(&vhost)
            .ok_or(layout::damage("channels", "a channel of no vhost"))?;
        vhost.channels.insert(name, channel);
    }
    for entry in transaction.open_table(TOKENS)?.iter()? {
        let (key, value) = entry?;
        let (token, stored) = layout::decode_token(key.value(), value.value())?;
        if !snapshot.vhosts.contains_key(&stored.vhost) {
            return Err(layout::damage("tokens", "a token of no vhost").into());
        }
        snapshot.tokens.insert(token, stored);
    }
    Ok((state, snapshot))
}
