//! Values to take for a string or an object about which the schema says too little to make one up. Much of it looks like
//! something else to a YAML parser.

use serde_json::{Value, json};

/// Names of releases.
pub(super) const RELEASES: &[&str] = &[
    "datastream",
    "123",
    "true",
    "no",
    "on",
    "1e3",
    "0x1f",
    "1.5",
    "x-datastream",
    "a-release-with-a-name-that-is-as-long-as-helm-lets-be",
];

/// Names of groups of gateways.
pub(super) const GROUPS: &[&str] = &[
    "default", "no", "on", "y", "123", "1e3", "null", "eu", "0x1f",
];

/// Text without rules.
const TEXTS: &[&str] = &[
    "",
    "no",
    "123",
    "1e3",
    "null",
    "~",
    "true",
    "a: b",
    "# c",
    "{{ x }}",
    "\"",
    "'",
    "é",
    "- a",
    "two\nlines",
    "info,fluvio=warn",
    "2026-11-26",
    "0o7",
    "1_000",
];
const NAMES: &[&str] = &[
    "no", "on", "y", "123", "1e3", "0x1f", "null", "true", "a-b", "1.5",
];
const NAMES_OR_NONE: &[&str] = &["", "no", "123", "1e3", "null", "a-b", "1.5"];
const LABEL_VALUES: &[&str] = &[
    "", "no", "on", "y", "123", "1e3", "0x1f", "null", "true", "1.5", "a.b_c",
];
const LABEL_KEYS: &[&str] = &[
    "team",
    "no",
    "123",
    "1e3",
    "null",
    "example.com/owner",
    "app.kubernetes.io/part-of",
];
const ANNOTATION_KEYS: &[&str] = &[
    "team",
    "no",
    "123",
    "example.com/owner",
    "kubectl.kubernetes.io/default-container",
    "nginx.ingress.kubernetes.io/proxy-buffering",
    "helm.sh/resource-policy",
];
const VARIABLES: &[&str] = &["RUST_LOG", "RUST_BACKTRACE", "no", "y", "A.b-c", "TZ"];

fn strings(list: &[&str]) -> Vec<Value> {
    list.iter().map(|text| json!(text)).collect()
}

fn list(values: Value) -> Vec<Value> {
    serde_json::from_value(values).unwrap()
}

/// The names of labels, or of annotations.
pub(super) fn keys(definition: &str) -> Vec<String> {
    let keys = if definition == "annotations" {
        ANNOTATION_KEYS
    } else {
        LABEL_KEYS
    };
    keys.iter().map(|&key| key.to_owned()).collect()
}

/// Returns the values from which one for a definition of the schema is taken.
pub(super) fn of_definition(name: &str) -> Option<Vec<Value>> {
    Some(match name {
        "name" => strings(NAMES_OR_NONE),
        "requiredName" => strings(NAMES),
        // There are these namespaces.
        "namespace" => strings(&["", super::NAMESPACE]),
        "requiredNamespace" => strings(&[super::NAMESPACE, "default", super::NUMBER]),
        "host" => strings(&["", "streams.example.com", "no", "1.5", "123"]),
        "cidr" => strings(&["10.0.0.0/8", "0.0.0.0/0", "fd00::/8"]),
        "limit" => list(json!([0, 0, 200, 1_000_000])),
        "duration" => strings(&["", "2160h", "1h30m", "90s"]),
        "interval" => strings(&["30s", "1m", "1h2m3s4ms"]),
        "toleration" => list(json!([
            {"key": "no", "operator": "Exists"},
            {"key": "a/b", "operator": "Equal", "value": "on", "effect": "NoSchedule"},
            {"operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 30},
        ])),
        "peer" => list(json!([
            {"namespaceSelector": {}},
            {"podSelector": {"matchLabels": {"a": "no"}}, "namespaceSelector": {"matchLabels": {"b": "123"}}},
            {"podSelector": {"matchExpressions": [{"key": "a", "operator": "In", "values": ["on"]}]}},
            {"ipBlock": {"cidr": "10.0.0.0/8", "except": ["10.1.0.0/16"]}},
        ])),
        // Requests below all limits that follow from other values.
        "resources" => list(json!([
            null, {}, {"requests": null}, {"limits": null}, {"requests": {"cpu": 1}, "limits": {"memory": null}},
            {"requests": {"cpu": "100m", "memory": "1M"}, "limits": {"cpu": 1.5, "memory": "8Gi"}},
        ])),
        "gatewayResources" => list(json!([
            null, {}, {"requests": null}, {"limits": null}, {"limits": {"memory": null}}, {"requests": {"memory": "64Mi"}},
            {"requests": {"cpu": 2, "memory": 67_108_864}, "limits": {"memory": "auto"}},
        ])),
        _ => return None,
    })
}

/// Returns the values from which the one at a path is taken; a group's path is that of `gateway`.
pub(super) fn of_path(path: &str) -> Option<Vec<Value>> {
    let last = path.rsplit('/').next().unwrap_or_default();
    Some(match path {
        "/global" => list(json!([{}, {"imageRegistry": "x", "n": 1}])),
        "/enabled" => list(json!([
            true, true, true, true, true, true, true, true, true, false
        ])),
        "/nameOverride" => strings(&["", "no", "123", "1e3", "null", "streams"]),
        "/fullnameOverride" => strings(&["", "no", "null", "true", "streams"]),
        "/image/registry" => list(json!([
            null,
            "",
            "registry.example.com/iot",
            "localhost:5000/"
        ])),
        "/listenAddress" => strings(&["[::]", "0.0.0.0", "127.0.0.1", "[::1]"]),
        "/fluvio/address" | "/gateway/fluvio/address" => strings(&[
            "fluvio:9003",
            "fluvio-sc.fluvio.svc:9003",
            "10.0.0.1:9003",
            "[fd00::1]:9005",
            "h.example.com:1",
        ]),
        "/monitoring/prometheusRule/disabled" => list(json!([
            [],
            ["DatastreamLatency"],
            ["DatastreamSourceLag", "DatastreamEventsOld"]
        ])),
        // The cluster has one family of addresses.
        "/gateway/service/ipFamilyPolicy" => strings(&["", "SingleStack", "PreferDualStack"]),
        "/gateway/service/loadBalancerClass" => strings(&["", "example.com/internal"]),
        "/collector/config/defaults" => {
            list(json!([{}, {"store": {"jsonl": {"dir": "/var/lib/datastream"}}}]))
        }
        "/collector/config/streams" => list(json!([
            [], [{"name": "no"}], [{"name": "a", "url": "wss://h/stream", "key": "0x1f"}, {"name": "1e3", "start": 5}],
        ])),
        "/collector/persistence/size" => strings(&["10Gi", "1", "1.5G", "100k"]),
        _ => match last {
            "affinity" => list(
                json!([null, {}, {"podAntiAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [
                    {"weight": 1, "podAffinityTerm": {"topologyKey": "kubernetes.io/hostname", "labelSelector": {"matchLabels": {"a": "no"}}}},
                ]}}]),
            ),
            "securityContext" => list(json!([
                 {}, {"runAsUser": null}, {"runAsUser": null, "runAsGroup": null, "fsGroup": null},
                {"fsGroup": 1_000_680_000, "runAsUser": 1_000_680_000}, {"supplementalGroups": [1, 2]},
            ])),
            "containerSecurityContext" => {
                list(json!([{}, {"runAsNonRoot": true}, {"capabilities": {"drop": ["ALL"]}}]))
            }
            "valueFrom" => list(json!([
                {"fieldRef": {"fieldPath": "metadata.name"}}, {"secretKeyRef": {"name": "no", "key": "1e3"}},
            ])),
            "priorityClassName" | "storageClassName" => strings(NAMES_OR_NONE),
            "repository" => strings(&[
                "datastream",
                "123",
                "registry.example.com/a/b",
                "localhost/a",
            ]),
            "tag" => strings(&["", "1.0", "123", "latest", "1e3"]),
            "digest" => strings(&[
                "",
                "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
            ]),
            "topic" => strings(&["events", "no", "123"]),
            "cursorsTopic" => strings(&["", "positions", "1e3"]),
            _ => return None,
        },
    })
}

/// Strings of which the schema says nothing, or only what names, labels and variables are.
pub(super) fn of_text(path: &str, definition: &str) -> Vec<Value> {
    match (definition, path) {
        ("labels", _) => strings(LABEL_VALUES),
        ("variable", path) if path.ends_with("/name") => strings(VARIABLES),
        _ => strings(TEXTS),
    }
}
