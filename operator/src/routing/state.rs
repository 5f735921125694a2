//! State of the publishing side: what should be published, what is, and who serves it. Every watch writes it and every reconcile
//! reads it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use datastream_crds::DatastreamSubscription;
use datastream_routing::{
    AccessRules, Bucket, BucketHash, BucketId, KeyHash, Route, SubscriptionId,
};
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::jiff::Timestamp;
use kube::ResourceExt as _;
use tokio::time::Instant;

use super::Routes;
use super::admission::{Budget, Denied};
use super::checks::{Check, Checked};
use super::desired::{Desired, ObservedKey, Rank};
use super::failing::Failing;
use super::gateways::{Affected, Gateways};
use super::packing::{Room, pack};
use super::published::Published;
use super::revocation::revokes;
use super::shrink_guard::ShrinkGuard;
use crate::access::AccessMode;
use crate::spec::ValidSubscription;
use crate::uid::Uid;

/// The state of a subscription's route.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Programmed {
    /// Every live gateway serves it.
    Everywhere {
        /// The number of live gateways.
        gateways: usize,
    },
    /// It is published, and not every live gateway has acknowledged it.
    Waiting {
        /// The number of those that have acknowledged it.
        holding: usize,
        /// The number of live gateways.
        gateways: usize,
        /// The Lease of the first that has not.
        missing: String,
    },
    /// It is published, but no gateway lives.
    NoGateways,
    /// It is published, and whether gateways live has yet to be seen.
    Unknown,
    /// It is about to be published.
    NotPublished {
        /// The last error, if it could not be.
        error: Option<String>,
    },
    /// Its bucket has no room for it, or for its newest form.
    BucketFull,
}

/// Kinds of objects that have been listed completely.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Synced {
    /// The subscriptions.
    Subscriptions = 1,
    /// The Secrets with stream keys.
    Keys = 2,
    /// The routing objects.
    Objects = 4,
    /// The Leases of the gateways.
    Gateways = 8,
    /// The claims of streams.
    Claims = 16,
    /// The access rules, and the namespaces that they select.
    Access = 32,
}

/// The longest time for which routes wait for the access rules that they follow from: revocations do not wait for rules that cannot be
/// written.
const RULES_FIRST: Duration = Duration::from_secs(5);

impl Synced {
    /// The kinds on which routes depend: they are published, and revoked, even if another kind cannot be listed.
    pub(crate) const PUBLISHABLE: [Self; 4] =
        [Self::Subscriptions, Self::Keys, Self::Objects, Self::Access];
}

const PUBLISHABLE: u8 = {
    let [a, b, c, d] = Synced::PUBLISHABLE;
    a as u8 | b as u8 | c as u8 | d as u8
};
/// All kinds. Statuses depend on them.
const COMPLETE: u8 = PUBLISHABLE | Synced::Gateways as u8 | Synced::Claims as u8;

/// A routing object to write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Write {
    /// The bucket that the object is for.
    pub bucket: BucketId,
    /// The bucket's content, encoded.
    pub bytes: Vec<u8>,
}

/// The two ways in which routing objects get written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lane {
    /// In rounds.
    Ordinary,
    /// At once: the object lets somebody in who is to be kept out.
    Urgent,
}

/// A routing object on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum InFlight {
    /// It waits for its turn, in which it is made of what is wanted by then.
    Planned(Lane),
    /// It is being written. If that fails, it is as urgent as it was.
    Begun { is_urgent: bool },
}

/// The routes of a bucket.
struct Content {
    published: Routes,
    wanted: Routes,
    /// Some of those that are wanted are only held back.
    holds_back: bool,
}

/// The writes that are due now, and when to look again.
#[derive(Debug, Default)]
pub struct Plan {
    /// The routing objects to write, each of which waits for its turn to [begin](RoutingState::begin).
    pub objects: Vec<BucketId>,
    /// The list of all routing objects, those to write included; absent if it is written.
    pub index: Option<BTreeSet<BucketId>>,
    /// The time at which removals that are held back are due.
    pub held_until: Option<Instant>,
    /// The time at which objects that could not be written are due.
    pub retry_at: Option<Instant>,
}

/// The state of the publishing side. Plain data, no I/O.
#[derive(Debug)]
pub struct RoutingState {
    desired: Desired,
    published: Published,
    gateways: Gateways,
    shrink_guard: ShrinkGuard,
    failing: Failing,
    /// The routing objects that are on their way, each once at a time.
    in_flight: BTreeMap<BucketId, InFlight>,
    synced: u8,
    /// Routes have been decided on, and may be published.
    is_settled: bool,
    /// The list of the routing objects as it is written; absent if there is none that can be read.
    index: Option<BTreeSet<BucketId>>,
    /// The list is to be written again, whatever is in it.
    is_index_old: bool,
    /// Time until which nothing is planned, because access rules are on their way.
    rules_pending_until: Option<Instant>,
    /// The access rules that the gateways have; absent if they have none.
    published_access: Option<BucketHash>,
    full: BTreeMap<SubscriptionId, BucketId>,
    room: Room,
}

/// The state, as every task has it.
#[derive(Clone, Debug)]
pub struct SharedRoutingState(Arc<Mutex<RoutingState>>);

impl SharedRoutingState {
    /// A state to share.
    pub fn new(state: RoutingState) -> Self {
        Self(Arc::new(Mutex::new(state)))
    }

    /// The state, for a moment: not to be held across an await.
    pub fn lock(&self) -> MutexGuard<'_, RoutingState> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl RoutingState {
    /// An empty state; a mass shrink is held back for `hold`, filters cost no more than `budget`, and what access rules deny is treated
    /// as this mode says.
    pub fn new(hold: Duration, budget: Budget, access_mode: AccessMode) -> Self {
        Self {
            desired: Desired::new(budget, access_mode),
            published: Published::default(),
            gateways: Gateways::default(),
            shrink_guard: ShrinkGuard::new(hold),
            failing: Failing::default(),
            in_flight: BTreeMap::new(),
            synced: 0,
            is_settled: false,
            index: None,
            is_index_old: false,
            rules_pending_until: None,
            published_access: None,
            full: BTreeMap::new(),
            room: Room::default(),
        }
    }

    /// A subscription as it is now, and its spec as it was checked: if it is absent, because it cannot be served, the subscription
    /// keeps the route that it has. One that is being deleted counts as gone.
    pub fn set_subscription(
        &mut self,
        subscription: &DatastreamSubscription,
        valid: Option<ValidSubscription>,
    ) {
        let id = valid.as_ref().map(|valid| valid.id.clone());
        let id = id.unwrap_or_else(|| id_of(subscription));
        if subscription.metadata.deletion_timestamp.is_some() {
            self.desired.remove_subscription(&id);
        } else {
            self.desired
                .set_subscription(&id, rank(subscription), valid);
        }
    }

    /// A subscription is gone.
    pub fn remove_subscription(&mut self, id: &SubscriptionId) {
        self.desired.remove_subscription(id);
    }

    /// The key in a subscription's Secret; absent if there is none.
    pub fn set_key(&mut self, id: &SubscriptionId, key: Option<ObservedKey>) {
        self.desired.set_key(id, key);
    }

    /// Puts access rules in force. Returns the subscriptions that are to be [looked at again](Self::look_again). Nothing is planned for a
    /// moment, so that gateways have the rules before the routes that follow from them.
    pub fn set_access(&mut self, rules: Arc<AccessRules>, now: Instant) -> Vec<SubscriptionId> {
        // Rules that change again and again, and cannot be written, hold nothing up for longer.
        self.rules_pending_until.get_or_insert(now + RULES_FIRST);
        self.desired.set_access(rules)
    }

    /// Decides on these subscriptions by the access rules in force.
    pub fn look_again(&mut self, ids: &[SubscriptionId]) {
        for id in ids {
            self.desired.look_again(id);
        }
    }

    /// The checks that decisions on these subscriptions take, and whose results are not known. They may take milliseconds each,
    /// and are made without the lock.
    pub fn unchecked(&mut self, ids: &[SubscriptionId]) -> Vec<Check> {
        let mut all = vec![];
        for id in ids {
            let routed = self.desired.route(id).or_else(|| self.published.route(id));
            let routed = routed.cloned();
            all.extend(self.desired.unchecked(id, routed.as_deref()));
        }
        all
    }

    /// The check that a subscription takes that will be as it is here, if its result is not known.
    pub fn unchecked_form(&mut self, valid: &ValidSubscription) -> Option<Check> {
        self.desired.unchecked_form(valid)
    }

    /// Keeps the result of a check, for the decision on its subscription that follows.
    pub fn remember(&mut self, checked: Checked) {
        self.desired.remember(checked);
    }

    /// Identities of the subscriptions that are known, of one namespace or of all.
    pub fn known(&self, namespace: Option<&str>) -> Vec<SubscriptionId> {
        self.desired.known(namespace)
    }

    /// The access rules in force are written.
    pub fn wrote_access(&mut self) {
        self.rules_pending_until = None;
    }

    /// Notes the encoded access rules that the gateways have.
    pub fn set_published_access(&mut self, bytes: Option<&[u8]>) {
        self.published_access = bytes.map(BucketHash::of);
    }

    /// Returns whether the gateways have these encoded access rules.
    pub fn is_access_published(&self, bytes: &[u8]) -> bool {
        self.published_access == Some(BucketHash::of(bytes))
    }

    /// Notes that nothing is known of this namespace until it is listed: it keeps the routes that it has.
    pub fn set_unlisted(&mut self, namespace: Arc<str>) {
        self.desired.set_unlisted(namespace);
    }

    /// All subscriptions and keys of a namespace that was unlisted are known now.
    pub fn listed(&mut self, namespace: &str) {
        self.desired.listed(namespace);
    }

    /// A routing object as someone sees it. What is neither published here nor an echo of it will be written again.
    pub fn set_object(&mut self, bucket: BucketId, resource_version: u64, bytes: &[u8]) {
        let hash = BucketHash::of(bytes);
        if !self.published.is_change(bucket, hash, resource_version) {
            return;
        }
        if self.is_synced(Synced::Objects) {
            tracing::warn!(%bucket, "the routing object was changed by someone else; writing it again");
            self.published.drifted(bucket, resource_version);
            // It may let in whom nobody wants in: a write of a key that is revoked since, which came late.
            self.desired.hurry(bucket);
        } else {
            match Bucket::decode(bytes) {
                Ok(found) if found.id == bucket => {
                    let routes = found.routes.into_iter().map(|mut route| {
                        route.shrink_to_fit();
                        (route.id.clone(), Arc::new(route))
                    });
                    self.published
                        .found(bucket, hash, resource_version, routes.collect());
                }
                result => {
                    let error = result
                        .err()
                        .map_or_else(|| "it is another bucket".to_owned(), |e| e.to_string());
                    tracing::warn!(%bucket, error, "the routing object cannot be read; writing it again");
                    self.published.drifted(bucket, resource_version);
                }
            }
        }
        self.desired.mark(bucket);
    }

    /// A routing object is gone: it will be written again.
    pub fn remove_object(&mut self, bucket: BucketId) {
        tracing::warn!(%bucket, "the routing object is gone; writing it again");
        self.published.drifted(bucket, u64::MAX);
        self.desired.mark(bucket);
    }

    /// The list of the routing objects says this (`None`: it is gone). One that it names and that is not there was deleted, maybe while
    /// no operator looked: it is written again, empty if nothing belongs into it any more, because gateways serve by the last content
    /// that they know until they get other content.
    pub fn set_index(&mut self, listed: Option<BTreeSet<BucketId>>) {
        self.expect(listed.iter().flatten().copied());
        self.index = listed;
    }

    /// Notes that the index of the routing objects cannot be read: each may have been there.
    pub fn set_unreadable_index(&mut self) {
        self.expect(BucketId::all());
        self.index = None;
    }

    /// The list of the routing objects is to be written again, whatever is in it.
    pub fn renew_index(&mut self) {
        self.is_index_old = true;
    }

    /// The list of the routing objects was written.
    pub fn wrote_index(&mut self, listed: BTreeSet<BucketId>) {
        self.is_index_old = false;
        self.index = Some(listed);
    }

    /// These routing objects should be there.
    fn expect(&mut self, buckets: impl Iterator<Item = BucketId>) {
        for bucket in buckets {
            if !self.published.knows(bucket) {
                self.published.drifted(bucket, 0);
                self.desired.mark(bucket);
            }
        }
    }

    /// A gateway's Lease as it is now.
    pub fn set_gateway(&mut self, lease: &Lease, now: Instant) -> Affected {
        self.gateways.set(lease, now, Timestamp::now())
    }

    /// A gateway's Lease is gone.
    pub fn remove_gateway(&mut self, lease: &str) -> Affected {
        self.gateways.remove(lease)
    }

    /// Stops counting gateways whose Leases have expired. Returns the names of those Leases, too.
    pub fn expire_gateways(&mut self, now: Instant) -> (Affected, Vec<String>) {
        self.gateways.expire(now)
    }

    /// The Leases of the gateways cannot be watched: none of them expires until they can be again.
    pub fn pause_gateways(&mut self) {
        self.gateways.pause();
    }

    /// The Leases of the gateways can be watched again.
    pub fn resume_gateways(&mut self, now: Instant) {
        self.gateways.resume(now);
    }

    /// Returns whether the gateway with this Lease lives, or may live.
    pub fn may_live(&self, lease: &str) -> bool {
        self.gateways.may_live(lease)
    }

    /// Returns the time at which the next Lease expires.
    pub fn next_expiry(&self) -> Option<Instant> {
        self.gateways.next_expiry()
    }

    /// One kind of objects has been listed completely. Returns whether that was the last one that routes depend on: they can be
    /// [decided on](Self::settle) now.
    pub fn synced(&mut self, kind: Synced) -> bool {
        let are_known = |synced: u8| synced & PUBLISHABLE == PUBLISHABLE;
        let before = self.synced;
        self.synced |= kind as u8;
        let is_first = self.synced != before;
        if kind == Synced::Objects && is_first && self.index.is_none() && !self.published.is_empty()
        {
            self.set_unreadable_index();
        }
        are_known(self.synced) && !are_known(before)
    }

    /// Decides on all routes, which can be published since.
    pub fn settle(&mut self, now: Instant) {
        // The access rules are written from now on.
        if let Some(until) = &mut self.rules_pending_until {
            *until = now + RULES_FIRST;
        }
        let buckets: Vec<_> = self.published.buckets().collect();
        let published = buckets.iter().flat_map(|b| self.published.routes(*b));
        self.desired.settle(published);
        for bucket in buckets {
            self.published.share(bucket, |id| self.desired.route(id));
            let mut published = self.published.routes(bucket);
            let wanted = |route: &Route| self.desired.route(&route.id).map(AsRef::as_ref);
            if published.any(|route| revokes(route, wanted(route))) {
                self.desired.hurry(bucket);
            } else {
                self.desired.mark(bucket);
            }
        }
        self.is_settled = true;
    }

    /// Returns whether everything has been listed once, and routes have been decided on.
    pub fn is_complete(&self) -> bool {
        self.synced == COMPLETE && self.is_settled
    }

    /// Returns whether everything is known that routes depend on, and they have been decided on.
    pub(crate) const fn is_publishable(&self) -> bool {
        self.is_settled
    }

    fn is_synced(&self, kind: Synced) -> bool {
        self.synced & kind as u8 != 0
    }

    /// Returns whether a [plan](RoutingState::plan) would have something to look at.
    pub fn is_dirty(&self) -> bool {
        let is_planned = |bucket| matches!(self.in_flight.get(&bucket), Some(InFlight::Planned(_)));
        let mut dirty = self.desired.dirty();
        self.is_publishable()
            && (dirty.any(|bucket| !is_planned(bucket)) || self.new_index().is_some())
    }

    /// The list of the routing objects as it should be; absent if it is written.
    fn new_index(&self) -> Option<BTreeSet<BucketId>> {
        // Without one, gateways cannot distinguish a group of which nothing is published from one without subscriptions.
        let is_written =
            |listed: &BTreeSet<BucketId>| self.published.buckets().eq(listed.iter().copied());
        let is_new = self.is_index_old || !self.index.as_ref().is_some_and(is_written);
        is_new.then(|| self.published.buckets().collect())
    }

    /// Returns whether an urgent [plan](RoutingState::plan) would have something to look at.
    pub fn has_urgent(&self) -> bool {
        let mut hurried = self.desired.hurried();
        self.is_publishable() && hurried.any(|bucket| self.is_due(bucket, Lane::Urgent))
    }

    /// Returns whether a bucket to look at is to be written this way now.
    fn is_due(&self, bucket: BucketId, lane: Lane) -> bool {
        // One that is not listed yet is written after the list of them.
        let is_listed = || self.index.as_ref().is_some_and(|i| i.contains(&bucket));
        let is_urgent = self.desired.is_hurried(bucket) && is_listed();
        let is_free = match self.in_flight.get(&bucket) {
            None => true,
            Some(InFlight::Planned(planned)) => *planned == Lane::Ordinary && is_urgent,
            Some(InFlight::Begun { .. }) => false,
        };
        is_free && is_urgent == (lane == Lane::Urgent)
    }

    /// The time until which nothing is written, because the access rules are: a client that a route lets in again must not run through
    /// what older rules still deny, and acknowledge that.
    fn waits_for_rules(&mut self, now: Instant) -> Option<Instant> {
        self.rules_pending_until = self.rules_pending_until.filter(|until| now < *until);
        self.rules_pending_until
    }

    /// The time until which removals are held back, if they are.
    fn held_until(&mut self, now: Instant) -> Option<Instant> {
        let (published, desired) = (self.published.total(), self.desired.total());
        self.shrink_guard.until(published, desired, now)
    }

    /// Returns the routing objects that are not what they should be and on their way: those that are urgent, or the others.
    pub fn plan(&mut self, lane: Lane, now: Instant) -> Plan {
        let mut plan = Plan::default();
        if !self.is_publishable() {
            return plan;
        }
        if let Some(until) = self.waits_for_rules(now) {
            plan.retry_at = Some(until);
            return plan;
        }
        plan.held_until = self.held_until(now);
        let dirty = self.desired.dirty();
        let due: Vec<_> = dirty.filter(|b| self.is_due(*b, lane)).collect();
        for bucket in due {
            if let Some(due) = self.failing.due(bucket, now) {
                plan.retry_at = Some(plan.retry_at.map_or(due, |at| at.min(due)));
                continue;
            }
            let content = self.content(bucket, plan.held_until.is_some());
            if self.is_published(bucket, &content.published, &content.wanted) {
                self.looked_at(bucket, &content);
                continue;
            }
            if !self.published.knows(bucket) {
                // It is in the list from now on, and gateways wait for it.
                self.published.drifted(bucket, 0);
            }
            self.in_flight.insert(bucket, InFlight::Planned(lane));
            plan.objects.push(bucket);
        }
        if lane == Lane::Ordinary {
            plan.index = self.new_index();
        }
        plan
    }

    /// Begins to write a planned routing object, as it should be by now. Returns nothing if that is not to be written, or not in this lane
    /// any more.
    ///
    /// A write that it returns must be noted as [written](RoutingState::wrote) or as [failed](RoutingState::failed).
    pub fn begin(&mut self, bucket: BucketId, lane: Lane, now: Instant) -> Option<Write> {
        if self.in_flight.get(&bucket) != Some(&InFlight::Planned(lane)) {
            return None;
        }
        self.in_flight.remove(&bucket);
        if self.waits_for_rules(now).is_some() {
            return None;
        }
        let is_held = self.held_until(now).is_some();
        let content = self.content(bucket, is_held);
        let is_urgent = self.desired.is_hurried(bucket);
        self.looked_at(bucket, &content);
        let Content {
            published,
            mut wanted,
            ..
        } = content;
        if self.is_published(bucket, &published, &wanted) {
            return None;
        }
        let mut bytes = encode(bucket, &wanted)?;
        if bytes.len() > self.room.routes {
            let fitting = pack(&published, &wanted, self.room);
            let left_out = wanted
                .keys()
                .filter(|id| fitting.get(*id) != wanted.get(*id));
            self.full.extend(left_out.map(|id| (id.clone(), bucket)));
            if self.is_published(bucket, &published, &fitting) {
                return None;
            }
            (bytes, wanted) = (encode(bucket, &fitting)?, fitting);
        }
        self.published.begin(bucket, BucketHash::of(&bytes), wanted);
        self.in_flight.insert(bucket, InFlight::Begun { is_urgent });
        Some(Write { bucket, bytes })
    }

    /// The routes of a bucket; while removals are held back, none is missing.
    fn content(&self, bucket: BucketId, is_held: bool) -> Content {
        let published = self.published.routes(bucket);
        let published: Routes = published.map(|r| (r.id.clone(), r.clone())).collect();
        let mut wanted = self.desired.bucket(bucket);
        let before = wanted.len();
        if is_held {
            for (id, route) in &published {
                wanted.entry(id.clone()).or_insert_with(|| route.clone());
            }
        }
        let holds_back = wanted.len() > before;
        Content {
            published,
            wanted,
            holds_back,
        }
    }

    /// Returns whether a bucket holds just these routes, which are `published`, and nobody has changed it.
    fn is_published(&self, bucket: BucketId, published: &Routes, wanted: &Routes) -> bool {
        wanted == published && !self.published.has_drifted(bucket)
    }

    /// Takes note that a bucket is looked at, which all of its content has room in until that is known better.
    fn looked_at(&mut self, bucket: BucketId, content: &Content) {
        self.desired.looked_at(bucket);
        if content.holds_back {
            self.desired.mark(bucket);
        }
        self.full.retain(|_, b| *b != bucket);
    }

    /// A routing object was written. Returns the subscriptions whose routes are new in it.
    pub fn wrote(&mut self, bucket: BucketId, resource_version: u64) -> Vec<SubscriptionId> {
        self.in_flight.remove(&bucket);
        self.failing.over(bucket);
        self.published.wrote(bucket, resource_version)
    }

    /// A routing object could not be written: it is planned again, later each time.
    pub fn failed(&mut self, bucket: BucketId, error: String, now: Instant) {
        self.failing.failed(bucket, error, now);
        self.published.failed(bucket);
        let before = self.in_flight.remove(&bucket);
        if before == Some(InFlight::Begun { is_urgent: true }) {
            self.desired.hurry(bucket);
        } else {
            self.desired.mark(bucket);
        }
    }

    /// The reason for which a subscription is not routed as it asks, although it is valid and has a key.
    pub fn denied(&self, id: &SubscriptionId) -> Option<Denied> {
        self.desired.denied(id).cloned()
    }

    /// The part of what a subscription asks for that access rules deny, if it gets the rest.
    pub fn narrowed(&self, id: &SubscriptionId) -> Option<String> {
        self.desired.narrowed(id).map(str::to_owned)
    }

    /// Returns the state of the route of this generation of a subscription, with this key.
    pub fn programmed(
        &self,
        id: &SubscriptionId,
        uid: &Uid,
        generation: i64,
        key: KeyHash,
    ) -> Programmed {
        if self.full.contains_key(id) {
            return Programmed::BucketFull;
        }
        let current =
            |r: &&Arc<Route>| r.generation == generation && r.key_sha256 == key && uid.is(&r.uid);
        let desired = self.desired.route(id).filter(current);
        if desired.is_none() || desired != self.published.route(id) {
            let error = self.failing.error(id.bucket()).map(str::to_owned);
            return Programmed::NotPublished { error };
        }
        let (mut gateways, mut holding, mut missing) = (0, 0, None);
        for (lease, hash) in self.gateways.holding(id.bucket()) {
            gateways += 1;
            if hash.is_some_and(|hash| self.published.holds(hash, id)) {
                holding += 1;
            } else {
                missing.get_or_insert_with(|| lease.to_owned());
            }
        }
        match missing {
            None if gateways == 0 && self.gateways.are_in_doubt() => Programmed::Unknown,
            None if gateways == 0 => Programmed::NoGateways,
            None => Programmed::Everywhere { gateways },
            Some(missing) => Programmed::Waiting {
                holding,
                gateways,
                missing,
            },
        }
    }

    /// The generation of this subscription that gateways serve from now on: as decided, or, before anything is decided, as published.
    pub fn served_generation(&self, id: &SubscriptionId) -> Option<i64> {
        let route = if self.is_publishable() {
            self.desired.route(id)
        } else {
            self.published.route(id)
        };
        let served = route.filter(|route| route.denied.is_none());
        served.map(|route| route.generation)
    }

    /// The subscriptions whose status may be different now.
    pub fn affected(&self, affected: &Affected) -> Vec<SubscriptionId> {
        match affected {
            Affected::None => vec![],
            Affected::Buckets(buckets) => buckets
                .iter()
                .flat_map(|a| {
                    let holds = |hash: Option<BucketHash>, id: &_| {
                        hash.is_some_and(|hash| self.published.holds(hash, id))
                    };
                    let ids = self.desired.ids(a.bucket);
                    ids.filter(move |id| holds(a.before, id) != holds(a.now, id))
                })
                .cloned()
                .collect(),
            Affected::All => self
                .desired
                .buckets()
                .flat_map(|b| self.desired.ids(b).cloned())
                .collect(),
        }
    }

    /// Routes that should be published, routes that are, and live gateways.
    pub fn totals(&self) -> (usize, usize, usize) {
        (
            self.desired.total(),
            self.published.total(),
            self.gateways.live(),
        )
    }
}

/// The bytes of a routing object with these routes.
fn encode(bucket: BucketId, routes: &Routes) -> Option<Vec<u8>> {
    let encoded = Bucket::new(
        bucket,
        routes.values().map(|route| Route::clone(route)).collect(),
    )
    .encode();
    encoded
        .inspect_err(|error| tracing::error!(%bucket, %error, "cannot encode the routing object"))
        .ok()
}

/// The order of a subscription among others that want the same.
fn rank(subscription: &DatastreamSubscription) -> Rank {
    let created = subscription.creation_timestamp();
    let created = created.map_or(0, |time| time.0.as_second());
    let uid = subscription.metadata.uid.as_deref().unwrap_or_default();
    (created, uid.into())
}

/// The identity of a subscription.
pub(crate) fn id_of(subscription: &DatastreamSubscription) -> SubscriptionId {
    SubscriptionId::new(
        subscription.namespace().unwrap_or_default(),
        subscription.name_any(),
    )
}

#[cfg(test)]
mod tests {
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
    use serde_json::json;

    use super::*;
    use crate::spec::validate;

    fn subscription(name: &str, uid: &str, generation: i64) -> DatastreamSubscription {
        serde_json::from_value(json!({
            "apiVersion": "datastream.dev/v1alpha1", "kind": "DatastreamSubscription",
            "metadata": {"namespace": "team", "name": name, "uid": uid, "generation": generation},
            "spec": {"eventTypes": ["location"]},
        }))
        .unwrap()
    }

    fn id(name: &str) -> SubscriptionId {
        SubscriptionId::new("team", name)
    }

    fn key(name: &str) -> KeyHash {
        KeyHash::of(name)
    }

    fn sync(state: &mut RoutingState) {
        for kind in [
            Synced::Subscriptions,
            Synced::Keys,
            Synced::Objects,
            Synced::Gateways,
            Synced::Claims,
            Synced::Access,
        ] {
            note(state, kind);
        }
    }

    /// Writes that were planned and have begun.
    struct Begun {
        writes: Vec<Write>,
        index: Option<BTreeSet<BucketId>>,
        held_until: Option<Instant>,
        retry_at: Option<Instant>,
    }

    fn ordinary(state: &mut RoutingState, now: Instant) -> Begun {
        begun(state, Lane::Ordinary, now)
    }

    fn urgent(state: &mut RoutingState, now: Instant) -> Begun {
        begun(state, Lane::Urgent, now)
    }

    /// Plans writes and begins all of them.
    fn begun(state: &mut RoutingState, lane: Lane, now: Instant) -> Begun {
        let plan = state.plan(lane, now);
        let objects = plan.objects.into_iter();
        let writes = objects.filter_map(|bucket| state.begin(bucket, lane, now));
        Begun {
            writes: writes.collect(),
            index: plan.index,
            held_until: plan.held_until,
            retry_at: plan.retry_at,
        }
    }

    /// Notes that a kind of objects has been listed, and decides on all routes if it is the last one that they depend on.
    fn note(state: &mut RoutingState, kind: Synced) {
        if state.synced(kind) {
            state.settle(Instant::now());
        }
    }

    fn empty_state(hold: Duration) -> RoutingState {
        RoutingState::new(hold, Budget::default(), AccessMode::default())
    }

    fn set(state: &mut RoutingState, subscription: &DatastreamSubscription) {
        state.set_subscription(subscription, Some(validate(subscription).unwrap()));
    }

    fn put(state: &mut RoutingState, name: &str, generation: i64) {
        set(state, &subscription(name, name, generation));
        let observed = ObservedKey {
            owner_uid: Some(name.into()),
            hash: key(name),
            previous: None,
        };
        state.set_key(&id(name), Some(observed));
    }

    const NOT_PUBLISHED: Programmed = Programmed::NotPublished { error: None };

    fn lease(name: &str, buckets: &BTreeMap<String, String>) -> Lease {
        serde_json::from_value(json!({
            "metadata": {"name": name, "annotations": {"datastream.dev/ready": "true", "datastream.dev/buckets": json!(buckets).to_string()}},
            "spec": {"leaseDurationSeconds": 15, "renewTime": MicroTime(Timestamp::now())},
        }))
        .unwrap()
    }

    /// Writes everything that is planned and returns it.
    fn publish(state: &mut RoutingState, resource_version: u64) -> Vec<Write> {
        let plan = ordinary(state, Instant::now());
        for write in &plan.writes {
            state.wrote(write.bucket, resource_version);
        }
        plan.writes
    }

    fn acknowledge(state: &mut RoutingState, gateway: &str, writes: &[Write]) -> Affected {
        let held = writes
            .iter()
            .map(|w| (w.bucket.to_string(), BucketHash::of(&w.bytes).to_string()));
        state.set_gateway(&lease(gateway, &held.collect()), Instant::now())
    }

    #[test]
    fn a_route_is_programmed_when_every_live_gateway_holds_it() {
        let mut state = empty_state(Duration::ZERO);
        let programmed = |b: &RoutingState, g| b.programmed(&id("a"), &"a".into(), g, key("a"));
        put(&mut state, "a", 1);
        assert!(
            ordinary(&mut state, Instant::now()).writes.is_empty(),
            "nothing before everything is listed"
        );
        sync(&mut state);
        assert_eq!(programmed(&state, 1), NOT_PUBLISHED);
        let first = publish(&mut state, 1);
        assert_eq!(first.len(), 1);
        assert_eq!(programmed(&state, 1), Programmed::NoGateways);
        acknowledge(&mut state, "g1", &first);
        acknowledge(&mut state, "g2", &[]);
        let waiting = Programmed::Waiting {
            holding: 1,
            gateways: 2,
            missing: "g2".to_owned(),
        };
        assert_eq!(programmed(&state, 1), waiting);
        let affected = acknowledge(&mut state, "g2", &first);
        assert_eq!(state.affected(&affected), [id("a")]);
        assert_eq!(
            programmed(&state, 1),
            Programmed::Everywhere { gateways: 2 }
        );
        put(&mut state, "a", 2);
        assert_eq!(programmed(&state, 2), NOT_PUBLISHED);
        publish(&mut state, 2);
        assert!(matches!(
            programmed(&state, 2),
            Programmed::Waiting { holding: 0, .. }
        ));
        assert!(publish(&mut state, 3).is_empty(), "written once");
    }

    #[test]
    fn an_acknowledgement_before_the_response_to_the_write_keeps_other_routes_programmed() {
        let (mut state, [a, b], _) = one_of_two_published();
        let programmed = |state: &RoutingState, name: &str| {
            state.programmed(&id(name), &name.into(), 1, key(name))
        };
        let everywhere = Programmed::Everywhere { gateways: 1 };
        assert_eq!(programmed(&state, &a), everywhere);
        put(&mut state, &b, 1);
        let second = ordinary(&mut state, Instant::now()).writes;
        let affected = acknowledge(&mut state, "g", &second);
        assert_eq!(
            state.affected(&affected),
            [],
            "nothing is different for {a}"
        );
        assert_eq!(programmed(&state, &a), everywhere);
        assert_eq!(programmed(&state, &b), NOT_PUBLISHED);
        assert_eq!(state.wrote(second[0].bucket, 2), [id(&b)]);
        assert_eq!(programmed(&state, &b), everywhere);
    }

    #[test]
    fn a_write_whose_answer_is_lost_keeps_other_routes_programmed() {
        let (mut state, [a, b], _) = one_of_two_published();
        put(&mut state, &b, 1);
        let now = Instant::now();
        let second = ordinary(&mut state, now).writes;
        let bucket = second[0].bucket;
        state.failed(bucket, "no answer".to_owned(), now);
        let affected = acknowledge(&mut state, "g", &second);
        assert_eq!(state.affected(&affected), []);
        let programmed = |state: &RoutingState, name: &str| {
            state.programmed(&id(name), &name.into(), 1, key(name))
        };
        let everywhere = Programmed::Everywhere { gateways: 1 };
        assert_eq!(programmed(&state, &a), everywhere);
        let due = ordinary(&mut state, now).retry_at.unwrap();
        assert_eq!(ordinary(&mut state, due).writes, second, "written again");
        assert_eq!(state.wrote(bucket, 2), [id(&b)]);
        for name in [&a, &b] {
            assert_eq!(programmed(&state, name), everywhere);
        }
    }

    #[test]
    fn an_acknowledgement_affects_only_subscriptions_whose_routes_changed() {
        let (mut state, [_, b], first) = one_of_two_published();
        put(&mut state, &b, 1);
        let second = publish(&mut state, 2);
        let affected = acknowledge(&mut state, "g", &second);
        assert_eq!(state.affected(&affected), [id(&b)]);
        let back = acknowledge(&mut state, "g", &first);
        assert_eq!(state.affected(&back), [id(&b)]);
    }

    /// A state in which the first of two subscriptions of a bucket is published, and its gateway has it: with their names, and what was
    /// written.
    fn one_of_two_published() -> (RoutingState, [String; 2], Vec<Write>) {
        let mut state = empty_state(Duration::ZERO);
        let names = two_of_a_bucket();
        put(&mut state, &names[0], 1);
        sync(&mut state);
        let first = publish(&mut state, 1);
        acknowledge(&mut state, "g", &first);
        (state, names, first)
    }

    /// Two names whose routes are in one bucket.
    fn two_of_a_bucket() -> [String; 2] {
        let name = |n: usize| format!("s{n}");
        let bucket = id(&name(0)).bucket();
        let other = (1..10_000).map(name).find(|n| id(n).bucket() == bucket);
        [name(0), other.unwrap()]
    }

    #[test]
    fn a_restart_adopts_the_published_objects_and_writes_nothing() {
        let mut state = empty_state(Duration::ZERO);
        put(&mut state, "a", 1);
        sync(&mut state);
        let writes = publish(&mut state, 1);

        let mut again = empty_state(Duration::ZERO);
        put(&mut again, "a", 1);
        again.set_object(writes[0].bucket, 1, &writes[0].bytes);
        again.set_index(Some([writes[0].bucket].into()));
        acknowledge(&mut again, "g", &writes);
        sync(&mut again);
        assert!(publish(&mut again, 2).is_empty());
        assert_eq!(
            again.programmed(&id("a"), &"a".into(), 1, key("a")),
            Programmed::Everywhere { gateways: 1 }
        );

        // An invalid subscription keeps its route.
        let mut invalid = empty_state(Duration::ZERO);
        put(&mut invalid, "a", 1);
        invalid.set_subscription(&subscription("a", "a", 2), None);
        invalid.set_object(writes[0].bucket, 1, &writes[0].bytes);
        invalid.set_index(Some([writes[0].bucket].into()));
        sync(&mut invalid);
        assert!(publish(&mut invalid, 2).is_empty());
        let mut empty = empty_state(Duration::ZERO);
        empty.set_object(writes[0].bucket, 1, &writes[0].bytes);
        empty.set_index(Some([writes[0].bucket].into()));
        sync(&mut empty);
        // At once: who has the key is to be kept out.
        assert!(publish(&mut empty, 2).is_empty());
        let revoked = urgent(&mut empty, Instant::now()).writes;
        assert_eq!(Bucket::decode(&revoked[0].bytes).unwrap().routes, []);
    }

    #[test]
    fn a_group_without_subscriptions_is_published_as_an_empty_index() {
        let mut state = empty_state(Duration::ZERO);
        assert!(!state.is_dirty(), "nothing is listed yet");
        sync(&mut state);
        let plan = ordinary(&mut state, Instant::now());
        assert_eq!(plan.index, Some(BTreeSet::new()));
        assert!(plan.writes.is_empty());
        state.wrote_index(BTreeSet::new());
        assert!(!state.is_dirty());
    }

    #[test]
    fn changes_of_routing_objects_by_others_are_undone() {
        let mut state = empty_state(Duration::ZERO);
        put(&mut state, "a", 1);
        sync(&mut state);
        let writes = publish(&mut state, 5);
        let bucket = writes[0].bucket;
        state.set_object(bucket, 5, &writes[0].bytes);
        assert!(publish(&mut state, 6).is_empty(), "an echo");
        state.set_object(bucket, 7, b"broken by hand");
        assert_eq!(publish(&mut state, 8), writes);
        state.set_object(bucket, 7, b"broken by hand");
        assert!(publish(&mut state, 9).is_empty(), "older than the repair");
        state.remove_object(bucket);
        assert_eq!(publish(&mut state, 10), writes);
    }

    #[test]
    fn a_delayed_mass_shrink_keeps_routes_and_admits_new_ones() {
        let mut state = empty_state(Duration::from_mins(1));
        let names: Vec<_> = (0..30).map(|n| format!("s{n}")).collect();
        for name in &names {
            put(&mut state, name, 1);
        }
        sync(&mut state);
        publish(&mut state, 1);
        for name in &names[..20] {
            state.remove_subscription(&id(name));
        }
        put(&mut state, "new", 1);
        let now = Instant::now();
        let plan = ordinary(&mut state, now);
        let until = plan.held_until.unwrap();
        for write in plan.writes {
            state.wrote(write.bucket, 2);
        }
        assert_eq!(state.totals().1, 31);
        assert_eq!(
            state.programmed(&id("new"), &"new".into(), 1, key("new")),
            Programmed::NoGateways
        );
        let plan = ordinary(&mut state, until);
        for write in plan.writes {
            state.wrote(write.bucket, 3);
        }
        assert_eq!((state.totals().0, state.totals().1), (11, 11));
    }

    #[test]
    fn a_route_of_a_full_bucket_is_reported_as_bucket_full() {
        let mut state = empty_state(Duration::ZERO);
        state.room.routes = 100;
        put(&mut state, "a", 1);
        sync(&mut state);
        // The list has it, so it is there.
        let writes = publish(&mut state, 1);
        assert_eq!(Bucket::decode(&writes[0].bytes).unwrap().routes, []);
        assert!(publish(&mut state, 1).is_empty());
        assert_eq!(
            state.programmed(&id("a"), &"a".into(), 1, key("a")),
            Programmed::BucketFull
        );
    }

    #[test]
    fn a_key_that_is_replaced_is_published_with_the_filters_that_have_room() {
        let mut state = empty_state(Duration::ZERO);
        put(&mut state, "a", 1);
        sync(&mut state);
        let first = publish(&mut state, 1);
        acknowledge(&mut state, "g", &first);
        let before = Bucket::decode(&first[0].bytes).unwrap().routes;
        // From now on nothing may grow.
        state.room.routes = 100;
        let mut edited = subscription("a", "a", 2);
        edited.spec.filters = vec![datastream_crds::Filter {
            dsns: vec!["AC*".to_owned()],
            ..datastream_crds::Filter::default()
        }];
        set(&mut state, &edited);
        assert!(publish(&mut state, 2).is_empty());
        let owned = |uid: &str, name| ObservedKey {
            owner_uid: Some(uid.into()),
            hash: key(name),
            previous: None,
        };
        state.set_key(&id("a"), Some(owned("a", "new")));
        let second = publish(&mut state, 3);
        let expected = Route {
            key_sha256: key("new"),
            ..before[0].clone()
        };
        assert_eq!(Bucket::decode(&second[0].bytes).unwrap().routes, [expected]);
        acknowledge(&mut state, "g", &second);
        // The edit is not in force.
        assert_eq!(
            state.programmed(&id("a"), &"a".into(), 2, key("new")),
            Programmed::BucketFull
        );
        // Another subscription of its name gets nothing of it.
        set(&mut state, &subscription("a", "again", 1));
        state.set_key(&id("a"), Some(owned("again", "newer")));
        let third = publish(&mut state, 4);
        assert_eq!(Bucket::decode(&third[0].bytes).unwrap().routes, []);
        assert_eq!(
            state.programmed(&id("a"), &"again".into(), 1, key("newer")),
            Programmed::BucketFull
        );
    }

    #[test]
    fn routes_wait_for_rules_that_keep_changing_no_longer_than_for_the_first() {
        let mut state = empty_state(Duration::ZERO);
        sync(&mut state);
        put(&mut state, "a", 1);
        let start = Instant::now();
        let change = |state: &mut RoutingState, now| {
            state.set_access(Arc::new(AccessRules::open()), now);
        };
        let due = start + RULES_FIRST;
        let mut now = start;
        while now < due {
            change(&mut state, now);
            let plan = ordinary(&mut state, now);
            assert_eq!((plan.writes.len(), plan.retry_at), (0, Some(due)));
            now += Duration::from_secs(1);
        }
        // They were not written.
        let plan = ordinary(&mut state, due);
        assert_eq!((plan.writes.len(), plan.retry_at), (1, None));
        state.wrote(plan.writes[0].bucket, 1);
        // Those that come after that are waited for as the first.
        put(&mut state, "a", 2);
        change(&mut state, now);
        let plan = ordinary(&mut state, now);
        let due = now + RULES_FIRST;
        assert_eq!((plan.writes.len(), plan.retry_at), (0, Some(due)));
        state.wrote_access();
        assert_eq!(ordinary(&mut state, now).writes.len(), 1);
    }

    #[test]
    fn routes_of_deleted_subscriptions_and_keys_are_removed_although_gateways_cannot_be_listed() {
        let mut first = empty_state(Duration::ZERO);
        for name in ["a", "b", "c"] {
            put(&mut first, name, 1);
        }
        sync(&mut first);
        let writes = publish(&mut first, 1);
        let mut again = empty_state(Duration::ZERO);
        put(&mut again, "a", 1);
        set(&mut again, &subscription("b", "b", 1));
        for write in &writes {
            again.set_object(write.bucket, 1, &write.bytes);
        }
        for kind in Synced::PUBLISHABLE {
            note(&mut again, kind);
        }
        publish(&mut again, 2);
        assert!(!again.is_complete());
        assert_eq!((again.totals().0, again.totals().1), (1, 1));
        assert_eq!(again.served_generation(&id("a")), Some(1));
    }

    /// A state in which two subscriptions of different buckets are published: with their names.
    fn two_published() -> (RoutingState, [String; 2]) {
        let mut state = empty_state(Duration::ZERO);
        let names = [String::from("s0"), other_bucket("s0")];
        for name in &names {
            put(&mut state, name, 1);
        }
        sync(&mut state);
        let plan = ordinary(&mut state, Instant::now());
        state.wrote_index(plan.index.unwrap());
        for write in plan.writes {
            state.wrote(write.bucket, 1);
        }
        (state, names)
    }

    fn buckets(plan: &Begun) -> Vec<BucketId> {
        plan.writes.iter().map(|write| write.bucket).collect()
    }

    #[test]
    fn a_revocation_is_planned_apart_from_other_changes_and_stays_urgent_when_its_write_fails() {
        let (mut state, [a, b]) = two_published();
        let now = Instant::now();
        put(&mut state, &a, 2);
        assert!(state.is_dirty() && !state.has_urgent());
        state.set_key(&id(&b), None);
        assert!(state.has_urgent());
        let planned = urgent(&mut state, now);
        assert_eq!(
            (buckets(&planned), planned.index),
            (vec![id(&b).bucket()], None)
        );
        assert_eq!(buckets(&ordinary(&mut state, now)), [id(&a).bucket()]);
        state.failed(id(&b).bucket(), "quota".to_owned(), now);
        assert_eq!(
            (
                buckets(&ordinary(&mut state, now)),
                ordinary(&mut state, now).retry_at
            ),
            (vec![], None)
        );
        let due = urgent(&mut state, now).retry_at.unwrap();
        assert_eq!(buckets(&urgent(&mut state, due)), [id(&b).bucket()]);
        state.wrote(id(&b).bucket(), 2);
        assert!(!state.has_urgent());
    }

    #[test]
    fn a_routing_object_is_written_once_at_a_time() {
        let (mut state, [a, _]) = two_published();
        let now = Instant::now();
        put(&mut state, &a, 2);
        assert_eq!(buckets(&ordinary(&mut state, now)), [id(&a).bucket()]);
        state.set_key(&id(&a), None);
        assert!(!state.has_urgent() && buckets(&urgent(&mut state, now)).is_empty());
        state.wrote(id(&a).bucket(), 2);
        assert!(state.has_urgent() && buckets(&ordinary(&mut state, now)).is_empty());
        assert_eq!(buckets(&urgent(&mut state, now)), [id(&a).bucket()]);
        put(&mut state, &a, 3);
        assert!(buckets(&ordinary(&mut state, now)).is_empty());
        state.wrote(id(&a).bucket(), 3);
        assert_eq!(buckets(&ordinary(&mut state, now)), [id(&a).bucket()]);
    }

    #[test]
    fn a_planned_write_gives_way_to_a_revocation_and_is_made_of_what_is_wanted_when_it_begins() {
        let (mut state, [a, b]) = two_published();
        let now = Instant::now();
        put(&mut state, &a, 2);
        put(&mut state, &b, 2);
        let plan = state.plan(Lane::Ordinary, now);
        assert_eq!(plan.objects.len(), 2);
        assert!(!state.is_dirty());
        // Both wait for their turn.
        state.set_key(&id(&a), None);
        put(&mut state, &b, 3);
        assert!(state.has_urgent());
        let revoked = id(&a).bucket();
        assert_eq!(state.plan(Lane::Urgent, now).objects, [revoked]);
        assert!(state.begin(revoked, Lane::Ordinary, now).is_none());
        let write = state.begin(revoked, Lane::Urgent, now).unwrap();
        assert_eq!(Bucket::decode(&write.bytes).unwrap().routes, []);
        let write = state.begin(id(&b).bucket(), Lane::Ordinary, now).unwrap();
        let routes = Bucket::decode(&write.bytes).unwrap().routes;
        assert_eq!(routes[0].generation, 3);
        assert!(!state.is_dirty() && !state.has_urgent());
    }

    #[test]
    fn a_planned_write_waits_for_access_rules_that_change_before_it_begins() {
        let (mut state, [a, _]) = two_published();
        let now = Instant::now();
        put(&mut state, &a, 2);
        let bucket = id(&a).bucket();
        assert_eq!(state.plan(Lane::Ordinary, now).objects, [bucket]);
        state.set_access(Arc::new(AccessRules::open()), now);
        assert!(state.begin(bucket, Lane::Ordinary, now).is_none());
        assert!(state.is_dirty());
        assert_eq!(
            state.plan(Lane::Ordinary, now).retry_at,
            Some(now + RULES_FIRST)
        );
        state.wrote_access();
        assert_eq!(state.plan(Lane::Ordinary, now).objects, [bucket]);
        assert!(state.begin(bucket, Lane::Ordinary, now).is_some());
    }

    #[test]
    fn an_object_that_was_changed_by_someone_else_is_written_at_once() {
        let (mut state, [a, _]) = two_published();
        let bucket = id(&a).bucket();
        state.set_object(bucket, 9, b"{}");
        assert!(state.has_urgent());
        assert_eq!(buckets(&urgent(&mut state, Instant::now())), [bucket]);
    }

    #[test]
    fn a_routing_object_that_is_not_listed_is_written_with_the_list_also_if_it_is_urgent() {
        let (mut state, [a, _]) = two_published();
        state.set_index(Some(BTreeSet::new()));
        state.set_key(&id(&a), None);
        assert!(!state.has_urgent());
        let plan = ordinary(&mut state, Instant::now());
        assert_eq!(buckets(&plan), [id(&a).bucket()]);
        assert!(plan.index.is_some());
    }

    #[test]
    fn nothing_is_published_before_routes_have_been_decided_on() {
        let mut state = empty_state(Duration::ZERO);
        put(&mut state, "a", 1);
        let last: Vec<_> = Synced::PUBLISHABLE.map(|kind| state.synced(kind)).into();
        assert_eq!(last, [false, false, false, true]);
        // Meanwhile checks are made, and things happen.
        put(&mut state, "b", 1);
        assert!(!state.is_publishable() && !state.is_dirty());
        assert!(ordinary(&mut state, Instant::now()).writes.is_empty());
        state.settle(Instant::now());
        assert_eq!(state.totals().0, 2);
        assert!(state.is_dirty() && !ordinary(&mut state, Instant::now()).writes.is_empty());
        assert!(!state.synced(Synced::Access), "only once");
    }

    #[test]
    fn a_failing_write_is_retried_with_backoff_and_named_while_others_continue() {
        let mut state = empty_state(Duration::ZERO);
        let names = [String::from("s0"), other_bucket("s0")];
        put(&mut state, &names[0], 1);
        sync(&mut state);
        let mut now = Instant::now();
        let start = now;
        let mut tried = 0;
        while now - start < Duration::from_mins(10) {
            let plan = ordinary(&mut state, now);
            tried += plan.writes.len();
            for write in plan.writes {
                state.failed(write.bucket, "quota".to_owned(), now);
            }
            now = ordinary(&mut state, now).retry_at.unwrap();
        }
        assert!((20..40).contains(&tried), "{tried}");
        let error = Some("quota".to_owned());
        let programmed = |state: &RoutingState, name: &str| {
            state.programmed(&id(name), &name.into(), 1, key(name))
        };
        assert_eq!(
            programmed(&state, &names[0]),
            Programmed::NotPublished { error }
        );
        put(&mut state, &names[1], 1);
        let before = now - Duration::from_millis(1);
        let plan = ordinary(&mut state, before);
        assert_eq!(plan.writes.len(), 1);
        state.wrote(plan.writes[0].bucket, 1);
        assert_eq!(programmed(&state, &names[1]), Programmed::NoGateways);
        assert_eq!(publish(&mut state, 2).len(), 0, "not yet");
        let plan = ordinary(&mut state, now);
        assert_eq!(plan.writes.len(), 1);
        state.wrote(plan.writes[0].bucket, 2);
        assert_eq!(programmed(&state, &names[0]), Programmed::NoGateways);
    }

    /// A name whose route is in another bucket.
    fn other_bucket(name: &str) -> String {
        let mut names = (1..1000).map(|n| format!("s{n}"));
        names.find(|n| id(n).bucket() != id(name).bucket()).unwrap()
    }
}
