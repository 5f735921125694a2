//! The last versions of every routing object, so that an acknowledged hash says which routes it stands for.

use std::collections::{BTreeMap, VecDeque};

use datastream_routing::{BucketHash, BucketId, Route, SubscriptionId};

/// How many versions of a bucket are remembered. A gateway that is further behind counts as holding none of it.
const VERSIONS: usize = 32;

/// What is published, and what was.
#[derive(Debug, Default)]
pub(super) struct History {
    buckets: BTreeMap<BucketId, Published>,
}

/// One routing object.
#[derive(Debug, Default)]
struct Published {
    /// The routes of the newest version, each with the version since which it has been exactly this.
    routes: BTreeMap<SubscriptionId, (Route, u64)>,
    versions: VecDeque<(BucketHash, u64)>,
    newest: u64,
    /// Of the last write or sight; what is older is an echo.
    resource_version: u64,
    /// The object was changed or deleted by someone else, who wrote this version (or one that nobody told).
    drifted: Option<u64>,
    /// What is being written right now.
    writing: Option<BucketHash>,
}

impl History {
    /// A bucket was written or found to hold exactly these routes.
    ///
    /// Returns the identities of routes that are new or changed.
    pub(super) fn record(
        &mut self,
        id: BucketId,
        hash: BucketHash,
        resource_version: u64,
        routes: impl IntoIterator<Item = Route>,
    ) -> Vec<SubscriptionId> {
        let bucket = self.buckets.entry(id).or_default();
        bucket.newest += 1;
        let version = bucket.newest;
        bucket.versions.push_back((hash, version));
        if bucket.versions.len() > VERSIONS {
            bucket.versions.pop_front();
        }
        let mut changed = vec![];
        let mut before = std::mem::take(&mut bucket.routes);
        for route in routes {
            let since = match before.remove(&route.id) {
                Some((old, since)) if old == route => since,
                _ => {
                    changed.push(route.id.clone());
                    version
                }
            };
            bucket.routes.insert(route.id.clone(), (route, since));
        }
        bucket.resource_version = bucket.resource_version.max(resource_version);
        bucket.writing = None;
        // What someone did after this write has to be undone all the same.
        bucket.drifted = bucket.drifted.filter(|version| *version > resource_version);
        changed
    }

    /// Someone sees the object in this state.
    ///
    /// Returns whether that is news: neither an echo of what was written here nor what is published anyway.
    pub(super) fn is_news(&self, id: BucketId, hash: BucketHash, resource_version: u64) -> bool {
        self.buckets.get(&id).is_none_or(|bucket| {
            let newest = bucket.versions.back().map(|v| v.0);
            resource_version > bucket.resource_version
                && newest != Some(hash)
                && bucket.writing != Some(hash)
        })
    }

    /// The object is not what was published: it has to be written again.
    pub(super) fn drifted(&mut self, id: BucketId, resource_version: u64) {
        self.buckets.entry(id).or_default().drifted = Some(resource_version);
    }

    /// The bucket is being written: its sight is no news, and what was wrong with it is dealt with.
    pub(super) fn begin(&mut self, id: BucketId, hash: BucketHash) {
        let bucket = self.buckets.entry(id).or_default();
        bucket.writing = Some(hash);
        bucket.drifted = None;
    }

    /// The write failed, or nobody knows whether it went through.
    pub(super) fn failed(&mut self, id: BucketId) {
        let bucket = self.buckets.entry(id).or_default();
        bucket.writing = None;
        bucket.drifted = Some(0);
    }

    /// Whether the object has to be written again.
    pub(super) fn has_drifted(&self, id: BucketId) -> bool {
        self.buckets.get(&id).is_some_and(|b| b.drifted.is_some())
    }

    /// A published route.
    pub(super) fn route(&self, id: &SubscriptionId) -> Option<&Route> {
        self.buckets.get(&id.bucket())?.routes.get(id).map(|r| &r.0)
    }

    /// Every published route of a bucket.
    pub(super) fn routes(&self, id: BucketId) -> impl Iterator<Item = &Route> {
        self.buckets
            .get(&id)
            .into_iter()
            .flat_map(|b| b.routes.values().map(|r| &r.0))
    }

    /// The buckets that were ever published.
    pub(super) fn buckets(&self) -> impl Iterator<Item = BucketId> {
        self.buckets.keys().copied()
    }

    /// How many routes are published.
    pub(super) fn total(&self) -> usize {
        self.buckets.values().map(|b| b.routes.len()).sum()
    }

    /// Whether the version of the bucket with this hash has the route of this subscription as it is published now.
    pub(super) fn holds(&self, hash: BucketHash, id: &SubscriptionId) -> bool {
        let Some(bucket) = self.buckets.get(&id.bucket()) else {
            return false;
        };
        let Some((_, since)) = bucket.routes.get(id) else {
            return false;
        };
        // The same bytes may have been published more than once: the newest time counts.
        let version = bucket.versions.iter().rev().find(|v| v.0 == hash);
        version.is_some_and(|(_, version)| version >= since)
    }
}

#[cfg(test)]
mod tests {
    use datastream_routing::{Bucket, EventType, Heartbeat, KeyHash, Resume};
    use proptest::prelude::*;

    use super::*;

    fn route(name: &str, generation: i64) -> Route {
        Route {
            id: SubscriptionId::new("team", name),
            uid: "u".to_owned(),
            generation,
            key_sha256: KeyHash::of("k"),
            suspended: false,
            event_types: [EventType::Location].into_iter().collect(),
            filters: vec![],
            heartbeat: Heartbeat::default(),
            resume: Resume::Latest,
        }
    }

    proptest! {
        /// Contents that come, go and come back: an acknowledged hash holds a route exactly if the content with that
        /// hash has it as it is published now.
        #[test]
        fn a_hash_holds_exactly_the_routes_of_its_content(
            contents in prop::collection::vec((0..3_i64, 0..3_i64), 1..20),
        ) {
            let (a, b) = (SubscriptionId::new("team", "a"), SubscriptionId::new("team", "b"));
            let id = a.bucket();
            let mut history = History::default();
            // Both routes are filed under one bucket; which one is of no concern to the history of `a`.
            let bytes = |(one, two): (i64, i64)| {
                BucketHash::of(&Bucket::new(id, vec![route("a", one), route("b", two)]).encode().unwrap())
            };
            let _ = b;
            for content in &contents {
                history.record(id, bytes(*content), 0, [route("a", content.0), route("b", content.1)]);
                let now = content.0;
                for acknowledged in &contents {
                    let published = contents.iter().any(|c| c == acknowledged);
                    prop_assert!(published);
                    if history.holds(bytes(*acknowledged), &a) {
                        prop_assert_eq!(acknowledged.0, now);
                    }
                }
                prop_assert!(history.holds(bytes(*content), &a));
            }
        }
    }

    #[test]
    fn a_write_that_is_seen_before_it_is_confirmed_is_no_news() {
        let id = SubscriptionId::new("team", "a").bucket();
        let hash = |n: u8| BucketHash::of(&[n]);
        let mut history = History::default();
        history.record(id, hash(1), 1, []);
        history.begin(id, hash(2));
        assert!(!history.is_news(id, hash(2), 2));
        assert!(history.is_news(id, hash(3), 3));
        history.drifted(id, 3);
        history.record(id, hash(2), 2, []);
        assert!(history.has_drifted(id), "someone wrote after us");
        history.begin(id, hash(2));
        history.record(id, hash(2), 4, []);
        assert!(!history.has_drifted(id));
    }

    #[test]
    fn an_older_version_counts_for_routes_that_have_not_changed_since() {
        let id = SubscriptionId::new("team", "a").bucket();
        let hash = |n: u8| BucketHash::of(&[n]);
        let mut history = History::default();
        assert_eq!(
            history.record(id, hash(1), 5, [route("a", 1), route("b", 1)]),
            [route("a", 1).id, route("b", 1).id]
        );
        assert_eq!(
            history.record(id, hash(2), 6, [route("a", 1), route("b", 2)]),
            [route("b", 2).id]
        );
        assert!(history.holds(hash(1), &route("a", 1).id));
        assert!(!history.holds(hash(9), &route("a", 1).id));
        assert!(!history.is_news(id, hash(1), 5), "an echo of the first");
        assert!(
            history.is_news(id, hash(1), 7),
            "someone restored the first"
        );
        assert!(!history.is_news(id, hash(2), 8), "the same bytes");
    }
}
