use std::sync::{Arc, Mutex, PoisonError};

use super::{Record, Snapshot, Store};
use crate::control::Error;

/// A store that lives as long as the process. Clones share what they hold, so
/// that it outlives one control and serves the next.
#[derive(Clone, Debug, Default)]
pub(in crate::control) struct MemoryStore(Arc<Mutex<Snapshot>>);

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
