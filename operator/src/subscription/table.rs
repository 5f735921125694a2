//! All subscriptions, as the watch has brought them.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};

use datastream_routing::SubscriptionId;

use super::Subscription;

type Named = HashMap<Arc<str>, Arc<Subscription>>;

/// The subscriptions, by namespace and name.
#[derive(Clone, Debug, Default)]
pub(crate) struct Subscriptions(Arc<RwLock<HashMap<Arc<str>, Named>>>);

impl Subscriptions {
    /// The subscription with this identity.
    pub(crate) fn get(&self, id: &SubscriptionId) -> Option<Arc<Subscription>> {
        self.read().get(&id.namespace)?.get(&id.name).cloned()
    }

    /// An identity that shares its text with the subscription that has it, or with its namespace.
    pub(crate) fn id(&self, namespace: &str, name: &str) -> SubscriptionId {
        let all = self.read();
        let Some((namespace, named)) = all.get_key_value(namespace) else {
            return SubscriptionId::new(namespace, name);
        };
        let known = named.get_key_value(name).map(|(known, _)| known.clone());
        SubscriptionId::new(namespace.clone(), known.unwrap_or_else(|| name.into()))
    }

    /// The identities of the subscriptions of a namespace.
    pub(crate) fn within(&self, namespace: &str) -> Vec<SubscriptionId> {
        let all = self.read();
        let named = all.get(namespace).into_iter().flat_map(HashMap::values);
        named.map(|subscription| subscription.id.clone()).collect()
    }

    /// The identities of the subscriptions of which this is true.
    pub(crate) fn ids(&self, is_meant: impl Fn(&Subscription) -> bool) -> Vec<SubscriptionId> {
        let all = self.read();
        let all = all.values().flat_map(HashMap::values);
        all.filter(|subscription| is_meant(subscription))
            .map(|subscription| subscription.id.clone())
            .collect()
    }

    /// A subscription as it is now.
    pub(crate) fn set(&self, subscription: Subscription) {
        let SubscriptionId { namespace, name } = subscription.id.clone();
        let mut all = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let named = all.entry(namespace).or_default();
        named.insert(name, Arc::new(subscription));
    }

    /// A subscription is gone.
    pub(crate) fn remove(&self, id: &SubscriptionId) {
        let mut all = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(named) = all.get_mut(&id.namespace) {
            named.remove(&id.name);
            if named.is_empty() {
                all.remove(&id.namespace);
            }
        }
    }

    fn read(&self) -> RwLockReadGuard<'_, HashMap<Arc<str>, Named>> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }
}
