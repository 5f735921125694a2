//! JSON Schemas: a document for each, and all of them as components of another document.

use std::borrow::Cow;

use schemars::generate::SchemaSettings;
use schemars::transform::{RecursiveTransform, RemoveRefSiblings};
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde_json::{Map, Value, json};

use super::VERSION;
use crate::client::{Ack, Token};
use crate::cloud_event::{CloudControl, CloudEvent};
use crate::control::{Close, Control, Gap, Live, Refused};
use crate::error::Error;
use crate::event::{
    Connectivity, Datapoint, Datapointack, Event, Location, Metadata, Registration, TypedEvent,
};
use crate::report::KeyReport;

const DEFINITIONS: &str = "/components/schemas";
/// A reference to one of them, up to its name.
const REFERENCE: &str = "#/components/schemas/";

/// A type that has a schema.
pub(super) struct Described {
    name: fn() -> Cow<'static, str>,
    root: fn(SchemaGenerator) -> Schema,
    define: fn(&mut SchemaGenerator) -> Schema,
}

const fn described<T: JsonSchema>() -> Described {
    Described {
        name: T::schema_name,
        root: SchemaGenerator::into_root_schema_for::<T>,
        define: SchemaGenerator::subschema_for::<T>,
    }
}

/// Types that have a document of their own.
pub(super) const TYPES: [Described; 23] = [
    described::<Event>(),
    described::<TypedEvent<Connectivity>>(),
    described::<TypedEvent<Datapoint>>(),
    described::<TypedEvent<Datapointack>>(),
    described::<TypedEvent<Location>>(),
    described::<TypedEvent<Registration>>(),
    described::<Metadata>(),
    described::<Connectivity>(),
    described::<Datapoint>(),
    described::<Datapointack>(),
    described::<Location>(),
    described::<Registration>(),
    described::<CloudEvent>(),
    described::<CloudControl>(),
    described::<Control>(),
    described::<Live>(),
    described::<Gap>(),
    described::<Close>(),
    described::<Refused>(),
    described::<Ack>(),
    described::<Token>(),
    described::<Error>(),
    described::<KeyReport>(),
];

impl Described {
    /// The name of its file: `cloud-event.json` for `CloudEvent`.
    pub(super) fn file(&self) -> String {
        format!("{}.json", self.slug())
    }

    fn slug(&self) -> String {
        let mut slug = String::new();
        for character in (self.name)().chars() {
            if character.is_ascii_uppercase() && !slug.is_empty() {
                slug.push('-');
            }
            slug.push(character.to_ascii_lowercase());
        }
        slug
    }

    /// The document, which refers to no other one.
    pub(super) fn document(&self) -> Value {
        let mut schema = (self.root)(settings().into_generator());
        let major = VERSION.split('.').next().unwrap_or_default();
        let id = format!("urn:datastream:v{major}:{}", self.slug());
        schema.insert("$id".to_owned(), id.into());
        schema.to_value()
    }
}

/// Adds the schemas that a document refers to, by itself or through others, to its components.
pub(super) fn add_schemas(document: &mut Value) {
    let settings = settings().with(|settings| settings.definitions_path = DEFINITIONS.into());
    let mut generator = settings.into_generator();
    for described in &TYPES {
        (described.define)(&mut generator);
    }
    let all = generator.take_definitions(true);
    let mut used = Map::new();
    use_schemas(document, &all, &mut used);
    document["components"]["schemas"] = used.into();
}

/// Copies the schemas that a value refers to from all that there are.
fn use_schemas(value: &Value, all: &Map<String, Value>, used: &mut Map<String, Value>) {
    match value {
        Value::Object(members) => {
            let reference = members.get("$ref").and_then(Value::as_str);
            let name = reference.and_then(|path| path.strip_prefix(REFERENCE));
            if let Some((name, schema)) = name.and_then(|name| all.get_key_value(name))
                && used.insert(name.clone(), schema.clone()).is_none()
            {
                use_schemas(schema, all, used);
            }
            for member in members.values() {
                use_schemas(member, all, used);
            }
        }
        Value::Array(items) => {
            for item in items {
                use_schemas(item, all, used);
            }
        }
        _ => (),
    }
}

/// A reference to a component.
pub(super) fn reference<T: JsonSchema>() -> Value {
    json!({"$ref": format!("{REFERENCE}{}", T::schema_name())})
}

/// JSON Schema 2020-12, in which nothing stands beside a reference: readers of older versions, which AsyncAPI knows, ignore it.
fn settings() -> SchemaSettings {
    SchemaSettings::draft2020_12()
        .with_transform(RemoveRefSiblings::default())
        .with_transform(RecursiveTransform(unwrap_description))
}

/// Makes a description one line, whose breaks are those of a comment.
fn unwrap_description(schema: &mut Schema) {
    if let Some(Value::String(description)) = schema.get_mut("description") {
        *description = description.replace('\n', " ");
    }
}
