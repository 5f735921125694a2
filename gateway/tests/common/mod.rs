//! A gateway in the test's process, on real sockets with free ports, over a topic in memory.
#![allow(
    dead_code,
    missing_docs,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic
)]

pub mod batch;
pub mod client;
pub mod http;
pub mod issuer;
pub mod stopped;
pub mod topic;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use datastream_gateway::config::{ConfigSource, ConfigStore, ConfigUpdate};
use datastream_gateway::ownership::KubeClaims;
use datastream_gateway::{Dependencies, Gateway, Settings};
use datastream_routing::{Bucket, Field, Filter, KeyHash, Route, SubscriptionId};
use datastream_source::CursorLog;
use datastream_source::EventSource;
use futures_util::future::BoxFuture;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use topic::Topic;

pub const PATIENCE: Duration = Duration::from_secs(20);

/// The key of a subscription in these tests: 32 hex digits that say which one it is.
pub fn key(name: &str) -> String {
    let digits: String = name.bytes().map(|b| format!("{b:02x}")).collect();
    format!("{digits:0>32}")
}

/// The path at which a subscription's events are.
pub fn events_path(name: &str, query: &str) -> String {
    format!("/events?stream_key={}{query}", key(name))
}

/// A subscription to everything; tests narrow it.
pub fn route(name: &str) -> Route {
    let id = SubscriptionId::new("default", name);
    Route {
        uid: "1".to_owned(),
        ..Route::new(id, KeyHash::of(&key(name)))
    }
}

/// A subscription to the events of these devices.
pub fn route_of(name: &str, dsns: &[&str]) -> Route {
    let dsns = dsns.iter().map(|d| (*d).into());
    Route {
        filters: vec![Filter::default().with(Field::Dsn, dsns)],
        ..route(name)
    }
}

pub struct TestGateway {
    pub stream: SocketAddr,
    pub admin: SocketAddr,
    pub topic: Topic,
    pub cancel: CancellationToken,
    pub run: JoinHandle<anyhow::Result<()>>,
    store: Arc<ConfigStore>,
    updates: mpsc::Sender<Vec<ConfigUpdate>>,
}

struct Given(mpsc::Receiver<Vec<ConfigUpdate>>);

impl ConfigSource for Given {
    fn describe(&self) -> String {
        "the test".to_owned()
    }

    fn run(
        mut self: Box<Self>,
        store: Arc<ConfigStore>,
        cancel: CancellationToken,
    ) -> BoxFuture<'static, anyhow::Result<()>> {
        Box::pin(async move {
            while let Some(updates) = self.0.recv().await {
                store.apply(updates);
            }
            cancel.cancelled().await;
            Ok(())
        })
    }
}

/// Runs a gateway of an empty topic until it ends by itself.
pub async fn run_to_its_end(settings: Settings) -> anyhow::Result<()> {
    let topic = Topic::new(1);
    let (_updates, given) = mpsc::channel(1);
    let dependencies = Dependencies {
        events: Arc::new(topic.clone()),
        cursors: Arc::new(topic),
        config: Box::new(Given(given)),
        claims: None,
        reviewer: None,
        admin_extension: None,
    };
    let gateway = Gateway::bind(settings, dependencies).await?;
    gateway.run(CancellationToken::new()).await
}

impl TestGateway {
    pub async fn start(topic: Topic, routes: Vec<Route>) -> Self {
        Self::start_with(topic, routes, Settings::default()).await
    }

    pub async fn start_with(topic: Topic, routes: Vec<Route>, settings: Settings) -> Self {
        Self::start_parts(
            Arc::new(topic.clone()),
            topic,
            Arc::new(Topic::new(1)),
            routes,
            settings,
        )
        .await
    }

    /// One of several gateways on the same topics of events and of cursors.
    pub async fn start_beside(topic: Topic, cursors: Topic, routes: Vec<Route>) -> Self {
        let (events, cursors) = (Arc::new(topic.clone()), Arc::new(cursors));
        Self::start_parts(events, topic, cursors, routes, Settings::default()).await
    }

    /// Starts on the test's own topics of events and cursors; `topic` is then unused.
    pub async fn start_on_both(
        events: Arc<dyn EventSource>,
        cursors: Arc<dyn CursorLog>,
        routes: Vec<Route>,
    ) -> Self {
        Self::start_parts(events, Topic::new(1), cursors, routes, Settings::default()).await
    }

    /// Starts on the test's own source; `topic` is then unused.
    pub async fn start_on(events: Arc<dyn EventSource>, routes: Vec<Route>) -> Self {
        let (topic, cursors) = (Topic::new(1), Arc::new(Topic::new(1)));
        Self::start_parts(events, topic, cursors, routes, Settings::default()).await
    }

    async fn start_parts(
        events: Arc<dyn EventSource>,
        topic: Topic,
        cursors: Arc<dyn CursorLog>,
        routes: Vec<Route>,
        settings: Settings,
    ) -> Self {
        Self::start_among(events, topic, cursors, None, routes, settings).await
    }

    /// One of several gateways that claim streams.
    pub async fn start_claiming(claims: Arc<KubeClaims>, routes: Vec<Route>) -> Self {
        let (topic, cursors) = (Topic::new(1), Arc::new(Topic::new(1)));
        let (events, settings) = (Arc::new(topic.clone()), Settings::default());
        Self::start_among(events, topic, cursors, Some(claims), routes, settings).await
    }

    async fn start_among(
        events: Arc<dyn EventSource>,
        topic: Topic,
        cursors: Arc<dyn CursorLog>,
        claims: Option<Arc<KubeClaims>>,
        routes: Vec<Route>,
        settings: Settings,
    ) -> Self {
        // The logs of a failed test show what the gateway saw.
        let _ = tracing_subscriber::fmt()
            .with_test_writer()
            .with_env_filter("datastream=debug")
            .try_init();
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let settings = Settings {
            listen: any,
            admin: any,
            ..settings
        };
        let (updates, given) = mpsc::channel(16);
        let dependencies = Dependencies {
            events,
            cursors,
            config: Box::new(Given(given)),
            claims,
            reviewer: None,
            admin_extension: None,
        };
        let gateway = Gateway::bind(settings, dependencies).await.unwrap();
        let (stream, admin) = (
            gateway.stream_addr().unwrap(),
            gateway.admin_addr().unwrap(),
        );
        let (store, mut ready) = (gateway.config(), gateway.ready());
        let cancel = CancellationToken::new();
        let run = tokio::spawn(gateway.run(cancel.clone()));
        let this = Self {
            stream,
            admin,
            topic,
            cancel,
            run,
            store,
            updates,
        };
        this.set_routes(routes).await;
        tokio::time::timeout(PATIENCE, ready.wait_for(|r| *r))
            .await
            .expect("ready in time")
            .unwrap();
        this
    }

    /// Puts exactly these routes in force, and waits until they are.
    pub async fn set_routes(&self, routes: Vec<Route>) {
        let mut buckets: BTreeMap<_, Vec<Route>> = self
            .store
            .state()
            .held
            .keys()
            .map(|id| (*id, vec![]))
            .collect();
        for route in routes.clone() {
            buckets.entry(route.id.bucket()).or_default().push(route);
        }
        let set = |(id, routes)| ConfigUpdate::Set {
            object: format!("routes-{id}"),
            bytes: Bucket::new(id, routes).encode().unwrap(),
        };
        let mut updates: Vec<_> = buckets.into_iter().map(set).collect();
        updates.push(ConfigUpdate::Synced);
        let mut changes = self.store.subscribe();
        self.updates.send(updates).await.unwrap();
        tokio::time::timeout(PATIENCE, changes.changed())
            .await
            .expect("applied in time")
            .unwrap();
    }

    pub async fn apply(&self, update: ConfigUpdate) {
        let mut changes = self.store.subscribe();
        self.updates.send(vec![update]).await.unwrap();
        tokio::time::timeout(PATIENCE, changes.changed())
            .await
            .expect("applied in time")
            .unwrap();
    }

    pub fn config(&self) -> &ConfigStore {
        &self.store
    }

    pub fn url(&self, name: &str, query: &str) -> String {
        format!(
            "ws://{}/stream?stream_key={}{query}",
            self.stream,
            key(name)
        )
    }

    /// A connection for requests on `/events`.
    pub async fn http(&self, version: hyper::Version) -> http::Connection {
        http::Connection::open(self.stream, version).await
    }

    /// The answer to a request for a subscription's events, on a connection of its own.
    pub async fn events(&self, name: &str, query: &str, headers: &[(&str, &str)]) -> http::Events {
        let mut connection = self.http(hyper::Version::HTTP_11).await;
        connection.get(&events_path(name, query), headers).await
    }

    pub async fn connect(&self, name: &str, query: &str) -> client::Client {
        client::Client::connect(self.stream, self.url(name, query))
            .await
            .expect("a stream")
    }

    /// The status and JSON body that a refused WebSocket handshake gets.
    pub async fn refused(&self, query: &str) -> (u16, serde_json::Value) {
        let url = format!("ws://{}/stream?{query}", self.stream);
        client::Client::connect(self.stream, url)
            .await
            .err()
            .expect("a refusal")
    }

    /// The value of a metric, or of the sum of its series.
    pub async fn metric(&self, name: &str) -> f64 {
        let (_, text) = client::get(self.admin, "/metrics").await;
        let series = text
            .lines()
            .filter(|l| l.starts_with(&format!("datastream_gateway_{name}")));
        series
            .filter_map(|l| l.rsplit_once(' '))
            .map(|(_, v)| v.parse::<f64>().unwrap())
            .sum()
    }

    /// Waits until a metric has at least this value.
    pub async fn metric_reaches(&self, name: &str, value: f64) {
        let deadline = tokio::time::Instant::now() + PATIENCE;
        while self.metric(name).await < value {
            assert!(
                tokio::time::Instant::now() < deadline,
                "{name} did not reach {value}"
            );
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Appends so many events that a stream which is not read falls behind.
    #[allow(dead_code, reason = "not every test has clients that do not read")]
    pub async fn falls_behind(&self, events: std::ops::Range<usize>) {
        let events = events.map(|n| topic::event("A", n));
        self.topic.append_all(0, events);
        self.metric_reaches("streams_fell_behind_total", 1.0).await;
    }

    pub async fn stop(self) {
        self.cancel.cancel();
        tokio::time::timeout(PATIENCE, self.run)
            .await
            .expect("ends in time")
            .unwrap()
            .unwrap();
    }
}
