//! The subscriptions of the benches of the control plane.

use serde_json::{Value, json};

pub(crate) fn name(number: usize) -> String {
    format!("s{number:05}")
}

/// The subscription of this number.
pub(crate) fn manifest(number: usize) -> Value {
    json!({
        "apiVersion": "datastream.dev/v1alpha1", "kind": "DatastreamSubscription",
        "metadata": {"name": name(number)},
        "spec": {
            "eventTypes": ["datapoint", "connectivity"],
            "filters": [{"oemModels": [format!("model-{}", number % 100)], "propertyNames": ["Blue_LED"]}],
        },
    })
}

/// The generation that every gateway serves, as a status says.
pub(crate) fn generation_programmed(status: &Value) -> Option<i64> {
    let conditions = status["conditions"].as_array()?;
    let programmed = conditions.iter().find(|c| c["type"] == "Programmed")?;
    (programmed["status"] == "True")
        .then(|| programmed["observedGeneration"].as_i64())
        .flatten()
}
