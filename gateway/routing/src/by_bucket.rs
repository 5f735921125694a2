//! A map of subscriptions by bucket, so that a change of one bucket is a matter of its subscriptions alone.

use std::collections::HashMap;

use crate::bucket_id::{BUCKETS, BucketId};
use crate::id::SubscriptionId;

/// One value for each of some subscriptions.
#[derive(Clone, Debug)]
pub struct ByBucket<V> {
    buckets: Vec<HashMap<SubscriptionId, V>>,
    len: usize,
}

impl<V> Default for ByBucket<V> {
    fn default() -> Self {
        Self {
            buckets: (0..BUCKETS).map(|_| HashMap::new()).collect(),
            len: 0,
        }
    }
}

impl<V> ByBucket<V> {
    /// Number of subscriptions.
    pub const fn len(&self) -> usize {
        self.len
    }

    /// Returns whether there is none.
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The value of a subscription.
    pub fn get(&self, id: &SubscriptionId) -> Option<&V> {
        self.bucket(id.bucket()).get(id)
    }

    /// Sets the value of a subscription, and returns the one before.
    pub fn insert(&mut self, id: SubscriptionId, value: V) -> Option<V> {
        let before = self.buckets[usize::from(id.bucket().0)].insert(id, value);
        self.len += usize::from(before.is_none());
        before
    }

    /// Takes the value of a subscription out.
    pub fn remove(&mut self, id: &SubscriptionId) -> Option<V> {
        let removed = self.buckets[usize::from(id.bucket().0)].remove(id);
        self.len -= usize::from(removed.is_some());
        removed
    }

    /// All values, in no order.
    pub fn values(&self) -> impl Iterator<Item = &V> {
        self.buckets.iter().flat_map(HashMap::values)
    }

    /// The subscriptions of one bucket with their values.
    pub fn bucket(&self, id: BucketId) -> &HashMap<SubscriptionId, V> {
        &self.buckets[usize::from(id.0)]
    }
}
