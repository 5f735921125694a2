//! Connection state of each subscription's client, from the claims of the gateways to the subscription's status.
//!
//! The [`board`] says what should be written and when; the [`writer`] writes it, at a bounded rate.

mod board;
mod writer;

pub(crate) use board::SharedConnections;
pub(crate) use writer::Writer;
