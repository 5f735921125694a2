//! One event as streams send it, in every dialect.

use std::sync::OnceLock;

use datastream_protocol::event::EventType;
use datastream_protocol::position::{EventPosition, Seq};

use super::Times;
use super::cloud_head::{CloudHeads, HeldHead};

/// The text before the sequence number in the JSON of each event.
const BEFORE_SEQ: &str = r#"{"seq":""#;

/// One event as a stream sends it, with what the stream needs to know of it.
#[derive(Debug)]
pub struct EventFrame {
    /// The frame: `LEN|{"seq":"N",…}`.
    pub text: Box<str>,
    /// The event's place in the stream.
    pub at: EventPosition,
    /// Times of the event.
    pub times: Times,
    /// Type of the event.
    pub event_type: EventType,
    /// Its producer has written line breaks between the members.
    pub has_line_breaks: bool,
    /// Bytes of `LEN|`, and digits of the sequence number.
    prefix: u8,
    digits: u16,
    /// Rendered only if somebody wants CloudEvents.
    cloud_head: OnceLock<HeldHead>,
}

impl EventFrame {
    /// An event with its rendered text, in which this number stands.
    pub(super) fn new(
        text: Box<str>,
        seq: &Seq,
        at: EventPosition,
        event_type: EventType,
        times: Times,
    ) -> Self {
        let prefix = memchr::memchr(b'|', text.as_bytes()).map_or(0, |bar| bar + 1);
        Self {
            at,
            times,
            event_type,
            has_line_breaks: memchr::memchr2(b'\n', b'\r', text.as_bytes()).is_some(),
            prefix: prefix as u8,
            digits: seq.as_str().len() as u16,
            cloud_head: OnceLock::new(),
            text,
        }
    }

    /// The JSON.
    pub(crate) fn body(&self) -> &str {
        &self.text[self.prefix.into()..]
    }

    /// The sequence number, as it stands in the JSON.
    pub(crate) fn seq(&self) -> &str {
        &self.body()[BEFORE_SEQ.len()..][..self.digits.into()]
    }

    /// The envelope of CloudEvents up to the JSON, which all streams share.
    pub(crate) fn cloud_head(&self, heads: &CloudHeads) -> &str {
        self.cloud_head.get_or_init(|| heads.of(self)).text()
    }
}
