//! What operator and gateway have in common as services on Kubernetes: log, TLS provider, stop signal, metrics, how
//! long a Lease counts, and
//! the reading of watches.

pub mod lease;
pub mod log;
pub mod metrics;
pub mod process;
pub mod watch;
