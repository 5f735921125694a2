//! The verdict on each subscription, found once for each generation: what keeps it from being served, if anything does.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::Arc;

use datastream_crds::DatastreamSubscription;

use crate::spec::Invalid;

/// Something that keeps a subscription from being served.
#[derive(Debug)]
pub(crate) enum Fault {
    /// It cannot be read: the field, and what is wrong with it.
    Unreadable(String),
    /// It can be read and asks for something impossible.
    Invalid(Invalid),
}

/// The verdict on one generation of a subscription, with the labels that it had then.
#[derive(Clone, Debug)]
pub(crate) enum Verdict {
    /// It can be served.
    Valid,
    /// It cannot.
    Faulty(Arc<Fault>),
}

impl Verdict {
    /// Returns whether the subscription could not be read.
    pub(crate) fn is_unreadable(&self) -> bool {
        matches!(self, Self::Faulty(fault) if matches!(**fault, Fault::Unreadable(_)))
    }
}

/// The hash of the labels of a subscription, which no generation counts.
pub(crate) fn hash_of_labels(subscription: &DatastreamSubscription) -> u64 {
    let mut hasher = DefaultHasher::new();
    subscription.metadata.labels.hash(&mut hasher);
    hasher.finish()
}
