mod damaged;
mod faults;
mod kept;
mod layout;

use std::path::Path;

use super::{DiskStore, Record, Snapshot, Store, StoredToken};
use crate::control::Error;
use crate::hub::envelope::Grant;
use crate::model::{AccessToken, ChannelId, ChannelName, SingleAccessToken, VhostId, VhostPath};

/// A store with the runtime that it needs.
struct Rig {
    store: DiskStore,
    runtime: tokio::runtime::Runtime,
}

impl Rig {
    /// A store that never waits for the disk.
    fn open(dir: &Path) -> Result<Self, Error> {
        faults::open(
            dir.join("test-node.redb"),
            &faults::Faults::new(i64::MAX, false),
        )
    }

    /// As a node opens it.
    fn open_durable(dir: &Path) -> Result<Self, Error> {
        DiskStore::open(dir, "test-node").map(Self::of)
    }

    fn of(store: DiskStore) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().build();
        let runtime = runtime.expect("a runtime");
        Self { store, runtime }
    }

    fn load(&mut self) -> Snapshot {
        self.runtime.block_on(self.store.load()).expect("readable")
    }

    fn commit(&mut self, records: Vec<Record>) -> Result<(), Error> {
        self.runtime.block_on(self.store.commit(records))
    }
}

fn added(id: u32) -> Record {
    Record::VhostAdded {
        vhost: VhostId(id),
        path: VhostPath::parse(&format!("/v{id}")).expect("valid"),
        token: AccessToken::from_random([id as u8; 20]),
    }
}

fn name(name: &str) -> ChannelName {
    ChannelName::parse(name).expect("valid")
}

fn opened(vhost: u32, id: u64, channel: &str) -> Record {
    Record::ChannelOpened {
        vhost: VhostId(vhost),
        channel: ChannelId(id),
        name: name(channel),
    }
}

fn issued(vhost: u32, number: u8) -> Record {
    Record::TokenIssued {
        token: Box::new(token(number)),
        stored: StoredToken {
            vhost: VhostId(vhost),
            grant: Box::new(Grant {
                uid: "jöe".into(),
                pattern: "private-.*".into(),
            }),
            expires_at_ms: 1 << 50,
        },
    }
}

fn token(number: u8) -> SingleAccessToken {
    SingleAccessToken::from_random([number; 64])
}

fn applied(records: impl IntoIterator<Item = Record>) -> Snapshot {
    let mut snapshot = Snapshot::default();
    records
        .into_iter()
        .for_each(|record| snapshot.apply(record));
    snapshot
}
