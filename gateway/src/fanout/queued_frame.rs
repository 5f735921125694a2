//! A frame on its way to a client, with what later stages ask of it.

use std::sync::Arc;

use datastream_protocol::frame::HEARTBEAT;

use crate::event::EventFrame;

/// One frame on its way.
#[derive(Debug)]
pub(crate) enum QueuedFrame {
    /// An event, shared with the ring and with other streams.
    Event(Arc<EventFrame>),
    /// A question to the client whether it is still there.
    Heartbeat,
    /// A marker, for clients that asked for them.
    Marker(Box<str>),
}

impl QueuedFrame {
    /// The event, if it is one.
    pub(crate) fn event(&self) -> Option<&EventFrame> {
        match self {
            Self::Event(event) => Some(event),
            Self::Heartbeat | Self::Marker(_) => None,
        }
    }

    /// Returns whether it is a heartbeat.
    pub(crate) const fn is_heartbeat(&self) -> bool {
        matches!(self, Self::Heartbeat)
    }

    /// The text that is sent.
    pub(crate) fn text(&self) -> &str {
        match self {
            Self::Event(event) => &event.text,
            Self::Heartbeat => HEARTBEAT,
            Self::Marker(text) => text,
        }
    }

    /// Bytes of memory that it takes while it waits.
    pub(crate) fn memory(&self) -> usize {
        let position = self.event().map_or(0, |event| event.at.after.memory());
        self.text().len() + position
    }
}
