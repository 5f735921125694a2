//! The spec of a subscription: what a team asks for.

// The derive repeats the visibility of the type on helper items of its own; each printer column has the same fields.
#![allow(unreachable_pub, clippy::duplicated_attributes)]

use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::status::DatastreamSubscriptionStatus;

/// A subscription to device events: which ones, and how its event stream behaves. Each subscription has one stream key,
/// which can be rotated, and may have one open stream at a time.
#[derive(CustomResource, KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[kube(
    group = "datastream.dev",
    version = "v1alpha1",
    kind = "DatastreamSubscription",
    shortname = "dss",
    category = "datastream",
    namespaced,
    status = "DatastreamSubscriptionStatus",
    derive = "PartialEq",
    cel,
    doc = "A subscription to device events, delivered as one event stream over a WebSocket.",
    printcolumn(name = "Event Types", type_ = "string", json_path = ".spec.eventTypes"),
    printcolumn(
        name = "Ready",
        type_ = "string",
        json_path = r#".status.conditions[?(@.type=="Ready")].status"#
    ),
    printcolumn(
        name = "Reason",
        type_ = "string",
        json_path = r#".status.conditions[?(@.type=="Ready")].reason"#,
        priority = 1
    ),
    printcolumn(
        name = "Connection",
        type_ = "string",
        json_path = ".status.connection.state"
    ),
    printcolumn(name = "Suspended", type_ = "boolean", json_path = ".spec.suspended"),
    printcolumn(
        name = "Secret",
        type_ = "string",
        json_path = ".status.secretName",
        priority = 1
    ),
    printcolumn(
        name = "Age",
        type_ = "date",
        json_path = ".metadata.creationTimestamp"
    )
)]
#[x_kube(
    validation = Rule::new("self.eventTypes.all(t, self.eventTypes.exists_one(u, u == t))")
        .message("eventTypes must not name a type twice"),
    validation = Rule::new(
        "!has(self.filters) || self.filters.all(f, !has(f.propertyNames)) || \
         self.eventTypes.exists(t, t == 'datapoint' || t == 'datapointack')"
    )
    .message("propertyNames can only match datapoint and datapointack events: add one of them to eventTypes, or leave propertyNames out")
)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct DatastreamSubscriptionSpec {
    /// The types of events to deliver, each once.
    #[schemars(length(min = 1, max = 5))]
    pub event_types: Vec<EventType>,

    /// Filters by device and property: an event passes if any entry matches it.
    /// Unset: the events of every device.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8))]
    pub filters: Vec<Filter>,

    /// Stops delivery if true. A suspended subscription keeps its stream key; its stream is closed, and a new one is
    /// refused (403). Unset: false.
    #[serde(default)]
    pub suspended: bool,

    /// Heartbeats by which the gateway finds out that a client is gone. Unset: a heartbeat every 30 s, of which 3 may be missed.
    #[serde(default)]
    pub heartbeat: Heartbeat,

    /// Position from which a client starts that asks for none. Unset: Latest.
    #[serde(default)]
    pub resume: Resume,

    /// Replacement of the stream key. Unset: only when the annotation datastream.dev/rotate-key asks for it, with an overlap of 24h.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key_rotation: Option<KeyRotation>,

    /// Certificates of which a client must have one, signed by an authority that the group of gateways trusts, which have TLS of their
    /// own for that. Unset: clients need none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_certificate: Option<ClientCertificate>,

    /// The group of gateways that delivers the events. It decides the topic that they come from and the URL of the
    /// stream. Unset: default.
    #[serde(default = "default_gateway_group")]
    #[schemars(length(min = 1, max = 32))]
    #[x_kube(validation = Rule::new("self.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?$')")
        .message("gatewayGroup must be a DNS label: lower-case letters, digits and -"))]
    pub gateway_group: String,

    /// Purpose of the subscription, for people. Unset: nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 512))]
    pub description: Option<String>,
}

/// A type of device events.
#[derive(
    JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord,
)]
#[serde(rename_all = "lowercase")]
pub enum EventType {
    /// A device went online or offline.
    Connectivity,
    /// A property of a device got a new value.
    Datapoint,
    /// A device acknowledged a value that was sent to it.
    Datapointack,
    /// A device reported where it is.
    Location,
    /// A device was registered to a user, or unregistered.
    Registration,
}

/// Conditions on an event. All given lists must match; in a list, any item. An item is an exact value (case-sensitive), or
/// a pattern in which each `*` stands for any text.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[x_kube(
    validation = Rule::new("has(self.oemIds) || has(self.oemModels) || has(self.dsns) || has(self.propertyNames)")
        .message("a filter needs at least one of oemIds, oemModels, dsns and propertyNames")
)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Filter {
    /// OEM ids of devices. Unset: any.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(min = 1, max = 64), inner(length(min = 1, max = 64)))]
    #[x_kube(validation = Rule::new("self.all(i, i.matches('^[!-~]([ -~]*[!-~])?$'))")
        .message("oemIds must be printable ASCII without spaces at the ends"))]
    pub oem_ids: Vec<String>,

    /// Models of devices. Unset: any.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(min = 1, max = 64), inner(length(min = 1, max = 64)))]
    #[x_kube(validation = Rule::new("self.all(i, i.matches('^[!-~]([ -~]*[!-~])?$'))")
        .message("oemModels must be printable ASCII without spaces at the ends"))]
    pub oem_models: Vec<String>,

    /// Serial numbers of devices. Unset: any.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(min = 1, max = 256), inner(length(min = 1, max = 64)))]
    #[x_kube(validation = Rule::new("self.all(i, i.matches('^[!-~]([ -~]*[!-~])?$'))")
        .message("dsns must be printable ASCII without spaces at the ends"))]
    pub dsns: Vec<String>,

    /// Names of properties. With it, the entry matches only events that have a property (datapoint and datapointack).
    /// Unset: any event.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(min = 1, max = 64), inner(length(min = 1, max = 64)))]
    #[x_kube(validation = Rule::new("self.all(i, i.matches('^[!-~]([ -~]*[!-~])?$'))")
        .message("propertyNames must be printable ASCII without spaces at the ends"))]
    pub property_names: Vec<String>,
}

impl Filter {
    /// The lists, each with its name.
    pub fn lists(&self) -> [(&'static str, &Vec<String>); 4] {
        // Taken apart, here and below, so that the compiler points at a list that is left out.
        let Self {
            oem_ids,
            oem_models,
            dsns,
            property_names,
        } = self;
        [
            ("oemIds", oem_ids),
            ("oemModels", oem_models),
            ("dsns", dsns),
            ("propertyNames", property_names),
        ]
    }

    /// The lists, to change them.
    pub fn lists_mut(&mut self) -> [&mut Vec<String>; 4] {
        let Self {
            oem_ids,
            oem_models,
            dsns,
            property_names,
        } = self;
        [oem_ids, oem_models, dsns, property_names]
    }
}

/// The heartbeat of a stream.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq)]
#[x_kube(
    validation = Rule::new("self.intervalSeconds * self.missedLimit <= 900")
        .message("a client that is gone must be noticed within 900 s: lower intervalSeconds or missedLimit")
)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Heartbeat {
    /// Seconds between two heartbeats. Unset: 30.
    #[serde(default = "default_interval_seconds")]
    #[schemars(range(min = 5, max = 300))]
    pub interval_seconds: i32,

    /// Heartbeats in a row that a client may leave unanswered before its stream is closed. Unset: 3.
    #[serde(default = "default_missed_limit")]
    #[schemars(range(min = 1, max = 10))]
    pub missed_limit: i32,
}

/// Replacement of the stream key, while the one before it stays good for some time. Durations are numbers with units, as in 720h,
/// 90m or 1h30m.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[x_kube(
    validation = Rule::new(
        "!has(self.every) || duration(self.every) > (has(self.overlap) ? duration(self.overlap) : duration('24h'))"
    )
    .message("every must be longer than overlap, which is 24h if unset"),
    validation = Rule::new("!has(self.every) || duration(self.every) >= duration('10m')")
        .message("every must be at least 10m: clients have to read each key")
)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct KeyRotation {
    /// Age at which a key is replaced, as in 720h or 1h30m (units h, m and s): at least 10m, and longer than overlap. Unset: only when the annotation datastream.dev/rotate-key gets another value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 32), regex(pattern = r"^([0-9]{1,6}(h|m|s))+$"))]
    pub every: Option<String>,

    /// Time for which the key before stays good, as in 24h (units h, m and s); 0s revokes it at once. Unset: 24h.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 32), regex(pattern = r"^([0-9]{1,6}(h|m|s))+$"))]
    pub overlap: Option<String>,
}

/// Certificates of clients.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ClientCertificate {
    /// Subject alternative names of which the certificate must have one, letter for letter: DNS names, URIs (as in
    /// spiffe://cluster.local/ns/team/sa/collector) or e-mail addresses.
    #[schemars(length(min = 1, max = 16), inner(length(min = 1, max = 512)))]
    #[x_kube(validation = Rule::new("self.all(n, n.matches('^[!-~]+$'))")
        .message("names must be printable ASCII without spaces"))]
    pub names: Vec<String>,

    /// The certificate alone opens the stream. Unset: false, a client brings the stream key, or a token, as well.
    #[serde(default)]
    pub without_key: bool,
}

fn default_gateway_group() -> String {
    "default".to_owned()
}

const fn default_interval_seconds() -> i32 {
    30
}

const fn default_missed_limit() -> i32 {
    3
}

impl Default for Heartbeat {
    fn default() -> Self {
        Self {
            interval_seconds: default_interval_seconds(),
            missed_limit: default_missed_limit(),
        }
    }
}

/// The position from which a client starts that asks for none.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Resume {
    /// With the next event.
    #[default]
    Latest,
    /// After the last event that an answered heartbeat acknowledged; the first time, with the next event.
    Committed,
}
