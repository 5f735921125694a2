//! The public API of datastream: custom resources of the group `datastream.dev`.
//!
//! The Rust types are the source; `crds/generated` holds the YAML made from them, and a test keeps both in step.

mod lenient;
mod spec;
mod status;

pub use spec::{
    ClientCertificate, DatastreamSubscription, DatastreamSubscriptionSpec, EventType, Filter,
    Heartbeat, KeyRotation, Resume,
};
pub use status::{Connection, ConnectionState, DatastreamSubscriptionStatus};

use kube::CustomResourceExt;

/// The custom resource definitions, as YAML documents to apply.
///
/// # Errors
/// None in practice: only a schema that is not serialisable fails.
pub fn definitions() -> Result<String, serde_json::Error> {
    let definition = DatastreamSubscription::crd();
    // By way of JSON, so that fields without a value are left out as `kubectl` expects.
    let value = serde_json::to_value(&definition)?;
    serde_saphyr::to_string(&value).map_err(serde::ser::Error::custom)
}
