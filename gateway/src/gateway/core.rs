//! The tasks of a gateway: what they share, how they are spawned and how they end.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use datastream_protocol::position::{MAX_PARTITIONS, Position};
use datastream_routing::RouteTable;
use datastream_service::tls::ServerTls;
use datastream_service_kube::review::Reviewer;
use datastream_source::{Bounds, EventSource};
use jiff::Timestamp;
use tokio::net::TcpListener;
use tokio::runtime::Handle;
use tokio::sync::{Semaphore, watch};
use tokio::time::{interval, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::tasks::Tasks;
use crate::access::{Access, KeySet, Throttle, Tokens};
use crate::admin::{Admin, AdminExtension};
use crate::audit::Audit;
use crate::config::{ConfigSource, ConfigState, ConfigStore};
use crate::cursor::{CursorWriter, Cursors};
use crate::descriptors::Descriptors;
use crate::event::{CloudHeads, largest_content};
use crate::fanout::{
    CatchUpContext, Decoder, DispatcherHandle, FanOut, Ring, SendMemory, SharedReads,
};
use crate::http::{Connections, Front, Http2Limits, ListenerTls, StreamServer, serve};
use crate::ingest::{SourceStatus, Tail, monitor};
use crate::limits::{FailedKeys, Rates, Scope};
use crate::memory::{
    ADMIN_HTTP2_CONNECTIONS, ADMIN_WAITING_REQUESTS, HTTP2_CONNECTIONS, MOST_COMPRESSED,
    WAITING_REQUESTS,
};
use crate::metrics::Metrics;
use crate::ownership::{KubeClaims, PeerTls};
use crate::session::{Registry, StreamLimits, drain};
use crate::settings::Settings;

/// Of the memory for recent events, one part in so many is for those that were replayed last.
const SHARED_READS: usize = 8;
/// Interval at which streams are closed whose clients were let in by what has expired since.
const EXPIRY_CHECK: Duration = Duration::from_secs(1);

/// The parts that the tasks of a gateway share.
pub(super) struct Core {
    pub settings: Settings,
    pub store: Arc<ConfigStore>,
    pub registry: Arc<Registry>,
    /// TLS of the listener for clients.
    pub tls: Option<Arc<ServerTls>>,
    /// The keys of the issuer of tokens, if any are taken.
    pub token_keys: Option<Arc<KeySet>>,
    pub audit: Arc<Audit>,
    pub ready: watch::Sender<bool>,
    pub events: Arc<dyn EventSource>,
    pub cursors: Arc<Cursors>,
    /// The other gateways, if there are any.
    pub claims: Option<Arc<KubeClaims>>,
    pub metrics: Arc<Metrics>,
    pub descriptors: Descriptors,
    pub memory: Arc<SendMemory>,
    pub status: Arc<SourceStatus>,
    pub draining: Arc<AtomicBool>,
    /// Tasks of the connections of both listeners.
    pub connections: TaskTracker,
    /// Tasks of the streams.
    pub streams: TaskTracker,
    /// Stops all of them.
    pub stop: CancellationToken,
    /// Stops the listener for clients.
    pub stop_accepting: CancellationToken,
}

impl Core {
    /// Spawns what runs before anything is known of the topic: the admin listener and what follows the routes.
    pub(super) fn spawn_control(
        &self,
        tasks: &mut Tasks,
        admin: TcpListener,
        config: Box<dyn ConfigSource>,
        reviewer: Option<Reviewer>,
        extension: Option<Arc<dyn AdminExtension>>,
    ) {
        let handler = Arc::new(Admin {
            cursors: self.cursors.clone(),
            config: self.store.clone(),
            config_source: config.describe(),
            source: self.events.clone(),
            status: self.status.clone(),
            registry: self.registry.clone(),
            claims: self.claims.clone(),
            metrics: self.metrics.clone(),
            memory: self.memory.clone(),
            draining: self.draining.clone(),
            ready: self.ready.subscribe(),
            tls: self.tls.clone(),
            token_keys: self.token_keys.clone(),
            reviewer,
            extension,
        });
        let connections = Arc::new(Connections::new(self.descriptors.admin));
        let (running, stop) = (self.connections.clone(), self.stop.clone());
        let peers = self.claims.as_ref().map(|claims| claims.tls());
        let tls = peers.clone().map_or(ListenerTls::Plain, ListenerTls::Peers);
        let front = Front {
            tls,
            proxies: Arc::default(),
            throttle: None,
            http2: Http2Limits {
                connections: ADMIN_HTTP2_CONNECTIONS,
                waiting: ADMIN_WAITING_REQUESTS,
                is_trusted: true,
            },
            metrics: self.metrics.clone(),
        };
        let admin = serve(admin, handler, connections, running, front, stop);
        tasks.spawn("the admin listener", ok(admin));
        // Before there are any.
        let changes = self.store.subscribe();
        let routes = config.run(self.store.clone(), self.stop.clone());
        tasks.spawn("the source of routes", routes);
        let control = apply_routes(changes, self.store.clone(), self.registry.clone(), peers);
        tasks.spawn("the control of streams", ok(control));
        let expiry = expire(self.registry.clone());
        tasks.spawn("the expiry of credentials", ok(expiry));
        if let Some(keys) = &self.token_keys {
            tasks.spawn("the keys of tokens", ok(keys.clone().run()));
        }
    }

    /// Spawns what reads the topic from these bounds on, and serves streams.
    ///
    /// # Errors
    /// The topic has more partitions than sequence numbers can name.
    pub(super) fn spawn_streams(
        &self,
        tasks: &mut Tasks,
        front: TcpListener,
        cursor_writer: CursorWriter,
        bounds: &[Bounds],
    ) -> anyhow::Result<()> {
        let head = head(bounds)?;
        let heads = Arc::new(CloudHeads::new(&self.settings.event_source));
        let shared = self.settings.ring_bytes / SHARED_READS;
        let ring = self.settings.ring_bytes - shared;
        let ring = Ring::new(head.clone(), ring, heads.clone());
        let ring = Arc::new(ring);
        let largest_content = largest_content(self.settings.largest_frame, head.partitions());
        let dispatcher = self.spawn_fanout(tasks, &head, &ring, largest_content);
        tasks.spawn("the writer of cursors", cursor_writer.run());
        if let Some(claims) = &self.claims {
            let run = claims.clone().run(self.registry.clone(), ring.clone());
            tasks.spawn("the claims of streams", run);
        }
        let readiness = announce(self.store.clone(), self.ready.clone());
        tasks.spawn("the readiness", ok(readiness));
        let replay_permits = Arc::new(Semaphore::new(self.settings.replays));
        let reads = SharedReads::new(
            self.events.clone(),
            replay_permits.clone(),
            largest_content,
            shared,
            self.metrics.clone(),
        );
        let context = CatchUpContext {
            ring,
            dispatcher,
            source: self.events.clone(),
            memory: self.memory.clone(),
            replay_permits,
            reads: Arc::new(reads),
            metrics: self.metrics.clone(),
        };
        let accept = self.accept(front, context, heads);
        tasks.spawn("the listener for clients", accept);
        Ok(())
    }

    /// Spawns the way of an event: a tail for each partition, a dispatcher for each thread, and what watches the topic.
    fn spawn_fanout(
        &self,
        tasks: &mut Tasks,
        head: &Position,
        ring: &Arc<Ring>,
        largest_content: usize,
    ) -> DispatcherHandle {
        let threads = Handle::current().metrics().num_workers();
        let fan_out = FanOut::new(threads, &self.store, ring, &self.metrics);
        let decoder = Decoder::new(self.metrics.clone(), largest_content, fan_out.sequencer);
        for (partition, next) in (0..).zip(head.offsets()) {
            let tail = Tail {
                source: self.events.clone(),
                status: self.status.clone(),
                partition,
                next: *next,
                out: decoder.clone(),
            };
            tasks.spawn("a source", tail.run());
        }
        for dispatcher in fan_out.dispatchers {
            tasks.spawn("a dispatcher", ok(dispatcher.run()));
        }
        let monitor = monitor(self.events.clone(), self.status.clone());
        tasks.spawn("the monitor of the topic", monitor);
        fan_out.handle
    }

    /// Accepts clients until the gateway stops, and never returns: that it has stopped accepting is no reason to end the process.
    fn accept(
        &self,
        front: TcpListener,
        context: CatchUpContext,
        heads: Arc<CloudHeads>,
    ) -> impl Future<Output = anyhow::Result<()>> + Send + 'static {
        let limits = self.settings.limits;
        let rate = self.settings.handshakes_per_second;
        let per_address = limits.requests.of(Scope::Address);
        let throttle = Arc::new(Throttle::new(rate, per_address));
        let handler = Arc::new(StreamServer {
            access: Arc::new(self.access()),
            audit: self.audit.clone(),
            query_keys: self.settings.query_keys,
            config: self.store.clone(),
            registry: self.registry.clone(),
            context: Arc::new(context),
            cursors: self.cursors.clone(),
            claims: self.claims.clone(),
            metrics: self.metrics.clone(),
            throttle: throttle.clone(),
            failed_keys: FailedKeys::default(),
            rates: Rates::new(&limits),
            stream_limits: StreamLimits {
                all: self.descriptors.streams,
                each: limits.streams,
            },
            max_lag: self.settings.max_lag,
            streams: self.streams.clone(),
            heads,
            compressions: Arc::new(Semaphore::new(MOST_COMPRESSED)),
        });
        let connections = Arc::new(Connections::new(self.descriptors.http));
        let (running, stop) = (self.connections.clone(), self.stop_accepting.clone());
        let tls = self.tls.clone();
        let tls = tls.map_or(ListenerTls::Plain, ListenerTls::Required);
        let before = Front {
            tls,
            proxies: Arc::new(self.settings.proxies.clone()),
            throttle: Some(throttle),
            http2: Http2Limits {
                connections: HTTP2_CONNECTIONS,
                waiting: WAITING_REQUESTS,
                is_trusted: false,
            },
            metrics: self.metrics.clone(),
        };
        let accept = serve(front, handler, connections, running, before, stop);
        async move {
            accept.await;
            std::future::pending().await
        }
    }

    fn access(&self) -> Access {
        let tokens = self.settings.tokens.clone().zip(self.token_keys.clone());
        let tokens = tokens.map(|(settings, keys)| Tokens::new(settings, keys));
        Access::new(self.store.clone(), tokens, self.draining.clone())
    }

    /// Closes the streams, and gives back what this gateway has among others. Takes as long as the drain may.
    pub(super) async fn drain(&self) {
        tracing::info!(streams = self.registry.len(), "draining");
        self.draining.store(true, Ordering::Relaxed);
        self.ready.send_replace(false);
        self.stop_accepting.cancel();
        self.streams.close();
        let drained = async {
            drain(&self.registry, self.settings.drain).await;
            self.streams.wait().await;
        };
        if timeout(self.settings.drain, drained).await.is_err() {
            tracing::warn!(left = self.registry.len(), "streams did not close in time");
        }
        commit(&self.cursors).await;
        if let Some(claims) = &self.claims {
            claims.finish().await;
        }
    }
}

/// Waits until what was acknowledged is stored; if the topic cannot be reached, clients see some events again.
async fn commit(cursors: &Cursors) {
    if cursors.is_used() && cursors.barrier().await.is_err() {
        tracing::warn!("the last acknowledgements could not be stored");
    }
}

async fn ok(task: impl Future<Output = ()>) -> anyhow::Result<()> {
    task.await;
    Ok(())
}

fn head(bounds: &[Bounds]) -> anyhow::Result<Position> {
    if bounds.len() > MAX_PARTITIONS as usize {
        anyhow::bail!(
            "the topic has {} partitions, but sequence numbers hold {MAX_PARTITIONS}",
            bounds.len()
        );
    }
    Ok(Position::new(
        bounds.iter().map(|b| b.end).collect::<Vec<_>>(),
    ))
}

/// Applies each new table to the open streams, and a new certificate of the group to TLS with the other gateways.
async fn apply_routes(
    mut changes: watch::Receiver<Arc<ConfigState>>,
    store: Arc<ConfigStore>,
    registry: Arc<Registry>,
    peers: Option<Arc<PeerTls>>,
) {
    let mut applied = Arc::<RouteTable>::default();
    while changes.changed().await.is_ok() {
        if let (Some(peers), Some(identity)) = (&peers, &store.state().peers) {
            peers.set(identity);
        }
        let table = store.table();
        registry.apply(&table, &applied);
        applied = table;
    }
}

/// Closes the streams of clients whose tokens or certificates have expired.
async fn expire(registry: Arc<Registry>) {
    let mut ticks = interval(EXPIRY_CHECK);
    loop {
        ticks.tick().await;
        registry.expire(Timestamp::now().as_second());
    }
}

/// Says 'ready' as soon as the routes are complete, and stays: nobody calls the gateway unready but the drain.
async fn announce(store: Arc<ConfigStore>, ready: watch::Sender<bool>) {
    let mut changes = store.subscribe();
    if changes.wait_for(|state| state.synced).await.is_ok() {
        ready.send_replace(true);
    }
    std::future::pending().await
}
