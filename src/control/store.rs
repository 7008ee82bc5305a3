use std::collections::BTreeMap;
use std::collections::HashMap;
use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};

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
    /// [`Error::Store`]; the node does not start.
    fn load(&mut self) -> impl Future<Output = Result<Snapshot, Error>> + Send;

    /// Makes the records durable in their order, all of them or none. Removing
    /// what is not there is no error.
    ///
    /// # Errors
    /// [`Error::Store`]; control takes the changes back and says so to whoever asked.
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
        /// The token.
        token: Box<SingleAccessToken>,
    },
}

/// All that a store holds.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    /// The vhosts.
    pub vhosts: BTreeMap<VhostId, StoredVhost>,
    /// The unused single access tokens of these vhosts.
    pub tokens: HashMap<SingleAccessToken, StoredToken>,
}

/// A vhost in the store.
#[derive(Clone, Debug)]
pub struct StoredVhost {
    /// Its path.
    pub path: VhostPath,
    /// Its access token.
    pub token: AccessToken,
    /// Its open channels.
    pub channels: BTreeMap<ChannelName, ChannelId>,
}

/// An unused single access token in the store.
#[derive(Clone, Debug)]
pub struct StoredToken {
    /// The vhost it was issued in.
    pub vhost: VhostId,
    /// What it gives.
    pub grant: Box<Grant>,
    /// Milliseconds since the Unix epoch.
    pub expires_at_ms: u64,
}

impl Snapshot {
    /// Applies one record, as every store must.
    pub fn apply(&mut self, record: Record) {
        match record {
            Record::VhostAdded { vhost, path, token } => {
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
                self.tokens.insert(*token, stored);
            }
            Record::TokenForgotten { token } => {
                self.tokens.remove(&token);
            }
        }
    }
}

/// A store that lives as long as the process. Clones share what they hold, so
/// that it outlives one control and serves the next.
#[derive(Clone, Debug, Default)]
pub struct MemoryStore(Arc<Mutex<Snapshot>>);

impl Store for MemoryStore {
    async fn load(&mut self) -> Result<Snapshot, Error> {
        Ok(self
            .0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone())
    }

    async fn commit(&mut self, records: Vec<Record>) -> Result<(), Error> {
        let mut snapshot = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        records
            .into_iter()
            .for_each(|record| snapshot.apply(record));
        Ok(())
    }
}
