//! Schemas of what events are made of.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde_json::{Map, Value, json};

use super::{Body, Coordinate, Metadata, TypedEvent};
use crate::describe::{digits, example_of, property};

impl JsonSchema for Coordinate {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Coordinate".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": ["string", "number"]})
    }
}

impl<B: Body + JsonSchema> JsonSchema for TypedEvent<B> {
    fn schema_name() -> Cow<'static, str> {
        format!("{}Event", B::schema_name()).into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let (keys, event_type) = (B::EVENT_TYPE.body_keys(), B::EVENT_TYPE.as_str());
        let mut properties = Map::from_iter([
            ("seq".to_owned(), seq()),
            ("metadata".to_owned(), metadata::<B>(generator)),
        ]);
        let body = generator.subschema_for::<B>().to_value();
        let description = format!("What happened: the body of events of type `{event_type}`.");
        for key in keys {
            let example = example_of::<B>();
            properties.insert((*key).to_owned(), property(&body, &description, &example));
        }
        let example: Map<_, _> = properties
            .iter()
            .map(|(name, schema)| (name.clone(), schema["examples"][0].clone()))
            .collect();
        let required: Vec<_> = properties.keys().cloned().collect();
        json_schema!({
            "description": format!("Event of type `{event_type}`. Members beside these are the producer's own."),
            "type": "object",
            "properties": properties,
            "required": required,
            "additionalProperties": true,
            "examples": [example],
        })
    }
}

fn seq() -> Value {
    let mut seq = digits();
    seq.insert(
        "description".to_owned(),
        "Sequence number of the event: decimal digits, to be treated as text. Numbers grow along a stream, and N + 1 means 'after this \
         event'."
            .into(),
    );
    seq.insert("examples".to_owned(), json!(["12"]));
    seq.to_value()
}

/// The metadata of events of one type.
fn metadata<B: Body>(generator: &mut SchemaGenerator) -> Value {
    let event_type = B::EVENT_TYPE.as_str();
    let mut example = example_of::<Metadata>();
    example["event_type"] = event_type.into();
    if !B::EVENT_TYPE.has_property()
        && let Some(members) = example.as_object_mut()
    {
        members.retain(|name, _| {
            !["property_name", "display_name", "base_type"].contains(&name.as_str())
        });
    }
    let narrowed = json!({
        "allOf": [
            generator.subschema_for::<Metadata>(),
            {"type": "object", "properties": {"event_type": {
                "const": event_type,
                "description": "The type of the event.",
                "examples": [event_type],
            }}, "required": ["event_type"]},
        ],
    });
    property(
        &narrowed,
        "Metadata: the type of the event, its device and its property.",
        &example,
    )
}
