//! The wire: dialects, which say how a frame is written, and the transports that carry them.

/// Bytes up to which frames are gathered into one write to the socket; a larger frame is written by itself.
const GATHER: usize = 32 << 10;

pub(crate) mod dialect;
pub(crate) mod http;
pub(crate) mod websocket;
