//! Memory that a gateway needs, from what bounds it.

use datastream_source::fluvio::MAX_BATCH_BYTES;

use crate::descriptors::HTTP_CONNECTIONS;

/// Memory of a gateway without streams and events, in bytes: code, route tables of ordinary size, clients of Fluvio and Kubernetes,
/// connections that are not streams, and what the allocator keeps.
const BASE: usize = 64 << 20;
/// Memory of one stream, its kernel buffers included, that no other bound covers.
const STREAM: usize = 32 << 10;
/// Bytes of what is written that TLS may hold for one connection, encrypted or not yet.
pub(crate) const TLS_WRITE: usize = 16 << 10;
/// Bytes that TLS reads before some of them have to be a client's data: the largest record (18,437 bytes with all that is around it),
/// and what comes with it.
pub(crate) const TLS_READ: usize = 20 << 10;
/// Memory of TLS for one connection: what it holds to be written; what it has read, in a buffer that doubles, and as plaintext; keys.
const TLS: usize = TLS_WRITE + 2 * TLS_READ + (8 << 10);
/// Memory of the certificate of a client, and of those between it and its authority, which TLS keeps for each connection: as much as it
/// reads before it knows them.
const CERTIFICATE: usize = TLS_READ;
/// Memory of HTTP/2 on connections that carry no streams.
const HTTP2: usize = 48 << 20;
/// Memory of HTTP/2 on one connection whose client asks as often as it may and takes no answer, which was measured to be 175 KiB, or
/// 248 with a head that is begun and not ended.
const HTTP2_CONNECTION: usize = 256 << 10;
/// Connections of HTTP/2 that carry no streams, at the listener for clients and at the admin listener, whose memory is in `BASE`.
pub(crate) const HTTP2_CONNECTIONS: usize = 128;
pub(crate) const ADMIN_HTTP2_CONNECTIONS: usize = 16;
/// Streams whose memory suffices for their connection of HTTP/2, whatever else is asked for on it: so many that not all of them need
/// what is reckoned for each.
pub(crate) const HTTP2_STREAMS: usize = 4 * HTTP2_CONNECTION / STREAM;
/// Memory of requests that wait for others on their connection.
pub(crate) const WAITING_REQUESTS: usize = HTTP2 - HTTP2_CONNECTIONS * HTTP2_CONNECTION;
pub(crate) const ADMIN_WAITING_REQUESTS: usize = 1 << 20;
/// Memory of one encoder of a compressed body, as an upper bound.
const ENCODER: usize = 1 << 20;
/// Bodies that are compressed at once; further ones are sent as they are.
pub(crate) const MOST_COMPRESSED: usize = 16;
/// Memory of one stream that reads the topic.
const REPLAY: usize = 16 << 20;
/// Memory of batches that are larger than usual: one of the live path and one of all replays, each as it came and decompressed.
const LARGE_BATCHES: usize = 4 * MAX_BATCH_BYTES;

/// TLS of the listener for clients.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TlsMemory {
    /// It speaks plaintext.
    #[default]
    Plain,
    /// It speaks TLS.
    Tls,
    /// It asks clients for certificates, too.
    ClientCertificates,
}

/// The settings that bound a gateway's memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemoryBudget {
    /// Number of streams that may be open at once.
    pub max_streams: usize,
    /// TLS of the listener for clients.
    pub tls: TlsMemory,
    /// Bytes of recent events.
    pub ring_bytes: usize,
    /// Bytes that all streams together may hold for their clients.
    pub send_memory: usize,
    /// Number of streams that may read the topic at once.
    pub replays: usize,
}

impl MemoryBudget {
    /// Bytes that are held for as long as the gateway runs. The chart requests this.
    pub const fn held(&self) -> usize {
        let connection = match self.tls {
            TlsMemory::Plain => 0,
            TlsMemory::Tls => TLS,
            TlsMemory::ClientCertificates => TLS + CERTIFICATE,
        };
        let streams = self.max_streams.saturating_mul(STREAM);
        let connections = self.max_streams.saturating_add(HTTP_CONNECTIONS);
        BASE.saturating_add(self.ring_bytes)
            .saturating_add(streams)
            .saturating_add(connections.saturating_mul(connection))
    }

    /// Bytes that the gateway needs at the most, whatever clients, producers and the broker do.
    pub const fn bound(&self) -> usize {
        self.held()
            .saturating_add(self.send_memory)
            .saturating_add(self.replays.saturating_mul(REPLAY))
            .saturating_add(LARGE_BATCHES)
            .saturating_add(HTTP2)
            .saturating_add(MOST_COMPRESSED * ENCODER)
    }

    /// Bytes of the limit that the chart gives the pods: the bound, and a quarter.
    pub const fn limit(&self) -> usize {
        let bound = self.bound();
        bound.saturating_add(bound / 4)
    }
}
