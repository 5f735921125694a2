//! Settings of a gateway.

use std::net::SocketAddr;
use std::time::Duration;

use datastream_protocol::frame::{DEFAULT_FRAME, LARGEST_FRAME};
use datastream_service::tls::ServerFiles;
use datastream_source::fluvio::MAX_BATCH_BYTES;

use crate::access::{QueryKeys, TokenSettings};
use crate::audit::AuditTarget;
use crate::config::StaleRoutes;
use crate::descriptors::HTTP_CONNECTIONS;
use crate::limits::Limits;
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

/// Memory of a gateway without streams and events, in bytes: code, route tables of ordinary size, clients of Fluvio and Kubernetes,
/// connections that are not streams, and what the allocator keeps.
const BASE_MEMORY: usize = 64 << 20;
/// Memory of one stream, its kernel buffers included, that no other bound covers.
const STREAM_MEMORY: usize = 32 << 10;
/// Bytes of what is written that TLS may hold for one connection, encrypted or not yet.
pub(crate) const TLS_WRITE: usize = 16 << 10;
/// Bytes that TLS reads before some of them have to be a client's data: the largest record (18,437 bytes with all that is around it),
/// and what comes with it.
pub(crate) const TLS_READ: usize = 20 << 10;
/// Memory of TLS for one connection: what it holds to be written; what it has read, in a buffer that doubles, and as plaintext; keys.
const TLS_MEMORY: usize = TLS_WRITE + 2 * TLS_READ + (8 << 10);
/// Memory of the certificate of a client, and of those between it and its authority, which TLS keeps for each connection: as much as it
/// reads before it knows them.
const CERTIFICATE_MEMORY: usize = TLS_READ;
/// Memory of one connection of HTTP/2: what is read, written and compressed of heads.
const HTTP2_MEMORY: usize = 48 << 10;
/// Memory of one encoder of a compressed body, as an upper bound.
const ENCODER_MEMORY: usize = 1 << 20;
/// Bodies that are compressed at once; further ones are sent as they are.
pub(crate) const MOST_COMPRESSED: usize = 16;
/// Memory of one stream that reads the topic.
const REPLAY_MEMORY: usize = 16 << 20;
/// Memory of batches that are larger than usual: one of the live path and one of all replays, each as it came and decompressed.
const LARGE_BATCHES_MEMORY: usize = 4 * MAX_BATCH_BYTES;

impl Settings {
    /// The `source` of the events of a topic.
    pub fn event_source_of(topic: &str) -> String {
        format!("/datastream/{topic}")
    }

    /// Bytes of memory that the gateway needs at the most, whatever clients, producers and the broker do. The chart's limit for
    /// the pods is this, and a quarter.
    pub fn memory_bound(&self) -> usize {
        let connections = self.max_streams + HTTP_CONNECTIONS;
        let tls = self.tls.as_ref().map_or(0, |tls| {
            let certificate = tls.clients.authorities().map_or(0, |_| CERTIFICATE_MEMORY);
            connections * (TLS_MEMORY + certificate)
        });
        BASE_MEMORY
            + self.ring_bytes
            + self.send_memory
            + self.max_streams * STREAM_MEMORY
            + tls
            + self.replays * REPLAY_MEMORY
            + LARGE_BATCHES_MEMORY
            + HTTP_CONNECTIONS * HTTP2_MEMORY
            + MOST_COMPRESSED * ENCODER_MEMORY
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
