//! A gateway, from its settings to its end: bind, run, drain.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use anyhow::{Context as _, anyhow};
use datastream_protocol::position::{MAX_PARTITIONS, Position};
use datastream_source::{Bounds, CursorLog, EventSource};
use tokio::net::{TcpListener, TcpSocket};
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::config::{ConfigSource, ConfigStore};
use crate::cursor::{Cursors, Keeper};
use crate::descriptors::Descriptors;
use crate::event::largest_content;
use crate::fleet::KubeFleet;
use crate::http::{Admin, AdminExtension, Admission, Connections, Front, serve};
use crate::ingest::{SourceStatus, Tail, first_bounds, monitor};
use crate::metrics::Metrics;
use crate::pipeline::{CatchUpContext, Dispatcher, Ring, SendMemory};
use crate::settings::Settings;
use crate::stream::{Load, Registry, drain};

/// Batches that may wait for the dispatcher; then the sources wait.
const BATCHES: usize = 8;
/// Bytes of an answer that the kernel may hold for a client that does not read; a stream has buffers of its own.
const SEND_BUFFER: u32 = 16 << 10;
const BACKLOG: u32 = 4096;

/// Parts that a gateway is made from: the sources of its events and routes, the other gateways, and an extension.
pub struct Parts {
    /// The topic.
    pub events: Arc<dyn EventSource>,
    /// The topic of committed positions.
    pub cursors: Arc<dyn CursorLog>,
    /// The routing objects.
    pub config: Box<dyn ConfigSource>,
    /// The other gateways; none if this is the only one.
    pub fleet: Option<Arc<KubeFleet>>,
    /// More for the admin listener to answer.
    pub admin_extension: Option<Arc<dyn AdminExtension>>,
}

/// A gateway with its listeners bound.
pub struct Gateway {
    settings: Settings,
    parts: Parts,
    store: Arc<ConfigStore>,
    registry: Arc<Registry>,
    ready: watch::Sender<bool>,
    front: TcpListener,
    admin: TcpListener,
}

/// The tasks that live as long as the gateway. The first one to end ends it.
#[derive(Default)]
struct Tasks(JoinSet<anyhow::Error>);

impl Tasks {
    fn spawn(
        &mut self,
        name: &'static str,
        task: impl Future<Output = anyhow::Result<()>> + Send + 'static,
    ) {
        self.0.spawn(async move {
            match task.await {
                Ok(()) => anyhow!("{name} ended"),
                Err(error) => error.context(format!("{name} failed")),
            }
        });
    }

    /// Waits for the first one to end. One that panicked has ended, too.
    async fn first_end(&mut self) -> anyhow::Error {
        match self.0.join_next().await {
            Some(Ok(error)) => error,
            Some(Err(error)) => anyhow!(error).context("a task panicked"),
            None => anyhow!("nothing runs"),
        }
    }
}

impl Gateway {
    /// Binds the listeners.
    ///
    /// # Errors
    /// An address that cannot be had.
    pub async fn bind(settings: Settings, parts: Parts) -> anyhow::Result<Self> {
        settings.check()?;
        let front = listen(settings.listen)
            .with_context(|| format!("cannot listen on {}", settings.listen))?;
        let admin = TcpListener::bind(settings.admin)
            .await
            .with_context(|| format!("cannot listen on {}", settings.admin))?;
        let store = Arc::new(ConfigStore::new().with_stale_routes(settings.stale_routes));
        Ok(Self {
            settings,
            parts,
            store,
            registry: Arc::default(),
            ready: watch::Sender::new(false),
            front,
            admin,
        })
    }

    /// Address that clients connect to.
    ///
    /// # Errors
    /// The operating system's error, if it does not know the address.
    pub fn stream_addr(&self) -> std::io::Result<SocketAddr> {
        self.front.local_addr()
    }

    /// Address of probes and metrics.
    ///
    /// # Errors
    /// The operating system's error, if it does not know the address.
    pub fn admin_addr(&self) -> std::io::Result<SocketAddr> {
        self.admin.local_addr()
    }

    /// The routes in force, for whoever acknowledges them.
    pub fn config(&self) -> Arc<ConfigStore> {
        self.store.clone()
    }

    /// Load of the gateway: the number of its streams.
    pub fn load(&self) -> Load {
        Load(self.registry.clone())
    }

    /// Readiness of the gateway: routes and topic are known, and it is not draining.
    pub fn ready(&self) -> watch::Receiver<bool> {
        self.ready.subscribe()
    }

    /// Runs until cancelled, then drains.
    ///
    /// # Errors
    /// A long-lived task that ended.
    pub async fn run(self, cancel: CancellationToken) -> anyhow::Result<()> {
        let Self {
            settings,
            parts,
            store,
            registry,
            ready,
            front,
            admin,
        } = self;
        let Parts {
            events,
            cursors,
            config,
            fleet,
            admin_extension,
        } = parts;
        let metrics = Arc::new(Metrics::new()?);
        let descriptors = Descriptors::divide(settings.max_streams);
        let send_memory = Arc::new(SendMemory::new(settings.send_memory));
        let status = Arc::new(SourceStatus::default());
        let draining = Arc::new(AtomicBool::new(false));
        let stop = CancellationToken::new();
        let _stop_all = stop.clone().drop_guard();
        let stop_accepting = stop.child_token();
        let connections = TaskTracker::new();
        let streams = TaskTracker::new();
        let mut tasks = Tasks::default();

        let (keeper, cursors) = Keeper::new(cursors, store.clone(), metrics.clone());
        let handler = Arc::new(Admin {
            cursors: cursors.clone(),
            config: store.clone(),
            config_source: config.describe(),
            source: events.clone(),
            status: status.clone(),
            registry: registry.clone(),
            fleet: fleet.clone(),
            metrics: metrics.clone(),
            memory: send_memory.clone(),
            draining: draining.clone(),
            ready: ready.subscribe(),
            extension: admin_extension,
        });
        tasks.spawn(
            "the admin listener",
            ok(serve(
                admin,
                handler,
                Arc::new(Connections::new(descriptors.admin)),
                connections.clone(),
                stop.clone(),
            )),
        );
        tasks.spawn(
            "the source of routes",
            config.run(store.clone(), stop.clone()),
        );
        tasks.spawn(
            "the control of streams",
            ok(tell_streams(store.clone(), registry.clone())),
        );

        let bounds = tokio::select! {
            bounds = first_bounds(&events, &status) => bounds,
            () = cancel.cancelled() => return Ok(()),
            error = tasks.first_end() => return Err(error),
        };
        let head = position(&bounds)?;
        let ring = Arc::new(Ring::new(head.clone(), settings.ring_bytes));
        let largest_content = largest_content(settings.largest_frame, head.partitions());
        let (dispatcher, pipeline) = Dispatcher::new(
            store.clone(),
            ring.clone(),
            metrics.clone(),
            largest_content,
        );
        let (batches, received) = mpsc::channel(BATCHES);
        for (partition, next) in (0..).zip(head.offsets()) {
            let (source, status, out) = (events.clone(), status.clone(), batches.clone());
            tasks.spawn(
                "a source",
                ok(Tail {
                    source,
                    status,
                    partition,
                    next: *next,
                    out,
                }
                .run()),
            );
        }
        drop(batches);
        tasks.spawn("the keeper of cursors", keeper.run());
        if let Some(fleet) = &fleet {
            let run = fleet.clone().run(registry.clone(), ring.clone());
            tasks.spawn("the claims of streams", run);
        }
        tasks.spawn("the dispatcher", ok(dispatcher.run(received)));
        tasks.spawn("the monitor of the topic", monitor(events.clone(), status));
        tasks.spawn("the readiness", ok(announce(store.clone(), ready.clone())));
        let context = Arc::new(CatchUpContext {
            ring,
            pipeline,
            source: events,
            memory: send_memory,
            largest_content,
            turns: Semaphore::new(settings.replays),
            unreadable: Mutex::default(),
            metrics: metrics.clone(),
        });
        let handler = Arc::new(Front {
            config: store,
            registry: registry.clone(),
            context,
            cursors: cursors.clone(),
            fleet: fleet.clone(),
            metrics,
            draining: draining.clone(),
            admission: Arc::new(Admission::new(settings.handshakes_per_second)),
            max_streams: descriptors.streams,
            max_lag: settings.max_lag,
            streams: streams.clone(),
        });
        let http = Arc::new(Connections::new(descriptors.http));
        let accept = serve(front, handler, http, connections, stop_accepting.clone());
        let accept = async move {
            accept.await;
            // Told to stop: not an end that anybody needs to hear of.
            std::future::pending().await
        };
        tasks.spawn("the listener for clients", accept);

        tokio::select! {
            () = cancel.cancelled() => (),
            error = tasks.first_end() => return Err(error),
        }
        tracing::info!(streams = registry.len(), "draining");
        draining.store(true, Ordering::Relaxed);
        ready.send_replace(false);
        stop_accepting.cancel();
        streams.close();
        let drained = async {
            drain(&registry, settings.drain).await;
            streams.wait().await;
        };
        if timeout(settings.drain, drained).await.is_err() {
            tracing::warn!(left = registry.len(), "streams did not close in time");
        }
        commit(&cursors).await;
        if let Some(fleet) = fleet {
            fleet.finish().await;
        }
        Ok(())
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

fn listen(address: SocketAddr) -> std::io::Result<TcpListener> {
    let socket = if address.is_ipv4() {
        TcpSocket::new_v4()
    } else {
        TcpSocket::new_v6()
    }?;
    socket.set_reuseaddr(true)?;
    // Accepted sockets inherit it.
    socket.set_send_buffer_size(SEND_BUFFER)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

fn position(bounds: &[Bounds]) -> anyhow::Result<Position> {
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

/// Tells every stream what each new table means for it.
async fn tell_streams(store: Arc<ConfigStore>, registry: Arc<Registry>) {
    let mut changes = store.subscribe();
    while changes.changed().await.is_ok() {
        registry.apply(&store.table());
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
