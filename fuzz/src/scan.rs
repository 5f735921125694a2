//! The scanner of records, against two other readers of JSON: it takes the same texts, and finds the same fields in them.

use datastream_gateway::event::{Decoded, MAX_DEPTH, SkipReason};
use datastream_protocol::event::View;
use datastream_routing::Field;

use crate::json;

/// Scans a record.
pub fn run(data: &[u8]) {
    let decoded = Decoded::new(data);
    let reason = decoded.as_ref().err().copied();
    if reason == Some(SkipReason::TooLarge) {
        return;
    }
    let text = std::str::from_utf8(data).ok();
    let Some(text) = text.filter(|text| json::is_object(text)) else {
        // The fault may stand behind what is nested too deep.
        let is_refused = matches!(reason, Some(SkipReason::NotJson | SkipReason::TooDeep));
        assert!(is_refused, "no JSON object, but {reason:?}");
        return;
    };
    assert_ne!(reason, Some(SkipReason::NotJson), "a JSON object");
    let depth = json::depth(text);
    let is_too_deep = reason == Some(SkipReason::TooDeep);
    assert_eq!(is_too_deep, depth > MAX_DEPTH, "nested to depth {depth}");
    if let Ok(decoded) = decoded {
        same_fields(&decoded, text);
    }
}

fn same_fields(decoded: &Decoded, text: &str) {
    let fields = decoded.fields(text.as_bytes());
    let view = View::parse(text).unwrap();
    assert_eq!(view.event_type(), Some(fields.event_type));
    for field in Field::ALL {
        let text = view.metadata(field.metadata_key());
        assert_eq!(text.as_deref(), fields.values[field], "{field:?}");
    }
    assert!(view.body().is_some(), "no body");
}
