//! What stands in a frame: an event as it is stored, or a control frame.

use std::fmt;

use datastream_gateway::position::{EventIdentity, Position, Seq};
use jiff::Timestamp;
use serde::de::{Deserializer as _, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::columns::Columns;
use crate::client::Body;

/// An event. Cheap to clone but for its few short texts.
#[derive(Clone, Debug)]
pub(super) struct Event {
    /// Its JSON, byte for byte as it came.
    pub body: Body,
    /// Its sequence number.
    pub seq: Box<str>,
    /// What makes it this event.
    pub identity: EventIdentity,
    /// Where a stream stands that has seen it.
    pub position: Position,
    /// Its type; empty if it has none.
    pub kind: Box<str>,
    /// Its device; empty if it has none.
    pub dsn: Box<str>,
    /// When it arrived here.
    pub received: Timestamp,
    /// What else databases have of it.
    pub columns: Columns,
}

/// The content of a frame that is no heartbeat.
#[derive(Clone, Debug)]
pub(super) enum Content {
    /// An event.
    Event(Event),
    /// Everything stored has been sent; what follows the position is live.
    Live(Position),
    /// Events before the position have expired.
    Gap(Position),
    /// Another control frame: nothing that has to be known.
    Other,
}

impl Content {
    /// Reads the body of a frame that arrived at this time.
    ///
    /// # Errors
    /// Neither an event with a sequence number nor a control frame.
    pub(super) fn of(body: Body, received: Timestamp) -> Result<Self, String> {
        let [seq, metadata, control, seq_start] =
            members(body.as_str(), ["seq", "metadata", "control", "seq_start"])
                .map_err(|e| format!("an event that is no JSON object: {e}"))?;
        let Some(seq) = seq.map(string) else {
            return match control {
                Some(control) => marker(&string(control), seq_start),
                None => Err("an event without a seq".to_owned()),
            };
        };
        let (identity, position) =
            EventIdentity::of_seq(&seq).map_err(|e| format!("an event with seq {seq:?}: {e}"))?;
        let [kind, dsn] = metadata
            .and_then(|json| members(json, ["event_type", "dsn"]).ok())
            .unwrap_or_default()
            .map(|raw| raw.map(string).unwrap_or_default());
        let columns = Columns::of(body.as_str());
        Ok(Self::Event(Event {
            body,
            seq,
            identity,
            position,
            kind,
            dsn,
            received,
            columns,
        }))
    }
}

/// The identity of the event on this line, and the position of a stream that has seen it.
pub(super) fn place_of_line(line: &str) -> Option<(EventIdentity, Position)> {
    let [seq] = members(line, ["seq"]).ok()?;
    EventIdentity::of_seq(&string(seq?)).ok()
}

fn marker(control: &str, seq_start: Option<&str>) -> Result<Content, String> {
    let content = match control {
        "live" => Content::Live,
        "gap" => Content::Gap,
        _ => return Ok(Content::Other),
    };
    let seq_start = seq_start.map(string).unwrap_or_default();
    let position = Seq::start_of(&seq_start)
        .map_err(|e| format!("a control frame with seq_start {seq_start:?}: {e}"))?;
    Ok(content(position))
}

/// The text of a JSON string; whatever else stands there, as it stands. Without NUL, which PostgreSQL cannot store.
pub(super) fn string(raw: &str) -> Box<str> {
    let text: String =
        serde_json::from_str(raw).unwrap_or_else(|_| raw.trim_matches('"').to_owned());
    text.replace('\0', "\u{fffd}").into()
}

/// The first members of an object that have these names, as they stand there.
///
/// Devices choose what is in an event: repeated names, broken escapes and any depth must not make it unreadable.
pub(super) fn members<'a, const N: usize>(
    json: &'a str,
    names: [&str; N],
) -> Result<[Option<&'a str>; N], serde_json::Error> {
    let mut reader = serde_json::Deserializer::from_str(json);
    let found = reader.deserialize_map(Members(names))?;
    reader.end()?;
    Ok(found)
}

struct Members<'n, const N: usize>([&'n str; N]);

impl<'de, const N: usize> Visitor<'de> for Members<'_, N> {
    type Value = [Option<&'de str>; N];

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut found = [None; N];
        while let Some((key, value)) = map.next_entry::<&RawValue, &RawValue>()? {
            let name = key.get().trim_matches('"');
            if let Some(slot) = self.0.iter().position(|n| *n == name) {
                found[slot].get_or_insert(value.get());
            }
        }
        Ok(found)
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    fn content(json: &str) -> Result<Content, String> {
        Content::of(Body::new(json.into(), 0), Timestamp::UNIX_EPOCH)
    }

    /// The event with this body.
    pub(in crate::collect) fn event(json: &str) -> Event {
        match content(json).unwrap() {
            Content::Event(event) => event,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn an_event_is_kept_with_what_is_asked_for_most() {
        let json = r#"{"seq":"7","metadata":{"dsn":"AC1","event_type":"datapoint"},"datapoint":{"value":1.10}}"#;
        let event = event(json);
        assert_eq!(event.body.as_str(), json);
        assert_eq!((&*event.seq, event.identity.offset), ("7", 6));
        assert_eq!((&*event.kind, &*event.dsn), ("datapoint", "AC1"));
        assert_eq!(event.position, Position::new([7]));
    }

    #[test]
    fn whatever_a_device_writes_stays_readable() {
        let deep = format!("{}{}", "[".repeat(2000), "]".repeat(2000));
        for rest in [
            r#""metadata":{},"metadata":[]"#,
            r#""metadata":{"dsn":"\ud800","event_type":7}"#,
            r#""metadata":{"dsn":"a\u0000b"}"#,
            r#""\ud800":1,"control":"live","seq":"99""#,
            &format!(r#""deep":{deep}"#),
            "\"a\":\n1",
        ] {
            let event = event(&format!(r#"{{"seq":"7",{rest}}}"#));
            assert_eq!(&*event.seq, "7");
            assert!(!event.dsn.contains('\0'));
        }
    }

    #[test]
    fn control_frames_are_told_apart() {
        let live = content(r#"{"control":"live","seq_start":"8"}"#).unwrap();
        assert!(matches!(live, Content::Live(position) if position == Position::new([7])));
        let gap = content(r#"{"control":"gap","seq_start":"1"}"#).unwrap();
        assert!(matches!(gap, Content::Gap(position) if position == Position::new([0])));
        assert!(matches!(
            content(r#"{"control":"new"}"#),
            Ok(Content::Other)
        ));
    }

    #[test]
    fn what_has_no_identity_is_refused() {
        for (json, expected) in [
            ("{}", "without a seq"),
            ("[]", "no JSON object"),
            (r#"{"seq":"7""#, "no JSON object"),
            (r#"{"seq":"x"}"#, "seq \"x\""),
            (r#"{"seq":null}"#, "seq \"null\""),
            (r#"{"control":"gap"}"#, "seq_start \"\""),
        ] {
            let error = content(json).unwrap_err();
            assert!(error.contains(expected), "{json}: {error}");
        }
    }
}
