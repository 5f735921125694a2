//! The wire protocol of a stream (`docs/protocol.md`): what travels between a gateway and its clients.
//!
//! This crate opens no connection and knows no runtime, so that servers, clients and tests read the same bytes in the same way.

pub mod close;
pub mod dialect;
pub mod event;
pub mod frame;
pub mod position;
mod stream_key;
mod stream_url;

pub use stream_key::{
    CLOUD_EVENTS_SUBPROTOCOL, KEY_SUBPROTOCOL, MalformedKey, SUBPROTOCOL, StreamKey,
    TOKEN_SUBPROTOCOL,
};
pub use stream_url::{StreamUrl, StreamUrlError};
