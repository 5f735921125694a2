//! A record of the topic, from its bytes to the frame that clients get.

mod decode;
mod frame;
mod scan;
mod time;

pub use decode::{Decoded, MAX_DEPTH, SkipReason};
pub use frame::largest_content;
pub use time::Times;

use std::sync::OnceLock;

use bytes::Bytes;
use datastream_routing::EventFields;
use tokio_tungstenite::tungstenite::Utf8Bytes;

use datastream_protocol::position::Seq;

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
    frame: OnceLock<Utf8Bytes>,
    /// Read only if somebody wants the event.
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

    /// The fields that filters read.
    pub fn fields(&self) -> EventFields<'_> {
        self.decoded.fields(&self.value)
    }

    /// Times at which the broker took it and at which it happened.
    pub fn times(&self) -> Times {
        Times {
            taken_ms: self.timestamp_ms,
            happened_ms: *self
                .happened_ms
                .get_or_init(|| time::happened_ms(&self.value[self.decoded.body.clone()])),
        }
    }

    /// The frame of this event under the sequence number that every stream of this gateway gives it.
    pub fn shared_frame(&self, seq: impl FnOnce() -> Seq) -> Utf8Bytes {
        self.frame
            .get_or_init(|| frame::render(&self.value, &self.decoded, &seq()))
            .clone()
    }

    /// The frame of this event under a sequence number of one stream's own (it merges partitions in its own order).
    pub fn own_frame(&self, seq: &Seq) -> Utf8Bytes {
        frame::render(&self.value, &self.decoded, seq)
    }
}
