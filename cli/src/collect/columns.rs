//! Columns of an event that queries are about, so that none of them has to read its JSON.

use jiff::Timestamp;

use super::event::{members, string};

/// The body of each type; of a datapointack, gateways send it under two names.
const BODIES: [(&str, &str); 5] = [
    ("connectivity", "connection"),
    ("datapoint", "datapoint"),
    ("datapointack", "datapoint"),
    ("location", "location_event"),
    ("registration", "registration_event"),
];
/// The types whose events are about the value of a property.
const VALUES: [&str; 2] = ["datapoint", "datapointack"];
/// The fields of a body that say when the event happened, the most telling one first.
const TIMES: [&str; 6] = [
    "event_time",
    "acked_at",
    "updated_at",
    "registered_at",
    "unregistered_at",
    "created_at",
];

/// The columns; none for what an event does not have.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Columns {
    /// When it happened, in its producer's words.
    pub event_time: Option<Timestamp>,
    /// The name of the property.
    pub property: Option<Box<str>>,
    /// The value of the property: a string without its quotes and escapes, anything else as it was sent.
    pub value: Option<Box<str>>,
}

impl Columns {
    /// Reads the columns of an event's JSON.
    pub(super) fn of(json: &str) -> Self {
        let text = |raw: &str| (raw != "null").then(|| string(raw));
        let [metadata] = members(json, ["metadata"]).unwrap_or_default();
        let [kind, property] = metadata
            .and_then(|json| members(json, ["event_type", "property_name"]).ok())
            .unwrap_or_default()
            .map(|raw| raw.and_then(text));
        let kind = kind.as_deref().unwrap_or_default();
        let body = BODIES.iter().find(|(name, _)| *name == kind);
        let body = body.and_then(|(_, body)| members(json, [body]).ok()?[0]);
        let body = body.unwrap_or_default();
        let times = members(body, TIMES).unwrap_or_default();
        let [value] = members(body, ["value"]).unwrap_or_default();
        Self {
            event_time: times
                .into_iter()
                .flatten()
                .find_map(text)
                .and_then(|time| time.parse().ok())
                .filter(is_usual),
            property,
            value: value.filter(|_| VALUES.contains(&kind)).and_then(text),
        }
    }
}

/// Returns whether databases have this time: PostgreSQL knows none long before our era.
fn is_usual(time: &Timestamp) -> bool {
    time.as_second() >= YEAR_ONE
}

/// The first second of the year 1, from that of 1970.
const YEAR_ONE: i64 = -62_135_596_800;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_property_and_value_are_columns() {
        let noon: Timestamp = "2026-11-24T12:00:00Z".parse().unwrap();
        for (json, event_time, property, value) in [
            (
                r#"{"seq":"7","metadata":{"event_type":"datapoint","property_name":"temp"},
                    "datapoint":{"created_at":"2026-11-24T11:00:00Z","updated_at":"2026-11-24T12:00:00Z","value":1.10}}"#,
                Some(noon),
                Some("temp"),
                Some("1.10"),
            ),
            (
                r#"{"metadata":{"event_type":"datapointack","property_name":"a\u0000b"},
                    "datapoint":{"updated_at":null,"acked_at":"2026-11-24T13:00:00+01:00","value":"caf\u00e9"}}"#,
                Some(noon),
                Some("a\u{fffd}b"),
                Some("caf\u{e9}"),
            ),
            (
                r#"{"metadata":{"event_type":"connectivity","property_name":null},
                    "connection":{"event_time":"2026-11-24T12:00:00Z","status":"Online","value":3}}"#,
                Some(noon),
                None,
                None,
            ),
            (
                r#"{"metadata":{"event_type":"datapoint","property_name":"p"},"connection":{"event_time":"2026-11-24T12:00:00Z"},
                    "datapoint":{"value":null,"updated_at":"-005000-01-01T00:00:00Z"}}"#,
                None,
                Some("p"),
                None,
            ),
            (r#"{"seq":"7"}"#, None, None, None),
            (r#"{"metadata":7,"datapoint":[]}"#, None, None, None),
        ] {
            let expected = Columns {
                event_time,
                property: property.map(Into::into),
                value: value.map(Into::into),
            };
            assert_eq!(Columns::of(json), expected, "{json}");
        }
    }
}
