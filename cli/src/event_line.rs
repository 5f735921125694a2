//! A line of JSON that becomes a record.

use datastream_gateway::event::{Event, SkipReason, largest_content};
use datastream_protocol::event::View;
use datastream_protocol::frame::DEFAULT_FRAME;
use datastream_source::MAX_RECORD_BYTES;

use datastream_source::fluvio::producer::Record;

/// The largest line, in bytes without white space around it: gateways skip larger records.
pub(crate) const MAX_LINE: usize = MAX_RECORD_BYTES;

/// The mark that some editors put before UTF-8.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// The check of a line before it is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Check {
    /// Refuses what gateways would skip, by the gateways' own code.
    AsGateways,
    /// Sends whatever stands there, so that the handling of bad records can be tried out.
    Off,
}

/// The record of a line, keyed by its device and kept as it came; `None` if the line is blank. A byte order mark is no part
/// of it.
///
/// # Errors
/// The line is no event, or too large.
pub(crate) fn record(line: &[u8], check: Check) -> Result<Option<Record>, String> {
    let text = line.strip_prefix(BYTE_ORDER_MARK).unwrap_or(line);
    let text = text.trim_ascii();
    if text.is_empty() {
        return Ok(None);
    }
    if check == Check::AsGateways {
        Event::decode(
            0,
            0,
            text.to_vec().into(),
            largest_content(DEFAULT_FRAME, 1),
        )
        .map_err(|reason| explain(text, reason))?;
    }
    let view = std::str::from_utf8(text).ok().map(View::parse);
    let key = view.and_then(|view| view.ok()?.metadata("dsn"));
    Ok(Some(Record {
        key: key.unwrap_or_default().into_owned(),
        value: text.to_vec(),
    }))
}

fn explain(text: &[u8], reason: SkipReason) -> String {
    match reason {
        SkipReason::TooLarge => too_large(text.len()),
        SkipReason::NotJson => not_json(text),
        SkipReason::UnknownEventType => {
            let text = std::str::from_utf8(text).unwrap_or_default();
            let view = View::parse(text).ok();
            match view.and_then(|view| view.metadata("event_type")) {
                Some(unknown) => format!("event type {unknown:?}: {}", reason.explain()),
                None => reason.explain().to_owned(),
            }
        }
        reason => reason.explain().to_owned(),
    }
}

fn not_json(text: &[u8]) -> String {
    if is_utf16(text) {
        return "UTF-16, not UTF-8: convert it, as with iconv -f UTF-16 -t UTF-8".to_owned();
    }
    if text[0] != b'{' {
        return "not a JSON object".to_owned();
    }
    match serde_json::from_slice::<serde::de::IgnoredAny>(text) {
        Err(error) => {
            // The caller says which line it is.
            let error = error.to_string().replace(" at line 1 column", " at column");
            format!("not JSON: {error} (a line is one whole event)")
        }
        Ok(_) => format!("not JSON: {}", SkipReason::NotJson.explain()),
    }
}

/// Returns whether this is the beginning of a text in UTF-16: its mark, or every other byte of ASCII being zero.
pub(crate) fn is_utf16(text: &[u8]) -> bool {
    matches!(
        text,
        [0xff, 0xfe, ..] | [0xfe, 0xff, ..] | [0, b'{', ..] | [b'{', 0, ..]
    )
}

/// Returns the reason for which a line of so many bytes is not accepted.
pub(crate) fn too_large(bytes: usize) -> String {
    format!("{bytes} bytes, but an event may have at most {MAX_LINE}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checked(line: &str) -> Result<Option<Record>, String> {
        record(line.as_bytes(), Check::AsGateways)
    }

    #[test]
    fn a_line_becomes_an_unchanged_record_keyed_by_its_device() {
        let event = |dsn: &str| {
            format!(
                r#"{{"metadata":{{"event_type":"datapoint"{dsn}}},"datapoint":{{"value":1.00}}}}"#
            )
        };
        for (dsn, key) in [
            (r#","dsn":"AC1""#, "AC1"),
            (r#","d\u0073n":"A\u00431""#, "AC1"),
            (r#","dsn":null"#, ""),
            ("", ""),
        ] {
            let event = event(dsn);
            for line in [&event, &format!("\u{feff}  {event} \r")] {
                let record = checked(line).unwrap().unwrap();
                assert_eq!(
                    (record.key.as_str(), record.value),
                    (key, event.clone().into())
                );
            }
        }
        for blank in ["", " \r", "\u{feff}"] {
            assert_eq!(checked(blank), Ok(None));
        }
    }

    #[test]
    fn events_that_gateways_would_skip_are_rejected_with_the_reason() {
        let nested = |levels: usize| {
            let (open, close) = ("[".repeat(levels), "]".repeat(levels));
            format!(
                r#"{{"metadata":{{"event_type":"datapoint"}},"datapoint":{{"value":{open}{close}}}}}"#
            )
        };
        assert!(checked(&nested(30)).is_ok());
        for (line, reason) in [
            (nested(31).as_str(), "nested deeper than 32 levels"),
            (r#"{"a":"#, "not JSON: EOF"),
            ("{} {}", "not JSON: trailing"),
            ("[]", "not a JSON object"),
            ("7", "not a JSON object"),
            ("{}", "no metadata"),
            (
                r#"{"metadata":{"event_type":"reboot"}}"#,
                "event type \"reboot\": metadata.event_type is missing or unknown: use connectivity, datapoint",
            ),
            (r#"{"metadata":{}}"#, "metadata.event_type is missing"),
            (
                r#"{"metadata":{"event_type":"location"}}"#,
                "location_event for location",
            ),
            (r#"{"metadata":[]}"#, "wrong type"),
        ] {
            let refused = checked(line).unwrap_err();
            assert!(
                refused.starts_with(reason) || refused.contains(reason),
                "{line}: {refused}"
            );
        }
        let object = |bytes: usize| {
            let event = r#"{"metadata":{"event_type":"location"},"location_event":{"a":""}}"#;
            event.replace(r#""""#, &format!("\"{}\"", "x".repeat(bytes - event.len())))
        };
        assert!(checked(&object(MAX_LINE - 40)).is_ok());
        let refused = checked(&object(MAX_LINE)).unwrap_err();
        assert!(refused.contains("frame"), "{refused}");
        let refused = checked(&object(MAX_LINE + 1)).unwrap_err();
        assert!(refused.contains("at most 1048576"), "{refused}");
    }

    #[test]
    fn without_the_check_any_line_is_sent() {
        for (line, key) in [
            (r#"{"metadata":{"dsn":"AC1","event_type":"reboot"}}"#, "AC1"),
            ("{\"a\":", ""),
            ("hello", ""),
        ] {
            let record = record(line.as_bytes(), Check::Off).unwrap().unwrap();
            assert_eq!((record.key.as_str(), record.value), (key, line.into()));
        }
    }

    #[test]
    fn utf_16_lines_are_rejected_by_name() {
        let event = r#"{"metadata":{}}"#;
        let little: Vec<_> = event.encode_utf16().flat_map(u16::to_le_bytes).collect();
        let big: Vec<_> = event.encode_utf16().flat_map(u16::to_be_bytes).collect();
        for bytes in [
            [&[0xff, 0xfe], little.as_slice()].concat(),
            [&[0xfe, 0xff], big.as_slice()].concat(),
            little,
            big,
        ] {
            let refused = record(&bytes, Check::AsGateways).unwrap_err();
            assert!(refused.contains("UTF-16"), "{refused}");
        }
    }
}
