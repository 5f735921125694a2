//! Connection state of each subscription's client, from the claims of the gateways to the subscription's status.
//!
//! [`connections`] says what should be written and when; the [`writer`] writes it, at a bounded rate.

mod connections;
mod writer;

pub(crate) use connections::SharedConnections;
pub(crate) use writer::Writer;
