//! Subscriptions that cannot be read, such as those of a later version: set aside by name, so that the others go on.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use datastream_crds::{DatastreamSubscription, DatastreamSubscriptionSpec, Heartbeat, Resume};
use datastream_routing::SubscriptionId;
use datastream_service_kube::watch::Unreadable;

/// The subscriptions that cannot be read, each with the field and what is wrong with it.
#[derive(Clone, Debug, Default)]
pub(crate) struct SetAside(Arc<Mutex<BTreeMap<SubscriptionId, Arc<str>>>>);

impl SetAside {
    /// A subscription cannot be read.
    pub(crate) fn insert(&self, id: SubscriptionId, error: &str) {
        self.lock().insert(id, error.into());
    }

    /// A subscription can be read, or is gone.
    pub(crate) fn remove(&self, id: &SubscriptionId) {
        self.lock().remove(id);
    }

    /// Returns why a subscription cannot be read, if so.
    pub(crate) fn get(&self, id: &SubscriptionId) -> Option<Arc<str>> {
        self.lock().get(id).cloned()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<SubscriptionId, Arc<str>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Returns what can be known of a subscription that cannot be read: its metadata, and of its status what is well-formed. Its spec is
/// empty, and not to be looked at.
pub(crate) fn stand_in(object: Unreadable) -> DatastreamSubscription {
    let mut subscription = nameless();
    subscription.metadata = object.metadata;
    subscription.status = serde_json::from_value(object.status).unwrap_or_default();
    subscription
}

/// A subscription of which only the name is known.
pub(crate) fn named(namespace: String, name: String) -> DatastreamSubscription {
    let mut subscription = nameless();
    subscription.metadata.namespace = Some(namespace);
    subscription.metadata.name = Some(name);
    subscription
}

fn nameless() -> DatastreamSubscription {
    let spec = DatastreamSubscriptionSpec {
        event_types: vec![],
        filters: vec![],
        suspended: false,
        heartbeat: Heartbeat::default(),
        resume: Resume::default(),
        gateway_group: String::new(),
        description: None,
    };
    DatastreamSubscription::new("", spec)
}
