//! The identity of a subscription across operator, gateway and command line.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::bucket_id::{BUCKETS, BucketId};

/// Namespace and name of a `DatastreamSubscription`, ordered by namespace, then name. Many tables have it as their key: a clone
/// shares the text.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct SubscriptionId {
    /// The namespace of the object.
    pub namespace: Arc<str>,
    /// The name of the object.
    pub name: Arc<str>,
}

impl SubscriptionId {
    /// The identity of `namespace/name`.
    pub fn new(namespace: impl Into<Arc<str>>, name: impl Into<Arc<str>>) -> Self {
        Self {
            namespace: namespace.into(),
            name: name.into(),
        }
    }

    /// The bucket that holds this subscription's route: FNV-1a (64 bit) of `namespace/name`, modulo 256.
    ///
    /// The hash is part of the contract: both sides compute it, so it must never change within a format version.
    pub fn bucket(&self) -> BucketId {
        let bytes = self.namespace.bytes().chain(*b"/").chain(self.name.bytes());
        let hash = bytes.fold(0xcbf2_9ce4_8422_2325_u64, |h, b| {
            (h ^ u64::from(b)).wrapping_mul(0x0000_0100_0000_01b3)
        });
        BucketId((hash % u64::from(BUCKETS)) as u8)
    }
}

impl fmt::Display for SubscriptionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bucket_of_a_subscription_is_stable() {
        assert_eq!(
            SubscriptionId::new("default", "all-events").bucket(),
            BucketId(216)
        );
        assert_eq!(
            SubscriptionId::new("team-a", "leds").bucket(),
            BucketId(125)
        );
    }
}
