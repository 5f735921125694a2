//! The last good routing objects, the table that they make, and what was refused.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use datastream_routing::{AccessRules, Bucket, BucketHash, BucketId, Policies, Route, RouteTable};
use datastream_service::tls::Identity;
use tokio::sync::watch;
use tokio::time::Instant;

/// One change that a [`ConfigSource`](super::ConfigSource) saw.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ConfigUpdate {
    /// A routing object is there or has changed.
    Set {
        /// Its name (Secret or file), for reports.
        object: String,
        /// Its bytes, as [`Bucket::encode`] wrote them.
        bytes: Vec<u8>,
    },
    /// A routing object is there that cannot be read: its last good content stays in force.
    Unreadable {
        /// Its name.
        object: String,
        /// The field, and what is wrong with it.
        reason: String,
    },
    /// A routing object is gone. Operators empty objects and never delete them, so this is a mistake:
    /// the last good content stays in force and the loss is reported.
    Remove {
        /// Its name.
        object: String,
    },
    /// The operator's list of the routing objects that there are.
    Listed {
        /// The name of the list.
        object: String,
        /// The buckets in it.
        buckets: BTreeSet<BucketId>,
        /// The group has access rules.
        has_access: bool,
    },
    /// The certificate by which the gateways of the group know each other.
    Peers {
        /// The name of its Secret.
        object: String,
        /// The certificate and its key.
        identity: Arc<Identity>,
    },
    /// The access rules of the group.
    Access {
        /// The name of the object that holds them.
        object: String,
        /// Its bytes, as [`AccessRules::encode`] wrote them, or why it cannot be read.
        content: Result<Vec<u8>, String>,
    },
    /// Everything that existed when the source started (or restarted) has been set.
    Synced,
}

/// State of the routes, for acknowledgement (`held`) and reports. Every batch of updates makes a new value.
#[derive(Clone, Debug, Default)]
pub struct ConfigState {
    /// A first complete set of routing objects has been seen; before, the gateway is not ready.
    pub synced: bool,
    /// A routing object, or a list of them, has been seen at least once: without, nobody publishes to this gateway.
    pub published: bool,
    /// The hash of every bucket in force.
    pub held: BTreeMap<BucketId, BucketHash>,
    /// Objects that were refused whole or that are gone, with the reason. Their last good content stays in force.
    pub refused: BTreeMap<String, String>,
    /// The buckets that there are, as the operator lists them; empty if it does not.
    pub listed: BTreeSet<BucketId>,
    /// An object was refused that never had good content, or is listed and missing: there may be routes that this gateway does
    /// not know.
    pub incomplete: bool,
    /// The certificate by which the gateways of the group know each other; none if the operator makes none.
    pub peers: Option<Arc<Identity>>,
    /// The access rules.
    pub access: AccessState,
    /// Reason why the source cannot be reached at the moment, if so. The table stays in force.
    pub source_error: Option<String>,
    /// Time since which it cannot be reached.
    pub failing_since: Option<Instant>,
}

/// State of the access rules.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AccessState {
    /// The hash of those in force; none if there are none.
    pub held: Option<BucketHash>,
    /// The operator says that there are some.
    pub is_listed: bool,
    /// Reason why the newest were refused, if they were: the last good ones stay in force.
    pub error: Option<String>,
}

impl AccessState {
    /// Returns whether who may have which events is not known: there are access rules, and none in force.
    pub const fn is_unknown(&self) -> bool {
        self.held.is_none() && (self.is_listed || self.error.is_some())
    }
}

/// Treatment of new streams while a gateway cannot follow its routes, so that keys may have been revoked without its knowledge
/// (`docs/decisions/0009-availability-against-revocation.md`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum StaleRoutes {
    /// Streams are served by the routes that are known.
    #[default]
    Serve,
    /// Streams are refused once the routes could not be followed for this long.
    RefuseAfter(Duration),
}

/// Keeps the last good content of every routing object and swaps a new [`RouteTable`] in when any changes.
#[derive(Debug)]
pub struct ConfigStore {
    table: ArcSwap<RouteTable>,
    /// Locked only while a batch is applied, never across an await.
    content: Mutex<Content>,
    state: watch::Sender<Arc<ConfigState>>,
    stale_routes: StaleRoutes,
}

/// The last good content of all objects.
#[derive(Debug, Default)]
struct Content {
    objects: BTreeMap<String, Object>,
    policies: Policies,
}

#[derive(Debug)]
struct Object {
    bucket: BucketId,
    /// Routes by identity, shared with the tables that they are in.
    routes: Vec<Arc<Route>>,
    hash: BucketHash,
}

impl Object {
    /// Takes the routes of a bucket over. Those that are as before stay the same, with the policy that they have.
    fn set(&mut self, bucket: Bucket, hash: BucketHash) {
        let mut before = std::mem::take(&mut self.routes).into_iter().peekable();
        let routes = bucket.routes.into_iter().map(|mut new| {
            while before.next_if(|old| old.id < new.id).is_some() {}
            let old = before.next_if(|old| old.id == new.id);
            if let Some(old) = &old {
                new.policy.clone_from(&old.policy);
            }
            old.filter(|old| **old == new)
                .unwrap_or_else(|| Arc::new(new))
        });
        self.routes = routes.collect();
        (self.bucket, self.hash) = (bucket.id, hash);
    }

    /// The routes with the policies of their namespaces. One that has it stays as it is.
    fn with_policies(&mut self, policies: &mut Policies) -> Vec<Arc<Route>> {
        for route in &mut self.routes {
            let policy = policies.of(&route.id.namespace);
            if route.policy != policy {
                Arc::make_mut(route).policy = policy;
            }
        }
        self.routes.clone()
    }
}

impl Default for ConfigStore {
    fn default() -> Self {
        Self::new()
    }
}

impl ConfigStore {
    /// An empty store, not yet synced.
    pub fn new() -> Self {
        Self {
            stale_routes: StaleRoutes::default(),
            table: ArcSwap::default(),
            content: Mutex::default(),
            state: watch::Sender::new(Arc::default()),
        }
    }

    /// The same, with this answer to routes that cannot be followed.
    #[must_use]
    pub fn with_stale_routes(self, stale_routes: StaleRoutes) -> Self {
        Self {
            stale_routes,
            ..self
        }
    }

    /// The table in force.
    pub fn table(&self) -> Arc<RouteTable> {
        self.table.load_full()
    }

    /// Subscribes to the state and its changes. The table is always swapped before a change is announced.
    pub fn subscribe(&self) -> watch::Receiver<Arc<ConfigState>> {
        self.state.subscribe()
    }

    /// State of the routes now.
    pub fn state(&self) -> Arc<ConfigState> {
        self.state.borrow().clone()
    }

    /// Says why the source cannot be reached (`None`: it can again).
    pub fn set_source_error(&self, error: Option<String>) {
        self.state.send_if_modified(|state| {
            let changed = state.source_error != error;
            if changed {
                let state = Arc::make_mut(state);
                let since = error.as_ref().map(|_| Instant::now());
                state.failing_since = state.failing_since.filter(|_| error.is_some()).or(since);
                state.source_error = error;
            }
            changed
        });
    }

    /// Returns whether the routes are too old for new streams.
    pub fn is_stale(&self) -> bool {
        match self.stale_routes {
            StaleRoutes::Serve => false,
            StaleRoutes::RefuseAfter(limit) => {
                let since = self.state.borrow().failing_since;
                since.is_some_and(|since| since.elapsed() >= limit)
            }
        }
    }

    /// Applies a batch of updates as [`ConfigStore::apply`] does, on a thread for such work: a routing object takes a millisecond, and
    /// hundreds may come at once, while events are to be sent.
    ///
    /// # Errors
    /// It panicked.
    pub(super) async fn apply_apart(
        self: &Arc<Self>,
        updates: Vec<ConfigUpdate>,
    ) -> anyhow::Result<()> {
        let store = self.clone();
        Ok(tokio::task::spawn_blocking(move || store.apply(updates)).await?)
    }

    /// Applies a batch of updates as one: at most one new table, at most one wake-up.
    pub fn apply(&self, updates: Vec<ConfigUpdate>) {
        let mut content = self.content.lock().unwrap_or_else(PoisonError::into_inner);
        let Content { objects, policies } = &mut *content;
        let mut state = ConfigState::clone(&self.state());
        let (mut changed, mut listed) = (BTreeSet::new(), false);
        let mut has_other_policies = false;
        for update in updates {
            match update {
                ConfigUpdate::Set { object, bytes } => {
                    let hash = BucketHash::of(&bytes);
                    if objects.get(&object).is_some_and(|o| o.hash == hash) {
                        state.refused.remove(&object);
                        continue;
                    }
                    match decode(objects, &object, &bytes) {
                        Ok(bucket) => {
                            state.refused.remove(&object);
                            state.held.insert(bucket.id, hash);
                            changed.insert(object.clone());
                            let held = objects.entry(object).or_insert(Object {
                                bucket: bucket.id,
                                routes: vec![],
                                hash,
                            });
                            held.set(bucket, hash);
                        }
                        Err(reason) => refuse(&mut state, object, reason),
                    }
                }
                ConfigUpdate::Unreadable { object, reason } => {
                    refuse(&mut state, object, reason);
                }
                ConfigUpdate::Remove { object } => {
                    if objects.contains_key(&object) {
                        tracing::error!(
                            object,
                            "routing object is gone; its last good content stays in force"
                        );
                        state.refused.insert(
                            object,
                            "deleted; its last good content stays in force".to_owned(),
                        );
                    } else {
                        state.refused.remove(&object);
                    }
                }
                ConfigUpdate::Listed {
                    object,
                    buckets,
                    has_access,
                } => {
                    state.access.is_listed |= has_access;
                    state.published = true;
                    state.refused.remove(&object);
                    state.listed = buckets;
                }
                ConfigUpdate::Peers { object, identity } => {
                    state.refused.remove(&object);
                    state.peers = Some(identity);
                }
                ConfigUpdate::Access { object, content } => match access_rules(content) {
                    Ok((hash, rules)) => {
                        state.access.error = None;
                        state.access.held = Some(hash);
                        has_other_policies |= policies.set(Arc::new(rules));
                    }
                    Err(reason) => {
                        tracing::error!(
                            object,
                            reason,
                            "access rules refused; the last good ones stay in force"
                        );
                        state.access.error = Some(reason);
                    }
                },
                ConfigUpdate::Synced => (state.synced, listed) = (true, true),
            }
        }
        let changed: Vec<_> = objects
            .iter_mut()
            .filter(|(name, _)| has_other_policies || changed.contains(*name))
            .map(|(_, object)| (object.bucket, object.with_policies(policies)))
            .collect();
        if !changed.is_empty() {
            self.table.store(Arc::new(self.table.load().with(changed)));
        }
        let missing = state.listed.iter().filter(|b| !state.held.contains_key(b));
        let missing: Vec<_> = missing.map(ToString::to_string).collect();
        let incomplete = state.refused.keys().any(|o| !objects.contains_key(o));
        state.incomplete = incomplete || !missing.is_empty();
        state.published |= !state.held.is_empty() || incomplete;
        if listed && !state.published {
            tracing::warn!(
                "nothing is published to this group of gateways: keys are answered 503 until an operator serves it"
            );
        }
        // Otherwise one that is new may be on its way: the operator lists it first.
        if listed && !missing.is_empty() {
            let buckets = missing.join(", ");
            tracing::error!(
                buckets,
                "routing objects are missing: keys that are not known are answered 503 until the operator has written them again"
            );
        }
        drop(content);
        self.state.send_replace(Arc::new(state));
    }
}

fn refuse(state: &mut ConfigState, object: String, reason: String) {
    tracing::error!(
        object,
        reason,
        "routing object refused; the last good one stays in force"
    );
    state.refused.insert(object, reason);
}

fn decode(
    objects: &BTreeMap<String, Object>,
    object: &str,
    bytes: &[u8],
) -> Result<Bucket, String> {
    let bucket = Bucket::decode(bytes).map_err(|e| e.to_string())?;
    // Two objects for one bucket would make the table depend on which came last.
    match objects
        .iter()
        .find(|(name, o)| o.bucket == bucket.id && *name != object)
    {
        Some((other, _)) => Err(format!("bucket {} is already held by {other}", bucket.id)),
        None => Ok(bucket),
    }
}

/// Access rules and their hash, or why they are refused.
fn access_rules(content: Result<Vec<u8>, String>) -> Result<(BucketHash, AccessRules), String> {
    let bytes = content?;
    let rules = AccessRules::decode(&bytes).map_err(|error| error.to_string())?;
    Ok((BucketHash::of(&bytes), rules))
}

#[cfg(test)]
mod tests {
    use datastream_protocol::event::EventType;
    use datastream_routing::{Effect, Filter, KeyHash, Rule, SubscriptionId};

    use super::*;

    const LIMIT: Duration = Duration::from_mins(1);

    #[tokio::test(start_paused = true)]
    async fn routes_become_stale_after_the_limit_without_the_source() {
        let store = ConfigStore::new().with_stale_routes(StaleRoutes::RefuseAfter(LIMIT));
        for attempt in 0..4 {
            store.set_source_error(Some(format!("refused, {attempt}")));
            assert!(!store.is_stale());
            tokio::time::advance(LIMIT / 4).await;
        }
        assert!(store.is_stale());
        store.set_source_error(None);
        assert!(!store.is_stale());
        store.set_source_error(Some("refused".to_owned()));
        assert!(!store.is_stale());
    }

    fn routes(names: &[(&str, &str)]) -> Vec<ConfigUpdate> {
        let routes = names.iter().map(|(namespace, name)| {
            let id = SubscriptionId::new(*namespace, *name);
            Route::new(id, KeyHash::of(&format!("{namespace}/{name}")))
        });
        let mut buckets = BTreeMap::<_, Vec<_>>::new();
        for route in routes {
            buckets.entry(route.id.bucket()).or_default().push(route);
        }
        let set = buckets.into_iter().map(|(id, routes)| ConfigUpdate::Set {
            object: format!("routes-{id}"),
            bytes: Bucket::new(id, routes).encode().unwrap(),
        });
        set.chain([ConfigUpdate::Synced]).collect()
    }

    fn access(bytes: Vec<u8>) -> Vec<ConfigUpdate> {
        let object = "access".to_owned();
        let content = Ok(bytes);
        vec![ConfigUpdate::Access { object, content }]
    }

    /// Rules that deny everything, to one namespace.
    fn closed_to(namespace: &str) -> Vec<u8> {
        let nothing = Rule {
            name: "nothing".to_owned(),
            effect: Effect::Deny,
            event_types: EventType::ALL.into_iter().collect(),
            filter: Filter::default(),
        };
        let rules = AccessRules {
            otherwise: Effect::Allow,
            rules: vec![Arc::new(nothing)],
            namespaces: ["a", "b", "c"]
                .map(|name| (name.to_owned(), vec![0; usize::from(name == namespace)]))
                .into(),
        };
        rules.encode().unwrap()
    }

    #[test]
    fn routes_have_the_policy_of_their_namespace_whichever_comes_first() {
        let (first, second) = (ConfigStore::new(), ConfigStore::new());
        let names = [("a", "1"), ("a", "2"), ("b", "1")];
        first.apply(routes(&names));
        first.apply(access(closed_to("a")));
        second.apply(access(closed_to("a")));
        second.apply(routes(&names));
        for store in [&first, &second] {
            let table = store.table();
            let of = |namespace, name| {
                let id = SubscriptionId::new(namespace, name);
                table.by_id(&id).unwrap().policy.clone()
            };
            let policy = of("a", "1").unwrap();
            assert!(Arc::ptr_eq(&policy, &of("a", "2").unwrap()));
            assert_eq!(of("b", "1"), None);
        }
        // A route that nothing changes for is the same as before.
        let b = SubscriptionId::new("b", "1");
        let before = first.table().by_id(&b).cloned().unwrap();
        first.apply(access(closed_to("c")));
        let table = first.table();
        assert!(Arc::ptr_eq(&before, table.by_id(&b).unwrap()));
        let a = SubscriptionId::new("a", "1");
        assert_eq!(table.by_id(&a).unwrap().policy, None);
    }

    #[test]
    fn rules_that_cannot_be_read_leave_the_last_good_ones_in_force() {
        let store = ConfigStore::new();
        store.apply(routes(&[("a", "1")]));
        store.apply(access(b"{}".to_vec()));
        assert!(store.state().access.is_unknown());
        store.apply(access(closed_to("a")));
        store.apply(access(b"{}".to_vec()));
        let state = store.state();
        assert!(!state.access.is_unknown() && !state.incomplete && state.access.error.is_some());
        assert_eq!(state.access.held, Some(BucketHash::of(&closed_to("a"))));
        let id = SubscriptionId::new("a", "1");
        assert!(store.table().by_id(&id).unwrap().policy.is_some());
    }

    #[test]
    fn who_may_have_what_is_not_known_while_rules_that_are_listed_are_missing() {
        let store = ConfigStore::new();
        store.apply(routes(&[("a", "1")]));
        assert!(!store.state().access.is_unknown());
        store.apply(vec![ConfigUpdate::Listed {
            object: "index".to_owned(),
            buckets: BTreeSet::new(),
            has_access: true,
        }]);
        assert!(store.state().access.is_unknown());
        store.apply(access(closed_to("a")));
        assert!(!store.state().access.is_unknown());
    }

    #[tokio::test(start_paused = true)]
    async fn routes_never_become_stale_by_default() {
        let store = ConfigStore::default();
        store.set_source_error(Some("refused".to_owned()));
        tokio::time::advance(LIMIT * 1000).await;
        assert!(!store.is_stale());
    }
}
