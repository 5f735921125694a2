//! Columns of an event that queries are about, so that none of them has to read its JSON.

use datastream_protocol::event::EventType;
use datastream_protocol::event::View;
use jiff::Timestamp;

use super::event::column;

/// The columns; none for what an event does not have.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Columns {
    /// Time at which it happened, as its producer wrote it.
    pub event_time: Option<Timestamp>,
    /// The name of the property.
    pub property: Option<Box<str>>,
    /// The value of the property: a string without its quotes and escapes, anything else as it was sent.
    pub value: Option<Box<str>>,
}

impl Columns {
    /// Reads the columns of an event.
    pub(super) fn of(event: &View<'_>) -> Self {
        let is_about_a_value = matches!(
            event.event_type(),
            Some(EventType::Datapoint | EventType::Datapointack)
        );
        let body = event.body().filter(|_| is_about_a_value);
        let time = event.happened().and_then(|time| time.parse().ok());
        Self {
            event_time: time.filter(is_usual),
            property: event.metadata("property_name").map(|name| column(&name)),
            value: body.and_then(|body| Some(column(&body.text("value")?))),
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
    fn time_property_and_value_are_extracted_into_columns() {
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
            assert_eq!(Columns::of(&View::parse(json).unwrap()), expected, "{json}");
        }
    }
}
