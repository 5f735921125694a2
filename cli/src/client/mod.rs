//! The client's side of the stream protocol (`docs/protocol.md`), for every command that follows streams.

mod connection;
mod dial;
mod frame;
mod refusal;
mod seq;
mod target;
mod unreadable;

pub(crate) use connection::{Body, Connection, Failure, Incoming, inquire};
#[cfg(test)]
pub(crate) use refusal::Refusal;
pub(crate) use seq::after;
pub(crate) use target::{Target, TargetError};
pub(crate) use unreadable::Unreadable;
