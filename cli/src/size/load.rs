//! A load: what streams and a topic ask of gateways.

/// Load of a group of gateways.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Load {
    /// Streams that are open at once.
    pub(super) streams: u64,
    /// Events a second in the topic.
    pub(super) rate: u64,
    /// Streams that want an event, in the mean.
    pub(super) fanout: f64,
    /// Bytes of an event.
    pub(super) event_bytes: u64,
    /// Gateways speak TLS with clients.
    pub(super) tls: bool,
    /// Subscriptions, with a stream or without.
    pub(super) subscriptions: u64,
}

impl Load {
    /// Deliveries a second.
    pub(super) fn deliveries(&self) -> f64 {
        self.rate as f64 * self.fanout
    }

    /// Events a second that a stream gets, in the mean.
    pub(super) fn per_stream(&self) -> f64 {
        self.deliveries() / (self.streams as f64).max(1.0)
    }
}
