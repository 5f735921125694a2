//! What a gateway can be told.

use std::net::SocketAddr;
use std::time::Duration;

use crate::config::StaleRoutes;

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
    /// How many streams may be open at once.
    pub max_streams: usize,
    /// How many requests on `/stream` with a good key are let in a second.
    pub handshakes_per_second: u32,
    /// How far a stream may fall behind.
    pub max_lag: LagLimit,
    /// What becomes of new streams while routes cannot be followed.
    pub stale_routes: StaleRoutes,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 8080)),
            admin: SocketAddr::from(([127, 0, 0, 1], 9090)),
            ring_bytes: 64 << 20,
            replays: 8,
            drain: Duration::from_secs(30),
            max_streams: 20_000,
            handshakes_per_second: 1_000,
            max_lag: LagLimit::default(),
            stale_routes: StaleRoutes::default(),
        }
    }
}

/// How far a stream may fall behind after it has been live. Catching up has no limit of its own: the log is the buffer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LagLimit {
    /// Age of the next event to send, by the broker's time stamp.
    pub age: Option<Duration>,
    /// Bytes of the topic between the next event to send and the newest one, at the mean size of records.
    pub bytes: Option<u64>,
}
