//! What operator and gateway have in common as services on Kubernetes: log, TLS provider, stop signal, metrics and
//! probes, and the reading of watches.

pub mod log;
pub mod metrics;
pub mod probes;
pub mod process;
pub mod watch;
