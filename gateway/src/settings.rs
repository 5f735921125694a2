//! What a gateway can be told.

use std::net::SocketAddr;
use std::time::Duration;

/// The settings of a gateway, apart from where its events and routes come from.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where clients connect; port 0 picks a free one.
    pub listen: SocketAddr,
    /// Where probes and metrics are; port 0 picks a free one.
    pub admin: SocketAddr,
    /// Bytes of recent events kept in memory for streams that fall behind.
    pub ring_bytes: usize,
    /// How many streams may read the topic at once to catch up.
    pub replays: usize,
    /// How long open streams may take to close when the gateway is told to stop.
    pub drain: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 8080)),
            admin: SocketAddr::from(([127, 0, 0, 1], 9090)),
            ring_bytes: 64 << 20,
            replays: 8,
            drain: Duration::from_secs(30),
        }
    }
}
