//! The API server's check of a manifest against its custom resource's structural schema.

use serde_json::Value;

/// A mistake in one value of a manifest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Fault {
    /// The path of the value, as in `spec.filters[0].dsns[1]`; empty for the whole document.
    pub path: String,
    /// The mistake.
    pub reason: String,
}

impl Fault {
    /// A fault of the value at `path`.
    pub(super) fn new(path: impl Into<String>, reason: impl Into<String>) -> Self {
        Self {
            path: path.into(),
            reason: reason.into(),
        }
    }
}

/// Checks `value` against a structural schema: types, unknown and missing fields, bounds and enums. Rules in CEL
/// are not this module's business, nor are patterns, which the schema's owner expresses as such rules.
pub(super) fn check(schema: &Value, value: &Value, path: &str) -> Vec<Fault> {
    let mut faults = Vec::new();
    visit(schema, value, path, &mut faults);
    faults
}

fn visit(schema: &Value, value: &Value, path: &str, faults: &mut Vec<Fault>) {
    if value.is_null() {
        if schema["nullable"] != true {
            faults.push(Fault::new(path, "must not be null"));
        }
        return;
    }
    let fits = match schema["type"].as_str() {
        Some("object") => value.is_object(),
        Some("array") => value.is_array(),
        Some("string") => value.is_string(),
        Some("boolean") => value.is_boolean(),
        Some("integer") => value.is_i64() || value.is_u64(),
        Some("number") => value.is_number(),
        _ => true,
    };
    if !fits {
        let expected = schema["type"].as_str().unwrap_or_default();
        let reason = format!("must be of type {expected}, not {}", kind(value));
        faults.push(Fault::new(path, reason));
        return;
    }
    if let Some(allowed) = schema["enum"].as_array()
        && !allowed.contains(value)
    {
        let allowed: Vec<_> = allowed.iter().map(ToString::to_string).collect();
        let reason = format!("{value} is not one of {}", allowed.join(", "));
        faults.push(Fault::new(path, reason));
    }
    match value {
        Value::Object(fields) => object(schema, fields, path, faults),
        Value::Array(items) => array(schema, items, path, faults),
        Value::String(text) => {
            let length = text.chars().count() as u64;
            bounds(
                schema,
                ("minLength", "maxLength"),
                length,
                "characters",
                path,
                faults,
            );
        }
        Value::Number(number) => {
            let number = number.as_f64().unwrap_or(f64::NAN);
            if let Some(minimum) = schema["minimum"].as_f64().filter(|m| number < *m) {
                faults.push(Fault::new(path, format!("{value} is less than {minimum}")));
            }
            if let Some(maximum) = schema["maximum"].as_f64().filter(|m| number > *m) {
                faults.push(Fault::new(path, format!("{value} is more than {maximum}")));
            }
        }
        Value::Bool(_) | Value::Null => {}
    }
}

fn object(
    schema: &Value,
    fields: &serde_json::Map<String, Value>,
    path: &str,
    faults: &mut Vec<Fault>,
) {
    for name in schema["required"].as_array().into_iter().flatten() {
        let name = name.as_str().unwrap_or_default();
        if !fields.contains_key(name) {
            faults.push(Fault::new(join(path, name), "is required but missing"));
        }
    }
    let known = schema["properties"].as_object();
    let free = schema["x-kubernetes-preserve-unknown-fields"] == true;
    for (name, value) in fields {
        let path = join(path, name);
        match (
            known.and_then(|k| k.get(name)),
            &schema["additionalProperties"],
        ) {
            (Some(schema), _) | (None, schema @ Value::Object(_)) => {
                visit(schema, value, &path, faults);
            }
            _ if free || known.is_none() => {}
            _ => {
                let known: Vec<_> = known
                    .into_iter()
                    .flatten()
                    .map(|(k, _)| k.as_str())
                    .collect();
                let reason = format!("unknown field; known here: {}", known.join(", "));
                faults.push(Fault::new(path, reason));
            }
        }
    }
}

fn array(schema: &Value, items: &[Value], path: &str, faults: &mut Vec<Fault>) {
    bounds(
        schema,
        ("minItems", "maxItems"),
        items.len() as u64,
        "items",
        path,
        faults,
    );
    for (i, item) in items.iter().enumerate() {
        visit(&schema["items"], item, &format!("{path}[{i}]"), faults);
    }
    let set = schema["x-kubernetes-list-type"] == "set" || schema["uniqueItems"] == true;
    for (i, item) in items.iter().enumerate() {
        if set && items[..i].contains(item) {
            faults.push(Fault::new(
                format!("{path}[{i}]"),
                format!("{item} is listed twice"),
            ));
        }
    }
}

fn bounds(
    schema: &Value,
    (least, most): (&str, &str),
    found: u64,
    unit: &str,
    path: &str,
    faults: &mut Vec<Fault>,
) {
    if let Some(least) = schema[least].as_u64().filter(|l| found < *l) {
        faults.push(Fault::new(
            path,
            format!("has {found} {unit}, but needs at least {least}"),
        ));
    }
    if let Some(most) = schema[most].as_u64().filter(|m| found > *m) {
        faults.push(Fault::new(
            path,
            format!("has {found} {unit}, but may have at most {most}"),
        ));
    }
}

fn join(path: &str, name: &str) -> String {
    if path.is_empty() {
        name.to_owned()
    } else {
        format!("{path}.{name}")
    }
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn faults(value: &Value) -> Vec<String> {
        let schema = json!({
            "type": "object",
            "required": ["types"],
            "properties": {
                "types": {
                    "type": "array", "minItems": 1, "maxItems": 2, "x-kubernetes-list-type": "set",
                    "items": {"type": "string", "enum": ["a", "b", "c"]}
                },
                "name": {"type": "string", "minLength": 1, "maxLength": 3, "nullable": true},
                "n": {"type": "integer", "minimum": 1.0, "maximum": 9.0},
                "labels": {"type": "object", "additionalProperties": {"type": "string"}},
                "free": {"type": "object"}
            }
        });
        check(&schema, value, "spec")
            .into_iter()
            .map(|f| format!("{}: {}", f.path, f.reason))
            .collect()
    }

    #[test]
    fn a_valid_manifest_has_no_schema_errors() {
        let value = json!({
            "types": ["a", "b"], "name": "äöü", "n": 9, "labels": {"x": "y"}, "free": {"z": 1}
        });
        assert!(faults(&value).is_empty());
        assert!(faults(&json!({"types": ["a"], "name": null})).is_empty());
    }

    #[test]
    fn every_schema_error_names_its_path() {
        for (value, expected) in [
            (json!({}), "spec.types: is required but missing"),
            (
                json!({"types": []}),
                "spec.types: has 0 items, but needs at least 1",
            ),
            (
                json!({"types": "a"}),
                "spec.types: must be of type array, not string",
            ),
            (json!({"types": null}), "spec.types: must not be null"),
            (
                json!({"types": ["x"]}),
                r#"spec.types[0]: "x" is not one of "a", "b", "c""#,
            ),
            (
                json!({"types": ["a", "a"]}),
                r#"spec.types[1]: "a" is listed twice"#,
            ),
            (
                json!({"types": ["a"], "name": "long"}),
                "spec.name: has 4 characters, but may have at most 3",
            ),
            (
                json!({"types": ["a"], "n": 10}),
                "spec.n: 10 is more than 9",
            ),
            (json!({"types": ["a"], "n": 0}), "spec.n: 0 is less than 1"),
            (
                json!({"types": ["a"], "n": 1.5}),
                "spec.n: must be of type integer, not number",
            ),
            (
                json!({"types": ["a"], "labels": {"x": 1}}),
                "spec.labels.x: must be of type string, not number",
            ),
            (
                json!({"types": ["a"], "nam": "x"}),
                "spec.nam: unknown field; known here: free, labels, n, name, types",
            ),
        ] {
            assert_eq!(faults(&value), [expected]);
        }
    }
}
