//! A line of JSON that becomes a record.

use serde::Deserialize;

use crate::producer::Record;

/// The largest line, in bytes without white space around it: gateways skip larger records.
pub(crate) const MAX_LINE: usize = 1 << 20;

#[derive(Deserialize)]
struct Keyed {
    metadata: Option<Dsn>,
}

#[derive(Deserialize)]
struct Dsn {
    dsn: Option<String>,
}

/// The record of a line, keyed by its device and kept as it came; `None` if the line is blank. What an event has to
/// have beyond being a JSON object is the gateway's to judge, so that its handling of bad records can be tried out.
///
/// # Errors
/// What is wrong with the line.
pub(crate) fn record(line: &[u8]) -> Result<Option<Record>, String> {
    let text = line.trim_ascii();
    if text.is_empty() {
        return Ok(None);
    }
    if text.len() > MAX_LINE {
        return Err(too_large(text.len()));
    }
    if text[0] != b'{' {
        return Err("not a JSON object".to_owned());
    }
    serde_json::from_slice::<serde::de::IgnoredAny>(text).map_err(|e| format!("not JSON: {e}"))?;
    let key = serde_json::from_slice::<Keyed>(text)
        .ok()
        .and_then(|k| k.metadata?.dsn)
        .unwrap_or_default();
    Ok(Some(Record {
        key,
        value: text.to_vec(),
    }))
}

/// Why a line of so many bytes is not accepted.
pub(crate) fn too_large(bytes: usize) -> String {
    format!("{bytes} bytes, but an event may have at most {MAX_LINE}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_a_record_keyed_by_its_device_and_kept_as_it_came() {
        for (line, key, value) in [
            (
                "{\"metadata\":{\"dsn\":\"AC1\"},\"n\":1.00}\r",
                "AC1",
                r#"{"metadata":{"dsn":"AC1"},"n":1.00}"#,
            ),
            ("  {\"n\": 2}", "", r#"{"n": 2}"#),
            ("{\"metadata\":7}", "", r#"{"metadata":7}"#),
        ] {
            let record = record(line.as_bytes()).unwrap().unwrap();
            assert_eq!(record.key, key);
            assert_eq!(std::str::from_utf8(&record.value).unwrap(), value);
        }
        assert_eq!(record(b" \r"), Ok(None));
    }

    #[test]
    fn what_is_no_object_of_fair_size_is_refused() {
        for (line, reason) in [
            ("{\"a\":", "not JSON"),
            ("{} {}", "not JSON"),
            ("[]", "not a JSON object"),
            ("7", "not a JSON object"),
        ] {
            let refused = record(line.as_bytes()).unwrap_err();
            assert!(refused.contains(reason), "{line}: {refused}");
        }
        let object = |bytes: usize| format!("{{\"a\":\"{}\"}}", "x".repeat(bytes - 8));
        assert!(record(object(MAX_LINE).as_bytes()).is_ok());
        let refused = record(object(MAX_LINE + 1).as_bytes()).unwrap_err();
        assert!(refused.contains("at most 1048576"), "{refused}");
    }
}
