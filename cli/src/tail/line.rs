//! One event as one line for people.

use std::borrow::Cow;
use std::fmt::Write as _;

use serde::Deserialize;
use serde_json::Value;

/// The parts of an event that a line shows.
#[derive(Deserialize)]
struct View<'a> {
    #[serde(borrow, default)]
    seq: Cow<'a, str>,
    metadata: Metadata<'a>,
    #[serde(flatten)]
    rest: serde_json::Map<String, Value>,
}

#[derive(Deserialize)]
struct Metadata<'a> {
    #[serde(borrow, default)]
    event_type: Cow<'a, str>,
    #[serde(borrow, default)]
    dsn: Cow<'a, str>,
    #[serde(borrow, default)]
    property_name: Option<Cow<'a, str>>,
}

/// The columns of an event's line.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Line {
    /// When it happened, as the event says.
    pub time: String,
    /// Its type.
    pub event_type: String,
    /// The device.
    pub dsn: String,
    /// What happened: `PROPERTY = VALUE`, `Online`, a place.
    pub what: String,
    /// Position in the stream.
    pub seq: String,
}

impl Line {
    /// The line of an event. Devices choose some of the text, so control characters are shown, not sent to
    /// the terminal.
    pub(super) fn of(json: &str) -> Result<Self, serde_json::Error> {
        let view: View<'_> = serde_json::from_str(json)?;
        let event_type = view.metadata.event_type.as_ref();
        let body = [
            "connection",
            "datapoint",
            "location_event",
            "registration_event",
        ]
        .iter()
        .find_map(|key| view.rest.get(*key))
        .unwrap_or(&Value::Null);
        let time = [
            "acked_at",
            "event_time",
            "created_at",
            "registered_at",
            "unregistered_at",
        ]
        .iter()
        .find_map(|key| body[*key].as_str());
        let text = |key: &str| body[key].as_str().unwrap_or("?").trim();
        let what = match event_type {
            "connectivity" => text("status").to_owned(),
            "location" => format!("{}, {} ({})", text("lat"), text("long"), text("provider")),
            "registration" if body["registered"] == true => "registered".to_owned(),
            "registration" => "unregistered".to_owned(),
            _ => {
                let property = view.metadata.property_name.as_deref().unwrap_or("?");
                let mut what = format!("{property} = {}", scalar(&body["value"]));
                if let Some(status) = body["ack_status"].as_u64() {
                    let _ = write!(what, " (ack {status})");
                }
                what
            }
        };
        Ok(Self {
            time: printable(time.unwrap_or("-")),
            event_type: printable(event_type),
            dsn: printable(&view.metadata.dsn),
            what: printable(&what),
            seq: printable(&view.seq),
        })
    }
}

fn scalar(value: &Value) -> Cow<'_, str> {
    match value {
        Value::String(text) => Cow::Borrowed(text),
        other => Cow::Owned(other.to_string()),
    }
}

/// The text with its control characters escaped.
fn printable(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_control() {
            shown.extend(c.escape_default());
        } else {
            shown.push(c);
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(json: &str) -> [String; 5] {
        let Line {
            time,
            event_type,
            dsn,
            what,
            seq,
        } = Line::of(json).unwrap();
        [time, event_type, dsn, what, seq]
    }

    #[test]
    fn every_event_type_says_what_happened() {
        let event = |event_type: &str, property: &str, body: &str| {
            line(&format!(
                r#"{{"seq":"12","metadata":{{"dsn":"AC1","event_type":"{event_type}"{property}}},{body}}}"#
            ))[3]
                .clone()
        };
        let led = r#","property_name":"Blue_LED""#;
        for (expected, found) in [
            (
                "Online",
                event("connectivity", "", r#""connection":{"status":"Online"}"#),
            ),
            (
                "Blue_LED = 1",
                event("datapoint", led, r#""datapoint":{"value":1}"#),
            ),
            (
                "Blue_LED = Grüße|",
                event(
                    "datapoint",
                    led,
                    r#""datapoint":{"value":"Gr\u00fc\u00dfe\u007c"}"#,
                ),
            ),
            (
                "Blue_LED = 0 (ack 200)",
                event(
                    "datapointack",
                    led,
                    r#""datapoint":{"value":0,"ack_status":200},"datapointack":{}"#,
                ),
            ),
            (
                "44.769500, -69.428300 (ip-based)",
                event(
                    "location",
                    "",
                    r#""location_event":{"lat":" 44.769500","long":"-69.428300","provider":"ip-based"}"#,
                ),
            ),
            (
                "registered",
                event(
                    "registration",
                    "",
                    r#""registration_event":{"registered":true}"#,
                ),
            ),
            (
                "unregistered",
                event(
                    "registration",
                    "",
                    r#""registration_event":{"registered":false}"#,
                ),
            ),
        ] {
            assert_eq!(found, expected);
        }
    }

    #[test]
    fn a_device_cannot_drive_the_terminal() {
        let json = r#"{"seq":"1","metadata":{"event_type":"datapoint","dsn":"A\u001b[2J","property_name":"p"},
            "datapoint":{"value":"\u001b]0;x\u0007\n","created_at":"2018-09-24T10:25:14Z"}}"#;
        let columns = line(json);
        assert!(
            columns.iter().all(|c| !c.contains(char::is_control)),
            "{columns:?}"
        );
        assert_eq!(columns[0], "2018-09-24T10:25:14Z");
    }
}
