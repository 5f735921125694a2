//! The common parts of the programs as long-lived processes: log, TLS provider, stop signal, back-off, listeners, metrics and probes,
//! the reading of files, and text for terminals.

pub mod backoff;
pub mod file;
pub mod listen;
pub mod log;
pub mod metrics;
pub mod probes;
pub mod process;
pub mod text;
