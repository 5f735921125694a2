//! The frame of an event: `LEN|{"seq":"N",…}`, ASCII only, with no `|` but the first one.

use std::fmt::Write as _;

use datastream_protocol::frame::{LENGTH_PREFIX, begun};
use datastream_protocol::position::Seq;

use super::decode::{Decoded, Repeat};

/// Bytes of an event's frame apart from its sequence number: the most that an event may have where frames of
/// `largest_frame` bytes are sent and the topic has so many partitions.
pub fn largest_content(largest_frame: usize, partitions: u32) -> usize {
    largest_frame.saturating_sub(Seq::max_digits(partitions))
}

/// Bytes of the frame that [`render`] makes, apart from the digits of the sequence number: the same on every gateway and for
/// every stream, so that all agree on which events are too large.
pub(super) fn content(value: &[u8], decoded: &Decoded) -> usize {
    let members = &decoded.members;
    let cut = decoded
        .foreign_seq
        .clone()
        .unwrap_or(members.start..members.start);
    let mut body = br#"{"seq":"",}"#.len();
    body += escaped_length(&value[members.start..cut.start]);
    body += escaped_length(&value[cut.end..members.end]);
    let repeated = || escaped_length(&value[decoded.body.clone()]);
    match &decoded.repeat_body {
        Some(Repeat::Under(key)) => body += br#","":"#.len() + key.len() + repeated(),
        Some(Repeat::At(null)) => body = body + repeated() - null.len(),
        None => (),
    }
    LENGTH_PREFIX + body
}

/// Bytes that [`escape`] makes of this.
fn escaped_length(json: &[u8]) -> usize {
    let bars = memchr::memchr_iter(b'|', json).count();
    let plain = json.len() + 5 * bars;
    if json.is_ascii() {
        return plain;
    }
    let text = std::str::from_utf8(json).unwrap_or_default();
    let foreign = text.chars().filter(|c| !c.is_ascii());
    plain
        + foreign
            .map(|c| 6 * c.len_utf16() - c.len_utf8())
            .sum::<usize>()
}

/// Renders the frame. The producer's fields, numbers and key order are kept to the byte, but for what the example
/// clients of DSS cannot take: `|` becomes `\u007c`, and what is not ASCII becomes `\uXXXX`.
///
/// `content` is what [`content`] says of the record: the frame is allocated once, at its size.
pub(super) fn render(value: &[u8], decoded: &Decoded, content: usize, seq: &Seq) -> Box<str> {
    let length = content - LENGTH_PREFIX + seq.as_str().len();
    let mut frame = begun(length);
    let start = frame.len();
    let body = &mut frame;
    body.push_str("{\"seq\":\"");
    body.push_str(seq.as_str());
    body.push('"');
    let members = &decoded.members;
    let cut = decoded
        .foreign_seq
        .clone()
        .unwrap_or(members.start..members.start);
    if members.len() > cut.len() {
        body.push(',');
        if let Some(Repeat::At(null)) = &decoded.repeat_body {
            let repeated = decoded.body.clone();
            let mut edits = [(cut, 0..0), (null.clone(), repeated)];
            edits.sort_unstable_by_key(|(place, _)| place.start);
            let mut at = members.start;
            for (place, instead) in edits {
                escape(&value[at..place.start], body);
                escape(&value[instead], body);
                at = place.end;
            }
            escape(&value[at..members.end], body);
        } else {
            escape(&value[members.start..cut.start], body);
            escape(&value[cut.end..members.end], body);
        }
    }
    if let Some(Repeat::Under(key)) = &decoded.repeat_body {
        let _ = write!(body, ",\"{key}\":");
        escape(&value[decoded.body.clone()], body);
    }
    body.push('}');
    debug_assert_eq!(body.len() - start, length, "what was said of it");
    frame.into()
}

/// Appends JSON text. In JSON, `|` and non-ASCII characters can only stand inside a string, where an escape is the same.
fn escape(json: &[u8], out: &mut String) {
    // Decoding has checked that it is UTF-8, and cuts lie on ASCII.
    let text = std::str::from_utf8(json).unwrap_or_default();
    if text.is_ascii() && memchr::memchr(b'|', json).is_none() {
        return out.push_str(text);
    }
    let mut rest = text;
    while let Some(at) = rest.bytes().position(|b| b == b'|' || !b.is_ascii()) {
        let (plain, special) = rest.split_at(at);
        out.push_str(plain);
        let mut chars = special.chars();
        if let Some(c) = chars.next() {
            for unit in c.encode_utf16(&mut [0; 2]) {
                let _ = write!(out, "\\u{unit:04x}");
            }
        }
        rest = chars.as_str();
    }
    out.push_str(rest);
}

#[cfg(test)]
mod tests {
    use datastream_protocol::position::Position;
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    fn rendered(text: &str) -> String {
        let decoded = Decoded::new(text.as_bytes()).unwrap();
        let content = content(text.as_bytes(), &decoded);
        let seq = Seq::of(&Position::new([7]), 0);
        render(text.as_bytes(), &decoded, content, &seq).into()
    }

    fn body(frame: &str) -> &str {
        let (length, body) = frame.split_once('|').unwrap();
        assert_eq!(length.parse(), Ok(body.len()));
        assert_eq!(body.len(), body.chars().count());
        assert!(!body.contains('|') && body.is_ascii());
        body
    }

    #[test]
    fn every_byte_of_the_producer_is_kept() {
        let text = r#"{ "x":1.10e+2, "metadata":{"event_type":"datapoint","dsn":"A"},
            "datapoint" : {"value":0.1000000000000000055511151231257827,"big":12345678901234567890123} }"#;
        let expected = format!("{{\"seq\":\"7\",{}}}", text[1..text.len() - 1].trim());
        assert_eq!(body(&rendered(text)), expected);
    }

    #[test]
    fn bars_and_foreign_characters_are_escaped() {
        let text = r#"{"metadata":{"event_type":"location"},"location_event":{"a":"x|Z","b":"é😀","c":"\\|"}}"#;
        let frame = rendered(text);
        assert!(
            frame.contains(r#""a":"x\u007cZ","b":"\u00e9\ud83d\ude00","c":"\\\u007c""#),
            "{frame}"
        );
        assert_eq!(frame.matches('|').count(), 1);
    }

    #[test]
    fn a_sequence_number_of_the_producer_is_replaced() {
        let rest = r#""metadata":{"event_type":"location"},"location_event":{}"#;
        let expected = format!("{{\"seq\":\"7\",{rest}}}");
        for text in [
            format!(r#"{{"seq":"99",{rest}}}"#),
            format!(r#"{{{rest},"s\u0065q":4}}"#),
            format!(r#"{{ "seq" : 4 ,{rest} }}"#),
        ] {
            assert_eq!(body(&rendered(&text)), expected);
        }
        let between = r#"{"metadata":{"event_type":"location"},"seq":[1],"location_event":{}}"#;
        assert_eq!(body(&rendered(between)), expected);
    }

    #[test]
    fn an_ack_carries_its_body_under_both_names() {
        for (there, missing) in [("datapoint", "datapointack"), ("datapointack", "datapoint")] {
            let text = format!(
                r#"{{"metadata":{{"event_type":"datapointack"}},"{there}":{{"value":1}}}}"#
            );
            let event: Value = serde_json::from_str(body(&rendered(&text))).unwrap();
            assert_eq!(event[there], json!({"value": 1}));
            assert_eq!(event[missing], json!({"value": 1}));
        }
    }

    #[test]
    fn an_ack_with_null_for_one_body_carries_the_other_in_its_place() {
        let rest = r#""metadata":{"event_type":"datapointack"}"#;
        let expected =
            format!(r#"{{"seq":"7",{rest},"datapoint":{{"v":1}},"datapointack":{{"v":1}}}}"#);
        for text in [
            format!(r#"{{{rest},"datapoint":null,"datapointack":{{"v":1}}}}"#),
            format!(r#"{{{rest},"datapoint":{{"v":1}},"datapointack":null}}"#),
            format!(r#"{{"seq":null,{rest},"datapoint":null,"datapointack":{{"v":1}}}}"#),
            format!(r#"{{{rest},"datapoint":{{"v":1}},"datapointack":null,"seq":4}}"#),
        ] {
            assert_eq!(body(&rendered(&text)), expected, "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_frame_is_longer_than_was_said(value in "[a|é😀\u{0}]{0,40}", partitions in 1_u32..20, offset in 0..u64::MAX >> 15) {
            for kind in ["datapoint", "datapointack"] {
                let event = json!({"metadata": {"event_type": kind}, "seq": 1, kind: {"value": value}});
                let text = event.to_string();
                let decoded = Decoded::new(text.as_bytes()).unwrap();
                let position = Position::new(vec![offset; partitions as usize]);
                let content = content(text.as_bytes(), &decoded);
                let frame = render(text.as_bytes(), &decoded, content, &Seq::of(&position, 0));
                let digits = Seq::of(&position, 0).as_str().len();
                prop_assert!(digits <= Seq::max_digits(partitions));
                let said = content + digits;
                prop_assert!(frame.len() <= said && said <= frame.len() + LENGTH_PREFIX, "{} {said}", frame.len());
                let (length, body) = frame.split_once('|').unwrap();
                prop_assert_eq!(length.parse(), Ok(body.len()));
                prop_assert_eq!(body.len(), said - LENGTH_PREFIX);
            }
        }

        #[test]
        fn what_a_client_parses_is_what_the_producer_wrote(value in any::<String>(), key in any::<String>()) {
            prop_assume!(!["seq", "metadata", "datapoint", "datapointack"].contains(&key.as_str()));
            let mut event = json!({"metadata": {"event_type": "datapoint"}, "datapoint": {"value": value}});
            event[key] = json!(value);
            let frame = rendered(&event.to_string());
            let mut parsed: Value = serde_json::from_str(body(&frame)).unwrap();
            prop_assert_eq!(parsed["seq"].take(), json!("7"));
            parsed.as_object_mut().unwrap().remove("seq");
            prop_assert_eq!(parsed, event);
        }
    }
}
