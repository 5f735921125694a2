//! The common parts of the programs as long-lived processes: log, TLS provider, stop signal, back-off, listeners and their connections, metrics and probes,
//! the reading of files and of YAML, and what is for terminals.

pub mod accept;
pub mod backoff;
pub mod file;
pub mod listen;
#[cfg(feature = "live-lines")]
pub mod live_lines;
pub mod log;
pub mod log_limit;
pub mod metrics;
pub mod probes;
pub mod process;
#[cfg(any(test, feature = "test-util"))]
#[allow(clippy::panic, reason = "for tests: a difference is a failure")]
pub mod reference;
pub mod stdout;
pub mod text;
pub mod tls;
#[cfg(feature = "yaml")]
pub mod yaml;
