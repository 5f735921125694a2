//! All routes that are in force, by the questions that sessions ask: whose key, and what of this subscription.

use std::collections::HashSet;
use std::sync::Arc;

use crate::bucket_id::{BUCKETS, BucketId};
use crate::id::SubscriptionId;
use crate::key::KeyHash;
use crate::key_shard::KeyShard;
use crate::route::Route;

/// Routes of one bucket, sorted by identity.
type Routes = Arc<[Arc<Route>]>;

/// Every route in force. Immutable: a change makes a new table, which shares all buckets with the one before that are the same.
#[derive(Clone, Debug)]
pub struct RouteTable {
    /// By number.
    buckets: Vec<Routes>,
    /// By the first byte of a key's hash.
    keys: Vec<Arc<KeyShard>>,
    len: usize,
}

impl Default for RouteTable {
    fn default() -> Self {
        Self {
            buckets: (0..BUCKETS).map(|_| Routes::default()).collect(),
            keys: (0..KeyShard::SHARDS).map(|_| Arc::default()).collect(),
            len: 0,
        }
    }
}

impl RouteTable {
    /// The table of these routes. Those that are shared already are not copied.
    pub fn from_routes<R: Into<Arc<Route>>>(routes: impl IntoIterator<Item = R>) -> Self {
        let mut buckets: Vec<Vec<Arc<Route>>> = (0..BUCKETS).map(|_| vec![]).collect();
        for route in routes {
            let route = route.into();
            buckets[usize::from(route.id.bucket().0)].push(route);
        }
        Self::default().with(BucketId::all().zip(buckets))
    }

    /// The table with these routes in some buckets instead of those that are there.
    #[must_use]
    pub fn with(&self, changed: impl IntoIterator<Item = (BucketId, Vec<Arc<Route>>)>) -> Self {
        let mut table = self.clone();
        let (mut gone, mut new) = (vec![], vec![]);
        for (id, mut routes) in changed {
            routes.sort_by(|a, b| a.id.cmp(&b.id));
            let bucket = &mut table.buckets[usize::from(id.0)];
            gone.extend(missing(bucket, &routes));
            new.extend(missing(&routes, bucket));
            table.len = table.len - bucket.len() + routes.len();
            *bucket = routes.into();
        }
        for route in &gone {
            for key in route.keys() {
                table.shard(&key).remove(&key, route);
            }
        }
        for route in &new {
            for key in route.keys() {
                table.shard(&key).insert(&key, route.clone());
            }
        }
        table
    }

    /// The shard of a key, which no other table shares from now on.
    fn shard(&mut self, key: &KeyHash) -> &mut KeyShard {
        Arc::make_mut(&mut self.keys[KeyShard::number(key)])
    }

    /// Number of routes.
    pub const fn len(&self) -> usize {
        self.len
    }

    /// Returns whether there is no route.
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// All routes, in no particular order.
    pub fn routes(&self) -> impl Iterator<Item = &Arc<Route>> {
        self.buckets.iter().flat_map(|routes| routes.iter())
    }

    /// The buckets with other routes than in another table.
    pub fn changed_since(&self, before: &Self) -> impl Iterator<Item = BucketId> {
        let pairs = self.buckets.iter().zip(&before.buckets);
        let changed = BucketId::all().zip(pairs);
        changed.filter_map(|(id, (now, before))| (!Arc::ptr_eq(now, before)).then_some(id))
    }

    /// The route that a key opens. Looked up by the key's SHA-256, so that timing reveals nothing about keys.
    pub fn by_key(&self, key: &KeyHash) -> Option<&Arc<Route>> {
        self.keys[KeyShard::number(key)].get(key)
    }

    /// The route of a subscription.
    pub fn by_id(&self, id: &SubscriptionId) -> Option<&Arc<Route>> {
        let routes = &self.buckets[usize::from(id.bucket().0)];
        let at = routes.binary_search_by(|route| route.id.cmp(id)).ok()?;
        Some(&routes[at])
    }
}

/// The routes of one list that are not in another one.
fn missing(of: &[Arc<Route>], from: &[Arc<Route>]) -> impl Iterator<Item = Arc<Route>> {
    let there: HashSet<_> = from.iter().map(Arc::as_ptr).collect();
    let routes = of.iter();
    routes
        .filter(move |route| !there.contains(&Arc::as_ptr(route)))
        .cloned()
}
