//! The verdict on each subscription, found once for each generation: what keeps it from being served, if anything does.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use datastream_crds::DatastreamSubscription;
use datastream_routing::SubscriptionId;

use crate::routing::Uid;
use crate::spec::Invalid;

/// Something that keeps a subscription from being served.
#[derive(Debug)]
pub(crate) enum Fault {
    /// It cannot be read: the field, and what is wrong with it.
    Unreadable(String),
    /// It can be read and asks for something impossible.
    Invalid(Invalid),
}

/// The verdict on one generation of a subscription.
#[derive(Clone, Debug)]
pub(crate) enum Verdict {
    /// It can be served.
    Valid,
    /// It cannot.
    Faulty(Arc<Fault>),
}

/// The verdicts on all subscriptions.
#[derive(Clone, Debug, Default)]
pub(crate) struct Verdicts(Arc<Mutex<HashMap<SubscriptionId, Entry>>>);

#[derive(Debug)]
struct Entry {
    uid: Option<Uid>,
    generation: Option<i64>,
    /// The hash of the labels, which no generation counts.
    labels: u64,
    verdict: Verdict,
}

fn hash_of_labels(subscription: &DatastreamSubscription) -> u64 {
    let mut hasher = DefaultHasher::new();
    subscription.metadata.labels.hash(&mut hasher);
    hasher.finish()
}

impl Entry {
    fn is_of(&self, uid: Option<&Uid>, generation: Option<i64>) -> bool {
        self.generation.is_some() && self.generation == generation && self.uid.as_ref() == uid
    }
}

impl Verdicts {
    /// Sets the verdict on this generation of a subscription.
    pub(crate) fn set(
        &self,
        id: SubscriptionId,
        subscription: &DatastreamSubscription,
        checked: Result<(), Fault>,
    ) {
        let entry = Entry {
            uid: subscription.metadata.uid.as_deref().map(Uid::from),
            generation: subscription.metadata.generation,
            labels: hash_of_labels(subscription),
            verdict: checked.map_or_else(
                |fault| Verdict::Faulty(Arc::new(fault)),
                |()| Verdict::Valid,
            ),
        };
        self.lock().insert(id, entry);
    }

    /// The subscription is gone.
    pub(crate) fn remove(&self, id: &SubscriptionId) {
        self.lock().remove(id);
    }

    /// Returns the verdict on this generation of the subscription with this uid, if there is one.
    pub(crate) fn get(
        &self,
        id: &SubscriptionId,
        uid: Option<&Uid>,
        generation: Option<i64>,
    ) -> Option<Verdict> {
        let entries = self.lock();
        let entry = entries.get(id)?;
        let is_meant = entry.is_of(uid, generation);
        is_meant.then(|| entry.verdict.clone())
    }

    /// Returns whether the verdict on a subscription was found with the labels that it has now.
    pub(crate) fn saw_labels(
        &self,
        id: &SubscriptionId,
        subscription: &DatastreamSubscription,
    ) -> bool {
        let labels = hash_of_labels(subscription);
        let entries = self.lock();
        entries.get(id).is_some_and(|entry| entry.labels == labels)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<SubscriptionId, Entry>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
