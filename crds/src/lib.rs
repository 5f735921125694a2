//! The public API of datastream: custom resources of the group `datastream.dev`.
//!
//! The Rust types are the source; `crds/generated` holds the YAML made from them, and a test keeps both in step.

mod access_rule;
mod lenient;
mod spec;
mod status;

pub use access_rule::{
    DatastreamAccessRule, DatastreamAccessRuleSpec, Effect, NamespaceSelector, Operator,
    Requirement,
};
pub use spec::{
    ClientCertificate, DatastreamSubscription, DatastreamSubscriptionSpec, EventType, Filter,
    Heartbeat, KeyRotation, Resume,
};
pub use status::{Connection, ConnectionState, DatastreamSubscriptionStatus};

use kube::CustomResourceExt;

/// A custom resource definition.
#[derive(Clone, Debug)]
pub struct Definition {
    /// The plural name of the resource, as in `datastreamsubscriptions`.
    pub plural: String,
    /// The definition as a YAML document to apply.
    pub yaml: String,
}

/// The custom resource definitions.
///
/// # Errors
/// None in practice: only a schema that is not serialisable fails.
pub fn definitions() -> Result<Vec<Definition>, serde_json::Error> {
    let definitions = [DatastreamAccessRule::crd(), DatastreamSubscription::crd()];
    let rendered = definitions.into_iter().map(|definition| {
        // By way of JSON, so that fields without a value are left out as `kubectl` expects.
        let value = serde_json::to_value(&definition)?;
        Ok(Definition {
            plural: definition.spec.names.plural,
            yaml: serde_saphyr::to_string(&value).map_err(serde::ser::Error::custom)?,
        })
    });
    rendered.collect()
}
