//! The leader's work: watches feed the states of the groups and the queue, reconciles and the publishers empty them.

use std::collections::{BTreeSet, VecDeque};
use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use datastream_crds::{DatastreamAccessRule, DatastreamSubscription};
use datastream_routing::SubscriptionId;
use datastream_routing::names::{
    ACCESS_KEY, COMPONENT, GROUP, HAS_ACCESS_KEY, INDEX_KEY, access_name, decode_index, index_name,
    peers_name, routes_bucket, routes_name, routes_selector, selector,
};
use datastream_service::backoff::Backoff;
use datastream_service_kube::api::reason;
use datastream_service_kube::lease::PULSE;
use datastream_service_kube::watch::{Change, Selection, Watched};
use futures_util::{Stream, StreamExt as _};
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{Namespace, Secret};
use k8s_openapi::jiff::Timestamp;
use kube::api::ListParams;
use kube::runtime::events::Reporter;
use kube::{Api, Client, Resource, ResourceExt as _};
use prometheus::IntGaugeVec;
use serde::de::DeserializeOwned;
use tokio::sync::{mpsc, watch};
use tokio::task::{JoinSet, yield_now};
use tokio::time::{Instant, sleep, sleep_until};

use crate::access::{AccessMode, Listed, SharedAccess};
use crate::connection::{SharedConnections, Writer};
use crate::context::Context;
use crate::events;
use crate::groups::{Group, Groups};
use crate::look_again::LookAgain;
use crate::metrics::Metrics;
use crate::namespaces::{Heard, Scope};
use crate::reconcile::{observed, reconcile, retry};
use crate::retry::Reconciles;
use crate::routing::{
    AccessWriter, Affected, Publisher, RoutingState, Synced, are_complete, decode_object, keep,
};
use crate::run::Settings;
use crate::scheduler;
use crate::stream_secret::{LABEL, ObservedSecret, Secrets, subscription_of};
use crate::subscription::{Subscription, Subscriptions};
use crate::unreadable::stand_in;
use crate::verdicts::{Fault, Verdict, hash_of_labels};
use crate::watch::{ScopeEvent, follow, follow_each};

/// Reconciles that may run at once: enough to hide the API server's latency, few enough not to flood it.
const CONCURRENCY: usize = 32;
/// Capacity of the queue of subscriptions before the scheduler, which keeps each once.
const QUEUE: usize = 1024;
/// A Secret that is gone, or has no key, revokes the one before after this long, unless there is another one by then: most are mended
/// at once, and one that has only lost its label looks as if it were gone.
const REVOKED_AFTER: Duration = Duration::from_secs(2);
/// Access rules that come within this time take effect together: of several that are applied at once, the first one alone may deny what
/// the next one allows.
const RULES_TOGETHER: Duration = Duration::from_millis(300);
const FIRST_PAUSE: Duration = Duration::from_millis(500);
/// The longest pause between two attempts to find the groups that are published to.
const LAST_PAUSE: Duration = Duration::from_secs(30);

/// Feeds the states of the groups and the queue.
#[derive(Clone)]
struct Feed {
    groups: Groups,
    access: SharedAccess,
    again: LookAgain,
    connections: SharedConnections,
    secrets: Secrets,
    queue: mpsc::Sender<SubscriptionId>,
    reconciles: Reconciles,
    complete: watch::Sender<bool>,
    heard: Heard,
    subscriptions: Subscriptions,
    metrics: Arc<Metrics>,
}

/// Feeds the state of one group.
struct GroupFeed {
    feed: Feed,
    name: String,
    group: Group,
}

/// Runs until a part of it ends, which is an error.
pub(crate) async fn run(
    client: Client,
    settings: Settings,
    metrics: Arc<Metrics>,
) -> anyhow::Result<()> {
    let namespace = &settings.routes_namespace;
    let published = published_groups(Api::namespaced(client.clone(), namespace)).await;
    let groups = Groups::new(
        &settings.groups,
        published,
        settings.limits,
        settings.access.mode,
    );
    for namespace in settings.namespaces.names() {
        groups.set_unlisted(&namespace.into());
    }
    let (queue, queued) = mpsc::channel(QUEUE);
    let subscriptions = Subscriptions::default();
    let feed = Feed {
        groups: groups.clone(),
        access: SharedAccess::new(settings.access),
        again: LookAgain::default(),
        connections: SharedConnections::default(),
        secrets: Secrets::default(),
        queue: queue.clone(),
        reconciles: Reconciles::default(),
        complete: watch::Sender::new(false),
        heard: Heard::of(&settings.namespaces),
        subscriptions: subscriptions.clone(),
        metrics: metrics.clone(),
    };
    let reporter = Reporter {
        controller: "datastream-operator".to_owned(),
        instance: Some(settings.identity.clone()),
    };
    let (events, event_publisher) = events::channel(
        client.clone(),
        reporter,
        feed.reconciles.clone(),
        metrics.events_left_out.clone(),
    );
    let context = Arc::new(Context {
        client: client.clone(),
        secrets: feed.secrets.clone(),
        groups: groups.clone(),
        complete: feed.complete.subscribe(),
        heard: feed.heard.clone(),
        events,
        metrics: metrics.clone(),
        reconciles: feed.reconciles.clone(),
    });
    let writer = Writer {
        client: client.clone(),
        leases: Api::namespaced(client.clone(), &settings.routes_namespace),
        connections: feed.connections.clone(),
        subscriptions: subscriptions.clone(),
        complete: feed.complete.subscribe(),
        metrics: metrics.clone(),
    };

    let mut tasks = JoinSet::new();
    let scopes = settings.namespaces.scopes();
    let every = Selection::all();
    let events = follow_each("subscriptions", &client, scopes.clone(), &every, &metrics);
    tasks.spawn(feed.clone().subscriptions(events));
    let of_keys = Selection::labelled(&format!("{COMPONENT}={LABEL}"));
    let events = follow_each("stream_keys", &client, scopes, &of_keys, &metrics);
    tasks.spawn(feed.clone().keys(events));
    if settings.access.mode == AccessMode::Off {
        groups.synced(Synced::Access).await;
    } else {
        let rules = Api::all(client.clone());
        let rules = follow(
            "access_rules".to_owned(),
            rules,
            every.clone(),
            metrics.clone(),
        );
        let namespaces = Api::all(client.clone());
        let namespaces = follow("namespaces".to_owned(), namespaces, every, metrics.clone());
        tasks.spawn(feed.clone().access(rules, namespaces));
    }
    for (name, group) in groups.iter() {
        let of_group = |component| Selection::labelled(&selector(component, name));
        let leases = || Api::namespaced(client.clone(), namespace);
        if group.endpoint.is_none() {
            tracing::warn!(
                group = &**name,
                "routes are published to a group that is not in --groups: they stay until their subscriptions or keys go"
            );
        }
        let feed = || GroupFeed {
            feed: feed.clone(),
            name: name.to_string(),
            group: group.clone(),
        };
        let objects = Api::namespaced(client.clone(), namespace);
        let routes = Selection::labelled(&routes_selector(name));
        tasks.spawn(feed().objects(objects, routes));
        tasks.spawn(feed().gateways(leases(), of_group("gateway").with_pulse(PULSE)));
        tasks.spawn(feed().claims(leases(), of_group("stream")));
        let publisher = Publisher {
            secrets: Api::namespaced(client.clone(), namespace),
            group: name.to_string(),
            state: group.state.clone(),
            changed: group.publish.clone(),
            urgent: group.urgent.clone(),
            published: queue.clone(),
            metrics: metrics.clone(),
        };
        tasks.spawn(publisher.run());
        let secrets = Api::namespaced(client.clone(), namespace);
        let writer = AccessWriter {
            secrets,
            group: name.to_string(),
            access: feed().feed.access,
            state: group.state.clone(),
            changed: group.access_changed.clone(),
            publish: group.publish.clone(),
            urgent: group.urgent.clone(),
            metrics: metrics.clone(),
        };
        tasks.spawn(writer.run());
        if group.endpoint.is_some() {
            let secrets = Api::namespaced(client.clone(), namespace);
            tasks.spawn(keep(secrets, name.to_string(), group.peers_gone.clone()));
        }
    }
    tasks.spawn(writer.run());
    tasks.spawn(event_publisher.run());
    tasks.spawn(reconciles(context, subscriptions, queued));
    let ended = tasks.join_next().await.context("nothing runs")?;
    ended.context("a part of the operator ended")??;
    anyhow::bail!("a part of the operator ended")
}

/// The groups of gateways that have routing objects, whether or not they are served. Retries until it succeeds.
async fn published_groups(secrets: Api<Secret>) -> BTreeSet<String> {
    let of_routes = ListParams::default().labels(&format!("{COMPONENT}=routes"));
    let mut backoff = Backoff::new(FIRST_PAUSE, LAST_PAUSE);
    loop {
        match secrets.list_metadata(&of_routes).await {
            Ok(objects) => {
                let group = |object: kube::core::PartialObjectMeta<Secret>| {
                    let group = object.labels().get(GROUP)?;
                    let name = object.name_any();
                    let is_routes = routes_bucket(&name)
                        .is_some_and(|bucket| routes_name(group, bucket) == name);
                    is_routes.then(|| group.clone())
                };
                return objects.into_iter().filter_map(group).collect();
            }
            Err(error) => {
                let pause = backoff.next_delay();
                tracing::warn!(
                    error = reason(&error),
                    "cannot list the routing objects; trying again in {pause:.1?}"
                );
                sleep(pause).await;
            }
        }
    }
}

async fn reconciles(
    context: Arc<Context>,
    subscriptions: Subscriptions,
    queued: mpsc::Receiver<SubscriptionId>,
) -> anyhow::Result<()> {
    let reconcile = |id| {
        let (context, subscriptions) = (context.clone(), subscriptions.clone());
        async move {
            context.completed().await;
            // Only now: it may have changed while others were listed.
            let Some(subscription) = subscriptions.get(&id) else {
                // One that went while it was reconciled was noted again after that.
                context.reconciles.over(&id);
                return None;
            };
            let reconciled = reconcile(&subscription, &context).await;
            reconciled.unwrap_or_else(|error| Some(retry(&context, &id, &error)))
        }
    };
    scheduler::run(queued, CONCURRENCY, reconcile).await
}

impl Feed {
    async fn subscriptions(
        self,
        events: impl Stream<Item = (Scope, ScopeEvent<DatastreamSubscription>)>,
    ) -> anyhow::Result<()> {
        let mut events = std::pin::pin!(events);
        while let Some((scope, event)) = events.next().await {
            let change = match event {
                ScopeEvent::Change(change) => *change,
                ScopeEvent::Absent => {
                    let gone = self
                        .subscriptions
                        .within(scope.as_deref().unwrap_or_default());
                    for id in gone {
                        self.gone(&id);
                    }
                    Change::Synced
                }
            };
            match change {
                Change::Set(subscription) => {
                    let id = self.id_of(&subscription);
                    let verdict = self.check(&id, &subscription);
                    self.keep(subscription, id.clone(), verdict);
                    self.queue.send(id).await?;
                    // A check may have taken milliseconds, and many may follow at once: others take their turn between them.
                    yield_now().await;
                }
                Change::Unreadable(object) => {
                    let error = object.error.clone();
                    let subscription = stand_in(object);
                    let id = self.id_of(&subscription);
                    self.groups.set_unroutable(&subscription);
                    let verdict = Verdict::Faulty(Arc::new(Fault::Unreadable(error)));
                    self.keep(subscription, id.clone(), verdict);
                    self.queue.send(id).await?;
                }
                Change::Gone(namespace, name) => {
                    self.gone(&SubscriptionId::new(namespace, name));
                }
                Change::Synced => self.listed(&scope, Synced::Subscriptions).await?,
                Change::Failed(_) => self.failed(&scope, Synced::Subscriptions).await,
                Change::Recovered => (),
            }
            self.wake_all();
        }
        anyhow::bail!("the watch of the subscriptions ended")
    }

    /// Checks a subscription as it is now: a generation that has a verdict is not checked again, unless its labels have changed.
    fn check(&self, id: &SubscriptionId, subscription: &DatastreamSubscription) -> Verdict {
        let known = self.subscriptions.get(id);
        let known = known.filter(|known| {
            known.is_of_generation(subscription) && known.labels == hash_of_labels(subscription)
        });
        // What could not be read may have been the status.
        let verdict = known.map(|known| known.verdict.clone());
        let verdict = verdict.filter(|verdict| !verdict.is_unreadable());
        verdict.unwrap_or_else(|| match self.groups.set_subscription(id, subscription) {
            Ok(()) => Verdict::Valid,
            Err(invalid) => Verdict::Faulty(Arc::new(Fault::Invalid(invalid))),
        })
    }

    /// The identity of a subscription, as all that is known of it has it.
    fn id_of(&self, subscription: &DatastreamSubscription) -> SubscriptionId {
        let metadata = &subscription.metadata;
        let namespace = metadata.namespace.as_deref().unwrap_or_default();
        let name = metadata.name.as_deref().unwrap_or_default();
        self.subscriptions.id(namespace, name)
    }

    fn keep(&self, subscription: DatastreamSubscription, id: SubscriptionId, verdict: Verdict) {
        let subscription = Subscription::of(subscription, id, verdict, &self.groups);
        self.subscriptions.set(subscription);
    }

    /// Removes a subscription that is gone.
    fn gone(&self, id: &SubscriptionId) {
        self.groups.remove_subscription(id);
        self.subscriptions.remove(id);
        self.reconciles.over(id);
        self.connections.lock().forget(id);
    }

    async fn keys(
        self,
        events: impl Stream<Item = (Scope, ScopeEvent<Secret>)>,
    ) -> anyhow::Result<()> {
        let mut events = std::pin::pin!(events);
        // Secrets without a key (any more), first come first.
        let mut gone: VecDeque<(Instant, SubscriptionId)> = VecDeque::new();
        loop {
            let due = gone.front().map(|(due, _)| *due);
            let event = tokio::select! {
                event = events.next() => Some(event.context("the watch of the Secrets with stream keys ended")?),
                () = sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => None,
            };
            let (scope, change) = match event {
                Some((scope, ScopeEvent::Change(change))) => (scope, Some(*change)),
                Some((scope, ScopeEvent::Absent)) => {
                    for id in self.secrets.within(scope.as_deref().unwrap_or_default()) {
                        self.secrets.set(id.clone(), None);
                        self.groups.set_key(&id, None);
                    }
                    (scope, Some(Change::Synced))
                }
                None => (None, None),
            };
            match change {
                Some(Change::Set(secret)) => {
                    let namespace = secret.namespace().unwrap_or_default();
                    if let Some(name) = subscription_of(&secret.name_any()) {
                        let id = self.subscriptions.id(&namespace, name);
                        let found = ObservedSecret::of(&secret, name);
                        match observed(&found, Timestamp::now()) {
                            Some(key) => self.groups.set_key(&id, Some(&key)),
                            None => gone.push_back((Instant::now() + REVOKED_AFTER, id.clone())),
                        }
                        self.secrets.set(id.clone(), Some(found));
                        self.queue.send(id).await?;
                    }
                }
                Some(Change::Gone(namespace, name)) => {
                    if let Some(name) = subscription_of(&name) {
                        let id = SubscriptionId::new(namespace, name);
                        self.secrets.set(id.clone(), None);
                        gone.push_back((Instant::now() + REVOKED_AFTER, id.clone()));
                        self.queue.send(id).await?;
                    }
                }
                Some(Change::Synced) => self.listed(&scope, Synced::Keys).await?,
                Some(Change::Failed(_)) => self.failed(&scope, Synced::Keys).await,
                // The key that was read last stays in force for as long as the Secret is there.
                Some(Change::Unreadable(_) | Change::Recovered) => (),
                None => {
                    if let Some((_, id)) = gone.pop_front()
                        && self
                            .secrets
                            .get(&id)
                            .is_none_or(|found| found.key.is_none())
                    {
                        self.groups.set_key(&id, None);
                    }
                }
            }
            self.wake_all();
        }
    }

    /// Follows the access rules, and the labels of the namespaces that they select by.
    async fn access(
        self,
        rules: impl Stream<Item = Change<DatastreamAccessRule>>,
        namespaces: impl Stream<Item = Change<Namespace>>,
    ) -> anyhow::Result<()> {
        let (mut rules, mut namespaces) = (std::pin::pin!(rules), std::pin::pin!(namespaces));
        let mut due: Option<Instant> = None;
        loop {
            tokio::select! {
                change = rules.next() => self.rule(change.context("the watch of the access rules ended")?),
                change = namespaces.next() => self.namespace(change.context("the watch of the namespaces ended")?),
                () = sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => {
                    self.put_access_in_force().await;
                    due = None;
                    continue;
                }
                // In pieces: rules that change meanwhile do not wait for it.
                (group, ids) = self.again.some() => {
                    group.look_again(&ids).await;
                    for id in ids {
                        self.queue.send(id).await?;
                    }
                    continue;
                }
            }
            due.get_or_insert_with(|| Instant::now() + RULES_TOGETHER);
        }
    }

    fn rule(&self, change: Change<DatastreamAccessRule>) {
        let mut access = self.access.lock();
        match change {
            Change::Set(rule) => access.set_rule(rule.name_any(), Some(rule.spec)),
            Change::Unreadable(object) => {
                access.set_rule(object.metadata.name.unwrap_or_default(), None);
            }
            Change::Gone(_, name) => access.remove_rule(&name),
            Change::Synced => access.listed(Listed::Rules),
            Change::Failed(_) | Change::Recovered => (),
        }
    }

    fn namespace(&self, change: Change<Namespace>) {
        let mut access = self.access.lock();
        match change {
            Change::Set(namespace) => {
                let labels = namespace.metadata.labels.unwrap_or_default();
                access.set_namespace(namespace.metadata.name.unwrap_or_default(), labels);
            }
            Change::Gone(_, name) => access.remove_namespace(&name),
            Change::Synced => access.listed(Listed::Namespaces),
            // The labels that were read last.
            Change::Unreadable(_) | Change::Failed(_) | Change::Recovered => (),
        }
    }

    /// Puts the access rules in force that follow from what is known now, and has the subscriptions looked at again that they concern.
    async fn put_access_in_force(&self) {
        let changed = {
            // So that no task puts older rules in force after newer ones; the lock of what they are is not held for so long.
            let _order = self.access.order();
            let new = {
                let mut access = self.access.lock();
                let new = access.refresh();
                self.metrics.access_rules.set(access.rules() as i64);
                let is_stale = i64::from(access.is_stale());
                self.metrics.access_rules_stale.set(is_stale);
                new
            };
            new.map(|rules| self.groups.set_access(&rules))
        };
        let Some(changed) = changed else {
            return;
        };
        self.again.add(changed);
        self.groups.synced(Synced::Access).await;
        self.check_complete();
        self.wake_all();
    }

    /// Notes that subscriptions or keys of this scope have been listed.
    async fn listed(&self, scope: &Scope, kind: Synced) -> anyhow::Result<()> {
        let is_last = self.heard.listed(scope, kind);
        if let (true, Some(namespace)) = (is_last, scope) {
            self.groups.listed(namespace).await;
        }
        self.settle(kind).await;
        // Reconciles that came before said nothing; others still wait.
        if let (true, Some(namespace)) = (is_last && *self.complete.borrow(), scope) {
            for id in self.subscriptions.within(namespace) {
                self.queue.send(id).await?;
            }
        }
        Ok(())
    }

    /// Notes that subscriptions or keys of this scope cannot be listed.
    async fn failed(&self, scope: &Scope, kind: Synced) {
        self.heard.failed(scope, kind);
        self.settle(kind).await;
    }

    /// Releases what waits for a kind of objects that all groups share, once all of them are listed.
    async fn settle(&self, kind: Synced) {
        if self.heard.is_settled(kind) {
            self.groups.synced(kind).await;
            self.check_complete();
        }
    }

    fn check_complete(&self) {
        let complete = self.groups.are_complete();
        if complete && !self.complete.send_replace(complete) {
            self.metrics.listed.set(1);
            tracing::info!("everything is listed");
        }
    }

    /// Wakes the publishers that have something to look at.
    fn wake_all(&self) {
        for (name, group) in self.groups.iter() {
            self.wake(name, group);
        }
    }

    fn wake(&self, name: &str, group: &Group) {
        self.observe(name, group, &group.state.lock());
        group.wake();
    }

    fn observe(&self, name: &str, group: &Group, state: &RoutingState) {
        let (desired, published, gateways) = state.totals();
        let set = |gauges: &IntGaugeVec, value: usize| {
            gauges.with_label_values(&[name]).set(value as i64);
        };
        set(&self.metrics.routes_desired, desired);
        set(&self.metrics.routes_published, published);
        // That a group which is not served has no gateways is as it should be.
        if group.endpoint.is_some() {
            set(&self.metrics.gateways, gateways);
        }
    }
}

impl GroupFeed {
    async fn objects(self, api: Api<Watched<Secret>>, selection: Selection) -> anyhow::Result<()> {
        let (index, peers) = (index_name(&self.name), peers_name(&self.name));
        let access = access_name(&self.name);
        let mut changes = std::pin::pin!(self.follow("routes", api, selection));
        while let Some(change) = changes.next().await {
            match change {
                Change::Set(secret) if secret.name_any() == index => self.index(&secret),
                Change::Unreadable(object) if object.metadata.name.as_ref() == Some(&index) => {
                    self.group.state.lock().set_unreadable_index();
                }
                Change::Gone(_, name) if name == index => self.group.state.lock().set_index(None),
                Change::Set(secret) if secret.name_any() == peers => {
                    if !are_complete(&secret) {
                        self.group.peers_gone.notify_one();
                    }
                    continue;
                }
                Change::Gone(_, name) if name == peers => {
                    self.group.peers_gone.notify_one();
                    continue;
                }
                Change::Set(secret) if secret.name_any() == access => {
                    self.published_access(&secret).await;
                }
                Change::Gone(_, name) if name == access => {
                    self.group.state.lock().set_published_access(None);
                    self.group.access_changed.notify_one();
                }
                Change::Set(secret) => {
                    if let Some((bucket, version, bytes)) = decode_object(&secret) {
                        self.group.state.lock().set_object(bucket, version, bytes);
                    }
                }
                Change::Gone(_, name) => {
                    if let Some(bucket) = routes_bucket(&name) {
                        self.group.state.lock().remove_object(bucket);
                    }
                }
                // Written again, as one with content that cannot be read.
                Change::Unreadable(object) => {
                    let secret = Secret {
                        metadata: object.metadata,
                        ..Secret::default()
                    };
                    if let Some((bucket, version, bytes)) = decode_object(&secret) {
                        self.group.state.lock().set_object(bucket, version, bytes);
                    }
                }
                Change::Synced => self.synced(Synced::Objects).await,
                Change::Failed(_) | Change::Recovered => (),
            }
            self.feed.wake(&self.name, &self.group);
        }
        anyhow::bail!("the watch of the routing objects ended")
    }

    /// Takes in the access rules that the gateways have: written again if they are not those in force, and in force if this process
    /// cannot know better.
    async fn published_access(&self, secret: &Secret) {
        let bytes = secret.data.as_ref().and_then(|data| data.get(ACCESS_KEY));
        let bytes = bytes.map_or(&[][..], |bytes| &bytes.0);
        self.group.state.lock().set_published_access(Some(bytes));
        if !self.feed.access.lock().set_published(bytes) {
            self.group.access_changed.notify_one();
        }
        self.feed.put_access_in_force().await;
    }

    fn index(&self, secret: &Secret) {
        let bytes = secret.data.as_ref().and_then(|data| data.get(INDEX_KEY));
        let listed = decode_index(bytes.map_or(&[], |bytes| &bytes.0));
        let mut state = self.group.state.lock();
        match listed {
            Ok(listed) => {
                state.set_index(Some(listed));
                let data = secret.data.as_ref();
                // That of the release before.
                if !data.is_some_and(|data| data.contains_key(HAS_ACCESS_KEY)) {
                    state.renew_index();
                }
            }
            Err(error) => {
                let object = secret.name_any();
                tracing::warn!(
                    object,
                    error,
                    "the list of the routing objects cannot be read; writing it, and each that it may have named, again"
                );
                state.set_unreadable_index();
            }
        }
    }

    async fn gateways(self, api: Api<Watched<Lease>>, selection: Selection) -> anyhow::Result<()> {
        let mut changes = std::pin::pin!(self.follow("gateways", api, selection));
        loop {
            let expiry = self.group.state.lock().next_expiry();
            let due = expiry.unwrap_or_else(Instant::now);
            let change = tokio::select! {
                // A renewal that is here already counts before an expiry.
                biased;
                change = changes.next() => Some(change.context("the watch of the Leases of the gateways ended")?),
                () = sleep_until(due), if expiry.is_some() => None,
            };
            let affected = match change {
                Some(Change::Set(lease)) => self.set_gateway(&lease),
                Some(Change::Gone(_, name)) => {
                    self.feed.connections.lock().remove_gateway(&name);
                    self.group.state.lock().remove_gateway(&name)
                }
                Some(Change::Synced) => {
                    self.synced(Synced::Gateways).await;
                    Affected::None
                }
                Some(Change::Failed(_)) => {
                    self.group.state.lock().pause_gateways();
                    Affected::None
                }
                Some(Change::Recovered) => {
                    self.group.state.lock().resume_gateways(Instant::now());
                    Affected::None
                }
                // It expires if its Lease stays so.
                Some(Change::Unreadable(_)) => Affected::None,
                None => {
                    let (affected, expired) =
                        self.group.state.lock().expire_gateways(Instant::now());
                    let mut connections = self.feed.connections.lock();
                    for lease in &expired {
                        connections.remove_gateway(lease);
                    }
                    affected
                }
            };
            let ids = {
                let state = self.group.state.lock();
                self.feed.observe(&self.name, &self.group, &state);
                state.affected(&affected)
            };
            for id in ids {
                self.feed.queue.send(id).await?;
            }
        }
    }

    fn set_gateway(&self, lease: &Lease) -> Affected {
        let name = lease.name_any();
        let (affected, may_live) = {
            let mut state = self.group.state.lock();
            (
                state.set_gateway(lease, Instant::now()),
                state.may_live(&name),
            )
        };
        let mut connections = self.feed.connections.lock();
        if may_live {
            let holder = lease.spec.as_ref().and_then(|s| s.holder_identity.clone());
            connections.set_gateway(name, holder.unwrap_or_default());
        } else {
            connections.remove_gateway(&name);
        }
        affected
    }

    async fn claims(self, api: Api<Watched<Lease>>, selection: Selection) -> anyhow::Result<()> {
        let mut changes = std::pin::pin!(self.follow("claims", api, selection));
        while let Some(change) = changes.next().await {
            match change {
                Change::Set(lease) => self.feed.connections.lock().set_claim(&lease),
                Change::Gone(_, name) => self.feed.connections.lock().remove_claim(&name),
                Change::Synced => self.synced(Synced::Claims).await,
                // The stream is where it was last seen.
                Change::Unreadable(_) | Change::Failed(_) | Change::Recovered => (),
            }
        }
        anyhow::bail!("the watch of the claims of streams ended")
    }

    fn follow<K>(
        &self,
        what: &str,
        api: Api<Watched<K>>,
        selection: Selection,
    ) -> impl Stream<Item = Change<K>> + use<K>
    where
        K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Send + 'static,
    {
        let what = format!("{what}/{}", self.name);
        follow(what, api, selection, self.feed.metrics.clone())
    }

    async fn synced(&self, kind: Synced) {
        self.group.synced(kind).await;
        self.feed.check_complete();
    }
}

#[cfg(test)]
mod tests;
