//! What operator and gateway have in common as services on Kubernetes: log, TLS provider, stop signal, listeners,
//! metrics and probes, how long a Lease counts, and the reading of watches.

pub mod lease;
pub mod listen;
pub mod log;
pub mod metrics;
pub mod probes;
pub mod process;
pub mod watch;
