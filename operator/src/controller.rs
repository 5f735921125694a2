//! The leader's work: five watches feed the board and the queue, reconciles and the publisher empty them.

use std::convert::Infallible;
use std::sync::{Arc, Mutex};

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
use kube::runtime::events::{Recorder, Reporter};
use kube::runtime::reflector::ObjectRef;
use kube::runtime::{WatchStreamExt as _, reflector, watcher};
use kube::{Api, Client, ResourceExt as _};
use tokio::sync::{Notify, mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

use crate::connection::{SharedConnections, Writer};
use crate::context::Context;
use crate::gather::{Ownership, key_in, ownership, subscription_of};
use crate::metrics::Metrics;
use crate::publish::{Affected, Board, Publisher, SharedBoard, Synced, decode_object, id_of};
use crate::reconcile::{reconcile, retry};
use crate::run::Settings;
use crate::watch::changes;

/// Reconciles that may run at once: enough to hide the API server's latency, few enough not to flood it.
const CONCURRENCY: u16 = 16;
/// Subscriptions that may wait to be taken up by the scheduler, which keeps each once.
const QUEUE: usize = 1024;

/// Feeds the board and the queue.
#[derive(Clone)]
struct Feed {
    board: SharedBoard,
    connections: SharedConnections,
    queue: mpsc::Sender<SubscriptionId>,
    publish: Arc<Notify>,
    complete: watch::Sender<bool>,
    metrics: Arc<Metrics>,
}

/// Runs until a part of it ends, which is an error.
pub(crate) async fn run(
    client: Client,
    settings: Settings,
    metrics: Arc<Metrics>,
) -> anyhow::Result<()> {
    let board = SharedBoard::new(Board::new(settings.shrink_hold));
    let (queue, queued) = mpsc::channel(QUEUE);
    let feed = Feed {
        board: board.clone(),
        connections: SharedConnections::default(),
        queue: queue.clone(),
        publish: Arc::new(Notify::new()),
        complete: watch::Sender::new(false),
        metrics: metrics.clone(),
    };
    let (subscriptions, subscriptions_writer) = reflector::store();
    let (secrets, secrets_writer) = reflector::store();
    let reporter = Reporter {
        controller: "datastream-operator".to_owned(),
        instance: Some(settings.identity.clone()),
    };
    let context = Arc::new(Context {
        client: client.clone(),
        secrets,
        board: board.clone(),
        complete: feed.complete.subscribe(),
        recorder: Recorder::new(client.clone(), reporter),
        endpoint: settings.stream_url,
        metrics: metrics.clone(),
        failures: Mutex::default(),
    });
    let writer = Writer {
        client: client.clone(),
        leases: Api::namespaced(client.clone(), &settings.routes_namespace),
        connections: feed.connections.clone(),
        subscriptions: subscriptions.clone(),
        complete: feed.complete.subscribe(),
        metrics: metrics.clone(),
    };
    let publisher = Publisher {
        secrets: Api::namespaced(client.clone(), &settings.routes_namespace),
        group: settings.group.clone(),
        board,
        changed: feed.publish.clone(),
        published: queue,
        metrics,
    };
    let of_group =
        |component| watcher::Config::default().labels(&selector(component, &settings.group));
    let namespace = &settings.routes_namespace;

    let mut tasks = JoinSet::new();
    tasks.spawn(feed.clone().subscriptions(
        Api::all(client.clone()),
        watcher::Config::default(),
        subscriptions_writer,
    ));
    tasks.spawn(feed.clone().keys(
        Api::all(client.clone()),
        watcher::Config::default().labels(&format!("{COMPONENT}=stream-key")),
        secrets_writer,
    ));
    tasks.spawn(feed.clone().objects(
        Api::namespaced(client.clone(), namespace),
        of_group("routes"),
    ));
    tasks.spawn(feed.clone().gateways(
        Api::namespaced(client.clone(), namespace),
        of_group("gateway"),
    ));
    tasks.spawn(
        feed.clone()
            .claims(Api::namespaced(client, namespace), of_group("stream")),
    );
    tasks.spawn(writer.run());
    tasks.spawn(publisher.run());
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
            .modify(|s| s.managed_fields_mut().clear())
            .reflect(writer);
        let mut changes = std::pin::pin!(changes("subscriptions", events));
        while let Some(change) = changes.next().await {
            match change {
                Change::Set(subscription) => {
                    self.board.lock().set_subscription(&subscription);
                    self.queue.send(id_of(&subscription)).await?;
                }
                Change::Gone(namespace, name) => {
                    self.board
                        .lock()
                        .remove_subscription(&SubscriptionId::new(namespace, name));
                }
                Change::Synced => self.synced(Synced::Subscriptions),
            }
            self.wake();
        }
        anyhow::bail!("the watch of the subscriptions ended")
    }

    async fn keys(
        self,
        api: Api<Secret>,
        config: watcher::Config,
        writer: reflector::store::Writer<Secret>,
    ) -> anyhow::Result<()> {
        let events = watcher(api, config)
            .backoff(Reconnect::default())
            .modify(|s| s.managed_fields_mut().clear())
            .reflect(writer);
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
            self.wake();
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
        let key = secret.and_then(|secret| match ownership(secret, subscription, None) {
            Ownership::Ours(uid) => key_in(secret).map(|key| (uid, key.hash())),
            _ => None,
        });
        let id = SubscriptionId::new(namespace, subscription);
        self.board.lock().set_key(&id, key);
        self.queue.send(id).await?;
        Ok(())
    }

    async fn objects(self, api: Api<Secret>, config: watcher::Config) -> anyhow::Result<()> {
        let events = watcher(api, config).backoff(Reconnect::default());
        let mut changes = std::pin::pin!(changes("routing objects", events));
        while let Some(change) = changes.next().await {
            match change {
                Change::Set(secret) => {
                    if let Some((bucket, version, bytes)) = decode_object(&secret) {
                        self.board.lock().set_object(bucket, version, bytes);
                    }
                }
                Change::Gone(_, name) => {
                    if let Some(bucket) = routes_bucket(&name) {
                        self.board.lock().remove_object(bucket);
                    }
                }
                Change::Synced => self.synced(Synced::Objects),
            }
            self.wake();
        }
        anyhow::bail!("the watch of the routing objects ended")
    }

    async fn gateways(self, api: Api<Lease>, config: watcher::Config) -> anyhow::Result<()> {
        let events = watcher(api, config).backoff(Reconnect::default());
        let mut changes = std::pin::pin!(changes("Leases of the gateways", events));
        loop {
            let expiry = self.board.lock().next_expiry();
            let due = expiry.unwrap_or_else(Instant::now);
            let change = tokio::select! {
                change = changes.next() => Some(change.context("the watch of the Leases of the gateways ended")?),
                () = sleep_until(due), if expiry.is_some() => None,
            };
            let affected = match change {
                Some(Change::Set(lease)) => {
                    let (now, clock) = (Instant::now(), Timestamp::now());
                    self.connections.lock().set_gateway(&lease, now, clock);
                    self.board.lock().set_gateway(&lease, now)
                }
                Some(Change::Gone(_, name)) => {
                    self.connections.lock().remove_gateway(&name);
                    self.board.lock().remove_gateway(&name)
                }
                Some(Change::Synced) => {
                    self.synced(Synced::Gateways);
                    Affected::None
                }
                None => self.board.lock().expire_gateways(Instant::now()),
            };
            let ids = {
                let board = self.board.lock();
                self.observe(&board);
                board.affected(&affected)
            };
            for id in ids {
                self.queue.send(id).await?;
            }
        }
    }

    async fn claims(self, api: Api<Lease>, config: watcher::Config) -> anyhow::Result<()> {
        let events = watcher(api, config).backoff(Reconnect::default());
        let mut changes = std::pin::pin!(changes("claims of streams", events));
        while let Some(change) = changes.next().await {
            match change {
                Change::Set(lease) => self.connections.lock().set_claim(&lease),
                Change::Gone(_, name) => self.connections.lock().remove_claim(&name),
                Change::Synced => self.synced(Synced::Claims),
            }
        }
        anyhow::bail!("the watch of the claims of streams ended")
    }

    fn synced(&self, kind: Synced) {
        if self.board.lock().synced(kind) {
            tracing::info!("everything is listed");
            self.complete.send_replace(true);
            self.publish.notify_one();
        }
    }

    /// Wakes the publisher if it has something to look at.
    fn wake(&self) {
        let board = self.board.lock();
        self.observe(&board);
        if board.is_dirty() {
            self.publish.notify_one();
        }
    }

    fn observe(&self, board: &Board) {
        let (desired, published, gateways) = board.totals();
        self.metrics.routes_desired.set(desired as i64);
        self.metrics.routes_published.set(published as i64);
        self.metrics.gateways.set(gateways as i64);
    }
}
