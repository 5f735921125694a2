//! Options of a broker.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use datastream_service::tls::ServerFiles;

/// The settings of a broker. Unless it is [advertised](BrokerOptions::advertise), both addresses must be loopback addresses;
/// port 0 picks a free one.
#[derive(Clone, Debug)]
pub struct BrokerOptions {
    /// The address for clients (of the SC).
    pub listen: SocketAddr,
    /// The address at which records are produced and fetched; clients learn it from the SC.
    pub unit_listen: SocketAddr,
    /// Accepts addresses that other machines reach, too, and advertises this host to clients as that of the SPU. For networks of tests
    /// that nobody else is in: the broker has no access control. Default: loopback only.
    pub advertise: Option<String>,
    /// Keeps everything in this file too, so that a new process starts with the same data. Default: memory only.
    pub journal: Option<PathBuf>,
    /// Reads the journal as if nothing had been evicted, for tests that look at what was. Default: no.
    pub forget_evictions: bool,
    /// Drops the oldest batches of a partition that holds more than this many bytes. Default: keeps all.
    pub retention_bytes: Option<u64>,
    /// Answers fetches with whole batches only. The real server cuts them at `max_bytes`; so does this one by default.
    pub whole_batches: bool,
    /// The interval at which the SC's view of the logs' ends follows the SPU's (the real one lags by 0.1 to 0.3 s).
    pub status_every: Duration,
    /// TLS on both ports. Default: none.
    pub tls: Option<ServerFiles>,
    /// The version that clients see. They refuse servers older than 0.9.
    pub platform_version: semver::Version,
}

impl Default for BrokerOptions {
    fn default() -> Self {
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        Self {
            listen: any,
            unit_listen: any,
            advertise: None,
            journal: None,
            forget_evictions: false,
            retention_bytes: None,
            whole_batches: false,
            status_every: Duration::from_millis(100),
            tls: None,
            platform_version: semver::Version::new(0, 18, 1),
        }
    }
}
