//! Contracts of streams, as Rust types: events and messages as a gateway sends them in every dialect, and what its clients send.
//!
//! With the feature `schema`, the same types give JSON Schemas (2020-12), an AsyncAPI and an OpenAPI document: those that a gateway
//! serves, with copies in `docs/schemas`. With `validate`, JSON can be checked against them.
//!
//! Reading is liberal, as `docs/protocol.md` says: producers may write anything into the body of an event, so a member that does not
//! have its documented type makes no event unreadable. It is kept as it stands, beside the members that nobody has documented.

#[macro_use]
mod macros;

pub mod client;
pub mod cloud_event;
pub mod control;
#[cfg(feature = "schema")]
pub mod describe;
#[cfg(feature = "schema")]
pub mod documents;
pub mod error;
pub mod error_kind;
pub mod event;
pub mod json;
pub mod report;
#[cfg(feature = "validate")]
pub mod validate;
