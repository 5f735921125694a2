//! The contracts: whatever a gateway sends, in any dialect, is what the schemas say, and the documents list what the gateway has.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "../../../gateway/tests/common/mod.rs"]
mod common;

mod accepted;
mod answers;
mod dialects;
mod lists;
mod served;

use std::collections::BTreeMap;
use std::sync::LazyLock;

use datastream_cli::simulate::Fleet;
use datastream_contracts::documents::{asyncapi, schemas};
use datastream_contracts::validate::Validator;
use jiff::Timestamp;
use serde_json::Value;

/// Validators of the schemas, by the names of their files.
static SCHEMAS: LazyLock<BTreeMap<String, Validator>> = LazyLock::new(|| {
    let compiled = schemas().into_iter().map(|schema| {
        let validator = Validator::new(&schema.json).unwrap();
        (schema.path, validator)
    });
    compiled.collect()
});

/// Checks a JSON text against a schema.
#[track_caller]
fn check(schema: &str, json: &str) {
    SCHEMAS[&format!("{schema}.json")].check(json).unwrap();
}

/// Checks an event against the schema of all events and that of its type, which is returned.
#[track_caller]
fn check_event(json: &str) -> String {
    check("event", json);
    let event: Value = serde_json::from_str(json).unwrap();
    let event_type = event["metadata"]["event_type"].as_str().unwrap();
    check(&format!("{event_type}-event"), json);
    event_type.to_owned()
}

/// The validator of a message of the AsyncAPI document.
fn message(name: &str) -> Validator {
    let document = asyncapi().json;
    let mut payload = document["components"]["messages"][name]["payload"].clone();
    payload["components"] = document["components"].clone();
    Validator::new(&payload).unwrap()
}

/// Events of a simulated fleet, of every type.
fn simulated(count: usize) -> Vec<String> {
    let mut fleet = Fleet::new(10, 1);
    let events = (0..count).map(|_| fleet.next_event(Timestamp::now()));
    events
        .map(|event| serde_json::to_string(&event).unwrap())
        .collect()
}
