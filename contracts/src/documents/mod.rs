//! The documents: JSON Schemas of everything that is sent, and what is sent where, as AsyncAPI and OpenAPI.

mod asyncapi;
mod errors;
mod openapi;
mod parameters;
mod schemas;

use serde_json::Value;

pub use parameters::{PARAMETERS, Parameter};

/// Version of the contracts: that of the protocol, and not of the programs. It is in the documents, and its first number in the `$id` of
/// schemas.
pub const VERSION: &str = "1.0.0";

/// A document that a gateway serves.
#[derive(Clone, Debug, PartialEq)]
pub struct Document {
    /// Path below the root of the gateway, and below `docs/schemas` for its copy: `asyncapi.json`, `event.json`.
    pub path: String,
    /// The content.
    pub json: Value,
}

impl Document {
    fn new(path: impl Into<String>, mut json: Value) -> Self {
        // The order of members must not depend on the features with which serde_json was built.
        json.sort_all_objects();
        Self {
            path: path.into(),
            json,
        }
    }

    /// Returns the text of its file.
    pub fn text(&self) -> String {
        format!("{:#}\n", self.json)
    }
}

/// Returns the JSON Schemas, one for each message and for each of its larger parts.
pub fn schemas() -> Vec<Document> {
    let schemas = schemas::TYPES.iter();
    let schemas = schemas.map(|schema| Document::new(schema.file(), schema.document()));
    schemas.collect()
}

/// Returns the AsyncAPI document: the messages of WebSockets.
pub fn asyncapi() -> Document {
    Document::new("asyncapi.json", asyncapi::document())
}

/// Returns the OpenAPI document: requests and their answers.
pub fn openapi() -> Document {
    Document::new("openapi.json", openapi::document())
}

/// Returns all documents.
pub fn all() -> Vec<Document> {
    let mut documents = schemas();
    documents.extend([asyncapi(), openapi()]);
    documents
}
