//! Records, from their bytes to the frames that clients get: whatever a producer writes, a frame is one that any client can read,
//! as large as was said, and says the same.

use bytes::Bytes;
use datastream_gateway::event::{Decoded, Event, SkipReason};
use datastream_protocol::event::View;
use datastream_protocol::frame::{Frame, LENGTH_PREFIX};
use datastream_protocol::position::{EventPosition, Position, Seq};
use datastream_routing::{EventFields, Field};
use serde_json::Value;

/// Decodes a record and renders its frame, for a topic with one partition and for one with several.
pub fn run(data: &[u8]) {
    let event = decode(data, usize::MAX);
    let reason = Decoded::new(data).err();
    assert_eq!(event.as_ref().err(), reason.as_ref());
    let Ok(event) = event else { return };
    let text = std::str::from_utf8(data).unwrap();
    let has_time = View::parse(text).is_ok_and(|view| view.happened().is_some());
    for (next, partition) in [(vec![7], 0), (vec![12, 0, 3], 2)] {
        let after = Position::new(next);
        let at = EventPosition { after, partition };
        let frame = event.frame_at(at.clone());
        assert!(has_time || frame.times.happened_ms == 0);
        let (body, seq) = (body(&frame.text), at.seq());
        same_event(text, body, &seq, &event.fields());
        has_the_size_that_was_said(data, body, &seq);
        is_stable(body, &at);
    }
}

fn decode(record: &[u8], largest_content: usize) -> Result<Event, SkipReason> {
    Event::decode(3, 5, Bytes::copy_from_slice(record), largest_content)
}

/// The body of a frame that every client can read, whatever it takes LEN for.
fn body(frame: &str) -> &str {
    assert!(frame.is_ascii(), "{frame}");
    let (length, body) = frame.split_once('|').unwrap();
    assert_eq!(length.parse(), Ok(body.chars().count()));
    assert!(!body.contains('|'), "{frame}");
    assert_eq!(Frame::parse(frame), Ok(Frame::Event(body)));
    body
}

fn same_event(record: &str, body: &str, seq: &Seq, fields: &EventFields<'_>) {
    let view = View::parse(body).unwrap();
    assert_eq!(view.text("seq").as_deref(), Some(seq.as_str()));
    assert_eq!(view.event_type(), Some(fields.event_type));
    for field in Field::ALL {
        let text = view.metadata(field.metadata_key());
        assert_eq!(text.as_deref(), fields.values[field], "{field:?}");
    }
    // Half a surrogate pair and numbers beyond a double are JSON that serde_json has no value for.
    let Ok(Value::Object(mut expected)) = serde_json::from_str::<Value>(record) else {
        return;
    };
    expected.insert("seq".to_owned(), seq.as_str().into());
    let keys = fields.event_type.body_keys();
    let mut bodies = keys.iter().filter_map(|key| expected.get(*key));
    let event_body = bodies.find(|body| !body.is_null()).unwrap().clone();
    for key in keys {
        if expected.get(*key).is_none_or(Value::is_null) {
            expected.insert((*key).to_owned(), event_body.clone());
        }
    }
    let parsed: Value = serde_json::from_str(body).unwrap();
    assert_eq!(parsed, Value::Object(expected));
}

/// A gateway whose largest frames are of this size sends the event, and one that sends a byte less does not.
fn has_the_size_that_was_said(record: &[u8], body: &str, seq: &Seq) {
    let content = LENGTH_PREFIX + body.len() - seq.as_str().len();
    assert_eq!(decode(record, content).err(), None, "{content}");
    let reason = decode(record, content - 1).err();
    assert_eq!(reason, Some(SkipReason::FrameTooLarge), "{content}");
}

/// An event that is published again as a client got it changes once at most (white space around a `seq`), and never again.
fn is_stable(body: &str, at: &EventPosition) {
    let again = |body: &str| {
        let event = decode(body.as_bytes(), usize::MAX);
        let frame = event.map(|event| event.frame_at(at.clone()).text);
        frame.map(|frame| frame.split_once('|').unwrap().1.to_owned())
    };
    // Escapes can make it larger than a record may be.
    let Ok(once) = again(body) else {
        assert_eq!(again(body), Err(SkipReason::TooLarge));
        return;
    };
    assert_eq!(again(&once), Ok(once));
}
