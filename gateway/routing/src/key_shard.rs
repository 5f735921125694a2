//! Routes by key: those of a 256th of all keys.

use std::sync::Arc;

use hashbrown::HashTable;

use crate::key::KeyHash;
use crate::route::Route;

/// The routes of the keys whose hashes begin with one byte.
#[derive(Clone, Debug, Default)]
pub(crate) struct KeyShard {
    /// A route is here once for each of its keys.
    routes: HashTable<(u32, Arc<Route>)>,
}

impl KeyShard {
    /// The number of shards.
    pub(crate) const SHARDS: usize = 256;

    /// The number of the shard with this key.
    pub(crate) const fn number(key: &KeyHash) -> usize {
        key.as_bytes()[0] as usize
    }

    /// The route that this key opens. The key of one route counts before what was that of another before.
    pub(crate) fn get(&self, key: &KeyHash) -> Option<&Arc<Route>> {
        let hash = hash(key);
        let is_current = |(_, route): &(u32, Arc<Route>)| route.key_sha256 == *key;
        let is_previous = |(_, route): &(u32, Arc<Route>)| route.previous_key_sha256 == Some(*key);
        let current = self.routes.find(spread(hash), is_current);
        let found = current.or_else(|| self.routes.find(spread(hash), is_previous));
        found.map(|(_, route)| route)
    }

    pub(crate) fn insert(&mut self, key: &KeyHash, route: Arc<Route>) {
        let hash = hash(key);
        self.routes
            .insert_unique(spread(hash), (hash, route), |(hash, _)| spread(*hash));
    }

    pub(crate) fn remove(&mut self, key: &KeyHash, route: &Arc<Route>) {
        let hash = hash(key);
        let is_it = |filed: &(u32, Arc<Route>)| filed.0 == hash && Arc::ptr_eq(&filed.1, route);
        if let Ok(entry) = self.routes.find_entry(spread(hash), is_it) {
            entry.remove();
        }
    }
}

/// A part of a hash: nobody can choose it, as it is part of a SHA-256 already.
const fn hash(key: &KeyHash) -> u32 {
    let bytes = key.as_bytes();
    u32::from_le_bytes([bytes[1], bytes[2], bytes[3], bytes[4]])
}

/// The 64 bits that a table of hashes takes, of which it uses the upper and the lower ones.
fn spread(hash: u32) -> u64 {
    u64::from(hash) << 32 | u64::from(hash)
}
