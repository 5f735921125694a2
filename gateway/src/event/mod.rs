//! A record of the topic, from its bytes to the frame that clients get.

mod cloud_head;
mod decode;
mod event_frame;
mod frame;
mod scan;
mod time;

pub(crate) use cloud_head::CloudHeads;
pub use decode::{Decoded, MAX_DEPTH, SkipReason};
pub use event_frame::EventFrame;
pub use frame::largest_content;
pub use time::Times;

use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use datastream_routing::EventFields;

use datastream_protocol::position::EventPosition;

/// One decoded record. Decoded once, rendered at most once, shared by every stream that wants it.
#[derive(Debug)]
pub struct Event {
    /// Offset in its partition.
    pub offset: u64,
    /// Time at which the broker took it, in milliseconds since 1970 (0 if unknown).
    pub timestamp_ms: i64,
    value: Bytes,
    decoded: Decoded,
    frame_bytes: u32,
    /// Rendered only if somebody wants the event.
    frame: OnceLock<Arc<EventFrame>>,
    /// Read only if somebody wants the event, and once for all frames of it.
    happened_ms: OnceLock<i64>,
}

impl Event {
    /// Decodes a record's value, unless its frame would have more than `largest_content` bytes apart from the sequence number
    /// ([`largest_content`]).
    ///
    /// # Errors
    /// The reason why the record is no event that can be sent.
    pub fn decode(
        offset: u64,
        timestamp_ms: i64,
        value: Bytes,
        largest_content: usize,
    ) -> Result<Self, SkipReason> {
        let decoded = Decoded::new(&value)?;
        let frame_bytes = frame::content(&value, &decoded);
        if frame_bytes > largest_content {
            return Err(SkipReason::FrameTooLarge);
        }
        Ok(Self {
            offset,
            timestamp_ms,
            value,
            decoded,
            frame_bytes: frame_bytes as u32,
            frame: OnceLock::new(),
            happened_ms: OnceLock::new(),
        })
    }

    /// Bytes of memory that the record and its frame take together, once rendered.
    pub(crate) fn weight(&self) -> usize {
        self.value.len() + self.frame_bytes as usize
    }

    /// Bytes of the record.
    pub(crate) fn record_bytes(&self) -> u64 {
        self.value.len() as u64
    }

    /// The fields that filters read.
    pub fn fields(&self) -> EventFields<'_> {
        self.decoded.fields(&self.value)
    }

    /// Times at which the broker took it and at which it happened.
    fn times(&self) -> Times {
        Times {
            taken_ms: self.timestamp_ms,
            happened_ms: *self
                .happened_ms
                .get_or_init(|| time::happened_ms(&self.value[self.decoded.body.clone()])),
        }
    }

    /// The frame of this event that the streams of a gateway share: all those for which it is at this position.
    pub(crate) fn shared_frame(&self, at: impl FnOnce() -> EventPosition) -> Arc<EventFrame> {
        let frame = self.frame.get_or_init(|| Arc::new(self.frame_at(at())));
        frame.clone()
    }

    /// The frame of this event for a stream that it brings to this position, shared with those that it brings to the same one first.
    pub(crate) fn frame_for(&self, at: EventPosition) -> Arc<EventFrame> {
        let shared = match self.frame.get() {
            Some(shared) => shared.clone(),
            // Another thread may be first.
            None => self.shared_frame(|| at.clone()),
        };
        if shared.at == at {
            shared
        } else {
            Arc::new(self.frame_at(at))
        }
    }

    /// Renders the frame of this event for a stream that it brings to this position.
    pub fn frame_at(&self, at: EventPosition) -> EventFrame {
        let seq = at.seq();
        let text = frame::render(&self.value, &self.decoded, self.frame_bytes as usize, &seq);
        EventFrame::new(text, &seq, at, self.decoded.event_type(), self.times())
    }
}
