//! Streams as bodies of responses: server-sent events and lines of JSON. Over HTTP/1.1 a stream has the connection's socket, as a
//! WebSocket has; over HTTP/2, on which other streams go on beside it, the connection takes its chunks.
//!
//! Such a client says nothing: that it takes what is sent is its sign of life, and where its stream goes on it says when it asks again.

mod body;
mod chunks;
mod compression;
mod gather;
mod socket;

pub(crate) use body::{BodyStream, Carrier};
pub(crate) use chunks::ChunkBody;
pub(crate) use compression::{Coding, Compressor};
pub(crate) use socket::{Resumed, SocketStream};

use datastream_protocol::dialect::BodyDialect;

/// The writing of one body.
pub(crate) struct BodyEncoder {
    pub dialect: BodyDialect,
    /// The client is told why its stream ends.
    pub tells_end: bool,
    pub compressor: Option<Compressor>,
}
