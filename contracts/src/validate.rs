//! Checks of JSON against the documents, for tests: whatever JSON allows can be checked, and not only what a `Value` holds.

use jsonschema::Draft;
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use crate::json::{Members, RawJson};

/// A JSON Schema against which texts are checked.
#[derive(Debug)]
pub struct Validator(jsonschema::Validator);

impl Validator {
    /// Compiles a schema, which is first checked against the metaschema of JSON Schema 2020-12.
    ///
    /// # Errors
    /// It is none; the text says why.
    pub fn new(schema: &Value) -> Result<Self, String> {
        let options = jsonschema::options().with_draft(Draft::Draft202012);
        let built = options.build(schema);
        built.map(Self).map_err(|error| error.to_string())
    }

    /// Checks a JSON text.
    ///
    /// # Errors
    /// It is no JSON, or not what the schema says; the text says where, and why.
    pub fn check(&self, json: &str) -> Result<(), String> {
        let value = value(json).map_err(|error| format!("{error}: {json}"))?;
        let errors = self.0.iter_errors(&value);
        let errors: Vec<_> = errors
            .map(|error| format!("{}: {error}", error.instance_path()))
            .collect();
        if errors.is_empty() {
            Ok(())
        } else {
            Err(format!("{}: {json}", errors.join("; ")))
        }
    }
}

/// The value nearest to a JSON text. Numbers beyond a double become the largest one, strings without a text are taken as they stand, and
/// of several members with one name the first one counts.
fn value(json: &str) -> Result<Value, serde_json::Error> {
    let json = json.trim();
    Ok(match json.as_bytes().first() {
        Some(b'{') => {
            let members = Members::parse(json)?;
            let mut object = Map::new();
            for (name, member) in members.iter() {
                let member = value(member.get())?;
                object.entry(name).or_insert(member);
            }
            object.into()
        }
        Some(b'[') => {
            let items: Vec<RawJson> = serde_json::from_str(json)?;
            let items = items.iter().map(|item| value(item.get()));
            Value::Array(items.collect::<Result<_, _>>()?)
        }
        Some(b'"') => {
            let raw: &RawValue = serde_json::from_str(json)?;
            serde_json::from_str(json).unwrap_or_else(|_| raw.get().into())
        }
        _ => {
            let _: &RawValue = serde_json::from_str(json)?;
            serde_json::from_str(json).unwrap_or_else(|_| f64::MAX.into())
        }
    })
}
