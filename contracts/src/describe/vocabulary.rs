//! Schemas of names and numbers, from the lists that the code has of them.

use datastream_protocol::event::EventType;
use schemars::{Schema, SchemaGenerator, json_schema, transform::Transform};
use serde_json::{Value, json};

use super::close_codes;
use crate::error_kind::ERRORS;

/// Statuses of refusals that an `EventSource` gets as a stream that ends, because they pass by themselves.
const PASSING: [u16; 2] = [409, 503];

/// Names of the event types.
pub(crate) fn event_types() -> Value {
    EventType::ALL.map(EventType::as_str).to_vec().into()
}

/// Types of events in CloudEvents.
pub(crate) fn cloud_types() -> Value {
    let types = EventType::ALL.map(|event_type| format!("dev.datastream.{event_type}"));
    types.to_vec().into()
}

/// The list of event types of a subscription.
pub(crate) fn event_type_list(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "array", "items": {"type": "string", "enum": event_types()}, "uniqueItems": true, "minItems": 1})
}

/// The code of a close frame.
pub(crate) fn close_code(_: &mut SchemaGenerator) -> Schema {
    let codes: Vec<_> = close_codes().iter().map(|code| code.code).collect();
    json_schema!({"type": "integer", "enum": codes})
}

/// The name of an error.
pub(crate) fn error_name(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "string", "enum": ERRORS.map(|error| error.name)})
}

/// The status of a refusal that passes by itself.
pub(crate) fn passing_status(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "integer", "enum": PASSING})
}

/// A number of events: a text of decimal digits.
pub(crate) fn digits() -> Schema {
    json_schema!({"type": "string", "pattern": "^[0-9]+$"})
}

/// A member with this schema, about which there is this to say.
pub(crate) fn property(schema: &Value, description: &str, example: &Value) -> Value {
    let mut property = json!({"description": description, "examples": [example]});
    if let (Some(property), Some(schema)) = (property.as_object_mut(), schema.as_object()) {
        property.extend(schema.clone());
    }
    property
}

/// The member `control`, by which control messages are told apart.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tagged(pub &'static str);

impl Transform for Tagged {
    fn transform(&mut self, schema: &mut Schema) {
        let tag = json!({
            "const": self.0,
            "description": "Kind of the control message.",
            "examples": [self.0],
            "type": "string",
        });
        if let Some(properties) = schema.get_mut("properties").and_then(Value::as_object_mut) {
            properties.insert("control".to_owned(), tag);
        }
        if let Some(required) = schema.get_mut("required").and_then(Value::as_array_mut) {
            required.insert(0, "control".into());
        }
    }
}
