//! Time at which an event happened, as its producer states it.

use std::borrow::Cow;

use datastream_protocol::event::{TIMES, text};
use jiff::Timestamp;

use super::decode::MAX_DEPTH;
use super::scan::{Kind, Scanner};

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
    let time = body.and_then(happened);
    time.and_then(|text| text.parse::<Timestamp>().ok())
        .map_or(0, Timestamp::as_millisecond)
}

/// The time, as the producer wrote it: [`Object::happened`](datastream_protocol::event::Object::happened), in one pass that keeps nothing.
fn happened(body: &str) -> Option<Cow<'_, str>> {
    let mut values = [None; TIMES.len()];
    let scanned = Scanner::new(body.as_bytes(), 0, MAX_DEPTH).object(|member| {
        // The first of several with one name counts, and `null` is as good as missing.
        let key = member
            .key
            .unescaped(body)
            .filter(|_| member.kind != Kind::Null);
        let place = key.and_then(|key| TIMES.iter().position(|name| *name == key));
        if let Some(place) = place {
            values[place].get_or_insert(&body[member.value]);
        }
    });
    scanned.ok()?;
    values.into_iter().flatten().next().map(text)
}

#[cfg(test)]
mod tests {
    use datastream_protocol::event::Object;
    use proptest::prelude::*;

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

    proptest! {
        #[test]
        fn it_is_the_time_that_every_program_reads(members in proptest::collection::vec(member(), 0..8)) {
            let body = format!("{{{}}}", members.join(","));
            let object = Object::parse(&body).unwrap();
            prop_assert_eq!(happened(&body), object.happened(), "{}", body);
        }
    }

    fn member() -> impl Strategy<Value = String> {
        let key = prop_oneof![
            6 => proptest::sample::select(&TIMES[..]).prop_map(str::to_owned),
            1 => Just(r"cre\u0061ted_at".to_owned()),
            1 => "[a-z_]{0,4}",
        ];
        let value = prop_oneof![
            Just("null"),
            Just("7"),
            Just(r#""2026-11-24T12:00:00Z""#),
            Just(r#""a\u0062\\""#),
            Just(r#""\ud83d""#),
            Just(r#"{"updated_at":"2026"}"#),
            Just("[null]"),
        ];
        (key, value).prop_map(|(key, value)| format!(r#""{key}":{value}"#))
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
