//! The committed YAML is what the types say, the examples are valid, and every rule both accepts and refuses.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use datastream_crds::{DatastreamSubscription, Filter, definitions};
use serde_json::{Value, json};

#[test]
fn the_committed_definitions_match_the_types() {
    for definition in definitions().unwrap() {
        let path = format!("generated/{}.yaml", definition.plural);
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            std::fs::write(&path, &definition.yaml).unwrap();
        }
        let committed = std::fs::read_to_string(&path).unwrap_or_default();
        assert_eq!(
            committed, definition.yaml,
            "run `UPDATE_GOLDEN=1 cargo test -p datastream-crds` and commit the result"
        );
    }
}

fn manifests(folder: &str) -> Vec<(String, String)> {
    let mut manifests: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .map(|path| {
            (
                path.display().to_string(),
                std::fs::read_to_string(path).unwrap(),
            )
        })
        .collect();
    manifests.sort();
    assert!(!manifests.is_empty());
    manifests
}

#[test]
fn the_examples_are_valid() {
    for (path, text) in manifests("examples") {
        let subscription: DatastreamSubscription = serde_saphyr::from_str(&text).expect(&path);
        subscription.validate_cel().expect(&path);
    }
}

/// A valid subscription with one value of its spec replaced.
fn with(field: &str, value: Value) -> Result<(), String> {
    let mut manifest = json!({
        "apiVersion": "datastream.dev/v1alpha1",
        "kind": "DatastreamSubscription",
        "metadata": {"name": "test"},
        "spec": {"eventTypes": ["datapoint"]},
    });
    manifest["spec"][field] = value;
    let subscription: DatastreamSubscription =
        serde_json::from_value(manifest).map_err(|e| e.to_string())?;
    subscription.validate_cel().map_err(|e| e.to_string())
}

#[track_caller]
fn refused(field: &str, value: Value, message: &str) {
    let error = with(field, value).unwrap_err();
    assert!(error.contains(message), "{error}");
}

#[test]
fn duplicate_event_types_are_rejected() {
    with("eventTypes", json!(["datapoint", "location"])).unwrap();
    refused(
        "eventTypes",
        json!(["datapoint", "location", "datapoint"]),
        "must not name a type twice",
    );
}

#[test]
fn property_names_without_datapoint_event_types_are_rejected() {
    let filters = json!([{"propertyNames": ["Blue_LED"]}]);
    with("filters", filters.clone()).unwrap();
    let spec = json!({"eventTypes": ["connectivity"], "filters": filters});
    let manifest = json!({"apiVersion": "datastream.dev/v1alpha1", "kind": "DatastreamSubscription",
        "metadata": {"name": "test"}, "spec": spec});
    let subscription: DatastreamSubscription = serde_json::from_value(manifest).unwrap();
    let error = subscription.validate_cel().unwrap_err().to_string();
    assert!(error.contains("propertyNames can only match"), "{error}");
}

#[test]
fn an_empty_filter_is_rejected() {
    for (list, _) in Filter::default().lists() {
        with("filters", json!([{list: ["A"]}])).unwrap();
    }
    refused(
        "filters",
        json!([{"dsns": ["A"]}, {}]),
        "a filter needs at least one of",
    );
}

#[test]
fn filter_items_must_be_trimmed_printable_ascii() {
    for (list, _) in Filter::default().lists() {
        with("filters", json!([{list: ["*", "a b", "AC000W*0|~"]}])).unwrap();
        for item in [" a", "a ", "é", "a\nb", "\t"] {
            refused(
                "filters",
                json!([{list: ["good", item]}]),
                &format!("{list} must be printable ASCII"),
            );
        }
    }
}

#[test]
fn heartbeats_that_notice_a_lost_client_too_late_are_rejected() {
    with(
        "heartbeat",
        json!({"intervalSeconds": 300, "missedLimit": 3}),
    )
    .unwrap();
    refused(
        "heartbeat",
        json!({"intervalSeconds": 300, "missedLimit": 4}),
        "noticed within 900 s",
    );
}

#[test]
fn gateway_groups_must_be_dns_labels() {
    for good in ["default", "eu-1", "7"] {
        with("gatewayGroup", json!(good)).unwrap();
    }
    for bad in ["Europe", "-eu", "eu-", "e u"] {
        refused("gatewayGroup", json!(bad), "must be a DNS label");
    }
}

#[test]
fn unset_fields_have_the_documented_defaults() {
    let manifest = json!({"apiVersion": "datastream.dev/v1alpha1", "kind": "DatastreamSubscription",
        "metadata": {"name": "test"}, "spec": {"eventTypes": ["location"]}});
    let subscription: DatastreamSubscription = serde_json::from_value(manifest).unwrap();
    let spec = serde_json::to_value(subscription.spec).unwrap();
    assert_eq!(
        spec,
        json!({"eventTypes": ["location"], "gatewayGroup": "default", "suspended": false, "resume": "Latest",
            "heartbeat": {"intervalSeconds": 30, "missedLimit": 3}})
    );
}

#[test]
fn unknown_fields_are_refused() {
    refused("eventType", json!("location"), "unknown field `eventType`");
}
