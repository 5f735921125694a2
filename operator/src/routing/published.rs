//! The last versions of every routing object, so that an acknowledged hash says which routes it stands for.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use datastream_routing::{BucketHash, BucketId, Route, SubscriptionId};

use super::Routes;

/// Number of versions of a bucket that are remembered. A gateway that is further behind counts as holding none of it.
const VERSIONS: usize = 32;

/// The routes that are published, and the versions before.
#[derive(Debug, Default)]
pub(super) struct Published {
    buckets: BTreeMap<BucketId, PublishedBucket>,
}

/// One routing object.
#[derive(Debug, Default)]
struct PublishedBucket {
    /// The routes of the newest version, each with the version since which it has been exactly this.
    routes: BTreeMap<SubscriptionId, (Arc<Route>, u64)>,
    versions: VecDeque<(BucketHash, u64)>,
    newest: u64,
    /// Version of the last write or observation; what is older is an echo.
    resource_version: u64,
    /// The object was changed or deleted by someone else, who wrote this version (0: unknown).
    drifted: Option<u64>,
    /// The version that is being written, or whose write failed: gateways may hold it before the API server's answer is here, or although
    /// there was none.
    writing: Option<(BucketHash, Routes)>,
    /// The last version whose write failed, while another one is being written: gateways may hold it until they have that one.
    unanswered: Option<(BucketHash, Routes)>,
}

impl Published {
    /// Notes that a bucket holds exactly these routes.
    pub(super) fn found(
        &mut self,
        id: BucketId,
        hash: BucketHash,
        resource_version: u64,
        routes: Routes,
    ) {
        let bucket = self.buckets.entry(id).or_default();
        bucket.record(hash, resource_version, routes);
    }

    /// Notes that the version that [began](Published::begin) is written.
    ///
    /// Returns the identities of routes that are new or changed.
    pub(super) fn wrote(&mut self, id: BucketId, resource_version: u64) -> Vec<SubscriptionId> {
        let bucket = self.buckets.entry(id).or_default();
        let Some((hash, routes)) = bucket.writing.take() else {
            return vec![];
        };
        // Gateways that hold what came before have the routes that are the same in both.
        let mut changed = match bucket.unanswered.take() {
            Some((hash, routes)) => bucket.record(hash, resource_version, routes),
            None => vec![],
        };
        changed.extend(bucket.record(hash, resource_version, routes));
        changed.sort();
        changed.dedup();
        changed
    }

    /// Checks an observed state of the object.
    ///
    /// Returns whether that is a change: neither an echo of what was written here nor what is published anyway.
    pub(super) fn is_change(&self, id: BucketId, hash: BucketHash, resource_version: u64) -> bool {
        self.buckets.get(&id).is_none_or(|bucket| {
            let newest = bucket.versions.back().map(|v| v.0);
            resource_version > bucket.resource_version
                && newest != Some(hash)
                && bucket
                    .writing
                    .as_ref()
                    .is_none_or(|(writing, _)| *writing != hash)
        })
    }

    /// Notes that the object is not what was published: it has to be written again.
    pub(super) fn drifted(&mut self, id: BucketId, resource_version: u64) {
        self.buckets.entry(id).or_default().drifted = Some(resource_version);
    }

    /// Notes that the bucket is being written: its content is no change when it is observed, and a drift is over.
    pub(super) fn begin(&mut self, id: BucketId, hash: BucketHash, routes: Routes) {
        let bucket = self.buckets.entry(id).or_default();
        let failed = bucket.writing.replace((hash, routes));
        if let Some(failed) = failed.filter(|(before, _)| *before != hash) {
            bucket.unanswered = Some(failed);
        }
        bucket.drifted = None;
    }

    /// Notes that the write failed, or that its outcome is unknown: it is to be repeated, and gateways may hold what was written.
    pub(super) fn failed(&mut self, id: BucketId) {
        self.buckets.entry(id).or_default().drifted = Some(0);
    }

    /// Returns whether the object has to be written again.
    pub(super) fn has_drifted(&self, id: BucketId) -> bool {
        self.buckets.get(&id).is_some_and(|b| b.drifted.is_some())
    }

    /// A published route.
    pub(super) fn route(&self, id: &SubscriptionId) -> Option<&Arc<Route>> {
        self.buckets.get(&id.bucket())?.routes.get(id).map(|r| &r.0)
    }

    /// Every published route of a bucket.
    pub(super) fn routes(&self, id: BucketId) -> impl Iterator<Item = &Arc<Route>> {
        self.buckets
            .get(&id)
            .into_iter()
            .flat_map(|b| b.routes.values().map(|r| &r.0))
    }

    /// Takes over the routes of others that are the same, so that each is held once.
    pub(super) fn share<'a>(
        &mut self,
        id: BucketId,
        others: impl Fn(&SubscriptionId) -> Option<&'a Arc<Route>>,
    ) {
        let Some(bucket) = self.buckets.get_mut(&id) else {
            return;
        };
        for (id, (route, _)) in &mut bucket.routes {
            if let Some(same) = others(id).filter(|other| *other == route) {
                *route = same.clone();
            }
        }
    }

    /// The buckets that were ever published.
    pub(super) fn buckets(&self) -> impl Iterator<Item = BucketId> {
        self.buckets.keys().copied()
    }

    /// Returns whether the bucket was ever published, or should be there.
    pub(super) fn knows(&self, id: BucketId) -> bool {
        self.buckets.contains_key(&id)
    }

    /// Returns whether nothing was ever published.
    pub(super) fn is_empty(&self) -> bool {
        self.buckets.is_empty()
    }

    /// Returns the number of published routes.
    pub(super) fn total(&self) -> usize {
        self.buckets.values().map(|b| b.routes.len()).sum()
    }

    /// Returns whether the version of the bucket with this hash has the route of this subscription as it is published now.
    pub(super) fn holds(&self, hash: BucketHash, id: &SubscriptionId) -> bool {
        let Some(bucket) = self.buckets.get(&id.bucket()) else {
            return false;
        };
        let Some((route, since)) = bucket.routes.get(id) else {
            return false;
        };
        let mut begun = [&bucket.writing, &bucket.unanswered].into_iter().flatten();
        if let Some((_, routes)) = begun.find(|(begun, _)| *begun == hash) {
            return routes.get(id) == Some(route);
        }
        // The same bytes may have been published more than once: the newest time counts.
        let version = bucket.versions.iter().rev().find(|v| v.0 == hash);
        version.is_some_and(|(_, version)| version >= since)
    }
}

impl PublishedBucket {
    /// The object holds exactly these routes now. Returns the identities of routes that are new or changed.
    fn record(
        &mut self,
        hash: BucketHash,
        resource_version: u64,
        routes: Routes,
    ) -> Vec<SubscriptionId> {
        self.newest += 1;
        let version = self.newest;
        self.versions.push_back((hash, version));
        if self.versions.len() > VERSIONS {
            self.versions.pop_front();
        }
        let mut changed = vec![];
        let mut before = std::mem::take(&mut self.routes);
        for (id, route) in routes {
            let since = match before.remove(&id) {
                Some((old, since)) if old == route => since,
                _ => {
                    changed.push(id.clone());
                    version
                }
            };
            self.routes.insert(id, (route, since));
        }
        self.resource_version = self.resource_version.max(resource_version);
        // What someone did after this write has to be undone all the same.
        self.drifted = self.drifted.filter(|version| *version > resource_version);
        changed
    }
}

#[cfg(test)]
mod tests {
    use datastream_routing::{Bucket, KeyHash};
    use proptest::prelude::*;

    use super::*;

    fn route(name: &str, generation: i64) -> Route {
        Route {
            generation,
            ..Route::new(SubscriptionId::new("team", name), KeyHash::of("k"))
        }
    }

    fn routes(of: &[(&str, i64)]) -> Routes {
        of.iter()
            .map(|(name, generation)| route(name, *generation))
            .map(|r| (r.id.clone(), Arc::new(r)))
            .collect()
    }

    proptest! {
        /// Contents that come, go and come back, some of them without an answer: an acknowledged hash holds a route exactly if the content
        /// with that hash has it as it is published now.
        #[test]
        fn a_hash_holds_exactly_the_routes_of_its_content(
            writes in prop::collection::vec(((0..3_i64, 0..3_i64), any::<bool>()), 1..20),
        ) {
            let contents: Vec<_> = writes.iter().map(|(content, _)| *content).collect();
            let a = SubscriptionId::new("team", "a");
            let id = a.bucket();
            let mut objects = Published::default();
            // Both routes are filed under one bucket; which one is of no concern to the published of `a`.
            let bytes = |(one, two): (i64, i64)| {
                BucketHash::of(&Bucket::new(id, vec![route("a", one), route("b", two)]).encode().unwrap())
            };
            let mut published = None;
            for (content, fails) in &writes {
                objects.begin(id, bytes(*content), routes(&[("a", content.0), ("b", content.1)]));
                for acknowledged in &contents {
                    if objects.holds(bytes(*acknowledged), &a) {
                        prop_assert_eq!(Some(acknowledged.0), published);
                    }
                }
                prop_assert_eq!(objects.holds(bytes(*content), &a), published == Some(content.0));
                if *fails {
                    objects.failed(id);
                    prop_assert_eq!(objects.holds(bytes(*content), &a), published == Some(content.0));
                    continue;
                }
                objects.wrote(id, 0);
                let now = content.0;
                published = Some(now);
                for acknowledged in &contents {
                    if objects.holds(bytes(*acknowledged), &a) {
                        prop_assert_eq!(acknowledged.0, now);
                    }
                }
                prop_assert!(objects.holds(bytes(*content), &a));
            }
        }
    }

    #[test]
    fn a_write_observed_before_its_response_is_not_a_change() {
        let id = SubscriptionId::new("team", "a").bucket();
        let hash = |n: u8| BucketHash::of(&[n]);
        let mut published = Published::default();
        published.found(id, hash(1), 1, routes(&[]));
        published.begin(id, hash(2), routes(&[]));
        assert!(!published.is_change(id, hash(2), 2));
        assert!(published.is_change(id, hash(3), 3));
        published.drifted(id, 3);
        published.wrote(id, 2);
        assert!(published.has_drifted(id), "someone wrote after us");
        published.begin(id, hash(2), routes(&[]));
        published.wrote(id, 4);
        assert!(!published.has_drifted(id));
    }

    #[test]
    fn a_version_whose_write_failed_counts_for_routes_that_are_the_same_in_it() {
        let a = SubscriptionId::new("team", "a");
        let id = a.bucket();
        let hash = |n: u8| BucketHash::of(&[n]);
        let mut published = Published::default();
        published.begin(id, hash(1), routes(&[("a", 1), ("b", 1)]));
        published.wrote(id, 1);
        published.begin(id, hash(2), routes(&[("a", 1), ("b", 2)]));
        published.failed(id);
        let hold = |published: &Published, hashes: &[u8]| {
            hashes.iter().all(|n| published.holds(hash(*n), &a))
        };
        assert!(hold(&published, &[1, 2]) && published.has_drifted(id));
        assert!(!published.is_change(id, hash(2), 2), "it was done");
        // Other content is written: gateways have it one after the other.
        published.begin(id, hash(3), routes(&[("a", 1), ("b", 3)]));
        assert!(hold(&published, &[1, 2, 3]));
        assert!(published.is_change(id, hash(2), 4), "it was done late");
        assert_eq!(published.wrote(id, 3), [route("b", 3).id]);
        assert!(hold(&published, &[1, 2, 3]) && !published.has_drifted(id));
        // One in which the route is another one does not count.
        published.begin(id, hash(4), routes(&[("a", 2), ("b", 3)]));
        published.failed(id);
        published.begin(id, hash(5), routes(&[("a", 1), ("b", 3)]));
        assert!(!published.holds(hash(4), &a));
        published.wrote(id, 5);
        assert!(!published.holds(hash(4), &a) && published.holds(hash(5), &a));
    }

    #[test]
    fn an_older_version_counts_for_routes_unchanged_since() {
        let id = SubscriptionId::new("team", "a").bucket();
        let hash = |n: u8| BucketHash::of(&[n]);
        let mut published = Published::default();
        published.begin(id, hash(1), routes(&[("a", 1), ("b", 1)]));
        assert_eq!(published.wrote(id, 5), [route("a", 1).id, route("b", 1).id]);
        published.begin(id, hash(2), routes(&[("a", 1), ("b", 2)]));
        assert_eq!(published.wrote(id, 6), [route("b", 2).id]);
        assert!(published.holds(hash(1), &route("a", 1).id));
        assert!(!published.holds(hash(9), &route("a", 1).id));
        assert!(!published.is_change(id, hash(1), 5), "an echo of the first");
        assert!(
            published.is_change(id, hash(1), 7),
            "someone restored the first"
        );
        assert!(!published.is_change(id, hash(2), 8), "the same bytes");
    }
}
