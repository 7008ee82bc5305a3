use std::io;
use std::path::PathBuf;

use super::store::{Damage, FORMAT};

/// What can go wrong on this floor.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No vhost can have this path. The caller recovers.
    #[error("invalid path")]
    InvalidPath,
    /// There is a vhost at this path. The caller recovers.
    #[error("vhost already exists")]
    VhostExists,
    /// There is no vhost at this path. The caller recovers.
    #[error("vhost doesn't exist")]
    VhostNotFound,
    /// No channel can have this name. The caller recovers.
    #[error("invalid channel name")]
    InvalidChannelName,
    /// There is a channel of this name. The caller recovers.
    #[error("channel already exists")]
    ChannelExists,
    /// There is no channel of this name. The caller recovers.
    #[error("channel doesn't exist")]
    ChannelNotFound,
    /// There is no session of this name in the vhost. The caller recovers.
    #[error("session doesn't exist")]
    SessionNotFound,
    /// No session in the vhost is authenticated with this identifier. The caller recovers.
    #[error("user has no session")]
    UserNotFound,
    /// No event can have this name: it is empty, or begins with a colon as the
    /// broker's own do ([BR-10]). The caller recovers.
    #[error("invalid event name")]
    InvalidEventName,
    /// The data of an event is no JSON object, or nested too deep. The caller recovers.
    #[error("event data is no object")]
    InvalidEventData,
    /// No user can have this identifier: it is empty or too long. The caller recovers.
    #[error("invalid uid")]
    InvalidUid,
    /// The permission is no regular expression. The caller recovers.
    #[error("invalid permission")]
    InvalidPermission,
    /// Control or a shard did not answer in time. The caller tries again later.
    #[error("no answer in time")]
    NoAnswer,
    /// A bound is reached: too many changes wait, or no further vhost or
    /// channel fits. The caller tries again later.
    #[error("a limit is reached")]
    Full,
    /// The store did not take the change; it did not happen. The caller tries again later.
    #[error("the change could not be stored")]
    NotStored,
    /// The system gave no random bytes. The caller tries again later.
    #[error("no random bytes")]
    NoRandom,
    /// Control has ended. Nobody recovers.
    #[error("the broker is stopping")]
    Stopped,
    /// The store failed; logged where it happens. The operator recovers.
    #[error("{}: {source}", path.display())]
    Store {
        /// The store's file.
        path: PathBuf,
        /// Why.
        source: Box<redb::Error>,
    },
    /// The store's file can't be read as one, and was left as it was. The operator recovers.
    #[error("{} is damaged: {damage}; put back a copy, or move it away to start empty", path.display())]
    Damaged {
        /// The store's file.
        path: PathBuf,
        /// What is wrong with it.
        damage: Damage,
    },
    /// The store was written by another release, and was left as it was. The operator recovers.
    #[error(
        "{} has format {found}, this release reads {FORMAT}: start the release that wrote it, \
         or move the file away to start empty",
        path.display()
    )]
    UnknownFormat {
        /// The store's file.
        path: PathBuf,
        /// Its format.
        found: u32,
    },
    /// After a failure of the disk the store holds changes that were refused. The operator recovers.
    #[error("{}: changes that were refused are stored after all; restart the node", .0.display())]
    StoreAhead(PathBuf),
    /// A node name that names no file. The operator recovers.
    #[error("invalid node name {0:?}")]
    InvalidNodeName(String),
    /// Another process runs this node. The operator recovers.
    #[error(
        "this node runs already: {} is locked; stop it first, or give this one \
         another node name or storage directory",
        .0.display()
    )]
    Locked(PathBuf),
    /// The cookie's file holds something else. The operator recovers.
    #[error("{} is no cookie: 40 lower-case hex digits expected", .0.display())]
    MalformedCookie(PathBuf),
    /// A file of the storage directory can't be used. The operator recovers.
    #[error("{}: {source}", path.display())]
    Storage {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
}
