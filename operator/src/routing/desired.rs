//! The routes that should be in force, from subscriptions and the keys in their Secrets.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque};
use std::sync::Arc;

use datastream_routing::{AccessRules, BucketId, KeyHash, Policies, Route, SubscriptionId, cost};

use super::Routes;
use super::admission::{Budget, Denied, Resource};
use super::checks::{Check, Checked, Checks};
use super::revocation::revokes;
use crate::access::AccessMode;
use crate::spec::ValidSubscription;
use crate::uid::Uid;

/// The order in which subscriptions that want the same are served: the older one first, by `metadata.creationTimestamp` in
/// seconds and `metadata.uid`.
pub(super) type Rank = (i64, Uid);

/// The parts of a subscription that are kept.
#[derive(Clone, Debug)]
struct Known {
    rank: Rank,
    spec: Spec,
}

impl Known {
    fn uid(&self) -> &Uid {
        &self.rank.1
    }
}

/// The spec of a subscription.
#[derive(Clone, Debug)]
enum Spec {
    /// It is invalid, or cannot be read.
    Invalid,
    /// It is valid, and not what the route says.
    Unrouted(Box<ValidSubscription>),
    /// The route says it all.
    Routed,
}

/// The stream key in a subscription's Secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObservedKey {
    /// The uid of the subscription that owns the Secret; absent if none does.
    pub owner_uid: Option<Uid>,
    /// The hash of the key.
    pub hash: KeyHash,
    /// The hash of the key before it, as long as that is good.
    pub previous: Option<Box<KeyHash>>,
}

/// A subscription that is not routed as it asks, and what it waits for.
#[derive(Debug)]
struct Denial {
    reason: Denied,
    /// Absent if it is nothing that another subscription could give up.
    resource: Option<Resource>,
    rank: Rank,
}

/// The routes that should be in force.
///
/// - A subscription that exists, but whose spec became invalid or cannot be read, keeps its last route.
/// - A key is in force only while the Secret of its subscription holds it: who deletes the Secret revokes the key at once,
///   whether or not there can be a new one.
/// - A key belongs to one subscription, the first that is routed with it.
/// - A subscription that asks for more than the access rules of its namespace allow keeps what it had, if it may; otherwise its route
///   says that it is denied. If subscriptions are narrowed instead, gateways leave out what is denied.
/// - A subscription beyond those that its namespace may have is not taken in, and filters that cost more than the budget are not; what is in force is not taken back.
/// - A namespace that cannot be listed keeps the routes that it had, until it can be.
#[derive(Debug, Default)]
pub(super) struct Desired {
    budget: Budget,
    access: Policies,
    access_mode: AccessMode,
    checks: Checks,
    /// True once everything is known that routes depend on. Before, there are none.
    settled: bool,
    /// Namespaces of which nothing can be known yet.
    unlisted: HashSet<Arc<str>>,
    subscriptions: HashMap<SubscriptionId, Known>,
    keys: HashMap<SubscriptionId, ObservedKey>,
    routes: BTreeMap<BucketId, Routes>,
    /// The subscription that is routed with a key.
    holders: HashMap<KeyHash, SubscriptionId>,
    /// The cost of the routes of a namespace, if it is not zero.
    costs: HashMap<Arc<str>, u64>,
    /// The number of routes of a namespace, if it is not zero.
    counts: HashMap<Arc<str>, u32>,
    denied: BTreeMap<SubscriptionId, Denial>,
    /// Subscriptions that do not get all that they ask for, and what access rules deny.
    narrowed: HashMap<SubscriptionId, Box<str>>,
    /// Subscriptions that were denied because of something that others have, in the order in which they are to get it.
    waiting: HashMap<Resource, BTreeSet<(Rank, SubscriptionId)>>,
    /// Subscriptions to look at again because of something that others gave up.
    again: VecDeque<SubscriptionId>,
    total: usize,
    dirty: BTreeSet<BucketId>,
    /// Those of them out of which somebody is to be kept.
    hurried: BTreeSet<BucketId>,
}

impl Desired {
    /// No routes, and never more than this budget allows.
    pub(super) fn new(budget: Budget, access_mode: AccessMode) -> Self {
        Self {
            budget,
            access_mode,
            ..Self::default()
        }
    }

    /// Puts access rules in force. Returns the subscriptions that have others than before, each of which is to be [looked at
    /// again](Self::look_again).
    pub(super) fn set_access(&mut self, rules: Arc<AccessRules>) -> Vec<SubscriptionId> {
        let namespaces: BTreeSet<_> = self.subscriptions.keys().map(|id| &id.namespace).collect();
        let before: Vec<_> = namespaces
            .into_iter()
            .map(|namespace| (namespace.clone(), self.access.of(namespace)))
            .collect();
        self.access.set(rules);
        let changed = before
            .into_iter()
            .filter(|(namespace, policy)| self.access.of(namespace) != *policy);
        let changed: HashSet<_> = changed.map(|(namespace, _)| namespace).collect();
        let ids = self.subscriptions.keys();
        let ids = ids.filter(|id| changed.contains(&id.namespace));
        let mut ids: Vec<_> = ids.cloned().collect();
        ids.sort();
        ids
    }

    /// The checks that a decision on this subscription may take, and whose results are not known, if it has this route.
    pub(super) fn unchecked(&mut self, id: &SubscriptionId, routed: Option<&Route>) -> Vec<Check> {
        let Some(policy) = self.access.of(&id.namespace) else {
            return vec![];
        };
        let known = self.subscriptions.get(id);
        let wanted = known.and_then(|known| match &known.spec {
            Spec::Unrouted(valid) => Some((valid.event_types, &valid.filters)),
            Spec::Invalid | Spec::Routed => None,
        });
        let routed = routed.filter(|route| known.is_some_and(|known| known.uid().is(&route.uid)));
        let routed = routed.map(|route| (route.event_types, &route.filters));
        let routed = routed.filter(|routed| Some(*routed) != wanted);
        let asked = [wanted, routed].into_iter().flatten();
        asked
            .filter_map(|(types, filters)| self.checks.missing(id, &policy, types, filters))
            .collect()
    }

    /// The check that a decision on a subscription takes that will be as it is here, if its result is not known.
    pub(super) fn unchecked_form(&mut self, valid: &ValidSubscription) -> Option<Check> {
        let policy = self.access.of(&valid.id.namespace)?;
        self.checks
            .missing(&valid.id, &policy, valid.event_types, &valid.filters)
    }

    /// Keeps the result of a check. A decision on its subscription has to follow: it forgets the results of one that is gone.
    pub(super) fn remember(&mut self, checked: Checked) {
        self.checks.remember(checked);
    }

    /// Identities of the subscriptions that are known, of one namespace or of all.
    pub(super) fn known(&self, namespace: Option<&str>) -> Vec<SubscriptionId> {
        let ids = self.subscriptions.keys();
        let ids = ids.filter(|id| namespace.is_none_or(|of| id.namespace.as_ref() == of));
        ids.cloned().collect()
    }

    /// Decides on a subscription by the access rules in force.
    pub(super) fn look_again(&mut self, id: &SubscriptionId) {
        self.refresh(id);
    }

    /// A subscription as it is now; `valid` is absent if its spec is invalid or cannot be read.
    pub(super) fn set_subscription(
        &mut self,
        id: &SubscriptionId,
        rank: Rank,
        valid: Option<ValidSubscription>,
    ) {
        let spec = valid.map_or(Spec::Invalid, |valid| Spec::Unrouted(Box::new(valid)));
        self.subscriptions.insert(id.clone(), Known { rank, spec });
        self.refresh(id);
    }

    /// The subscription is gone, or going.
    pub(super) fn remove_subscription(&mut self, id: &SubscriptionId) {
        self.subscriptions.remove(id);
        self.checks.forget(id);
        self.refresh(id);
    }

    /// The key in the subscription's Secret now; absent if its Secret is gone or has none.
    pub(super) fn set_key(&mut self, id: &SubscriptionId, key: Option<ObservedKey>) {
        match key {
            Some(key) => self.keys.insert(id.clone(), key),
            None => self.keys.remove(id),
        };
        self.refresh(id);
    }

    /// Notes that nothing is known of this namespace until it [is listed](Self::listed).
    pub(super) fn set_unlisted(&mut self, namespace: Arc<str>) {
        self.unlisted.insert(namespace);
    }

    /// All that there is in this namespace is known now: what is not there any more, or has another key, ends.
    pub(super) fn listed(&mut self, namespace: &str) {
        if !self.unlisted.remove(namespace) || !self.settled {
            return;
        }
        let routed = self.routes.values().flat_map(BTreeMap::keys);
        let gone = routed.filter(|id| !self.subscriptions.contains_key(id));
        let mut all: Vec<_> = gone.map(|id| (None, id.clone())).collect();
        let known = self.subscriptions.iter();
        all.extend(known.map(|(id, known)| (Some(known.rank.clone()), id.clone())));
        all.retain(|(_, id)| id.namespace.as_ref() == namespace);
        // Those that are gone give up what others may want.
        all.sort();
        for (_, id) in all {
            self.refresh(&id);
        }
    }

    /// Everything is known now, but for what is in unlisted namespaces. The routes that were published before this process began are those in force.
    ///
    /// This is one piece: the older ones of all that want the same are to get it, also before those that come or change meanwhile. What
    /// takes long of it, the checks, can be [made](Self::unchecked) before.
    pub(super) fn settle<'a>(&mut self, published: impl Iterator<Item = &'a Arc<Route>>) {
        self.settled = true;
        let subscriptions = &self.subscriptions;
        self.checks.keep(|id| subscriptions.contains_key(id));
        let mut published: Vec<_> = published
            .filter_map(|route| {
                if self.unlisted.contains(&route.id.namespace) {
                    return Some((Rank::default(), route.clone()));
                }
                let known = self.subscriptions.get(&route.id)?;
                let key = self.keys.get(&route.id)?;
                // The key may have been replaced, and the route not yet.
                let is_key = [Some(key.hash), key.previous.as_deref().copied()]
                    .contains(&Some(route.key_sha256));
                let is_good = known.uid().is(&route.uid) && is_key;
                is_good.then(|| (known.rank.clone(), route.clone()))
            })
            .collect();
        published.sort_by(|a, b| (&a.0, &a.1.id).cmp(&(&b.0, &b.1.id)));
        for (_, route) in published {
            if !self.holders.contains_key(&route.key_sha256) {
                self.put(route);
            }
        }
        let mut all: Vec<_> = self
            .subscriptions
            .iter()
            .map(|(id, known)| (known.rank.clone(), id.clone()))
            .collect();
        all.sort();
        for (_, id) in all {
            self.refresh(&id);
        }
    }

    /// Decides on a subscription, and on those that wait for what it gives up.
    fn refresh(&mut self, id: &SubscriptionId) {
        if !self.settled {
            return;
        }
        self.decide(id);
        while let Some(next) = self.again.pop_front() {
            self.decide(&next);
        }
    }

    fn decide(&mut self, id: &SubscriptionId) {
        if !self.subscriptions.contains_key(id) {
            self.checks.forget(id);
        }
        if self.unlisted.contains(&id.namespace) {
            return;
        }
        self.forget_denial(id);
        self.narrowed.remove(id);
        let Some(known) = self.subscriptions.get(id) else {
            self.take(id);
            return;
        };
        let rank = known.rank.clone();
        let routed = self.route(id).filter(|r| known.uid().is(&r.uid)).cloned();
        let observed = self.keys.get(id);
        let owned = observed.filter(|k| k.owner_uid.as_ref() == Some(known.uid()));
        let is_owned = owned.is_some();
        let wanted = match (&known.spec, owned) {
            (Spec::Unrouted(valid), Some(key)) => Some(Route {
                previous_key_sha256: self.previous_key(id, key),
                ..valid.route(key.hash)
            }),
            (Spec::Invalid | Spec::Routed, Some(_)) => self.kept(id, routed.as_deref()),
            // Not its own Secret (any more): the key is not revoked, and there is nothing to change.
            (_, None) => observed.zip(routed.as_deref()).and_then(|(key, route)| {
                let still = route
                    .previous_key_sha256
                    .filter(|k| key.previous.as_deref() == Some(k));
                (key.hash == route.key_sha256).then(|| Route {
                    previous_key_sha256: still,
                    denied: None,
                    ..route.clone()
                })
            }),
        };
        let is_invalid = matches!(known.spec, Spec::Invalid);
        let Some(mut wanted) = wanted else {
            if is_invalid {
                self.checks.forget(id);
            }
            self.take(id);
            return;
        };
        if let Some(by) = self.holders.get(&wanted.key_sha256).filter(|by| *by != id) {
            let (by, key) = (by.clone(), Resource::Key(wanted.key_sha256));
            self.deny(id, rank, Denied::KeyInUse { by }, Some(key));
            self.take(id);
            return;
        }
        if let Some(limit) = self.budget.subscriptions
            && self.route(id).is_none()
            && self.counts.get(&id.namespace) >= Some(&limit.get())
        {
            let one = Resource::Subscription(id.namespace.clone());
            self.deny(id, rank, Denied::TooMany { limit }, Some(one));
            return;
        }
        if let Some(denied) = self.too_costly(&wanted, routed.as_deref()) {
            let budget = Resource::Budget(id.namespace.clone());
            self.deny(id, rank, denied, Some(budget));
            match self.kept(id, routed.as_deref()) {
                Some(mut kept) => {
                    kept.denied = self.refusal(&kept);
                    self.put(Arc::new(kept));
                }
                None => self.take(id),
            }
            return;
        }
        if let Some(reason) = self.refusal(&wanted) {
            self.deny(id, rank, Denied::Access(reason.clone()), None);
            let kept = self.kept(id, routed.as_deref());
            if let Some(kept) = kept.filter(|kept| *kept != wanted)
                && self.refusal(&kept).is_none()
            {
                self.put(Arc::new(kept));
                return;
            }
            wanted.denied = Some(reason);
        }
        if is_owned
            && let Some(known) = self.subscriptions.get_mut(id)
            && matches!(known.spec, Spec::Unrouted(_))
        {
            known.spec = Spec::Routed;
        }
        self.put(Arc::new(wanted));
    }

    /// The key before that a subscription may have: one that was another one's before it was this one's is the other one's.
    fn previous_key(&self, id: &SubscriptionId, key: &ObservedKey) -> Option<KeyHash> {
        let is_free = |hash: &KeyHash| self.holders.get(hash).is_none_or(|by| by == id);
        key.previous.as_deref().copied().filter(is_free)
    }

    /// The route in force of a subscription, with the key that it has now.
    fn kept(&self, id: &SubscriptionId, routed: Option<&Route>) -> Option<Route> {
        let key = self.keys.get(id)?;
        Some(Route {
            key_sha256: key.hash,
            previous_key_sha256: self.previous_key(id, key),
            denied: None,
            ..routed?.clone()
        })
    }

    /// Returns what access rules deny of a route, if its stream is to be refused for that. Notes it where streams are narrowed instead.
    fn refusal(&mut self, route: &Route) -> Option<Box<str>> {
        let Some(policy) = self.access.of(&route.id.namespace) else {
            self.checks.forget(&route.id);
            return None;
        };
        let (types, filters) = (route.event_types, &route.filters);
        let text = self.checks.denial(&route.id, &policy, types, filters)?;
        if self.access_mode == AccessMode::Narrow {
            self.narrowed.insert(route.id.clone(), text);
            return None;
        }
        Some(text)
    }

    /// Returns why a route may not be taken in, if it costs more than the one that is in force.
    fn too_costly(&self, wanted: &Route, routed: Option<&Route>) -> Option<Denied> {
        let before = routed.map_or(0, |route| cost(&route.filters));
        let cost = cost(&wanted.filters);
        if cost <= before {
            return None;
        }
        let all = self.costs.get(&wanted.id.namespace).copied();
        let others = all.unwrap_or_default().saturating_sub(before);
        self.budget.check(cost, others)
    }

    fn deny(
        &mut self,
        id: &SubscriptionId,
        rank: Rank,
        reason: Denied,
        resource: Option<Resource>,
    ) {
        if let Some(resource) = &resource {
            let waiting = self.waiting.entry(resource.clone()).or_default();
            waiting.insert((rank.clone(), id.clone()));
        }
        let denial = Denial {
            reason,
            resource,
            rank,
        };
        self.denied.insert(id.clone(), denial);
    }

    fn forget_denial(&mut self, id: &SubscriptionId) {
        let Some(denial) = self.denied.remove(id) else {
            return;
        };
        let Some(resource) = denial.resource else {
            return;
        };
        if let Some(waiting) = self.waiting.get_mut(&resource) {
            waiting.remove(&(denial.rank, id.clone()));
            if waiting.is_empty() {
                self.waiting.remove(&resource);
            }
        }
    }

    /// Gives up a resource; subscriptions that wait for it are looked at again.
    fn give_up(&mut self, resource: &Resource) {
        let waiting = self.waiting.get(resource).into_iter().flatten();
        self.again.extend(waiting.map(|(_, id)| id.clone()));
    }

    fn put(&mut self, route: Arc<Route>) {
        let bucket = route.id.bucket();
        let routes = self.routes.entry(bucket).or_default();
        if routes.get(&route.id) == Some(&route) {
            return;
        }
        let before = routes.insert(route.id.clone(), route.clone());
        self.total += usize::from(before.is_none());
        self.dirty.insert(bucket);
        self.account(before.as_deref(), Some(&route));
    }

    fn take(&mut self, id: &SubscriptionId) {
        let bucket = id.bucket();
        let removed = self.routes.get_mut(&bucket).and_then(|r| r.remove(id));
        let Some(removed) = removed else { return };
        self.total -= 1;
        self.dirty.insert(bucket);
        self.account(Some(&removed), None);
        if let Some(known) = self.subscriptions.get_mut(id)
            && matches!(known.spec, Spec::Routed)
        {
            known.spec = Spec::Unrouted(Box::new(ValidSubscription::of_route(&removed)));
        }
    }

    /// Keeps the books on keys and costs when a route takes another one's place.
    fn account(&mut self, before: Option<&Route>, now: Option<&Route>) {
        let Some(id) = now.or(before).map(|route| route.id.clone()) else {
            return;
        };
        if before.is_some_and(|before| revokes(before, now)) {
            self.hurried.insert(id.bucket());
        }
        let cost_of = |route: Option<&Route>| route.map_or(0, |r| cost(&r.filters));
        for hash in before.into_iter().flat_map(Route::keys) {
            let stays = now.is_some_and(|route| route.keys().any(|key| key == hash));
            if !stays && self.holders.get(&hash) == Some(&id) {
                self.holders.remove(&hash);
                self.give_up(&Resource::Key(hash));
            }
        }
        for hash in now.into_iter().flat_map(Route::keys) {
            self.holders.entry(hash).or_insert_with(|| id.clone());
        }
        match (before, now) {
            (None, Some(_)) => *self.counts.entry(id.namespace.clone()).or_default() += 1,
            (Some(_), None) => {
                let count = self.counts.entry(id.namespace.clone()).or_default();
                *count = count.saturating_sub(1);
                if *count == 0 {
                    self.counts.remove(&id.namespace);
                }
                self.give_up(&Resource::Subscription(id.namespace.clone()));
            }
            _ => (),
        }
        let (cost_before, cost_now) = (cost_of(before), cost_of(now));
        if cost_before != cost_now {
            let total = self.costs.entry(id.namespace.clone()).or_default();
            *total = total.saturating_add(cost_now).saturating_sub(cost_before);
            if *total == 0 {
                self.costs.remove(&id.namespace);
            }
        }
        if cost_now < cost_before {
            self.give_up(&Resource::Budget(id.namespace));
        }
    }

    /// The reason for which a subscription is not routed as it asks, although it is valid and has a key.
    pub(super) fn denied(&self, id: &SubscriptionId) -> Option<&Denied> {
        self.denied.get(id).map(|denial| &denial.reason)
    }

    /// Returns what access rules deny of what a subscription asks for, if it gets the rest.
    pub(super) fn narrowed(&self, id: &SubscriptionId) -> Option<&str> {
        self.narrowed.get(id).map(AsRef::as_ref)
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

    /// The number of routes.
    pub(super) fn total(&self) -> usize {
        self.total
    }

    /// A bucket has to be looked at.
    pub(super) fn mark(&mut self, id: BucketId) {
        self.dirty.insert(id);
    }

    /// A bucket has to be looked at, and somebody to be kept out of it.
    pub(super) fn hurry(&mut self, id: BucketId) {
        self.dirty.insert(id);
        self.hurried.insert(id);
    }

    /// A bucket is looked at.
    pub(super) fn looked_at(&mut self, id: BucketId) {
        self.dirty.remove(&id);
        self.hurried.remove(&id);
    }

    /// The buckets to look at.
    pub(super) fn dirty(&self) -> impl Iterator<Item = BucketId> {
        self.dirty.iter().copied()
    }

    /// The buckets out of which somebody is to be kept.
    pub(super) fn hurried(&self) -> impl Iterator<Item = BucketId> {
        self.hurried.iter().copied()
    }

    /// Returns whether somebody is to be kept out of a bucket.
    pub(super) fn is_hurried(&self, id: BucketId) -> bool {
        self.hurried.contains(&id)
    }
}

#[cfg(test)]
mod tests;
