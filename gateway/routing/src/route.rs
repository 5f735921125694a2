//! One subscription, as the gateways see it.

use std::collections::BTreeMap;
use std::sync::Arc;

use datastream_protocol::event::{EventType, EventTypes};
use serde::{Deserialize, Serialize};

use crate::filter::{EventFields, Filter};
use crate::id::SubscriptionId;
use crate::key::KeyHash;
use crate::policy::Policy;

/// One subscription, validated and complete: nothing in it depends on a default of the reader.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", from = "Stored")]
pub struct Route {
    /// Namespace and name of the subscription.
    #[serde(flatten)]
    pub id: SubscriptionId,
    /// `metadata.uid` of the subscription: distinguishes a re-created one from its predecessor.
    pub uid: String,
    /// `metadata.generation` that this route was built from.
    pub generation: i64,
    /// SHA-256 of the stream key.
    pub key_sha256: KeyHash,
    /// SHA-256 of the stream key before it, as long as that is still good.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub previous_key_sha256: Option<KeyHash>,
    /// A suspended subscription keeps its key but gets no stream (403).
    pub suspended: bool,
    /// The event types that pass.
    pub event_types: EventTypes,
    /// An event passes if any entry matches; no entry means every device.
    pub filters: Vec<Filter>,
    /// Heartbeat, by which the gateway finds out that a client is gone.
    pub heartbeat: Heartbeat,
    /// Start for a client that names no position.
    pub resume: Resume,
    /// Certificates of which a client must have one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_certificate: Option<Box<ClientCertificate>>,
    /// Labels of the subscription, by which tokens may select it; none where no tokens are taken.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub labels: Option<Box<Labels>>,
    /// The reason why it may have no stream: the access rules deny what it asks for (403).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub denied: Option<Box<str>>,
    /// The policy of its namespace, which is no part of a routing object: gateways put it in from the access rules.
    #[serde(skip)]
    pub policy: Option<Arc<Policy>>,
}

/// A route as it is read. A flattened identity would have each route read twice, in a form of its own in between.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Stored {
    namespace: Arc<str>,
    name: Arc<str>,
    uid: String,
    generation: i64,
    key_sha256: KeyHash,
    #[serde(default)]
    previous_key_sha256: Option<KeyHash>,
    suspended: bool,
    event_types: EventTypes,
    filters: Vec<Filter>,
    heartbeat: Heartbeat,
    resume: Resume,
    #[serde(default)]
    client_certificate: Option<Box<ClientCertificate>>,
    #[serde(default)]
    labels: Option<Box<Labels>>,
    #[serde(default)]
    denied: Option<Box<str>>,
}

impl From<Stored> for Route {
    fn from(stored: Stored) -> Self {
        Self {
            id: SubscriptionId::new(stored.namespace, stored.name),
            uid: stored.uid,
            generation: stored.generation,
            key_sha256: stored.key_sha256,
            previous_key_sha256: stored.previous_key_sha256,
            suspended: stored.suspended,
            event_types: stored.event_types,
            filters: stored.filters,
            heartbeat: stored.heartbeat,
            resume: stored.resume,
            client_certificate: stored.client_certificate,
            labels: stored.labels,
            denied: stored.denied,
            policy: None,
        }
    }
}

/// Labels of a subscription, as its metadata has them.
pub type Labels = BTreeMap<String, String>;

/// Certificates of which a client must have one.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ClientCertificate {
    /// Subject alternative names (RFC 5280, section 4.2.1.6) of which the certificate must have one: DNS names, URIs and
    /// e-mail addresses.
    pub names: Vec<String>,
    /// The certificate opens the stream alone, without a key or a token.
    pub without_key: bool,
}

/// The heartbeat of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Heartbeat {
    /// Seconds between two heartbeats (DSS: 30).
    pub interval_seconds: u32,
    /// Number of unanswered heartbeats after which the stream is closed (DSS SDK: 3).
    pub missed_limit: u32,
}

impl Default for Heartbeat {
    fn default() -> Self {
        Self {
            interval_seconds: 30,
            missed_limit: 3,
        }
    }
}

/// Start for a client that names no position.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Resume {
    /// Resumes with the next event (as DSS does).
    #[default]
    Latest,
    /// Resumes after the last event that an answered heartbeat acknowledged.
    Committed,
}

impl Route {
    /// The keys that open the stream.
    pub fn keys(&self) -> impl Iterator<Item = KeyHash> {
        [Some(self.key_sha256), self.previous_key_sha256]
            .into_iter()
            .flatten()
    }

    /// Gives back memory that has room for more: lists that were read have.
    pub fn shrink_to_fit(&mut self) {
        self.filters.shrink_to_fit();
        self.filters.iter_mut().for_each(Filter::shrink_to_fit);
    }

    /// Route of every event, served from now on with the heartbeat of DSS, of a subscription in its first generation.
    pub fn new(id: SubscriptionId, key_sha256: KeyHash) -> Self {
        Self {
            id,
            uid: String::new(),
            generation: 1,
            key_sha256,
            previous_key_sha256: None,
            suspended: false,
            event_types: EventType::ALL.into_iter().collect(),
            filters: vec![],
            heartbeat: Heartbeat::default(),
            resume: Resume::default(),
            client_certificate: None,
            labels: None,
            denied: None,
            policy: None,
        }
    }

    /// Returns whether the event's type is wanted and any filter entry matches, if there are any. The session checks suspension.
    pub fn matches(&self, event: &EventFields<'_>) -> bool {
        self.event_types.contains(event.event_type)
            && (self.filters.is_empty() || self.filters.iter().any(|f| f.matches(event)))
    }

    /// Returns whether its namespace may have the event.
    pub fn permits(&self, event: &EventFields<'_>) -> bool {
        self.policy
            .as_ref()
            .is_none_or(|policy| policy.permits(event))
    }
}
