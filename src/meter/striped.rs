use std::collections::HashMap;
use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hash};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::limits::OCCUPANCY_STRIPES;

/// Numbers by key, for all shards: a key without one takes no memory. In parts
/// with a lock each, so that shards seldom meet; the hash is keyed, for peers
/// choose their addresses.
#[derive(Debug)]
pub(super) struct Striped<K, V> {
    hasher: RandomState,
    stripes: [Mutex<HashMap<K, V>>; OCCUPANCY_STRIPES],
}

impl<K: Eq + Hash, V> Striped<K, V> {
    /// The part that this key belongs to.
    pub(super) fn stripe(&self, key: &K) -> MutexGuard<'_, HashMap<K, V>> {
        let index = self.hasher.hash_one(key) as usize % OCCUPANCY_STRIPES;
        open(&self.stripes[index])
    }

    /// How many keys have a number.
    pub(super) fn len(&self) -> usize {
        self.stripes.iter().map(|stripe| open(stripe).len()).sum()
    }
}

/// A number is whole whenever the lock is free, whatever became of who held it.
fn open<T>(stripe: &Mutex<T>) -> MutexGuard<'_, T> {
    stripe.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<K, V> Default for Striped<K, V> {
    fn default() -> Self {
        Self {
            hasher: RandomState::new(),
            stripes: std::array::from_fn(|_| Mutex::default()),
        }
    }
}
