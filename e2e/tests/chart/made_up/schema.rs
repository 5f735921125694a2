//! Values out of a JSON Schema, as far as values.schema.json uses it.

use proptest::prelude::*;
use proptest::sample::select;
use proptest::string::string_regex;
use serde_json::{Map, Value, json};

use super::pools;

/// The share of cases in which an optional property is said at all.
const SAID: f64 = 0.3;

/// Makes up values.
pub(super) struct Generator {
    schema: Value,
}

/// A schema, and what is known of where it is.
#[derive(Clone, Copy)]
struct At<'a> {
    schema: &'a Value,
    path: &'a str,
    /// The definition that it is of, or within.
    definition: &'a str,
}

impl Generator {
    pub(super) fn new(schema: Value) -> Self {
        Self { schema }
    }

    /// Any values that the schema allows.
    pub(super) fn values(&self) -> BoxedStrategy<Value> {
        self.any(At {
            schema: &self.schema,
            path: "",
            definition: "",
        })
    }

    fn any(&self, at: At) -> BoxedStrategy<Value> {
        if let Some(pool) = pools::of_path(at.path) {
            return select(pool).boxed();
        }
        if let Some(name) = at.schema["$ref"].as_str() {
            let name = name.rsplit('/').next().unwrap();
            if let Some(pool) = pools::of_definition(name) {
                return select(pool).boxed();
            }
            let schema = &self.schema["definitions"][name];
            assert!(schema.is_object(), "no definition {name}");
            // Names in maps, and what they stand for, are of the map.
            return self.any(At {
                schema,
                definition: name,
                ..at
            });
        }
        if let Some(values) = at.schema["enum"].as_array() {
            return select(values.clone()).boxed();
        }
        if let Some(choices) = at.schema["anyOf"].as_array() {
            let choices = choices.iter().map(|schema| self.any(At { schema, ..at }));
            return prop::strategy::Union::new(choices.collect::<Vec<_>>()).boxed();
        }
        match &at.schema["type"] {
            Value::String(kind) => self.of_type(kind, at),
            Value::Array(kinds) => {
                let kinds = kinds.iter().map(|kind| {
                    let kind = kind.as_str().unwrap();
                    (if kind == "null" { 1 } else { 6 }, self.of_type(kind, at))
                });
                prop::strategy::Union::new_weighted(kinds.collect()).boxed()
            }
            _ => match &at.schema["const"] {
                Value::Null => panic!("{}: nothing is known of {}", at.path, at.schema),
                constant => Just(constant.clone()).boxed(),
            },
        }
    }

    fn of_type(&self, kind: &str, at: At) -> BoxedStrategy<Value> {
        match kind {
            "null" => Just(Value::Null).boxed(),
            "boolean" => any::<bool>().prop_map(Value::Bool).boxed(),
            "integer" => integer(at),
            "string" => string(at),
            "array" => self.array(at),
            "object" => self.object(at),
            other => panic!("{}: type {other}", at.path),
        }
    }

    fn array(&self, at: At) -> BoxedStrategy<Value> {
        let items = self.any(At {
            schema: &at.schema["items"],
            ..at
        });
        let least = usize::try_from(at.schema["minItems"].as_u64().unwrap_or(0)).unwrap();
        let unique = at.schema["uniqueItems"] == true;
        prop::collection::vec(items, least..least + 3)
            .prop_map(move |items| {
                let mut kept: Vec<Value> = vec![];
                for item in items {
                    if !unique || !kept.contains(&item) {
                        kept.push(item);
                    }
                }
                Value::Array(kept)
            })
            .boxed()
    }

    fn object(&self, at: At) -> BoxedStrategy<Value> {
        let Some(properties) = at.schema["properties"].as_object() else {
            return self.map(at);
        };
        let required = at.schema["required"].as_array();
        let members: Vec<_> = properties
            .iter()
            .map(|(key, schema)| {
                let path = format!("{}/{key}", at.path);
                let value = self.any(At {
                    schema,
                    path: &path,
                    ..at
                });
                let must = required.is_some_and(|keys| keys.contains(&json!(key)));
                // What has much below it is said more often.
                let often = if schema["properties"].is_object() || schema["$ref"].is_string() {
                    0.5
                } else {
                    SAID
                };
                let key = key.clone();
                let member = value.prop_map(move |value| Some((key.clone(), value)));
                if must {
                    member.boxed()
                } else {
                    prop::option::weighted(often, member)
                        .prop_map(Option::flatten)
                        .boxed()
                }
            })
            .collect();
        let exclusive = at.definition == "variable";
        members
            .prop_map(move |members| {
                let mut object: Map<_, _> = members.into_iter().flatten().collect();
                if exclusive && object.contains_key("valueFrom") {
                    object.remove("value");
                }
                Value::Object(object)
            })
            .boxed()
    }

    /// An object that may have any keys: labels, annotations, groups of gateways.
    fn map(&self, at: At) -> BoxedStrategy<Value> {
        let (keys, schema, path) = match at.schema["patternProperties"].as_object() {
            Some(patterns) => {
                let groups = pools::GROUPS.iter().map(|&name| name.to_owned()).collect();
                (groups, patterns.values().next().unwrap(), "/gateway")
            }
            None => (
                pools::keys(at.definition),
                &at.schema["additionalProperties"],
                at.path,
            ),
        };
        if !schema.is_object() {
            return Just(json!({})).boxed();
        }
        let value = self.any(At { schema, path, ..at });
        prop::collection::vec((select(keys), value), 0..3)
            .prop_map(|entries| Value::Object(entries.into_iter().collect()))
            .boxed()
    }
}

fn integer(at: At) -> BoxedStrategy<Value> {
    let least = at.schema["minimum"].as_i64().unwrap_or(0);
    let most = at.schema["maximum"].as_i64().unwrap_or(2_000_000);
    let some = [least, least + 1, 20, 8000, 1_000_000, most];
    let some = some.map(|number| number.clamp(least, most));
    prop_oneof![
        select(some.to_vec()),
        least..=least.saturating_add(100).min(most)
    ]
    .prop_map(Value::from)
    .boxed()
}

fn string(at: At) -> BoxedStrategy<Value> {
    let pattern = at.schema["pattern"].as_str();
    let (Some(pattern), false) = (pattern, ["labels", "variable"].contains(&at.definition)) else {
        return select(pools::of_text(at.path, at.definition)).boxed();
    };
    let pattern = pattern.trim_start_matches('^').trim_end_matches('$');
    let most = at.schema["maxLength"].as_u64().unwrap_or(u64::MAX);
    let text = string_regex(pattern).unwrap_or_else(|error| panic!("{}: {error}", at.path));
    text.prop_filter("too long", move |text| text.len() as u64 <= most)
        .prop_map(Value::from)
        .boxed()
}
