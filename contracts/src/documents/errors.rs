//! Answers with errors, by status.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::schemas::reference;
use crate::error::Error;
use crate::error_kind::{ERRORS, ErrorKind, RetryAfter};

fn by_status() -> BTreeMap<u16, Vec<ErrorKind>> {
    let mut statuses: BTreeMap<u16, Vec<ErrorKind>> = BTreeMap::new();
    for error in ERRORS {
        statuses.entry(error.status).or_default().push(error);
    }
    statuses
}

fn name(status: u16) -> String {
    format!("Error{status}")
}

/// Responses of OpenAPI, by their names among the components.
pub(super) fn components() -> Map<String, Value> {
    let responses = by_status().into_iter();
    let responses = responses.map(|(status, errors)| (name(status), response(status, &errors)));
    responses.collect()
}

/// References to the responses with these statuses.
pub(super) fn references(statuses: &[u16]) -> Map<String, Value> {
    let references = statuses.iter().map(|status| {
        let reference = json!({"$ref": format!("#/components/responses/{}", name(*status))});
        (status.to_string(), reference)
    });
    references.collect()
}

fn response(status: u16, errors: &[ErrorKind]) -> Value {
    let cases: Vec<_> = errors
        .iter()
        .map(|error| format!("- `{}`: {}", error.name, error.when))
        .collect();
    let names: Vec<_> = errors.iter().map(|error| error.name).collect();
    let examples = errors.iter().map(|error| {
        let example = json!({"value": {"error": error.name, "message": error.when}});
        (error.name.to_owned(), example)
    });
    let examples: Map<_, _> = examples.collect();
    let schema = json!({"allOf": [
        reference::<Error>(),
        {"type": "object", "properties": {"error": {"enum": names}}},
    ]});
    let mut response = json!({
        "description": cases.join("\n"),
        "content": {"application/json": {"schema": schema, "examples": examples}},
    });
    let headers = headers(status, errors);
    if !headers.is_empty() {
        response["headers"] = headers.into();
    }
    response
}

fn headers(status: u16, errors: &[ErrorKind]) -> Map<String, Value> {
    let mut headers = Map::new();
    let retries = |when| errors.iter().any(|error| error.retry_after == when);
    if retries(RetryAfter::Always) || retries(RetryAfter::Sometimes) {
        let header = json!({
            "description": "Seconds after which to try again.",
            "required": !retries(RetryAfter::Sometimes),
            "schema": {"type": "integer", "minimum": 0},
            "example": 2,
        });
        headers.insert("Retry-After".to_owned(), header);
    }
    let named = match status {
        401 => Some((
            "WWW-Authenticate",
            "Schemes that are taken.",
            "Bearer realm=\"datastream\"",
        )),
        405 => Some(("Allow", "Methods that are taken.", "GET, HEAD, OPTIONS")),
        _ => None,
    };
    if let Some((name, description, example)) = named {
        let header = json!({
            "description": description,
            "required": true,
            "schema": {"type": "string"},
            "example": example,
        });
        headers.insert(name.to_owned(), header);
    }
    headers
}
