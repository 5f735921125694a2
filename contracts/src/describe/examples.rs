//! Examples of objects, made of those of their members.

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde_json::{Map, Value};

/// Gives an object the example that has those of all its members.
pub(crate) fn example_of_members(schema: &mut Schema) {
    let properties = schema.get("properties").and_then(Value::as_object);
    let members = properties.into_iter().flatten();
    let example: Map<_, _> = members
        .filter_map(|(name, property)| Some((name.clone(), property["examples"].get(0)?.clone())))
        .collect();
    schema.insert("examples".to_owned(), Value::Array(vec![example.into()]));
}

/// The examples of a type.
pub(crate) fn examples_of<T: JsonSchema>(generator: &mut SchemaGenerator) -> Vec<Value> {
    let schema = T::json_schema(generator);
    let examples = schema.get("examples").and_then(Value::as_array);
    examples.cloned().unwrap_or_default()
}

/// The first example of a type; `null` if it has none.
pub(crate) fn example_of<T: JsonSchema>() -> Value {
    let examples = examples_of::<T>(&mut SchemaGenerator::default());
    examples.into_iter().next().unwrap_or_default()
}
