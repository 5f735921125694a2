//! A load: what streams and a topic ask of gateways.

use datastream_gateway::TlsMemory;

/// Load of a group of gateways.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Load {
    /// Streams that are open at once.
    pub(super) streams: u64,
    /// Events a second in the topic.
    pub(super) rate: f64,
    /// Streams that want an event, in the mean.
    pub(super) fanout: f64,
    /// Bytes of an event.
    pub(super) event_bytes: u64,
    /// TLS of gateways with clients.
    pub(super) tls: TlsMemory,
    /// Subscriptions, with a stream or without.
    pub(super) subscriptions: u64,
}

impl Load {
    /// Deliveries a second.
    pub(super) fn deliveries(&self) -> f64 {
        self.rate * self.fanout
    }

    /// Returns whether gateways speak TLS with clients.
    pub(super) fn has_tls(&self) -> bool {
        self.tls != TlsMemory::Plain
    }

    /// Events a second that a stream gets, in the mean.
    pub(super) fn per_stream(&self) -> f64 {
        self.deliveries() / (self.streams as f64).max(1.0)
    }
}
