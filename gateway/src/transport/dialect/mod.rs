//! Dialects: how one stream's frames are written. Each is a file of its own; ring, queues, heartbeats and catching up are the same for
//! all.
//!
//! An event is rendered once, as JSON. A dialect says what stands around that text, as parts that are copied one behind the other:
//! nothing is rendered for a stream.

mod cloud_events;
mod dss;
mod json;
mod ndjson;
mod parts;
mod sse;

pub(crate) use parts::Parts;
pub(crate) use sse::RETRY_MS as SSE_RETRY_MS;

use std::sync::Arc;

use datastream_protocol::close::Close;
use datastream_protocol::dialect::{BodyDialect, MessageDialect};
use datastream_protocol::frame::close_control;
use datastream_protocol::position::Seq;

use crate::event::CloudHeads;
use crate::fanout::QueuedFrame;

/// Writes the frames of one WebSocket.
#[derive(Debug)]
pub(crate) struct MessageEncoder {
    pub dialect: MessageDialect,
    pub heads: Arc<CloudHeads>,
}

impl MessageEncoder {
    /// An encoder of the dialect of DSS.
    #[cfg(any(test, feature = "test-util"))]
    pub(crate) fn dss() -> Self {
        let heads = Arc::new(CloudHeads::new(""));
        let dialect = MessageDialect::Dss;
        Self { dialect, heads }
    }

    /// The payload of a frame's message; none for a heartbeat that is a ping.
    pub(crate) fn payload<'a>(&'a self, frame: &'a QueuedFrame) -> Option<Parts<'a>> {
        match self.dialect {
            MessageDialect::Dss => Some(dss::payload(frame)),
            MessageDialect::Json => json::payload(frame),
            MessageDialect::CloudEvents => cloud_events::payload(frame, &self.heads),
        }
    }
}

/// A frame as it stands in a body. Line breaks between its members are to be written as spaces.
pub(crate) fn line(dialect: BodyDialect, frame: &QueuedFrame) -> Parts<'_> {
    match dialect {
        BodyDialect::Sse => sse::line(frame),
        BodyDialect::Ndjson => ndjson::line(frame),
    }
}

/// The end of a stream in a body, for the client to read.
pub(crate) fn end(dialect: BodyDialect, close: &Close, seq_start: &Seq) -> String {
    let control = close_control(close, seq_start);
    match dialect {
        BodyDialect::Sse => sse::end(close.code, &control),
        BodyDialect::Ndjson => ndjson::end(&control),
    }
}
