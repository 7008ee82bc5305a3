//! What outlives the process, and where it is kept.

mod damage;
mod disk;
mod file;
mod layout;
#[cfg(test)]
mod memory;
mod tables;

#[cfg(test)]
mod tests;

pub use damage::Damage;
pub use disk::DiskStore;
pub(super) use layout::FORMAT;
#[cfg(test)]
pub(super) use memory::MemoryStore;

use std::collections::{BTreeMap, HashMap};
use std::future::Future;

use super::Error;
use crate::hub::envelope::Grant;
use crate::model::{AccessToken, ChannelId, ChannelName, SingleAccessToken, VhostId, VhostPath};

/// What outlives the process: vhosts, channels, unused single access tokens ([ST-01..04]).
///
/// Control commits one batch at a time and gathers the next one meanwhile, so a
/// store that syncs once per batch has group commit. A store that blocks does
/// so on a thread of its own: control goes on while the future waits.
pub trait Store: Send + 'static {
    /// All that was committed.
    ///
    /// # Errors
    /// Why it can't be read; the node does not start.
    fn load(&mut self) -> impl Future<Output = Result<Snapshot, Error>> + Send;

    /// Makes the records durable in their order, all of them or none. Removing
    /// what is not there is no error.
    ///
    /// # Errors
    /// Why they are not stored, none of them; control takes the changes back and
    /// says so to whoever asked.
    fn commit(&mut self, records: Vec<Record>) -> impl Future<Output = Result<(), Error>> + Send;
}

/// One durable change.
#[derive(Clone, Debug)]
pub enum Record {
    /// A new vhost.
    VhostAdded {
        /// The vhost.
        vhost: VhostId,
        /// Its path.
        path: VhostPath,
        /// Its access token.
        token: AccessToken,
    },
    /// The vhost is gone with its channels and single access tokens.
    VhostDeleted {
        /// The vhost.
        vhost: VhostId,
    },
    /// The vhost has another access token.
    TokenReplaced {
        /// The vhost.
        vhost: VhostId,
        /// The token from now on.
        token: AccessToken,
    },
    /// A new channel.
    ChannelOpened {
        /// Its vhost.
        vhost: VhostId,
        /// The channel.
        channel: ChannelId,
        /// Its name.
        name: ChannelName,
    },
    /// The channel is gone.
    ChannelClosed {
        /// Its vhost.
        vhost: VhostId,
        /// Its name.
        name: ChannelName,
    },
    /// A single access token that nobody has used yet.
    TokenIssued {
        /// The token.
        token: Box<SingleAccessToken>,
        /// What is known of it.
        stored: StoredToken,
    },
    /// The single access token was used or has expired.
    TokenForgotten {
        /// The vhost it was issued in.
        vhost: VhostId,
        /// The token.
        token: Box<SingleAccessToken>,
    },
}

/// All that a store holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Snapshot {
    /// The vhosts.
    pub vhosts: BTreeMap<VhostId, StoredVhost>,
    /// The unused single access tokens of these vhosts.
    pub tokens: HashMap<SingleAccessToken, StoredToken>,
    /// The lowest vhost id that was never handed out.
    pub next_vhost: u32,
    /// The lowest channel id that was never handed out.
    pub next_channel: u64,
}

/// A vhost in the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredVhost {
    /// Its path.
    pub path: VhostPath,
    /// Its access token.
    pub token: AccessToken,
    /// Its open channels.
    pub channels: BTreeMap<ChannelName, ChannelId>,
}

/// An unused single access token in the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredToken {
    /// The vhost it was issued in.
    pub vhost: VhostId,
    /// What it gives.
    pub grant: Box<Grant>,
    /// Milliseconds since the Unix epoch.
    pub expires_at_ms: u64,
}

impl Snapshot {
    /// Applies one record, as every store must. What is of an unknown vhost is left out.
    pub fn apply(&mut self, record: Record) {
        match record {
            Record::VhostAdded { vhost, path, token } => {
                self.next_vhost = self.next_vhost.max(vhost.0.saturating_add(1));
                let channels = BTreeMap::new();
                self.vhosts.insert(
                    vhost,
                    StoredVhost {
                        path,
                        token,
                        channels,
                    },
                );
            }
            Record::VhostDeleted { vhost } => {
                self.vhosts.remove(&vhost);
                self.tokens.retain(|_, stored| stored.vhost != vhost);
            }
            Record::TokenReplaced { vhost, token } => {
                if let Some(stored) = self.vhosts.get_mut(&vhost) {
                    stored.token = token;
                }
            }
            Record::ChannelOpened {
                vhost,
                channel,
                name,
            } => {
                self.next_channel = self.next_channel.max(channel.0.saturating_add(1));
                if let Some(stored) = self.vhosts.get_mut(&vhost) {
                    stored.channels.insert(name, channel);
                }
            }
            Record::ChannelClosed { vhost, name } => {
                if let Some(stored) = self.vhosts.get_mut(&vhost) {
                    stored.channels.remove(&name);
                }
            }
            Record::TokenIssued { token, stored } => {
                if self.vhosts.contains_key(&stored.vhost) {
                    self.tokens.insert(*token, stored);
                }
            }
            Record::TokenForgotten { token, .. } => {
                self.tokens.remove(&token);
            }
        }
    }
}
