//! The documents: the committed copies are what the types say, every member is explained, and every example is valid.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use datastream_contracts::documents::{all, asyncapi, openapi, schemas};
use datastream_contracts::validate::Validator;
use serde_json::{Value, json};

const COPIES: &str = "../docs/schemas";

#[test]
fn the_committed_documents_are_what_the_types_say() {
    let documents = all();
    for document in &documents {
        let path = format!("{COPIES}/{}", document.path);
        let text = document.text();
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            fs::create_dir_all(COPIES).unwrap();
            fs::write(&path, &text).unwrap();
        }
        let committed = fs::read_to_string(&path).unwrap_or_default();
        assert_eq!(
            committed, text,
            "run `UPDATE_GOLDEN=1 cargo test -p datastream-contracts` and commit the result"
        );
    }
    let known: BTreeSet<_> = documents
        .into_iter()
        .map(|document| document.path)
        .collect();
    let files = fs::read_dir(Path::new(COPIES)).unwrap();
    let files = files.map(|file| file.unwrap().file_name().into_string().unwrap());
    let files: BTreeSet<_> = files.filter(|name| name.ends_with(".json")).collect();
    assert_eq!(files, known, "files in {COPIES}");
}

/// Calls `visit` with each object in a document, and where it is.
fn objects(value: &Value, at: &str, visit: &mut impl FnMut(&str, &Value)) {
    match value {
        Value::Object(members) => {
            visit(at, value);
            for (name, member) in members {
                objects(member, &format!("{at}/{name}"), visit);
            }
        }
        Value::Array(items) => {
            for (number, item) in items.iter().enumerate() {
                objects(item, &format!("{at}/{number}"), visit);
            }
        }
        _ => (),
    }
}

#[test]
fn every_member_has_a_description_and_an_example() {
    for document in schemas() {
        assert!(
            document.json["description"].is_string(),
            "{}",
            document.path
        );
        assert!(
            document.json["examples"][0].is_object(),
            "{}",
            document.path
        );
        objects(&document.json, "", &mut |at, object| {
            // Examples have members of the same names.
            if at.contains("/examples") {
                return;
            }
            for (name, property) in object["properties"].as_object().into_iter().flatten() {
                let place = format!("{}{at}: {name}", document.path);
                assert!(property["description"].is_string(), "{place}");
                assert!(!property["examples"][0].is_null(), "{place}");
            }
        });
    }
}

#[test]
fn every_schema_is_one_and_accepts_its_examples() {
    let mut identities = BTreeSet::new();
    for document in schemas() {
        let schema = &document.json;
        let dialect = "https://json-schema.org/draft/2020-12/schema";
        assert_eq!(schema["$schema"], dialect, "{}", document.path);
        assert!(identities.insert(schema["$id"].to_string()), "{schema:#}");
        let validator = Validator::new(schema).unwrap();
        for example in schema["examples"].as_array().unwrap() {
            validator.check(&example.to_string()).unwrap();
        }
        for definition in schema["$defs"].as_object().into_iter().flatten() {
            let mut alone = definition.1.clone();
            alone["$defs"] = schema["$defs"].clone();
            let validator = Validator::new(&alone).unwrap();
            for example in alone["examples"].as_array().unwrap() {
                validator.check(&example.to_string()).unwrap();
            }
        }
    }
}

#[test]
fn components_accept_the_examples_of_messages_and_answers() {
    for document in [asyncapi().json, openapi().json] {
        objects(&document, "", &mut |at, object| {
            let (schema, example) = (
                object.get("payload").or(object.get("schema")),
                object.get("example"),
            );
            let (Some(schema), false) = (schema, at.contains("/examples")) else {
                return;
            };
            let mut schema = schema.clone();
            schema["components"] = document["components"].clone();
            let validator = Validator::new(&schema).unwrap();
            let listed = object["examples"].as_array().into_iter().flatten();
            let listed = listed.map(|example| &example["payload"]);
            let named = object["examples"].as_object().into_iter().flatten();
            let named = named.map(|(_, example)| &example["value"]);
            for example in listed.chain(named).chain(example) {
                validator
                    .check(&example.to_string())
                    .unwrap_or_else(|error| panic!("{at}: {error}"));
            }
        });
    }
}

#[test]
fn every_reference_leads_to_something() {
    for document in all() {
        objects(&document.json, "", &mut |at, object| {
            if let Some(reference) = object.get("$ref").and_then(Value::as_str) {
                let pointer = reference.strip_prefix('#').expect(reference);
                let found = document.json.pointer(pointer);
                assert!(found.is_some(), "{}{at}: {reference}", document.path);
            }
        });
    }
}

#[test]
fn what_no_gateway_sends_is_refused() {
    let validator = |path: &str| {
        let document = schemas().into_iter().find(|document| document.path == path);
        Validator::new(&document.unwrap().json).unwrap()
    };
    let event = json!({"seq": "1", "metadata": {"event_type": "location"}, "location_event": {}});
    validator("event.json").check(&event.to_string()).unwrap();
    for (pointer, value) in [
        ("/seq", json!(1)),
        ("/seq", json!("x")),
        ("/metadata", Value::Null),
        ("/metadata/event_type", json!("reboot")),
        ("/metadata/event_type", json!("datapoint")),
        ("/location_event", Value::Null),
        ("/location_event", json!([])),
    ] {
        let mut event = event.clone();
        *event.pointer_mut(pointer).unwrap() = value;
        let checked = validator("event.json").check(&event.to_string());
        assert!(checked.is_err(), "{event}");
    }
    for (path, text) in [
        ("control.json", r#"{"control":"pause","seq_start":"1"}"#),
        ("live.json", r#"{"control":"gap","seq_start":"1"}"#),
        (
            "close.json",
            r#"{"control":"close","code":1006,"reason":"","seq_start":"1"}"#,
        ),
        ("ack.json", r#"{"ack":1}"#),
        ("ack.json", r#"{"ack":"1","token":"x"}"#),
        ("error.json", r#"{"error":"teapot","message":""}"#),
        ("cloud-event.json", r#"{"specversion":"1.0"}"#),
    ] {
        assert!(validator(path).check(text).is_err(), "{path}: {text}");
    }
}
