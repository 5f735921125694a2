//! Changes of one object: creations, merges and server-side applies, with the fields that each manager is known to manage.

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use crate::refusal::Refusal;

/// The writer of a change.
pub(crate) struct Manager {
    pub(crate) name: String,
    /// `Apply` or `Update`.
    pub(crate) operation: &'static str,
    /// `status`, or nothing.
    pub(crate) subresource: Option<&'static str>,
}

impl Manager {
    /// A writer of whole objects.
    pub(crate) fn new(name: &str, operation: &'static str) -> Self {
        Self {
            name: name.to_owned(),
            operation,
            subresource: None,
        }
    }
}

/// Fills in what an API server adds to a new object.
pub(crate) fn created(mut object: Value, uid: u128, manager: &Manager) -> Value {
    let given = object.clone();
    let metadata = &mut object["metadata"];
    metadata["uid"] = json!(format!(
        "{:08x}-{:04x}-4000-8000-{:012x}",
        uid >> 64,
        (uid >> 48) & 0xffff,
        uid & 0xffff_ffff_ffff
    ));
    metadata["creationTimestamp"] = json!(now());
    metadata["generation"] = json!(1);
    manage(&mut object, &given, manager);
    object
}

/// Applies a patch: every field in it is replaced, those of metadata and of a status one by one. Fields that a manager does not apply
/// any more stay: each of those here applies the same ones always.
pub(crate) fn applied(before: &Value, patch: &Value, manager: &Manager) -> Result<Value, Refusal> {
    check(before, patch)?;
    let mut object = before.clone();
    for (field, value) in patch.as_object().into_iter().flatten() {
        match (field.as_str(), manager.subresource) {
            ("metadata", None) => {
                for (field, value) in value.as_object().into_iter().flatten() {
                    match field.as_str() {
                        "labels" | "annotations" => set(&mut object["metadata"][field], value),
                        _ => object["metadata"][field] = value.clone(),
                    }
                }
            }
            ("status", Some(_)) => set(&mut object["status"], value),
            ("metadata" | "status", _) | (_, Some(_)) => (),
            _ => object[field] = value.clone(),
        }
    }
    manage(&mut object, patch, manager);
    count(before, &mut object);
    Ok(object)
}

/// Merges a patch (RFC 7386).
pub(crate) fn merged(before: &Value, patch: &Value, manager: &Manager) -> Result<Value, Refusal> {
    check(before, patch)?;
    let mut object = before.clone();
    merge(&mut object, patch);
    manage(&mut object, patch, manager);
    count(before, &mut object);
    Ok(object)
}

/// Refuses a patch of another object, or of another version of it.
fn check(before: &Value, patch: &Value) -> Result<(), Refusal> {
    let differs = |field: &str| {
        let wanted = &patch["metadata"][field];
        !wanted.is_null() && *wanted != before["metadata"][field]
    };
    if differs("uid") || differs("resourceVersion") {
        return Err(Refusal::Conflict);
    }
    Ok(())
}

/// Counts the generations of a spec.
fn count(before: &Value, object: &mut Value) {
    if before["spec"] != object["spec"] {
        let generation = before["metadata"]["generation"].as_i64().unwrap_or(0);
        object["metadata"]["generation"] = json!(generation + 1);
    }
}

fn set(target: &mut Value, values: &Value) {
    for (field, value) in values.as_object().into_iter().flatten() {
        if !value.is_null() {
            target[field] = value.clone();
        }
    }
}

fn merge(target: &mut Value, patch: &Value) {
    let Some(patch) = patch.as_object() else {
        *target = patch.clone();
        return;
    };
    if !target.is_object() {
        *target = json!({});
    }
    for (field, value) in patch {
        if value.is_null() {
            target.as_object_mut().map(|object| object.remove(field));
        } else {
            merge(&mut target[field], value);
        }
    }
}

/// Notes which fields a manager has written: it is a third of what an API server sends of such an object.
fn manage(object: &mut Value, written: &Value, manager: &Manager) {
    let mut fields = fields(written);
    if let Some(fields) = fields.as_object_mut() {
        for known in ["f:apiVersion", "f:kind"] {
            fields.remove(known);
        }
        if let Some(metadata) = fields.get_mut("f:metadata").and_then(Value::as_object_mut) {
            metadata.retain(|field, _| {
                matches!(
                    field.as_str(),
                    "f:labels" | "f:annotations" | "f:ownerReferences"
                )
            });
        }
    }
    let mut entry = json!({
        "manager": manager.name, "operation": manager.operation, "apiVersion": object["apiVersion"], "time": now(),
        "fieldsType": "FieldsV1", "fieldsV1": fields,
    });
    if let Some(subresource) = manager.subresource {
        entry["subresource"] = json!(subresource);
    }
    let entries = &mut object["metadata"]["managedFields"];
    let mut all = entries.as_array().cloned().unwrap_or_default();
    let key =
        |entry: &Value| ["manager", "operation", "subresource"].map(|field| entry[field].clone());
    all.retain(|other| key(other) != key(&entry));
    all.push(entry);
    *entries = Value::Array(all);
}

/// The set of fields that a value has, as `FieldsV1`.
fn fields(value: &Value) -> Value {
    let named = |(name, value): (&String, &Value)| (format!("f:{name}"), fields(value));
    let keyed = |item: &Value| {
        let key = item.get("type").or_else(|| item.get("uid"))?;
        let name = if item.get("type").is_some() {
            "type"
        } else {
            "uid"
        };
        let mut set = fields(item);
        set["."] = json!({});
        Some((format!("k:{}", json!({ name: key })), set))
    };
    match value {
        Value::Object(object) => object.iter().map(named).collect::<Map<_, _>>().into(),
        Value::Array(items) => items.iter().filter_map(keyed).collect::<Map<_, _>>().into(),
        _ => json!({}),
    }
}

fn now() -> String {
    Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}
