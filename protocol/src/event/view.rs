//! The reading of an event that every program of datastream shares: the same fields, the same body, the same text.
//!
//! The rules, which `tests/vectors/events.json` shows and the console (`console/event.js`) follows, too:
//! a member that is `null` counts as missing, escaped keys are the same keys, of several members with one name the
//! first one counts, the body is the one of the event's type, and numbers are shown as they were sent.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserializer as _, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::EventType;

/// The fields of a body that say when the event happened, the most specific one first.
pub const TIMES: [&str; 6] = [
    "event_time",
    "acked_at",
    "updated_at",
    "registered_at",
    "unregistered_at",
    "created_at",
];

/// The text of a JSON string, given with its quotes. `None` if it has none: half of a surrogate pair is valid JSON, but
/// no text.
pub fn unescape(quoted: &str) -> Option<Cow<'_, str>> {
    let inner = quoted.strip_prefix('"')?.strip_suffix('"')?;
    if memchr::memchr(b'\\', inner.as_bytes()).is_none() {
        return Some(Cow::Borrowed(inner));
    }
    serde_json::from_str(quoted).ok().map(Cow::Owned)
}

/// The members of a JSON object, as they stand in its text.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Object<'a>(Vec<(Cow<'a, str>, &'a str)>);

impl<'a> Object<'a> {
    /// Reads an object. Devices choose what is in an event: repeated names, half surrogate pairs, numbers beyond every
    /// type and nesting of any depth leave the other members readable.
    ///
    /// # Errors
    /// The text is no JSON object.
    pub fn parse(json: &'a str) -> Result<Self, serde_json::Error> {
        let mut reader = serde_json::Deserializer::from_str(json);
        let object = reader.deserialize_map(ObjectVisitor)?;
        reader.end()?;
        Ok(object)
    }

    /// The JSON text of the first member with this name, `null` included.
    pub fn raw(&self, name: &str) -> Option<&'a str> {
        self.named(name).next()
    }

    /// The JSON text of the first member with this name that is not `null`.
    pub fn get(&self, name: &str) -> Option<&'a str> {
        self.named(name).find(|value| *value != "null")
    }

    /// A member as text: a string without its quotes and escapes, anything else as it stands there.
    pub fn text(&self, name: &str) -> Option<Cow<'a, str>> {
        self.get(name).map(text)
    }

    /// The members, in the order in which they stand there: their names, and their values as JSON text.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &'a str)> {
        self.0.iter().map(|(name, value)| (name.as_ref(), *value))
    }

    fn named(&self, name: &str) -> impl Iterator<Item = &'a str> {
        let members = self.0.iter().filter(move |(key, _)| *key == name);
        members.map(|(_, value)| *value)
    }

    /// Time at which the event with this body happened, as its producer wrote it.
    pub fn happened(&self) -> Option<Cow<'a, str>> {
        TIMES.iter().find_map(|field| self.text(field))
    }
}

/// The text of a JSON value: a string without its quotes and escapes, anything else as it stands there.
pub fn text(raw: &str) -> Cow<'_, str> {
    unescape(raw).unwrap_or_else(|| {
        let inner = raw.strip_prefix('"').and_then(|r| r.strip_suffix('"'));
        Cow::Borrowed(inner.unwrap_or(raw))
    })
}

struct ObjectVisitor;

impl<'de> Visitor<'de> for ObjectVisitor {
    type Value = Object<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut members = Vec::new();
        while let Some((key, value)) = map.next_entry::<&RawValue, &RawValue>()? {
            // A key that has no text is nobody's.
            if let Some(key) = unescape(key.get()) {
                members.push((key, value.get()));
            }
        }
        Ok(Object(members))
    }
}

/// An event as a gateway renders it.
#[derive(Clone, Debug)]
pub struct View<'a> {
    json: &'a str,
    event: Object<'a>,
    metadata: Object<'a>,
}

impl<'a> View<'a> {
    /// Reads an event's JSON: the body of a frame, or a line that was stored.
    ///
    /// # Errors
    /// The text is no JSON object.
    pub fn parse(json: &'a str) -> Result<Self, serde_json::Error> {
        let event = Object::parse(json)?;
        let metadata = event.get("metadata").map(Object::parse);
        Ok(Self {
            json,
            metadata: metadata.and_then(Result::ok).unwrap_or_default(),
            event,
        })
    }

    /// A member of the event itself, as text.
    pub fn text(&self, name: &str) -> Option<Cow<'a, str>> {
        self.event.text(name)
    }

    /// A member of the event's metadata, as text: `event_type`, `dsn`, `property_name`, …
    pub fn metadata(&self, name: &str) -> Option<Cow<'a, str>> {
        self.metadata.text(name)
    }

    /// The type, if it is one of the five.
    pub fn event_type(&self) -> Option<EventType> {
        self.metadata("event_type")?.parse().ok()
    }

    /// The body that belongs to the event's type.
    pub fn body(&self) -> Option<Object<'a>> {
        let keys = self.event_type()?.body_keys();
        let raw = keys.iter().find_map(|key| self.event.get(key))?;
        Object::parse(raw).ok()
    }

    /// Time at which it happened, as its producer wrote it.
    pub fn happened(&self) -> Option<Cow<'a, str>> {
        self.body()?.happened()
    }

    /// A short description of the event: the value of a property, a place, `Online`. The whole JSON if there is no body of the
    /// event's type.
    pub fn what(&self) -> Cow<'a, str> {
        let (Some(event_type), Some(body)) = (self.event_type(), self.body()) else {
            return Cow::Borrowed(self.json);
        };
        let shown = |name: &str| body.text(name).unwrap_or(Cow::Borrowed("?"));
        let behind = |name: &str| match body.text(name) {
            Some(text) => format!(" ({text})"),
            None => String::new(),
        };
        match event_type {
            EventType::Connectivity => shown("status"),
            EventType::Location => {
                let (lat, long) = (shown("lat"), shown("long"));
                let provider = behind("provider");
                format!("{}, {}{provider}", lat.trim(), long.trim()).into()
            }
            EventType::Registration if body.get("registered") == Some("true") => {
                "registered".into()
            }
            EventType::Registration => "unregistered".into(),
            // Of a property, null is a value like others.
            EventType::Datapoint => body.raw("value").map_or("?".into(), text),
            EventType::Datapointack => {
                let value = body.raw("value").map_or("?".into(), text);
                match body.text("ack_status") {
                    Some(status) => format!("{value} (ack {status})").into(),
                    None => value,
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Deserialize)]
    struct Vector {
        name: String,
        event: String,
        seq: Option<String>,
        event_type: Option<String>,
        dsn: Option<String>,
        property_name: Option<String>,
        happened: Option<String>,
        what: String,
    }

    #[test]
    fn every_test_vector_is_parsed_as_expected() {
        let vectors: Vec<Vector> =
            serde_json::from_str(include_str!("../../tests/vectors/events.json")).unwrap();
        for vector in vectors {
            let view = View::parse(&vector.event).unwrap();
            let found = [
                view.text("seq"),
                view.metadata("event_type"),
                view.metadata("dsn"),
                view.metadata("property_name"),
                view.happened(),
                Some(view.what()),
            ]
            .map(|text| text.map(Cow::into_owned));
            let expected = [
                vector.seq,
                vector.event_type,
                vector.dsn,
                vector.property_name,
                vector.happened,
                Some(vector.what),
            ];
            assert_eq!(found, expected, "{}", vector.name);
        }
    }

    #[test]
    fn deep_nesting_does_not_hide_other_fields() {
        let deep = "[".repeat(100_000) + &"]".repeat(100_000);
        let json = format!(r#"{{"seq":"7","deep":{deep},"metadata":{{"dsn":"AC1"}}}}"#);
        assert_eq!(
            View::parse(&json).unwrap().metadata("dsn").as_deref(),
            Some("AC1")
        );
    }

    #[test]
    fn only_json_objects_are_events() {
        for text in ["", "[]", "7", "{", "{} {}"] {
            assert!(View::parse(text).is_err(), "{text}");
        }
    }
}
