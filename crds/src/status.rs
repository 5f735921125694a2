//! The status of a subscription: what became of it.

// The derive repeats the visibility of the type on helper items of its own.
#![allow(unreachable_pub)]

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::lenient;

/// State of a subscription at the operator and the gateways.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct DatastreamSubscriptionStatus {
    /// The generation of the spec that this status is about.
    #[serde(
        default,
        deserialize_with = "lenient::value",
        skip_serializing_if = "Option::is_none"
    )]
    pub observed_generation: Option<i64>,

    /// `Accepted`: the spec is valid and its stream key is there. `Programmed`: every ready gateway serves this
    /// generation. `Ready`: both, and it is not suspended.
    #[serde(
        default,
        deserialize_with = "lenient::list",
        skip_serializing_if = "Vec::is_empty"
    )]
    #[schemars(length(max = 8))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".to_owned()]))]
    pub conditions: Vec<Condition>,

    /// The Secret, in the subscription's namespace, that holds `stream_key` and `url`.
    #[serde(
        default,
        deserialize_with = "lenient::value",
        skip_serializing_if = "Option::is_none"
    )]
    pub secret_name: Option<String>,

    /// URL at which clients connect, without the key.
    #[serde(
        default,
        deserialize_with = "lenient::value",
        skip_serializing_if = "Option::is_none"
    )]
    pub endpoint: Option<String>,

    /// The stream of the subscription. Unset: no client has ever connected.
    #[serde(
        default,
        deserialize_with = "lenient::value",
        skip_serializing_if = "Option::is_none"
    )]
    pub connection: Option<Connection>,
}

/// The stream of a subscription.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Connection {
    /// State of the connection of a client.
    pub state: ConnectionState,

    /// The gateway pod that serves it. Unset: none does.
    #[serde(
        default,
        deserialize_with = "lenient::value",
        skip_serializing_if = "Option::is_none"
    )]
    pub pod: Option<String>,

    /// Since when it has been in this state.
    #[serde(
        default,
        deserialize_with = "lenient::value",
        skip_serializing_if = "Option::is_none"
    )]
    pub since: Option<Time>,

    /// The `seq` of the last event that was sent, as of a minute ago or so. Unset: none was sent yet.
    #[serde(
        default,
        deserialize_with = "lenient::value",
        skip_serializing_if = "Option::is_none"
    )]
    #[schemars(length(max = 8192))]
    pub last_seq: Option<String>,

    /// Records of the topic that the stream had yet to see then. Unset: no client is connected, or not known yet.
    #[serde(
        default,
        deserialize_with = "lenient::value",
        skip_serializing_if = "Option::is_none"
    )]
    pub lag: Option<i64>,
}

/// State of the connection of a client.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConnectionState {
    /// A client is connected.
    Online,
    /// No client is connected.
    Offline,
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(status: serde_json::Value) -> DatastreamSubscriptionStatus {
        serde_json::from_value(status).unwrap()
    }

    #[test]
    fn unreadable_status_fields_are_dropped_and_the_others_kept() {
        for time in [
            "2026-11-24T06:14:44+99:99",
            "9999-12-31T23:59:59-23:59",
            "yesterday",
            "",
        ] {
            let condition = |type_: &str, time: &str| json!({"type": type_, "status": "True", "reason": "R", "message": "", "lastTransitionTime": time});
            let status = read(json!({
                "observedGeneration": 3,
                "conditions": [condition("Ready", "2026-11-24T06:14:44Z"), condition("Theirs", time)],
                "secretName": "leds-stream-key",
                "connection": {"state": "Offline", "since": time, "lastSeq": "7"},
            }));
            assert_eq!(status.observed_generation, Some(3));
            let types: Vec<_> = status.conditions.iter().map(|c| c.type_.as_str()).collect();
            assert_eq!(types, ["Ready"], "{time}");
            assert_eq!(status.secret_name.as_deref(), Some("leds-stream-key"));
            let connection = status.connection.unwrap();
            assert_eq!(
                (connection.since, connection.last_seq.as_deref()),
                (None, Some("7")),
                "{time}"
            );
        }
    }

    #[test]
    fn status_fields_of_wrong_types_or_unknown_states_read_as_absent() {
        let status = read(json!({
            "observedGeneration": "three", "conditions": {}, "secretName": 7, "endpoint": [], "connection": {"state": "Draining"},
        }));
        assert_eq!(status, DatastreamSubscriptionStatus::default());
    }
}
