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
use datastream_protocol::frame::close_control;
use datastream_protocol::position::Seq;

use crate::event::CloudHeads;
use crate::fanout::QueuedFrame;

/// The dialects of a WebSocket, whose messages are the frames.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum MessageDialect {
    /// `LEN|BODY`, as in the Ayla Datastream Service.
    #[default]
    Dss,
    /// One JSON object a message.
    Json,
    /// One event of CloudEvents 1.0 a message, in structured mode.
    CloudEvents,
}

/// The dialects of a response's body, in which frames stand one behind the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BodyDialect {
    /// Server-sent events.
    Sse,
    /// A JSON object a line.
    Ndjson,
}

/// Writes the frames of one WebSocket.
#[derive(Clone, Debug)]
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

impl MessageDialect {
    /// All of them.
    pub(crate) const ALL: [Self; 3] = [Self::Dss, Self::Json, Self::CloudEvents];

    /// The dialect with this name.
    pub(crate) fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|dialect| dialect.name() == name)
    }

    /// The name in metrics and in `format=`.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Dss => "dss",
            Self::Json => "json",
            Self::CloudEvents => "cloudevents",
        }
    }
}

impl BodyDialect {
    /// All of them.
    pub(crate) const ALL: [Self; 2] = [Self::Sse, Self::Ndjson];

    /// The dialect with this name.
    pub(crate) fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|dialect| dialect.name() == name)
    }

    /// A frame as it stands in the body. Line breaks between its members are to be written as spaces.
    pub(crate) fn line(self, frame: &QueuedFrame) -> Parts<'_> {
        match self {
            Self::Sse => sse::line(frame),
            Self::Ndjson => ndjson::line(frame),
        }
    }

    /// The end of a stream, for the client to read.
    pub(crate) fn end(self, close: &Close, seq_start: &Seq) -> String {
        let control = close_control(close, seq_start);
        match self {
            Self::Sse => sse::end(close.code, &control),
            Self::Ndjson => ndjson::end(&control),
        }
    }

    /// The media type.
    pub(crate) const fn media_type(self) -> &'static str {
        match self {
            Self::Sse => "text/event-stream",
            Self::Ndjson => "application/x-ndjson",
        }
    }

    /// The name in metrics and in `format=`.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Sse => "sse",
            Self::Ndjson => "ndjson",
        }
    }
}
