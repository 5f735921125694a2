//! The two listeners: `/stream` and the console for clients, probes and metrics for operators.

mod admin;
mod admission;
mod connection;
mod connections;
mod console;
mod handshake;
mod range;
mod respond;
mod stream;
mod write_limit;

pub(crate) use admin::Admin;
pub use admin::AdminExtension;
pub(crate) use admission::Admission;
pub(crate) use connection::serve;
pub(crate) use connections::Connections;
pub(crate) use stream::StreamServer;
