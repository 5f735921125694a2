//! One event as one line for people.

use datastream_protocol::event::EventType;
use datastream_protocol::event::View;
use datastream_service::text::printable;

/// The columns of an event's line. Devices choose some of the text, so control characters are shown, not sent to the
/// terminal.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Line {
    /// Time at which it happened, as the event says.
    pub time: String,
    /// Its type.
    pub event_type: String,
    /// The device.
    pub dsn: String,
    /// Summary of what happened: `PROPERTY = VALUE`, `Online`, a place; the JSON as it came if it says nothing of that kind.
    pub what: String,
}

impl Line {
    /// The line of an event.
    pub(super) fn of(view: &View<'_>) -> Self {
        let metadata = |name: &str| view.metadata(name).unwrap_or_default();
        let what = match view.event_type() {
            Some(EventType::Datapoint | EventType::Datapointack) if view.body().is_some() => {
                let property = view.metadata("property_name");
                format!("{} = {}", property.as_deref().unwrap_or("?"), view.what())
            }
            _ => view.what().into_owned(),
        };
        Self {
            time: printable(view.happened().as_deref().unwrap_or("-")).into_owned(),
            event_type: printable(&metadata("event_type")).into_owned(),
            dsn: printable(&metadata("dsn")).into_owned(),
            what: printable(&what).into_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(json: &str) -> Line {
        Line::of(&View::parse(json).unwrap())
    }

    #[test]
    fn datapoints_show_property_and_value_and_other_events_a_summary() {
        for (expected, event_type, rest) in [
            (
                "Blue_LED = 1",
                "datapoint",
                r#","property_name":"Blue_LED"},"datapoint":{"value":1}"#,
            ),
            (
                "Blue_LED = 0 (ack 200)",
                "datapointack",
                r#","property_name":"Blue_LED"},"datapoint":{"value":0,"ack_status":200}"#,
            ),
            ("? = 1", "datapoint", r#"},"datapoint":{"value":1}"#),
            (
                "Online",
                "connectivity",
                r#"},"connection":{"status":"Online"}"#,
            ),
        ] {
            let json = format!(r#"{{"seq":"12","metadata":{{"event_type":"{event_type}"{rest}}}"#);
            assert_eq!(line(&json).what, expected);
        }
    }

    #[test]
    fn an_event_without_a_known_body_is_shown_as_json() {
        let json =
            r#"{"seq":"1","metadata":{"event_type":"datapoint","dsn":"AC1"},"connection":null}"#;
        let Line { what, dsn, .. } = line(json);
        assert_eq!((what.as_str(), dsn.as_str()), (json, "AC1"));
    }

    #[test]
    fn control_characters_in_events_are_escaped() {
        let json = r#"{"seq":"1","metadata":{"event_type":"datapoint","dsn":"A\u001b[2J","property_name":"p\u202e"},
            "datapoint":{"value":"\u001b]0;x\u0007\n","created_at":"2018-09-24T10:25:14Z"}}"#;
        let Line {
            time,
            event_type,
            dsn,
            what,
        } = line(json);
        assert_eq!(time, "2018-09-24T10:25:14Z");
        assert_eq!(event_type, "datapoint");
        assert_eq!(dsn, r"A\u{1b}[2J");
        assert_eq!(what, r"p\u{202e} = \u{1b}]0;x\u{7}\n");
    }
}
