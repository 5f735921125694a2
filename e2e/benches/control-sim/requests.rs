//! The requests that the operator makes, counted by what they ask for.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

/// Verb and resource, as in `apply` and `datastreamsubscriptions/status`.
type Kind = (&'static str, String);

/// Numbers of requests by what they ask for.
pub(crate) type Counts = BTreeMap<Kind, u64>;

/// Requests by verb and resource.
#[derive(Default)]
pub(crate) struct Requests(Mutex<Counts>);

impl Requests {
    pub(crate) fn count(&self, verb: &'static str, resource: String) {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *counts.entry((verb, resource)).or_default() += 1;
    }

    pub(crate) fn counts(&self) -> Counts {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Requests that changed something, without those by which the operator says that it leads and finds out its rights.
    pub(crate) fn writes(&self) -> Counts {
        let is_write = |(verb, resource): &Kind| {
            !matches!(*verb, "get" | "list" | "watch" | "try")
                && !matches!(
                    resource.as_str(),
                    "leases" | "configmaps" | "selfsubjectaccessreviews"
                )
        };
        let mut counts = self.counts();
        counts.retain(|kind, _| is_write(kind));
        counts
    }

    /// Requests that have changed something since there were these.
    pub(crate) fn writes_since(&self, before: &Counts) -> Counts {
        let mut writes = self.writes();
        for (kind, count) in &mut writes {
            *count -= before.get(kind).unwrap_or(&0);
        }
        writes.retain(|_, count| *count > 0);
        writes
    }
}
