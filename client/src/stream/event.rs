//! An event of a stream.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use datastream_protocol::event::{EventType, View};
use datastream_protocol::position::{EventIdentity, after};

use crate::connection::Body;
use crate::typed;

/// An event: its JSON text, as it came, and its sequence number. Cheap to clone.
///
/// ```
/// use datastream_client::{Event, EventType};
///
/// let event: Event = r#"{"seq":"41","metadata":{"event_type":"datapoint","dsn":"AC1","property_name":"level"},
///     "datapoint":{"value":12345678901234567890}}"#.parse()?;
/// let view = event.view();
/// assert_eq!(view.event_type(), Some(EventType::Datapoint));
/// assert_eq!(view.metadata("dsn").as_deref(), Some("AC1"));
/// // Numbers are what they were in the text: this one is no double.
/// assert_eq!(view.body().and_then(|body| body.raw("value")), Some("12345678901234567890"));
/// assert_eq!((event.seq(), event.next_seq().as_str()), ("41", "42"));
/// # Ok::<(), datastream_client::NoEvent>(())
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Event {
    body: Body,
    seq: Arc<str>,
    /// Number of this event among those of its stream, from 1 on.
    pub(super) ordinal: u64,
}

/// Reason why a text is no event.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoEvent {
    /// It is no JSON object.
    #[error("an event that is no JSON object: {0}")]
    NoObject(String),
    /// It has no `seq` of decimal digits.
    #[error("an event without a seq of decimal digits")]
    NoSeq,
}

impl Event {
    /// The event that this body is.
    pub(super) fn new(body: Body, view: &View<'_>) -> Result<Self, NoEvent> {
        let seq = view.text("seq").filter(|seq| after(seq).is_some());
        let seq = seq.ok_or(NoEvent::NoSeq)?.into();
        Ok(Self {
            body,
            seq,
            ordinal: 0,
        })
    }

    /// The JSON text, byte for byte as it came.
    pub fn json(&self) -> &str {
        self.body.as_str()
    }

    /// The sequence number: decimal digits, up to thousands of them.
    pub fn seq(&self) -> &str {
        &self.seq
    }

    /// The number to start with to get what follows this event: `seq` plus one.
    pub fn next_seq(&self) -> String {
        after(&self.seq).unwrap_or_default()
    }

    /// The partition and offset of the event: the same, under whichever `seq` it comes. `None` where numbers are not given by
    /// datastream.
    pub fn identity(&self) -> Option<EventIdentity> {
        let found = EventIdentity::of_seq(&self.seq);
        found.ok().map(|(identity, _)| identity)
    }

    /// The type, if it is one of the five.
    pub fn event_type(&self) -> Option<EventType> {
        self.view().event_type()
    }

    /// The fields of the event, by the rules that all programs of datastream share. Reads the text once: keep it to read several.
    pub fn view(&self) -> View<'_> {
        match View::parse(self.json()) {
            Ok(view) => view,
            Err(_) => unreachable!("it was an object when the event was made"),
        }
    }

    /// The event with the types of its metadata and body. Copies what it reads: use [`view`](Self::view) for a few fields.
    ///
    /// A member without its documented type is none, and is found in `other`, as are those that nobody has documented. An event of an
    /// unknown type, or without the body of its type, is [`typed::Event::Other`].
    ///
    /// ```
    /// use datastream_client::{Event, typed};
    ///
    /// let event: Event = r#"{"seq":"41","metadata":{"event_type":"datapointack","dsn":"AC1"},
    ///     "datapoint":{"value":1e400,"ack_status":200,"acked_at":false,"tenant":"blue"}}"#.parse()?;
    /// let typed::Event::Datapointack(ack) = event.typed() else {
    ///     panic!("it is an acknowledgement")
    /// };
    /// assert_eq!(ack.metadata.dsn.as_deref(), Some("AC1"));
    /// assert_eq!(ack.body.ack_status, Some(200));
    /// assert_eq!(ack.body.value.as_ref().map(typed::RawJson::get), Some("1e400"));
    /// assert_eq!(ack.body.acked_at, None);
    /// assert_eq!(ack.body.other.get("acked_at").map(typed::RawJson::get), Some("false"));
    /// let tenant = ack.body.other.get("tenant").and_then(typed::RawJson::as_text);
    /// assert_eq!(tenant.as_deref(), Some("blue"));
    /// # Ok::<(), datastream_client::NoEvent>(())
    /// ```
    pub fn typed(&self) -> typed::Event {
        match typed::Event::parse(self.json()) {
            Ok(event) => event,
            Err(_) => unreachable!("it was an object when the event was made"),
        }
    }
}

impl FromStr for Event {
    type Err = NoEvent;

    /// Reads the JSON text of an event, such as a line that was stored.
    fn from_str(json: &str) -> Result<Self, NoEvent> {
        let view = View::parse(json).map_err(|error| NoEvent::NoObject(error.to_string()))?;
        Self::new(Body::from(json), &view)
    }
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.json())
    }
}

impl fmt::Debug for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.json())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    #[test]
    fn every_test_vector_is_read_as_expected() {
        let vectors = include_str!("../../../protocol/tests/vectors/events.json");
        let vectors: Vec<Value> = serde_json::from_str(vectors).unwrap();
        let mut read = 0;
        for vector in vectors.iter().filter(|vector| vector["seq"].is_string()) {
            let event: Event = vector["event"].as_str().unwrap().parse().unwrap();
            assert_eq!(event.seq(), vector["seq"], "{vector}");
            let view = event.view();
            assert_eq!(view.what(), vector["what"].as_str().unwrap());
            let typed = event.typed();
            let known = view.body().and(view.event_type());
            assert_eq!(typed.event_type(), known, "{vector}");
            let with_value = known.filter(|event_type| event_type.has_property());
            let value = with_value
                .and(view.body())
                .and_then(|body| body.raw("value"));
            assert_eq!(value_of(&typed), value, "{vector}");
            read += 1;
        }
        assert!(read > 0);
    }

    fn value_of(event: &typed::Event) -> Option<&str> {
        let value = match event {
            typed::Event::Datapoint(event) => &event.body.value,
            typed::Event::Datapointack(event) => &event.body.value,
            _ => return None,
        };
        value.as_ref().map(typed::RawJson::get)
    }

    #[test]
    fn what_has_no_number_is_no_event() {
        for text in ["{}", r#"{"seq":"x"}"#, r#"{"seq":null}"#, r#"{"seq":""}"#] {
            assert_eq!(text.parse::<Event>(), Err(NoEvent::NoSeq), "{text}");
        }
        assert!(matches!("[]".parse::<Event>(), Err(NoEvent::NoObject(_))));
    }
}
