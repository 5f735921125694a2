//! A gateway, from its settings to its end: bind, build, spawn, drain.

mod core;
mod tasks;

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::Context as _;
use datastream_service::tls::ServerTls;
use datastream_service_kube::review::Reviewer;
use datastream_source::{CursorLog, EventSource};
use tokio::net::{TcpListener, TcpSocket};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use self::core::Core;
use self::tasks::Tasks;
use crate::access::KeySet;
use crate::admin::AdminExtension;
use crate::audit::Audit;
use crate::config::{ConfigSource, ConfigStore};
use crate::cursor::CursorWriter;
use crate::descriptors::Descriptors;
use crate::fanout::SendMemory;
use crate::http::{HTTP1, HTTP2};
use crate::ingest::first_bounds;
use crate::metrics::Metrics;
use crate::ownership::KubeClaims;
use crate::session::{Registry, StreamCount};
use crate::settings::Settings;

/// Bytes of an answer that the kernel may hold for a client that does not read; a stream has buffers of its own.
const SEND_BUFFER: u32 = 16 << 10;
const BACKLOG: u32 = 4096;

/// Dependencies of a gateway: the sources of its events and routes, the other gateways, and an extension.
pub struct Dependencies {
    /// The topic.
    pub events: Arc<dyn EventSource>,
    /// The topic of committed positions.
    pub cursors: Arc<dyn CursorLog>,
    /// The routing objects.
    pub config: Box<dyn ConfigSource>,
    /// The other gateways; none if this is the only one.
    pub claims: Option<Arc<KubeClaims>>,
    /// Decides who may read metrics and routes at the admin listener; without it, whoever reaches it may.
    pub reviewer: Option<Reviewer>,
    /// More for the admin listener to answer.
    pub admin_extension: Option<Arc<dyn AdminExtension>>,
}

/// A gateway with its listeners bound.
pub struct Gateway {
    settings: Settings,
    dependencies: Dependencies,
    store: Arc<ConfigStore>,
    registry: Arc<Registry>,
    ready: watch::Sender<bool>,
    front: TcpListener,
    admin: TcpListener,
    tls: Option<Arc<ServerTls>>,
    token_keys: Option<Arc<KeySet>>,
}

impl Gateway {
    /// Binds the listeners.
    ///
    /// # Errors
    /// An address that cannot be had, or a certificate or an issuer of tokens that cannot be used.
    pub async fn bind(settings: Settings, dependencies: Dependencies) -> anyhow::Result<Self> {
        settings.check()?;
        let tls = settings
            .tls
            .clone()
            .map(|files| ServerTls::load(files, &[HTTP2, HTTP1]));
        let tls = tls.transpose()?.map(Arc::new);
        let token_keys = settings.tokens.as_ref().map(KeySet::new);
        let token_keys = token_keys.transpose()?.map(Arc::new);
        let front = listen(settings.listen).with_context(|| {
            format!(
                "cannot listen on {}: choose another --listen",
                settings.listen
            )
        })?;
        let admin = TcpListener::bind(settings.admin).await.with_context(|| {
            format!(
                "cannot listen on {}: choose another --admin",
                settings.admin
            )
        })?;
        let store = Arc::new(ConfigStore::new().with_stale_routes(settings.stale_routes));
        Ok(Self {
            settings,
            dependencies,
            store,
            registry: Arc::default(),
            ready: watch::Sender::new(false),
            front,
            admin,
            tls,
            token_keys,
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
    pub fn load(&self) -> StreamCount {
        StreamCount(self.registry.clone())
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
        let Dependencies {
            events,
            cursors,
            config,
            claims,
            reviewer,
            admin_extension,
        } = self.dependencies;
        let stop = CancellationToken::new();
        let _stop_all = stop.clone().drop_guard();
        let metrics = Arc::new(Metrics::new()?);
        let (cursor_writer, cursors) =
            CursorWriter::new(cursors, self.store.clone(), metrics.clone());
        let (audit, audit_writer) = match &self.settings.audit {
            Some(target) => {
                let lost = metrics.audit_lost.clone();
                let (audit, writer) = Audit::open(target, lost).await?;
                (audit, Some(writer))
            }
            None => (Audit::default(), None),
        };
        let core = Core {
            audit: Arc::new(audit),
            memory: Arc::new(SendMemory::new(self.settings.send_memory)),
            descriptors: Descriptors::divide(self.settings.max_streams),
            settings: self.settings,
            store: self.store,
            registry: self.registry,
            tls: self.tls,
            token_keys: self.token_keys,
            ready: self.ready,
            events,
            cursors,
            claims,
            metrics,
            status: Arc::default(),
            draining: Arc::default(),
            connections: TaskTracker::new(),
            streams: TaskTracker::new(),
            stop_accepting: stop.child_token(),
            stop,
        };
        let mut tasks = Tasks::default();

        if let Some(writer) = audit_writer {
            tasks.spawn("the audit log", writer.run());
        }
        core.spawn_control(&mut tasks, self.admin, config, reviewer, admin_extension);
        let bounds = tokio::select! {
            bounds = first_bounds(&core.events, &core.status) => bounds,
            () = cancel.cancelled() => return Ok(()),
            error = tasks.first_end() => return Err(error),
        };
        core.spawn_streams(&mut tasks, self.front, cursor_writer, &bounds)?;
        tokio::select! {
            () = cancel.cancelled() => (),
            error = tasks.first_end() => return Err(error),
        }
        core.drain().await;
        core.audit.finish().await;
        Ok(())
    }
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
