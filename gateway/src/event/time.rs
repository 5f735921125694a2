//! When an event happened, by its own word.

use jiff::Timestamp;
use serde::Deserialize;

/// The two times of an event, in milliseconds since 1970; 0 for one that is not known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Times {
    /// When the broker took it.
    pub taken_ms: i64,
    /// When it happened, as its producer says.
    pub happened_ms: i64,
}

/// The bodies that an event may have; of each, the fields that say when, the most telling one first.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Bodies<'a> {
    #[serde(borrow)]
    connection: Option<Body<'a>>,
    datapoint: Option<Body<'a>>,
    datapointack: Option<Body<'a>>,
    location_event: Option<Body<'a>>,
    registration_event: Option<Body<'a>>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Body<'a> {
    event_time: Option<&'a str>,
    acked_at: Option<&'a str>,
    updated_at: Option<&'a str>,
    registered_at: Option<&'a str>,
    unregistered_at: Option<&'a str>,
    created_at: Option<&'a str>,
}

/// When the event in this record happened, in milliseconds since 1970: `connection.event_time`, `acked_at` or `updated_at` of
/// a datapoint, `location_event.created_at`, `registered_at` or `unregistered_at` of a registration. 0 if it does not say.
pub(super) fn happened_ms(value: &[u8]) -> i64 {
    let bodies: Bodies = serde_json::from_slice(value).unwrap_or_default();
    let body = bodies
        .connection
        .or(bodies.datapointack)
        .or(bodies.datapoint)
        .or(bodies.location_event)
        .or(bodies.registration_event)
        .unwrap_or_default();
    let time = body
        .event_time
        .or(body.acked_at)
        .or(body.updated_at)
        .or(body.registered_at)
        .or(body.unregistered_at)
        .or(body.created_at);
    time.and_then(|text| text.parse::<Timestamp>().ok())
        .map_or(0, Timestamp::as_millisecond)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_type_says_when_it_happened() {
        let at = |text: &str| text.parse::<Timestamp>().unwrap().as_millisecond();
        let noon = at("2026-11-24T12:00:00Z");
        for record in [
            r#"{"metadata":{},"connection":{"event_time":"2026-11-24T12:00:00Z","status":"Online"}}"#,
            r#"{"datapoint":{"created_at":"2026-11-24T11:00:00Z","updated_at":"2026-11-24T12:00:00Z","value":{"x":[1]}}}"#,
            r#"{"datapoint":{"updated_at":"2026-11-24T11:00:00Z","acked_at":"2026-11-24T13:00:00+01:00"}}"#,
            r#"{"location_event":{"created_at":"2026-11-24T12:00:00Z"}}"#,
            r#"{"registration_event":{"user_uuid":null,"unregistered_at":"2026-11-24T12:00:00Z"}}"#,
        ] {
            assert_eq!(happened_ms(record.as_bytes()), noon, "{record}");
        }
        for record in [
            r#"{"datapoint":{"updated_at":"yesterday"}}"#,
            r#"{"datapoint":{"updated_at":7}}"#,
            "{}",
            "no JSON",
        ] {
            assert_eq!(happened_ms(record.as_bytes()), 0, "{record}");
        }
    }
}
