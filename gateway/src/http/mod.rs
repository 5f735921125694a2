//! The two listeners: `/stream` and the console for clients, probes and metrics for operators.

mod admin;
mod admission;
mod connection;
mod console;
mod range;
mod respond;
mod stream;

pub(crate) use admin::Admin;
pub use admin::AdminExtension;
pub(crate) use admission::Admission;
pub(crate) use connection::serve;
pub(crate) use stream::Front;
