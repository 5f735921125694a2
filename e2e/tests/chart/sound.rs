//! Mistakes in rendered objects, as far as they show them themselves.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

/// The documents of a rendering, as text.
pub(crate) fn documents(text: &str) -> Vec<&str> {
    let parts = text
        .split("\n---\n")
        .map(|part| part.trim_start_matches("---\n"));
    parts.filter(|part| part.contains("kind:")).collect()
}

/// The objects of a rendering. A key that is there twice, which Go's parsers overlook, is an error.
pub(crate) fn objects(text: &str) -> Result<Vec<Value>, String> {
    let objects: Vec<Value> = serde_saphyr::from_multiple(text).map_err(|e| e.to_string())?;
    Ok(objects.into_iter().filter(|o| !o.is_null()).collect())
}

/// Returns the mistakes in a rendering.
pub(crate) fn problems(text: &str) -> Vec<String> {
    let objects = match objects(text) {
        Ok(objects) => objects,
        Err(error) => return vec![error],
    };
    let (mut found, mut seen) = (vec![], BTreeSet::new());
    for object in &objects {
        let id = ["/apiVersion", "/kind", "/metadata/name"].map(|path| {
            object
                .pointer(path)
                .and_then(Value::as_str)
                .unwrap_or_default()
        });
        if id.contains(&"") {
            found.push(format!("no apiVersion, kind or name: {id:?}"));
        }
        let id = id.join(" ");
        let namespace = object.pointer("/metadata/namespace").map(Value::to_string);
        if !seen.insert((id.clone(), namespace)) {
            found.push(format!("{id} is there twice"));
        }
        let mut wrong = vec![];
        // The properties in a schema have the names of maps, and are none.
        if object["kind"] != "CustomResourceDefinition" {
            look(object, &mut wrong);
        }
        selects(object, &mut wrong);
        opens(object, &mut wrong);
        found.extend(wrong.into_iter().map(|problem| format!("{id}: {problem}")));
    }
    found
}

fn entries(value: &Value) -> impl Iterator<Item = (&String, &Value)> {
    value.as_object().into_iter().flat_map(Map::iter)
}

/// Maps of strings have strings, lists of variables each name once.
fn look(value: &Value, wrong: &mut Vec<String>) {
    let mut strings = |what: &str, map: &Value| {
        for (key, value) in entries(map).filter(|(_, value)| !value.is_string()) {
            wrong.push(format!("{what} {key} is no string: {value}"));
        }
    };
    for (key, value) in entries(value) {
        match key.as_str() {
            "labels" | "annotations" | "matchLabels" | "nodeSelector" => strings(key, value),
            _ => (),
        }
    }
    let variables = value["env"].as_array();
    let mut names = BTreeSet::new();
    for variable in variables.into_iter().flatten() {
        let name = &variable["name"];
        if !name.is_string()
            || variable
                .get("value")
                .is_some_and(|value| !value.is_string())
        {
            wrong.push(format!("variable {variable} is no string"));
        }
        if !names.insert(name.to_string()) {
            wrong.push(format!("variable {name} is there twice"));
        }
    }
    for word in value["args"].as_array().into_iter().flatten() {
        if !word.is_string() {
            wrong.push(format!("argument {word} is no string"));
        }
    }
    match value {
        Value::Object(map) => map.values().for_each(|value| look(value, wrong)),
        Value::Array(list) => list.iter().for_each(|value| look(value, wrong)),
        _ => (),
    }
}

/// A workload selects its own pods.
fn selects(object: &Value, wrong: &mut Vec<String>) {
    let labels = &object["spec"]["template"]["metadata"]["labels"];
    for (key, value) in entries(&object["spec"]["selector"]["matchLabels"]) {
        if labels.is_object() && labels[key] != *value {
            wrong.push(format!("selector {key}={value} does not select its pods"));
        }
    }
}

/// An empty list of peers opens a policy to everybody; metrics are never for everybody.
fn opens(object: &Value, wrong: &mut Vec<String>) {
    if object["kind"] != "NetworkPolicy" {
        return;
    }
    for (direction, peers) in [("ingress", "from"), ("egress", "to")] {
        for rule in object["spec"][direction].as_array().into_iter().flatten() {
            if rule
                .get(peers)
                .is_some_and(|list| list.as_array().is_none_or(Vec::is_empty))
            {
                wrong.push(format!("an empty `{peers}` is for everybody: {rule}"));
            }
            let ports = rule["ports"].as_array().into_iter().flatten();
            let metrics = ports.into_iter().any(|port| port["port"] == "metrics");
            if metrics && rule.get(peers).is_none() {
                wrong.push(format!("metrics are for everybody: {rule}"));
            }
        }
    }
}
