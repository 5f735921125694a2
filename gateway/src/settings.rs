//! Settings of a gateway.

use std::net::SocketAddr;
use std::time::Duration;

use datastream_protocol::frame::{DEFAULT_FRAME, LARGEST_FRAME};
use datastream_service::tls::ServerFiles;

use crate::access::{QueryKeys, TokenSettings};
use crate::audit::AuditTarget;
use crate::config::StaleRoutes;
use crate::limits::Limits;
use crate::memory::{MemoryBudget, TlsMemory};
use crate::proxies::ProxySettings;

/// The settings of a gateway, apart from where its events and routes come from.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Address that clients connect to; port 0 picks a free one.
    pub listen: SocketAddr,
    /// Address of probes and metrics; port 0 picks a free one.
    pub admin: SocketAddr,
    /// The certificate of the listener for clients, which speaks plaintext without one.
    pub tls: Option<ServerFiles>,
    /// Bytes of recent events kept in memory for streams that fall behind.
    pub ring_bytes: usize,
    /// Number of streams that may read the topic at once to catch up.
    pub replays: usize,
    /// Time that open streams may take to close when the gateway is stopped.
    pub drain: Duration,
    /// Number of streams that may be open at once.
    pub max_streams: usize,
    /// Number of requests on `/stream` with a good key that are let in per second.
    pub handshakes_per_second: u32,
    /// Limits on what one subscription, namespace or address may have.
    pub limits: Limits,
    /// The proxies in front of the gateway.
    pub proxies: ProxySettings,
    /// The treatment of stream keys in the query.
    pub query_keys: QueryKeys,
    /// The tokens that are taken beside stream keys, if any are.
    pub tokens: Option<TokenSettings>,
    /// The target of the audit log, if there is to be one.
    pub audit: Option<AuditTarget>,
    /// Limits on how far a stream may fall behind.
    pub max_lag: LagLimit,
    /// The treatment of new streams while routes cannot be followed.
    pub stale_routes: StaleRoutes,
    /// The most bytes that a frame may have, `LEN|` included; events that need more are skipped. At most [`LARGEST_FRAME`].
    pub largest_frame: usize,
    /// Bytes that all streams together may hold for their clients, beyond 16 KiB that each has.
    pub send_memory: usize,
    /// The `source` of CloudEvents, within which the identities of events are unique: a reference to a URI.
    pub event_source: String,
}

impl Settings {
    /// The `source` of the events of a topic.
    pub fn event_source_of(topic: &str) -> String {
        format!("/datastream/{topic}")
    }

    /// The settings that bound memory.
    pub fn memory(&self) -> MemoryBudget {
        let tls = self.tls.as_ref().map_or(TlsMemory::Plain, |tls| {
            let asked = tls.clients.authorities();
            asked.map_or(TlsMemory::Tls, |_| TlsMemory::ClientCertificates)
        });
        MemoryBudget {
            max_streams: self.max_streams,
            tls,
            ring_bytes: self.ring_bytes,
            send_memory: self.send_memory,
            replays: self.replays,
        }
    }

    /// Checks the settings against each other.
    ///
    /// # Errors
    /// The settings that do not fit, and the change to make.
    pub fn check(&self) -> anyhow::Result<()> {
        anyhow::ensure!(
            (1..=LARGEST_FRAME).contains(&self.largest_frame),
            "the largest frame may have 1 to {LARGEST_FRAME} bytes, not {}",
            self.largest_frame
        );
        anyhow::ensure!(
            self.send_memory >= 2 * self.largest_frame,
            "the memory for sending, {} bytes, must hold at least two of the largest frames, of {} bytes each: raise --send-memory-mib or lower --max-frame-kib",
            self.send_memory,
            self.largest_frame
        );
        anyhow::ensure!(
            !self.proxies.proxy_protocol || !self.proxies.trusted.is_empty(),
            "--proxy-protocol: say which proxies are trusted to speak it: --trusted-proxies"
        );
        self.limits.check()
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 8080)),
            admin: SocketAddr::from(([127, 0, 0, 1], 9090)),
            tls: None,
            ring_bytes: 64 << 20,
            replays: 8,
            drain: Duration::from_secs(30),
            max_streams: 20_000,
            handshakes_per_second: 1_000,
            limits: Limits::default(),
            proxies: ProxySettings::default(),
            max_lag: LagLimit::default(),
            largest_frame: DEFAULT_FRAME,
            send_memory: 256 << 20,
            event_source: "/datastream".to_owned(),
            stale_routes: StaleRoutes::default(),
            query_keys: QueryKeys::default(),
            tokens: None,
            audit: None,
        }
    }
}

/// Limits on how far a stream may fall behind after it has been live. Catching up has no limit of its own: the log is the
/// buffer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LagLimit {
    /// Age of the next event to send, by the broker's time stamp.
    pub age: Option<Duration>,
    /// Bytes of the topic between the next event to send and the newest one, at the mean size of records.
    pub bytes: Option<u64>,
}
