//! The common parts of the programs as services: log, TLS provider, stop signal, listeners, metrics and probes, the client of the
//! API server, how long a Lease counts, the reading of watches and of files, and text for terminals.

pub mod api;
pub mod file;
pub mod lease;
pub mod listen;
pub mod log;
pub mod metrics;
pub mod probes;
pub mod process;
pub mod text;
pub mod watch;
