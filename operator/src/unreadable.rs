//! Stand-ins for subscriptions that cannot be read, such as those of a later version.

use datastream_crds::{DatastreamSubscription, DatastreamSubscriptionSpec, Heartbeat, Resume};
use datastream_service_kube::watch::Unreadable;

/// Returns what can be known of a subscription that cannot be read: its metadata, and of its status what is well-formed. Its spec is
/// empty, and not to be looked at.
pub(crate) fn stand_in(object: Unreadable) -> DatastreamSubscription {
    let mut subscription = nameless();
    subscription.metadata = object.metadata;
    subscription.status = serde_json::from_value(object.status).unwrap_or_default();
    subscription
}

fn nameless() -> DatastreamSubscription {
    let spec = DatastreamSubscriptionSpec {
        event_types: vec![],
        filters: vec![],
        suspended: false,
        heartbeat: Heartbeat::default(),
        resume: Resume::default(),
        key_rotation: None,
        client_certificate: None,
        gateway_group: String::new(),
        description: None,
    };
    DatastreamSubscription::new("", spec)
}
