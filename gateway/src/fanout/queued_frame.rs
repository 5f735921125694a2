//! A frame on its way to a client, with what later stages ask of it.

use std::sync::Arc;

use datastream_protocol::frame::{HEARTBEAT, Marker};
use datastream_protocol::position::Seq;

use crate::event::EventFrame;

/// One frame on its way.
#[derive(Debug)]
pub(crate) enum QueuedFrame {
    /// An event, shared with the ring and with other streams.
    Event(Arc<EventFrame>),
    /// A question to the client whether it is still there.
    Heartbeat,
    /// A marker, for clients that asked for them.
    Marker(MarkerFrame),
}

/// A marker as a stream sends it.
#[derive(Debug)]
pub(crate) struct MarkerFrame(Box<str>);

impl MarkerFrame {
    /// The frame of a marker with this number.
    pub(crate) fn new(marker: Marker, seq_start: &Seq) -> Self {
        Self(marker.frame(seq_start).into())
    }

    /// A frame with any text.
    #[cfg(any(test, feature = "test-util"))]
    pub(crate) fn raw(text: &str) -> Self {
        Self(text.into())
    }

    /// The frame: `LEN|BODY`.
    pub(crate) fn text(&self) -> &str {
        &self.0
    }

    /// The JSON.
    pub(crate) fn body(&self) -> &str {
        self.0.split_once('|').map_or(&self.0, |(_, body)| body)
    }
}

impl QueuedFrame {
    /// The event, if it is one.
    pub(crate) const fn event(&self) -> Option<&Arc<EventFrame>> {
        match self {
            Self::Event(event) => Some(event),
            Self::Heartbeat | Self::Marker(_) => None,
        }
    }

    /// Returns whether it is a heartbeat.
    pub(crate) const fn is_heartbeat(&self) -> bool {
        matches!(self, Self::Heartbeat)
    }

    /// The JSON of an event or a marker; none of a heartbeat.
    pub(crate) fn body(&self) -> Option<&str> {
        match self {
            Self::Event(event) => Some(event.body()),
            Self::Marker(marker) => Some(marker.body()),
            Self::Heartbeat => None,
        }
    }

    /// Bytes of memory that it takes while it waits.
    pub(crate) fn memory(&self) -> usize {
        match self {
            Self::Event(event) => event.text.len() + event.at.after.memory(),
            Self::Marker(marker) => marker.text().len(),
            Self::Heartbeat => HEARTBEAT.len(),
        }
    }
}
