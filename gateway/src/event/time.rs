//! Time at which an event happened, as its producer states it.

use jiff::Timestamp;

use datastream_protocol::event::Object;

/// The two times of an event, in milliseconds since 1970; 0 for one that is not known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Times {
    /// Time at which the broker took it.
    pub taken_ms: i64,
    /// Time at which it happened, as its producer states it.
    pub happened_ms: i64,
}

/// Time at which the event with this body happened, in milliseconds since 1970; 0 if the body does not say.
pub(super) fn happened_ms(body: &[u8]) -> i64 {
    let body = std::str::from_utf8(body).ok();
    let body = body.and_then(|text| Object::parse(text).ok());
    let time = body.and_then(|body| body.happened());
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
        for body in [
            r#"{"event_time":"2026-11-24T12:00:00Z","status":"Online"}"#,
            r#"{"created_at":"2026-11-24T11:00:00Z","updated_at":"2026-11-24T12:00:00Z","value":{"x":[1]}}"#,
            r#"{"updated_at":"2026-11-24T11:00:00Z","acked_at":"2026-11-24T13:00:00+01:00"}"#,
            r#"{"updated_at":null,"created_at":"2026-11-24T12:00:00Z","value":"\ud83d"}"#,
            r#"{"cre\u0061ted_at":"2026-11-24T12:00:00Z"}"#,
            r#"{"user_uuid":null,"unregistered_at":"2026-11-24T12:00:00Z"}"#,
        ] {
            assert_eq!(happened_ms(body.as_bytes()), noon, "{body}");
        }
        for body in [
            r#"{"updated_at":"yesterday"}"#,
            r#"{"updated_at":7}"#,
            "{}",
            "no JSON",
        ] {
            assert_eq!(happened_ms(body.as_bytes()), 0, "{body}");
        }
    }

    #[test]
    fn the_body_of_another_type_does_not_say_when() {
        let record = r#"{"metadata":{"event_type":"datapoint"},"connection":{"event_time":"2026-11-24T11:00:00Z"},
            "datapoint":{"updated_at":"2026-11-24T12:00:00Z","value":1e400}}"#;
        let event = crate::event::Event::decode(0, 0, record.into(), usize::MAX).unwrap();
        let noon = "2026-11-24T12:00:00Z".parse::<Timestamp>().unwrap();
        assert_eq!(event.times().happened_ms, noon.as_millisecond());
    }
}
