//! The routes that should be in force, from subscriptions and the keys in their Secrets.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use datastream_routing::{BucketId, KeyHash, Route, SubscriptionId};

use super::Routes;
use crate::build;
use crate::validate::ValidSubscription;

/// What is known of a subscription.
#[derive(Clone, Debug)]
struct Known {
    uid: String,
    spec: Spec,
}

/// What is known of a subscription's spec.
#[derive(Clone, Debug)]
enum Spec {
    /// It is invalid.
    Invalid,
    /// It is valid, and there is no key to build a route with.
    Keyless(Box<ValidSubscription>),
    /// The route says it all.
    Routed,
}

/// A stream key, and whose it is.
#[derive(Clone, Debug, PartialEq, Eq)]
struct OwnedKey {
    owner_uid: String,
    hash: KeyHash,
}

/// The routes that should be in force.
///
/// A subscription that exists, but whose spec became invalid or whose key is missing for the moment, keeps its last
/// route: its stream goes on until there is something to replace it.
#[derive(Debug, Default)]
pub(super) struct Desired {
    subscriptions: BTreeMap<SubscriptionId, Known>,
    keys: BTreeMap<SubscriptionId, OwnedKey>,
    routes: BTreeMap<BucketId, Routes>,
    total: usize,
    dirty: BTreeSet<BucketId>,
}

impl Desired {
    /// A subscription as it is now; `valid` is absent if its spec is invalid.
    pub(super) fn set_subscription(
        &mut self,
        id: &SubscriptionId,
        uid: String,
        valid: Option<ValidSubscription>,
    ) {
        let spec = valid.map_or(Spec::Invalid, |valid| Spec::Keyless(Box::new(valid)));
        self.subscriptions.insert(id.clone(), Known { uid, spec });
        self.refresh(id);
    }

    /// The subscription is gone, or going.
    pub(super) fn remove_subscription(&mut self, id: &SubscriptionId) {
        self.subscriptions.remove(id);
        self.refresh(id);
    }

    /// The key that the subscription with this uid has now; absent if its Secret is gone or malformed.
    pub(super) fn set_key(&mut self, id: &SubscriptionId, key: Option<(String, KeyHash)>) {
        match key {
            Some((owner_uid, hash)) => {
                self.keys.insert(id.clone(), OwnedKey { owner_uid, hash });
            }
            None => {
                self.keys.remove(id);
            }
        }
        self.refresh(id);
    }

    /// Takes over a route that was published before this process began, for a subscription that cannot be routed now.
    pub(super) fn seed(&mut self, route: &Arc<Route>) {
        let known = self.subscriptions.get(&route.id);
        if known.is_some_and(|k| k.uid == route.uid) && self.route(&route.id).is_none() {
            self.put(route.clone());
        }
    }

    fn refresh(&mut self, id: &SubscriptionId) {
        let Some(known) = self.subscriptions.get_mut(id) else {
            self.take(id);
            return;
        };
        let routed = self.routes.get(&id.bucket()).and_then(|r| r.get(id));
        let key = self.keys.get(id).filter(|k| k.owner_uid == known.uid);
        let route = match (&known.spec, key) {
            (Spec::Keyless(valid), Some(key)) => Some(build::route(valid, key.hash)),
            (Spec::Routed, Some(key)) => routed.map(|route| Route {
                key_sha256: key.hash,
                ..Route::clone(route)
            }),
            _ => None,
        };
        if let Some(route) = route {
            known.spec = Spec::Routed;
            self.put(Arc::new(route));
        } else if routed.is_some_and(|r| r.uid != known.uid) {
            self.take(id);
        }
    }

    fn put(&mut self, route: Arc<Route>) {
        let bucket = route.id.bucket();
        let routes = self.routes.entry(bucket).or_default();
        if routes.get(&route.id) == Some(&route) {
            return;
        }
        self.total += usize::from(routes.insert(route.id.clone(), route).is_none());
        self.dirty.insert(bucket);
    }

    fn take(&mut self, id: &SubscriptionId) {
        let bucket = id.bucket();
        let removed = self.routes.get_mut(&bucket).and_then(|r| r.remove(id));
        if removed.is_some() {
            self.total -= 1;
            self.dirty.insert(bucket);
        }
    }

    /// The route of a subscription.
    pub(super) fn route(&self, id: &SubscriptionId) -> Option<&Arc<Route>> {
        self.routes.get(&id.bucket())?.get(id)
    }

    /// The routes of a bucket.
    pub(super) fn bucket(&self, id: BucketId) -> Routes {
        self.routes.get(&id).cloned().unwrap_or_default()
    }

    /// Identities of the subscriptions whose routes are in a bucket.
    pub(super) fn ids(&self, id: BucketId) -> impl Iterator<Item = &SubscriptionId> {
        self.routes.get(&id).into_iter().flat_map(BTreeMap::keys)
    }

    /// The buckets that hold a route, or held one.
    pub(super) fn buckets(&self) -> impl Iterator<Item = BucketId> {
        self.routes.keys().copied()
    }

    /// How many routes there are.
    pub(super) fn total(&self) -> usize {
        self.total
    }

    /// A bucket has to be looked at.
    pub(super) fn mark(&mut self, id: BucketId) {
        self.dirty.insert(id);
    }

    /// The buckets to look at, handed over.
    pub(super) fn take_dirty(&mut self) -> BTreeSet<BucketId> {
        std::mem::take(&mut self.dirty)
    }

    /// Whether there are buckets to look at.
    pub(super) fn is_dirty(&self) -> bool {
        !self.dirty.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use datastream_routing::{EventType, Heartbeat, Resume};
    use proptest::prelude::*;

    use super::*;

    fn valid(name: &str, uid: &str, generation: i64) -> ValidSubscription {
        ValidSubscription {
            id: SubscriptionId::new("team", name),
            uid: uid.to_owned(),
            generation,
            suspended: false,
            event_types: [EventType::Location].into_iter().collect(),
            filters: vec![],
            heartbeat: Heartbeat::default(),
            resume: Resume::Latest,
        }
    }

    #[derive(Clone, Debug)]
    enum Step {
        Set(u8, u8, i64),
        Invalid(u8, u8),
        Remove(u8),
        Key(u8, u8, u8),
        KeyGone(u8),
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            (0..4_u8, 0..2_u8, 0..3_i64).prop_map(|(n, u, g)| Step::Set(n, u, g)),
            (0..4_u8, 0..2_u8).prop_map(|(n, u)| Step::Invalid(n, u)),
            (0..4_u8).prop_map(Step::Remove),
            (0..4_u8, 0..2_u8, 0..3_u8).prop_map(|(n, u, k)| Step::Key(n, u, k)),
            (0..4_u8).prop_map(Step::KeyGone),
        ]
    }

    proptest! {
        #[test]
        fn every_subscription_with_a_key_of_its_own_is_routed_as_it_is_now(steps in prop::collection::vec(step(), 0..60)) {
            let mut desired = Desired::default();
            let mut subscriptions = BTreeMap::new();
            let mut keys = BTreeMap::new();
            for step in steps {
                match step {
                    Step::Set(n, u, g) => {
                        let valid = valid(&n.to_string(), &u.to_string(), g);
                        desired.set_subscription(&valid.id, valid.uid.clone(), Some(valid.clone()));
                        subscriptions.insert(valid.id.clone(), (valid.uid.clone(), Some(valid)));
                    }
                    Step::Invalid(n, u) => {
                        let id = SubscriptionId::new("team", n.to_string());
                        let before = desired.route(&id).cloned().filter(|r| r.uid == u.to_string());
                        desired.set_subscription(&id, u.to_string(), None);
                        prop_assert_eq!(desired.route(&id), before.as_ref());
                        subscriptions.insert(id, (u.to_string(), None));
                    }
                    Step::Remove(n) => {
                        let id = SubscriptionId::new("team", n.to_string());
                        desired.remove_subscription(&id);
                        subscriptions.remove(&id);
                    }
                    Step::Key(n, u, k) => {
                        let id = SubscriptionId::new("team", n.to_string());
                        let key = (u.to_string(), KeyHash::of(&k.to_string()));
                        desired.set_key(&id, Some(key.clone()));
                        keys.insert(id, key);
                    }
                    Step::KeyGone(n) => {
                        let id = SubscriptionId::new("team", n.to_string());
                        desired.set_key(&id, None);
                        keys.remove(&id);
                    }
                }
                for (id, (uid, valid)) in &subscriptions {
                    let key = keys.get(id).filter(|(owner, _)| owner == uid);
                    if let (Some(valid), Some((_, hash))) = (valid, key) {
                        prop_assert_eq!(desired.route(id).map(Arc::as_ref), Some(&build::route(valid, *hash)));
                    } else if let Some(route) = desired.route(id) {
                        prop_assert_eq!(&route.uid, uid);
                    }
                }
                let listed: usize = desired.buckets().map(|b| desired.ids(b).count()).sum();
                prop_assert_eq!(desired.total(), listed);
                let strangers = desired.buckets().flat_map(|b| desired.bucket(b).into_keys()).filter(|id| !subscriptions.contains_key(id)).count();
                prop_assert_eq!(strangers, 0);
            }
        }
    }

    #[test]
    fn an_invalid_edit_and_a_missing_key_keep_the_last_route() {
        let mut desired = Desired::default();
        let first = valid("a", "u", 1);
        desired.set_subscription(&first.id, "u".to_owned(), Some(first.clone()));
        desired.set_key(&first.id, Some(("u".to_owned(), KeyHash::of("k"))));
        let route = desired.route(&first.id).cloned();
        assert!(route.is_some());
        desired.set_subscription(&first.id, "u".to_owned(), None);
        desired.set_key(&first.id, None);
        assert_eq!(desired.route(&first.id), route.as_ref());
        // Another subscription of the same name does not inherit it.
        desired.set_subscription(&first.id, "v".to_owned(), None);
        assert_eq!(desired.route(&first.id), None);
        assert_eq!(desired.total(), 0);
    }
}
