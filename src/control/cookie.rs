use std::fmt;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use subtle::ConstantTimeEq;

use super::Error;
use crate::model::AccessToken;

/// The operator's secret for admin REST: 40 lower-case hex digits.
#[derive(Clone)]
pub struct Cookie(String);

impl Cookie {
    /// The cookie in `<storage_dir>/<node>.cookie`; made there, for its owner's
    /// eyes only, when there is none. Take the [`NodeLock`] first.
    ///
    /// # Errors
    /// [`Error::MalformedCookie`] when the file holds something else,
    /// [`Error::InvalidNodeName`], [`Error::Storage`], [`Error::NoRandom`].
    pub fn load_or_create(storage_dir: &Path, node: &str) -> Result<Self, Error> {
        let path = node_file(storage_dir, node, "cookie")?;
        match File::open(&path) {
            Ok(file) => read(file, &path),
            Err(error) if error.kind() == io::ErrorKind::NotFound => create(&path),
            Err(source) => Err(Error::Storage { path, source }),
        }
    }

    /// The 40 characters.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether `given` is this cookie, compared in constant time.
    pub fn matches(&self, given: &[u8]) -> bool {
        self.0.as_bytes().ct_eq(given).into()
    }
}

/// Secrets stay out of logs.
impl fmt::Debug for Cookie {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Cookie(..)")
    }
}

/// Digits of a cookie; it has the form of an access token.
const DIGITS: usize = 2 * AccessToken::BYTES;

fn read(file: File, path: &Path) -> Result<Cookie, Error> {
    let mut text = Vec::new();
    // One more than a cookie has is enough to see that it is none.
    file.take(DIGITS as u64 + 1)
        .read_to_end(&mut text)
        .map_err(|source| storage(path, source))?;
    let token = AccessToken::parse(&text).ok_or_else(|| Error::MalformedCookie(path.into()))?;
    Ok(Cookie(token.to_string()))
}

fn create(path: &Path) -> Result<Cookie, Error> {
    let mut bytes = [0; AccessToken::BYTES];
    getrandom::fill(&mut bytes).map_err(|_| Error::NoRandom)?;
    let cookie = Cookie(AccessToken::from_random(bytes).to_string());
    // Whole or not at all: a start cut short leaves no half cookie behind.
    let mut draft = path.as_os_str().to_owned();
    draft.push(".new");
    let draft = PathBuf::from(draft);
    write_new(&draft, cookie.as_str()).map_err(|source| storage(&draft, source))?;
    fs::rename(&draft, path)
        .and_then(|()| File::open(path.parent().unwrap_or(Path::new(".")))?.sync_all())
        .map_err(|source| storage(path, source))?;
    Ok(cookie)
}

fn write_new(path: &Path, text: &str) -> io::Result<()> {
    // Left by a start cut short; its mode may be another.
    if let Err(error) = fs::remove_file(path)
        && error.kind() != io::ErrorKind::NotFound
    {
        return Err(error);
    }
    let mut options = OpenOptions::new();
    let mut file = options
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()
}

/// Held while the node runs, so that no second process runs it on the same storage.
#[derive(Debug)]
pub struct NodeLock {
    /// The kernel lets go of the lock when the file is closed, however the process ends.
    _file: File,
}

impl NodeLock {
    /// Locks `<storage_dir>/<node>.lock`.
    ///
    /// # Errors
    /// [`Error::Locked`] when another holds it, [`Error::InvalidNodeName`], [`Error::Storage`].
    pub fn acquire(storage_dir: &Path, node: &str) -> Result<Self, Error> {
        let path = node_file(storage_dir, node, "lock")?;
        let mut options = OpenOptions::new();
        let file = options
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&path)
            .map_err(|source| storage(&path, source))?;
        match file.try_lock() {
            Ok(()) => Ok(Self { _file: file }),
            Err(TryLockError::WouldBlock) => Err(Error::Locked(path)),
            Err(TryLockError::Error(source)) => Err(Error::Storage { path, source }),
        }
    }
}

/// A node name goes into file names: it must not lead elsewhere (section 2).
pub(super) fn node_file(storage_dir: &Path, node: &str, suffix: &str) -> Result<PathBuf, Error> {
    let first = node.chars().next();
    let valid = first.is_some_and(|c| c.is_alphanumeric() || matches!(c, '.' | '-' | '_'))
        && node.chars().nth(1).is_some()
        && !node.contains(['/', '\0']);
    if !valid {
        return Err(Error::InvalidNodeName(node.into()));
    }
    Ok(storage_dir.join(format!("{node}.{suffix}")))
}

fn storage(path: &Path, source: io::Error) -> Error {
    Error::Storage {
        path: path.into(),
        source,
    }
}

#[cfg(test)]
mod tests;
