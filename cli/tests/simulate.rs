//! The simulated fleet: deterministic, complete and plausible.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::{HashMap, HashSet};

use datastream_cli::simulate::{Fleet, MODELS};
use jiff::{SignedDuration, Timestamp};
use proptest::prelude::*;
use serde_json::Value;

fn events(devices: usize, seed: u64, count: usize) -> Vec<Value> {
    let mut now: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
    let mut fleet = Fleet::new(devices, seed);
    (0..count)
        .map(|_| {
            now += SignedDuration::from_millis(50);
            let text = serde_json::to_string(&fleet.next_event(now)).unwrap();
            serde_json::from_str(&text).unwrap()
        })
        .collect()
}

/// Body key and fields of an event type, as the stream protocol documents them.
fn documented(event_type: &str) -> (&'static str, &'static [&'static str]) {
    const DATAPOINT: [&str; 9] = [
        "id",
        "created_at_from_device",
        "updated_at",
        "created_at",
        "user_uuid",
        "echo",
        "closed",
        "value",
        "metadata",
    ];
    match event_type {
        "connectivity" => ("connection", &["event_time", "user_uuid", "status"]),
        "datapoint" => ("datapoint", &DATAPOINT),
        "datapointack" => (
            "datapoint",
            &[
                "id",
                "created_at_from_device",
                "updated_at",
                "created_at",
                "user_uuid",
                "echo",
                "closed",
                "value",
                "metadata",
                "ack_message",
                "ack_status",
                "ack_id",
                "acked_at",
            ],
        ),
        "location" => (
            "location_event",
            &[
                "dsn",
                "ip",
                "lat",
                "long",
                "provider",
                "user_uuid",
                "created_at",
            ],
        ),
        "registration" => (
            "registration_event",
            &["dsn", "user_uuid", "registered", "registration_type"],
        ),
        other => panic!("unknown event type {other}"),
    }
}

fn assert_complete(event: &Value) {
    let metadata = &event["metadata"];
    let event_type = metadata["event_type"].as_str().expect("event_type");
    for field in ["oem_id", "oem_model", "dsn"] {
        assert!(metadata[field].is_string(), "{field} of {event}");
    }
    assert!(metadata["resource_tags"].is_array(), "{event}");
    let about_property = event_type.starts_with("datapoint");
    for field in ["property_name", "display_name", "base_type"] {
        assert_eq!(
            metadata[field].is_string(),
            about_property,
            "{field} of {event}"
        );
    }
    let (key, fields) = documented(event_type);
    let body = event[key].as_object().expect("body");
    for field in fields {
        assert!(body.contains_key(*field), "{field} of {event}");
    }
    assert_eq!(event.as_object().unwrap().len(), 2, "{event}");
    if event_type == "registration" {
        let (there, not) = if body["registered"] == true {
            ("registered_at", "unregistered_at")
        } else {
            ("unregistered_at", "registered_at")
        };
        assert!(
            body.contains_key(there) && !body.contains_key(not),
            "{event}"
        );
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, ..ProptestConfig::default() })]

    #[test]
    fn the_same_seed_gives_the_same_events(devices in 1usize..40, seed: u64) {
        prop_assert_eq!(events(devices, seed, 300), events(devices, seed, 300));
    }

    #[test]
    fn another_seed_gives_other_events(seed in 0..u64::MAX) {
        prop_assert_ne!(events(5, seed, 100), events(5, seed + 1, 100));
    }

    #[test]
    fn every_event_has_every_documented_field(devices in 1usize..40, seed: u64) {
        events(devices, seed, 500).iter().for_each(assert_complete);
    }

    /// A device registers, comes online, and reports only while it is online and registered; what it
    /// acknowledges was sent to it before, once.
    #[test]
    fn devices_register_before_they_connect_and_connect_before_they_report(devices in 1usize..20, seed: u64) {
        let mut registered = HashSet::new();
        let mut online = HashSet::new();
        let mut sent = HashMap::new();
        for event in events(devices, seed, 1_000) {
            let dsn = event["metadata"]["dsn"].as_str().unwrap().to_owned();
            match event["metadata"]["event_type"].as_str().unwrap() {
                "registration" if event["registration_event"]["registered"] == true => {
                    prop_assert!(registered.insert(dsn));
                }
                "registration" => {
                    prop_assert!(!online.contains(&dsn));
                    prop_assert!(registered.remove(&dsn));
                }
                "connectivity" => {
                    prop_assert!(registered.contains(&dsn));
                    let changed = match event["connection"]["status"].as_str().unwrap() {
                        "Online" => online.insert(dsn),
                        _ => online.remove(&dsn),
                    };
                    prop_assert!(changed);
                }
                "datapoint" => {
                    prop_assert!(online.contains(&dsn));
                    let id = event["datapoint"]["id"].as_str().unwrap().to_owned();
                    prop_assert!(sent.insert(id, event["datapoint"]["value"].clone()).is_none());
                }
                "datapointack" => {
                    prop_assert!(online.contains(&dsn));
                    let id = event["datapoint"]["id"].as_str().unwrap();
                    prop_assert_eq!(sent.remove(id), Some(event["datapoint"]["value"].clone()));
                }
                _ => prop_assert!(online.contains(&dsn)),
            }
        }
    }
}

#[test]
fn a_fleet_has_every_event_type_every_model_and_every_kind_of_value() {
    let events = events(12, 7, 5_000);
    let field = |name: &str| -> HashSet<String> {
        events
            .iter()
            .filter_map(|e| e["metadata"][name].as_str().map(str::to_owned))
            .collect()
    };
    assert_eq!(field("event_type").len(), 5);
    assert_eq!(field("oem_model").len(), MODELS.len());
    assert_eq!(field("base_type").len(), 4);
    assert_eq!(field("dsn").len(), 12);
    let texts: Vec<_> = events
        .iter()
        .filter_map(|e| e["datapoint"]["value"].as_str())
        .collect();
    assert!(texts.iter().any(|t| !t.is_ascii()) && texts.iter().any(|t| t.contains('|')));
}
