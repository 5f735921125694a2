//! The groups of gateways that the operator publishes to. A subscription names one of them.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use datastream_crds::DatastreamSubscription;
use datastream_routing::{AccessRules, SubscriptionId};
use futures_util::future::join_all;
use tokio::sync::Notify;
use tokio::task::yield_now;
use tokio::time::Instant;

use crate::access::AccessMode;
use crate::routing::{Budget, Check, ObservedKey, RoutingState, SharedRoutingState, Synced};
use crate::spec::{Invalid, ValidSubscription, validate};

/// A group's name has as many characters as leave room for the names of its objects.
const MAX_NAME: usize = 32;

/// The name of a group and where its clients connect, as in `default=wss://datastream.example.com/stream`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupSetting {
    /// A DNS label of at most 32 characters.
    pub name: String,
    /// `ws://` or `wss://`, without a query.
    pub endpoint: String,
    /// Ways in which its clients may say who they are.
    pub identities: Identities,
}

/// Ways in which the clients of a group may say who they are, beside stream keys.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Identities {
    /// Its gateways take tokens.
    pub tokens: bool,
    /// Its gateways ask for certificates.
    pub certificates: bool,
}

/// Bytes of labels that a route may have, so that the routes of one bucket fit into a Secret.
const MAX_LABELS: usize = 4 << 10;

/// A text that is not the setting of a group.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "a group is NAME=URL, with lower-case letters, digits and - in the name ({MAX_NAME} at most) and ws://HOST/stream or wss://HOST/stream without a query as URL, not {0:?}; without a path, it is /stream"
)]
pub struct MalformedGroup(String);

impl FromStr for GroupSetting {
    type Err = MalformedGroup;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let malformed = || MalformedGroup(text.to_owned());
        let (name, endpoint) = text.trim().split_once('=').ok_or_else(malformed)?;
        let is_label = !name.is_empty()
            && name.len() <= MAX_NAME
            && !name.starts_with('-')
            && !name.ends_with('-')
            && name
                .bytes()
                .all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'-'));
        let host = ["ws://", "wss://"]
            .iter()
            .find_map(|scheme| endpoint.strip_prefix(scheme));
        let is_url = host.is_some_and(|h| !h.is_empty() && !h.starts_with('/'))
            && !endpoint.contains(['?', '#', ' ']);
        if !is_label || !is_url {
            return Err(malformed());
        }
        // Without a path it would lead to the console.
        let path = host
            .and_then(|host| host.split_once('/'))
            .map(|(_, path)| path);
        let endpoint = match path {
            Some("") => format!("{endpoint}stream"),
            Some(_) => endpoint.to_owned(),
            None => format!("{endpoint}/stream"),
        };
        Ok(Self {
            name: name.to_owned(),
            endpoint,
            identities: Identities::default(),
        })
    }
}

/// Subscriptions that are looked at together, under one hold of the lock of their group.
const LOOKED_AT_TOGETHER: usize = 16;

/// Limits that hold for each group.
#[derive(Clone, Copy, Debug, Default)]
pub struct Limits {
    /// The time for which a sudden loss of more than half of all routes is held back.
    pub shrink_hold: Duration,
    /// The largest cost of filters.
    pub budget: Budget,
}

/// One group: what is published to it, and what its gateways say.
#[derive(Clone, Debug)]
pub(crate) struct Group {
    /// The URL at which its clients connect, without a key. Absent for a group that this operator does not serve (any more), but whose
    /// routing objects are there.
    pub endpoint: Option<Arc<str>>,
    pub identities: Identities,
    pub state: SharedRoutingState,
    /// Wakes its publisher.
    pub publish: Arc<Notify>,
    /// Wakes its publisher to keep somebody out.
    pub urgent: Arc<Notify>,
    /// Notified when the certificate of its gateways is gone.
    pub peers_gone: Arc<Notify>,
    /// Notified when access rules in force, or those that its gateways have, may be others.
    pub access_changed: Arc<Notify>,
}

/// All groups, by name.
#[derive(Clone, Debug)]
pub(crate) struct Groups(Arc<BTreeMap<Arc<str>, Group>>);

impl Groups {
    /// Groups of which nothing is known yet. Those in `published` that have no setting were removed: no subscription gets into
    /// them any more, and the routes that they have end with their subscriptions and keys.
    pub(crate) fn new(
        settings: &[GroupSetting],
        published: impl IntoIterator<Item = String>,
        limits: Limits,
        access_mode: AccessMode,
    ) -> Self {
        let group = |endpoint, identities| Group {
            endpoint,
            identities,
            state: SharedRoutingState::new(RoutingState::new(
                limits.shrink_hold,
                limits.budget,
                access_mode,
            )),
            publish: Arc::default(),
            urgent: Arc::default(),
            peers_gone: Arc::default(),
            access_changed: Arc::default(),
        };
        let published = published
            .into_iter()
            .map(|name| (name.into(), group(None, Identities::default())));
        let mut groups: BTreeMap<_, _> = published.collect();
        for setting in settings {
            let endpoint = Some(setting.endpoint.as_str().into());
            groups.insert(
                setting.name.as_str().into(),
                group(endpoint, setting.identities),
            );
        }
        Self(Arc::new(groups))
    }

    /// The group that a subscription names, and where its clients connect.
    ///
    /// # Errors
    /// There is no such group.
    pub(crate) fn of(&self, name: &str) -> Result<(&Group, &str), Invalid> {
        let group = self.0.get(name);
        let served = group.and_then(|group| Some((group, group.endpoint.as_deref()?)));
        served.ok_or_else(|| {
            let reason = format!("there is no group {name}: name one of {self}");
            Invalid::one("spec.gatewayGroup", reason)
        })
    }

    /// The generation of a subscription that gateways of some group serve from now on.
    pub(crate) fn served_generation(&self, id: &SubscriptionId) -> Option<i64> {
        self.iter()
            .find_map(|(_, group)| group.state.lock().served_generation(id))
    }

    /// The name of a group, shared by all who have it if there is such a group.
    pub(crate) fn name(&self, name: String) -> Arc<str> {
        let group = self.0.get_key_value(name.as_str());
        group.map_or_else(|| name.into(), |(name, _)| name.clone())
    }

    /// The URL at which clients connect, shared by all who have it if it is that of a group.
    pub(crate) fn endpoint(&self, url: &str) -> Arc<str> {
        let mut endpoints = self.iter().filter_map(|(_, group)| group.endpoint.as_ref());
        let shared = endpoints.find(|endpoint| ***endpoint == *url);
        shared.map_or_else(|| url.into(), Arc::clone)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&Arc<str>, &Group)> {
        self.0.iter()
    }

    /// A subscription as it is now: in its group, and no longer in the others. If it names none that exists, it keeps what
    /// route it has, like one that became invalid in any other way.
    ///
    /// # Errors
    /// It is invalid: every field that is wrong.
    pub(crate) fn set_subscription(
        &self,
        id: &SubscriptionId,
        subscription: &DatastreamSubscription,
    ) -> Result<(), Invalid> {
        let mut valid = self.check(subscription).inspect_err(|_| {
            self.set_unroutable(subscription);
        })?;
        // The one whose text is shared.
        valid.id = id.clone();
        for (name, group) in self.iter() {
            if **name != *subscription.spec.gateway_group {
                group.state.lock().remove_subscription(id);
                continue;
            }
            let check = group.state.lock().unchecked_form(&valid);
            let checked = check.map(Check::run);
            let mut state = group.state.lock();
            if let Some(checked) = checked {
                state.remember(checked);
            }
            state.set_subscription(subscription, Some(valid.clone()));
        }
        Ok(())
    }

    /// Checks the spec of a subscription, and that there is the group that it names.
    ///
    /// # Errors
    /// Every field that is wrong.
    pub(crate) fn check(
        &self,
        subscription: &DatastreamSubscription,
    ) -> Result<ValidSubscription, Invalid> {
        let mut valid = validate(subscription)?;
        let (group, _) = self.of(&subscription.spec.gateway_group)?;
        let name = &subscription.spec.gateway_group;
        if valid.client_certificate.is_some() && !group.identities.certificates {
            let reason = format!(
                "the gateways of group {name} ask for no certificates: name another group in spec.gatewayGroup, or leave it out"
            );
            return Err(Invalid::one("spec.clientCertificate", reason));
        }
        if !group.identities.tokens {
            // Nothing asks for them, and a change of them is none of the route.
            valid.labels.clear();
        }
        let labels = valid.labels.iter();
        let size: usize = labels.map(|(key, value)| key.len() + value.len()).sum();
        if size > MAX_LABELS {
            let reason = format!(
                "take {size} bytes, but {MAX_LABELS} is the limit where tokens may select by them: move some to annotations"
            );
            return Err(Invalid::one("metadata.labels", reason));
        }
        Ok(valid)
    }

    /// A subscription that cannot be routed, whatever its group: it keeps the route that it has.
    pub(crate) fn set_unroutable(&self, subscription: &DatastreamSubscription) {
        for (_, group) in self.iter() {
            group.state.lock().set_subscription(subscription, None);
        }
    }

    /// A subscription is gone.
    pub(crate) fn remove_subscription(&self, id: &SubscriptionId) {
        for (_, group) in self.iter() {
            group.state.lock().remove_subscription(id);
        }
    }

    /// The key in a subscription's Secret, as [`RoutingState::set_key`] takes it.
    pub(crate) fn set_key(&self, id: &SubscriptionId, key: Option<&ObservedKey>) {
        for (_, group) in self.iter() {
            group.state.lock().set_key(id, key.cloned());
        }
    }

    /// Wakes the publishers that have something to look at.
    pub(crate) fn wake(&self) {
        for (_, group) in self.iter() {
            group.wake();
        }
    }

    /// Notes that nothing is known of this namespace until it is listed.
    pub(crate) fn set_unlisted(&self, namespace: &Arc<str>) {
        for (_, group) in self.iter() {
            group.state.lock().set_unlisted(namespace.clone());
        }
    }

    /// Puts access rules in force. Returns the subscriptions of each group that are to be [looked at again](Group::look_again).
    ///
    /// Gateways filter by the rules, so these are published first, and what follows for each subscription is found after that, in pieces:
    /// meanwhile they are written, and keys revoked.
    pub(crate) fn set_access(&self, rules: &Arc<AccessRules>) -> Vec<(Group, Vec<SubscriptionId>)> {
        let now = Instant::now();
        let changed = self.iter().map(|(_, group)| {
            let ids = group.state.lock().set_access(rules.clone(), now);
            group.access_changed.notify_one();
            // What had its turn before the rules has to be planned after them.
            group.wake();
            (group.clone(), ids)
        });
        changed.collect()
    }

    /// All subscriptions and keys of a namespace are known now.
    pub(crate) async fn listed(&self, namespace: &str) {
        for (_, group) in self.iter() {
            let ids = group.state.lock().known(Some(namespace));
            group.check_ahead(&ids).await;
            group.state.lock().listed(namespace);
        }
    }

    /// A kind of objects that all groups share has been listed completely.
    pub(crate) async fn synced(&self, kind: Synced) {
        // No group waits for what others have to check.
        join_all(self.iter().map(|(_, group)| group.synced(kind))).await;
    }

    /// Returns whether everything has been listed once, for every group.
    pub(crate) fn are_complete(&self) -> bool {
        self.iter()
            .all(|(_, group)| group.state.lock().is_complete())
    }
}

impl fmt::Display for Groups {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let served = self.iter().filter(|(_, group)| group.endpoint.is_some());
        let names: Vec<_> = served.map(|(name, _)| &**name).collect();
        f.write_str(&names.join(", "))
    }
}

impl Group {
    /// One kind of objects has been listed completely.
    pub(crate) async fn synced(&self, kind: Synced) {
        if !self.state.lock().synced(kind) {
            return;
        }
        let ids = self.state.lock().known(None);
        self.check_ahead(&ids).await;
        // Rules may have changed meanwhile.
        self.check_ahead(&ids).await;
        self.state.lock().settle(Instant::now());
        self.wake();
        self.access_changed.notify_one();
    }

    /// Returns whether another one is the same group.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.publish, &other.publish)
    }

    /// Decides on these subscriptions by the access rules in force.
    pub(crate) async fn look_again(&self, ids: &[SubscriptionId]) {
        self.check_ahead(ids).await;
        self.state.lock().look_again(ids);
        self.wake();
    }

    /// Makes the checks that decisions on these subscriptions take. Whoever writes subscriptions decides how much there is to compare, and
    /// neither the lock nor a thread of the runtime is held for more than one of them.
    async fn check_ahead(&self, ids: &[SubscriptionId]) {
        for some in ids.chunks(LOOKED_AT_TOGETHER) {
            let checks = self.state.lock().unchecked(some);
            for check in checks {
                let checked = check.run();
                self.state.lock().remember(checked);
                yield_now().await;
            }
        }
    }

    /// Wakes its publisher, if that has something to look at.
    pub(crate) fn wake(&self) {
        let state = self.state.lock();
        if state.is_dirty() {
            self.publish.notify_one();
        }
        if state.has_urgent() {
            self.urgent.notify_one();
        }
    }
}

#[cfg(test)]
mod tests {
    use datastream_routing::{Effect, KeyHash};
    use futures_util::{FutureExt as _, poll};
    use serde_json::json;

    use super::*;
    use crate::routing::{Denied, id_of};
    use datastream_routing::buckets;

    fn subscription(group: &str) -> DatastreamSubscription {
        serde_json::from_value(json!({
            "apiVersion": "datastream.dev/v1alpha1", "kind": "DatastreamSubscription",
            "metadata": {"namespace": "team", "name": "leds", "uid": "u1", "generation": 1},
            "spec": {"eventTypes": ["location"], "gatewayGroup": group},
        }))
        .unwrap()
    }

    fn set(groups: &Groups, subscription: &DatastreamSubscription) -> Result<(), Invalid> {
        groups.set_subscription(&id_of(subscription), subscription)
    }

    fn key() -> ObservedKey {
        ObservedKey {
            owner_uid: Some("u1".into()),
            hash: KeyHash::of("k"),
            previous: None,
        }
    }

    /// Everything is listed. Nothing has to be checked for it, so nothing is waited for.
    fn sync(groups: &Groups) {
        for kind in Synced::PUBLISHABLE {
            groups.synced(kind).now_or_never().unwrap();
        }
    }

    fn desired(groups: &Groups) -> Vec<(&str, usize)> {
        let groups = groups.iter();
        let desired = groups.map(|(name, group)| (&**name, group.state.lock().totals().0));
        desired.collect()
    }

    #[test]
    fn group_settings_are_parsed_or_rejected_with_the_expected_form() {
        let setting: GroupSetting = "eu=wss://eu.example.com/stream".parse().unwrap();
        assert_eq!(setting.name, "eu");
        assert_eq!(setting.endpoint, "wss://eu.example.com/stream");
        for short in ["eu=wss://h:1", "eu=wss://h:1/"] {
            let setting: GroupSetting = short.parse().unwrap();
            assert_eq!(setting.endpoint, "wss://h:1/stream");
        }
        for bad in [
            "eu",
            "=wss://h/stream",
            "EU=wss://h/stream",
            "-eu=wss://h/stream",
            "eu=https://h/stream",
            "eu=wss:///stream",
            "eu=wss://h/stream?x=1",
        ] {
            let error = bad.parse::<GroupSetting>().unwrap_err().to_string();
            assert!(error.contains("NAME=URL") && error.contains(bad), "{error}");
        }
    }

    #[test]
    fn a_subscription_is_routed_to_the_group_that_it_names() {
        let settings = ["default=ws://a/stream", "eu=ws://b/stream"].map(|s| s.parse().unwrap());
        let groups = Groups::new(&settings, [], Limits::default(), AccessMode::default());
        sync(&groups);
        let key = key();
        groups.set_key(&SubscriptionId::new("team", "leds"), Some(&key));
        set(&groups, &subscription("eu")).unwrap();
        assert_eq!(desired(&groups), [("default", 0), ("eu", 1)]);
        assert_eq!(groups.of("eu").unwrap().1, "ws://b/stream");
        set(&groups, &subscription("default")).unwrap();
        assert_eq!(desired(&groups), [("default", 1), ("eu", 0)]);
        // One that does not exist: the existing stream continues.
        set(&groups, &subscription("us")).unwrap_err();
        assert_eq!(desired(&groups), [("default", 1), ("eu", 0)]);
        let error = groups.of("us").unwrap_err().to_string();
        assert_eq!(
            error,
            "spec.gatewayGroup: there is no group us: name one of default, eu"
        );
        groups.remove_subscription(&SubscriptionId::new("team", "leds"));
        assert_eq!(desired(&groups), [("default", 0), ("eu", 0)]);
    }

    #[test]
    fn an_invalid_edit_keeps_the_route_even_if_it_names_another_group() {
        let settings = ["default=ws://a/stream", "eu=ws://b/stream"].map(|s| s.parse().unwrap());
        let groups = Groups::new(&settings, [], Limits::default(), AccessMode::default());
        sync(&groups);
        groups.set_key(&SubscriptionId::new("team", "leds"), Some(&key()));
        set(&groups, &subscription("default")).unwrap();
        let mut edited = subscription("eu");
        edited.spec.event_types.clear();
        set(&groups, &edited).unwrap_err();
        assert_eq!(desired(&groups), [("default", 1), ("eu", 0)]);
    }

    /// The operator was restarted without group `eu`, to which `leds` is published.
    fn without_eu(keyed: bool, exists: bool) -> Groups {
        let settings = ["default=ws://a/stream".parse().unwrap()];
        let groups = Groups::new(
            &settings,
            ["eu".to_owned()],
            Limits::default(),
            AccessMode::default(),
        );
        let leds = subscription("eu");
        let route = validate(&leds).unwrap().route(key().hash);
        for (bucket, content) in buckets([route]) {
            let bytes = content.encode().unwrap();
            groups.0["eu"].state.lock().set_object(bucket, 1, &bytes);
        }
        if exists {
            set(&groups, &leds).unwrap_err();
        }
        if keyed {
            groups.set_key(&id_of(&leds), Some(&key()));
        }
        sync(&groups);
        groups
    }

    #[test]
    fn routes_of_a_removed_group_are_removed_with_their_subscriptions_and_keys() {
        let id = SubscriptionId::new("team", "leds");
        for (keyed, exists, routes) in [(true, true, 1), (false, true, 0), (true, false, 0)] {
            let groups = without_eu(keyed, exists);
            let expected = [("default", 0), ("eu", routes)];
            assert_eq!(desired(&groups), expected, "{keyed} {exists}");
        }
        let groups = without_eu(true, true);
        let error = groups.of("eu").unwrap_err().to_string();
        assert!(
            error.ends_with("there is no group eu: name one of default"),
            "{error}"
        );
        assert_eq!(groups.served_generation(&id), Some(1));
        groups.set_key(&id, None);
        assert_eq!(desired(&groups), [("default", 0), ("eu", 0)]);
        let groups = without_eu(true, true);
        groups.remove_subscription(&id);
        assert_eq!(desired(&groups), [("default", 0), ("eu", 0)]);
        // One that names a group that there is moves.
        let groups = without_eu(true, true);
        set(&groups, &subscription("default")).unwrap();
        assert_eq!(desired(&groups), [("default", 1), ("eu", 0)]);
    }

    #[tokio::test]
    async fn checks_are_made_before_routes_are_decided_on_and_leave_turns_to_others() {
        let settings = ["default=ws://a/stream".parse().unwrap()];
        let groups = Groups::new(&settings, [], Limits::default(), AccessMode::default());
        let (group, _) = groups.of("default").unwrap();
        let leds = subscription("default");
        set(&groups, &leds).unwrap();
        groups.set_key(&id_of(&leds), Some(&key()));
        for kind in [Synced::Subscriptions, Synced::Keys, Synced::Objects] {
            groups.synced(kind).await;
        }
        let nothing = AccessRules {
            otherwise: Effect::Deny,
            rules: vec![],
            namespaces: BTreeMap::from([("team".to_owned(), vec![])]),
        };
        let changed = groups.set_access(&Arc::new(nothing));
        assert_eq!(changed.len(), 1);
        assert_eq!(changed[0].1, [id_of(&leds)]);
        let unchecked = || group.state.lock().unchecked(&[id_of(&leds)]).len();
        assert_eq!(unchecked(), 1);
        let mut synced = std::pin::pin!(group.synced(Synced::Access));
        assert!(poll!(synced.as_mut()).is_pending());
        assert_eq!(unchecked(), 0);
        assert_eq!(desired(&groups), [("default", 0)]);
        synced.await;
        assert_eq!(desired(&groups), [("default", 1)]);
        let denied = group.state.lock().denied(&id_of(&leds));
        assert!(matches!(denied, Some(Denied::Access(_))), "{denied:?}");
        // One that comes now is checked before it is decided on, too.
        let mut other = subscription("default");
        other.metadata.name = Some("lamps".to_owned());
        set(&groups, &other).unwrap();
        assert!(group.state.lock().unchecked(&[id_of(&other)]).is_empty());
    }

    #[test]
    fn a_removed_group_gets_no_new_routes() {
        let groups = without_eu(true, true);
        let mut other = subscription("eu");
        other.metadata.name = Some("lamps".to_owned());
        set(&groups, &other).unwrap_err();
        groups.set_key(
            &id_of(&other),
            Some(&ObservedKey {
                hash: KeyHash::of("k2"),
                ..key()
            }),
        );
        assert_eq!(desired(&groups), [("default", 0), ("eu", 1)]);
    }
}
