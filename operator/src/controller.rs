//! The leader's work: watches feed the boards of the groups and the queue, reconciles and the publishers empty them.

use std::convert::Infallible;
use std::sync::Arc;

use anyhow::Context as _;
use datastream_crds::DatastreamSubscription;
use datastream_routing::SubscriptionId;
use datastream_routing::object::{COMPONENT, routes_bucket, selector};
use datastream_service::watch::{Change, Reconnect};
use futures_util::{StreamExt as _, stream};
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::jiff::Timestamp;
use kube::runtime::controller::{Config, applier};
use kube::runtime::events::Reporter;
use kube::runtime::reflector::ObjectRef;
use kube::runtime::{WatchStreamExt as _, reflector, watcher};
use kube::{Api, Client, ResourceExt as _};
use prometheus::IntGaugeVec;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

use crate::connection::{SharedConnections, Writer};
use crate::context::Context;
use crate::events;
use crate::gather::{Found, LABEL, Secrets, subscription_of};
use crate::groups::{Group, Groups};
use crate::metrics::Metrics;
use crate::publish::{Affected, Board, Publisher, Synced, decode_object, id_of};
use crate::reconcile::{reconcile, retry};
use crate::run::Settings;
use crate::troubles::Troubles;
use crate::watch::{changes, lean};

/// Reconciles that may run at once: enough to hide the API server's latency, few enough not to flood it.
const CONCURRENCY: u16 = 32;
/// Subscriptions that may wait to be taken up by the scheduler, which keeps each once.
const QUEUE: usize = 1024;

/// Feeds the boards of the groups and the queue.
#[derive(Clone)]
struct Feed {
    groups: Groups,
    connections: SharedConnections,
    secrets: Secrets,
    queue: mpsc::Sender<SubscriptionId>,
    troubles: Troubles,
    complete: watch::Sender<bool>,
    metrics: Arc<Metrics>,
}

/// Feeds the board of one group.
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
    let groups = Groups::new(&settings.groups, settings.shrink_hold);
    let (queue, queued) = mpsc::channel(QUEUE);
    let feed = Feed {
        groups: groups.clone(),
        connections: SharedConnections::default(),
        secrets: Secrets::default(),
        queue: queue.clone(),
        troubles: Troubles::default(),
        complete: watch::Sender::new(false),
        metrics: metrics.clone(),
    };
    let (subscriptions, subscriptions_writer) = reflector::store();
    let reporter = Reporter {
        controller: "datastream-operator".to_owned(),
        instance: Some(settings.identity.clone()),
    };
    let (events, teller) =
        events::channel(client.clone(), reporter, metrics.events_left_out.clone());
    let context = Arc::new(Context {
        client: client.clone(),
        secrets: feed.secrets.clone(),
        groups: groups.clone(),
        complete: feed.complete.subscribe(),
        events,
        metrics: metrics.clone(),
        troubles: feed.troubles.clone(),
    });
    let writer = Writer {
        client: client.clone(),
        leases: Api::namespaced(client.clone(), &settings.routes_namespace),
        connections: feed.connections.clone(),
        subscriptions: subscriptions.clone(),
        complete: feed.complete.subscribe(),
        metrics: metrics.clone(),
    };
    let namespace = &settings.routes_namespace;

    let mut tasks = JoinSet::new();
    tasks.spawn(feed.clone().subscriptions(
        Api::all(client.clone()),
        watcher::Config::default(),
        subscriptions_writer,
    ));
    tasks.spawn(feed.clone().keys(
        Api::all(client.clone()),
        watcher::Config::default().labels(&format!("{COMPONENT}={LABEL}")),
    ));
    for (name, group) in groups.iter() {
        let of_group = |component| watcher::Config::default().labels(&selector(component, name));
        let (secrets, leases) = (
            Api::namespaced(client.clone(), namespace),
            Api::namespaced(client.clone(), namespace),
        );
        let (objects, claims) = (secrets.clone(), leases.clone());
        let feed = || GroupFeed {
            feed: feed.clone(),
            name: name.clone(),
            group: group.clone(),
        };
        tasks.spawn(feed().objects(objects, of_group("routes")));
        tasks.spawn(feed().gateways(leases, of_group("gateway")));
        tasks.spawn(feed().claims(claims, of_group("stream")));
        let publisher = Publisher {
            secrets,
            group: name.clone(),
            board: group.board.clone(),
            changed: group.publish.clone(),
            published: queue.clone(),
            metrics: metrics.clone(),
        };
        tasks.spawn(publisher.run());
    }
    tasks.spawn(writer.run());
    tasks.spawn(teller.run());
    tasks.spawn(reconciles(context, subscriptions, queued));
    let ended = tasks.join_next().await.context("nothing runs")?;
    ended.context("a part of the operator ended")??;
    anyhow::bail!("a part of the operator ended")
}

async fn reconciles(
    context: Arc<Context>,
    store: reflector::Store<DatastreamSubscription>,
    mut queued: mpsc::Receiver<SubscriptionId>,
) -> anyhow::Result<()> {
    let queue = stream::poll_fn(move |cx| queued.poll_recv(cx))
        .map(|id| Ok::<_, Infallible>(ObjectRef::new(&id.name).within(&id.namespace)));
    let config = Config::default().concurrency(CONCURRENCY);
    applier(
        |s, c| Box::pin(reconcile(s, c)),
        retry,
        context,
        store,
        queue,
        config,
    )
    // Errors were dealt with by `retry`; an object that is gone from the store is none.
    .for_each(|_| async {})
    .await;
    anyhow::bail!("the queue of reconciles ended")
}

impl Feed {
    async fn subscriptions(
        self,
        api: Api<DatastreamSubscription>,
        config: watcher::Config,
        writer: reflector::store::Writer<DatastreamSubscription>,
    ) -> anyhow::Result<()> {
        let events = watcher(api, config)
            .backoff(Reconnect::default())
            .modify(lean)
            .reflect(writer);
        let mut changes = std::pin::pin!(changes("subscriptions", events));
        while let Some(change) = changes.next().await {
            match change {
                Change::Set(subscription) => {
                    self.groups.set_subscription(&subscription);
                    self.queue.send(id_of(&subscription)).await?;
                }
                Change::Gone(namespace, name) => {
                    let id = SubscriptionId::new(namespace, name);
                    self.groups.remove_subscription(&id);
                    self.troubles.over(&id);
                }
                Change::Synced => self.synced(Synced::Subscriptions),
            }
            self.wake_all();
        }
        anyhow::bail!("the watch of the subscriptions ended")
    }

    async fn keys(self, api: Api<Secret>, config: watcher::Config) -> anyhow::Result<()> {
        let events = watcher(api, config).backoff(Reconnect::default());
        let mut changes = std::pin::pin!(changes("Secrets with stream keys", events));
        while let Some(change) = changes.next().await {
            match change {
                Change::Set(secret) => {
                    let (namespace, name) = (secret.namespace(), secret.name_any());
                    self.key(namespace.unwrap_or_default(), &name, Some(&secret))
                        .await?;
                }
                Change::Gone(namespace, name) => self.key(namespace, &name, None).await?,
                Change::Synced => self.synced(Synced::Keys),
            }
            self.wake_all();
        }
        anyhow::bail!("the watch of the Secrets with stream keys ended")
    }

    /// The key in the Secret with this name is another one, or gone.
    async fn key(
        &self,
        namespace: String,
        name: &str,
        secret: Option<&Secret>,
    ) -> anyhow::Result<()> {
        let Some(subscription) = subscription_of(name) else {
            return Ok(());
        };
        let found = secret.map(|secret| Found::in_secret(secret, subscription));
        let owned = |found: &Found| {
            let uid = found.owner.as_ref()?.uid.clone();
            Some((uid, found.key.as_ref()?.hash()))
        };
        let key = found.as_ref().and_then(owned);
        let id = SubscriptionId::new(namespace, subscription);
        self.secrets.set(id.clone(), found);
        self.groups.set_key(&id, key.as_ref());
        self.queue.send(id).await?;
        Ok(())
    }

    /// Something that all groups share has been listed completely.
    fn synced(&self, kind: Synced) {
        self.groups.synced(kind);
        self.check_complete();
    }

    fn check_complete(&self) {
        let complete = self.groups.are_complete();
        if complete && !self.complete.send_replace(complete) {
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
        let board = group.board.lock();
        self.observe(name, &board);
        if board.is_dirty() {
            group.publish.notify_one();
        }
    }

    fn observe(&self, name: &str, board: &Board) {
        let (desired, published, gateways) = board.totals();
        let set = |gauges: &IntGaugeVec, value: usize| {
            gauges.with_label_values(&[name]).set(value as i64);
        };
        set(&self.metrics.routes_desired, desired);
        set(&self.metrics.routes_published, published);
        set(&self.metrics.gateways, gateways);
    }
}

impl GroupFeed {
    async fn objects(self, api: Api<Secret>, config: watcher::Config) -> anyhow::Result<()> {
        let events = watcher(api, config).backoff(Reconnect::default());
        let mut changes = std::pin::pin!(changes("routing objects", events));
        while let Some(change) = changes.next().await {
            match change {
                Change::Set(secret) => {
                    if let Some((bucket, version, bytes)) = decode_object(&secret) {
                        self.group.board.lock().set_object(bucket, version, bytes);
                    }
                }
                Change::Gone(_, name) => {
                    if let Some(bucket) = routes_bucket(&name) {
                        self.group.board.lock().remove_object(bucket);
                    }
                }
                Change::Synced => self.synced(Synced::Objects),
            }
            self.feed.wake(&self.name, &self.group);
        }
        anyhow::bail!("the watch of the routing objects ended")
    }

    async fn gateways(self, api: Api<Lease>, config: watcher::Config) -> anyhow::Result<()> {
        let events = watcher(api, config).backoff(Reconnect::default());
        let mut changes = std::pin::pin!(changes("Leases of the gateways", events));
        loop {
            let expiry = self.group.board.lock().next_expiry();
            let due = expiry.unwrap_or_else(Instant::now);
            let change = tokio::select! {
                change = changes.next() => Some(change.context("the watch of the Leases of the gateways ended")?),
                () = sleep_until(due), if expiry.is_some() => None,
            };
            let affected = match change {
                Some(Change::Set(lease)) => {
                    let (now, clock) = (Instant::now(), Timestamp::now());
                    self.feed.connections.lock().set_gateway(&lease, now, clock);
                    self.group.board.lock().set_gateway(&lease, now)
                }
                Some(Change::Gone(_, name)) => {
                    self.feed.connections.lock().remove_gateway(&name);
                    self.group.board.lock().remove_gateway(&name)
                }
                Some(Change::Synced) => {
                    self.synced(Synced::Gateways);
                    Affected::None
                }
                None => self.group.board.lock().expire_gateways(Instant::now()),
            };
            let ids = {
                let board = self.group.board.lock();
                self.feed.observe(&self.name, &board);
                board.affected(&affected)
            };
            for id in ids {
                self.feed.queue.send(id).await?;
            }
        }
    }

    async fn claims(self, api: Api<Lease>, config: watcher::Config) -> anyhow::Result<()> {
        let events = watcher(api, config).backoff(Reconnect::default());
        let mut changes = std::pin::pin!(changes("claims of streams", events));
        while let Some(change) = changes.next().await {
            match change {
                Change::Set(lease) => self.feed.connections.lock().set_claim(&lease),
                Change::Gone(_, name) => self.feed.connections.lock().remove_claim(&name),
                Change::Synced => self.synced(Synced::Claims),
            }
        }
        anyhow::bail!("the watch of the claims of streams ended")
    }

    fn synced(&self, kind: Synced) {
        self.group.synced(kind);
        self.feed.check_complete();
    }
}
