//! The two listeners: `/stream` and the console for clients, probes and metrics for operators.

mod admin;
mod connection;
mod console;
mod respond;
mod stream;

pub(crate) use admin::Admin;
pub use admin::AdminExtension;
pub(crate) use connection::serve;
pub(crate) use stream::Front;
