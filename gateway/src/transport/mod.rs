//! The wire: dialects, which say how a frame is written, and the transports that carry them.

pub(crate) mod dialect;
pub(crate) mod http;
pub(crate) mod websocket;
