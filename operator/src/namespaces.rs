//! The namespaces whose subscriptions are served, and what has been heard of each.

use std::collections::{BTreeMap, BTreeSet};
use std::str::FromStr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::routing::Synced;

/// The most characters of a DNS label.
const MAX_NAME: usize = 63;

/// The name of a namespace.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct NamespaceName(String);

/// A text that is not the name of a namespace.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "a namespace is named by lower-case letters, digits and - between them ({MAX_NAME} at most), not {0:?}"
)]
pub struct MalformedNamespace(String);

impl FromStr for NamespaceName {
    type Err = MalformedNamespace;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let name = text.trim();
        let is_label = (1..=MAX_NAME).contains(&name.len())
            && !name.starts_with('-')
            && !name.ends_with('-')
            && name
                .bytes()
                .all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'-'));
        if !is_label {
            return Err(MalformedNamespace(text.to_owned()));
        }
        Ok(Self(name.to_owned()))
    }
}

impl From<NamespaceName> for String {
    fn from(name: NamespaceName) -> Self {
        name.0
    }
}

/// The namespaces whose subscriptions are served.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Namespaces {
    /// All of the cluster.
    #[default]
    All,
    /// These namespaces only; at least one.
    Only(BTreeSet<NamespaceName>),
}

impl FromIterator<NamespaceName> for Namespaces {
    fn from_iter<I: IntoIterator<Item = NamespaceName>>(names: I) -> Self {
        let names: BTreeSet<_> = names.into_iter().collect();
        if names.is_empty() {
            Self::All
        } else {
            Self::Only(names)
        }
    }
}

/// The part of a cluster that one watch is for: a namespace; absent for all of them.
pub(crate) type Scope = Option<Arc<str>>;

impl Namespaces {
    /// The parts of the cluster that are watched.
    pub(crate) fn scopes(&self) -> Vec<Scope> {
        match self {
            Self::All => vec![None],
            Self::Only(names) => names.iter().map(|n| Some(n.0.as_str().into())).collect(),
        }
    }

    /// The namespaces that are named.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        let names = match self {
            Self::All => None,
            Self::Only(names) => Some(names),
        };
        names.into_iter().flatten().map(|name| name.0.as_str())
    }
}

/// The kinds of objects that have been heard of in each watched part of the cluster. One namespace that cannot be listed does not
/// keep the others waiting.
#[derive(Clone, Debug)]
pub(crate) struct Heard(Arc<Mutex<BTreeMap<Scope, Kinds>>>);

/// Kinds of objects, as [`Synced`] numbers them.
#[derive(Clone, Copy, Debug, Default)]
struct Kinds {
    listed: u8,
    /// Kinds that are listed, or are known not to be listable.
    heard: u8,
}

/// The kinds of objects that are watched by namespace.
const BOTH: u8 = Synced::Subscriptions as u8 | Synced::Keys as u8;

impl Heard {
    /// Nothing has been heard yet.
    pub(crate) fn of(namespaces: &Namespaces) -> Self {
        let scopes = namespaces.scopes().into_iter();
        let scopes = scopes.map(|scope| (scope, Kinds::default())).collect();
        Self(Arc::new(Mutex::new(scopes)))
    }

    /// Objects of this kind have been listed. Returns whether these were the last that were missing of this scope.
    pub(crate) fn listed(&self, scope: &Scope, kind: Synced) -> bool {
        let mut scopes = self.lock();
        let Some(kinds) = scopes.get_mut(scope) else {
            return false;
        };
        let before = *kinds;
        kinds.listed |= kind as u8;
        kinds.heard |= kind as u8;
        kinds.listed == BOTH && before.listed != BOTH
    }

    /// Objects of this kind cannot be listed. The whole cluster has to be: without it, nothing is known of anything.
    pub(crate) fn failed(&self, scope: &Scope, kind: Synced) {
        if scope.is_none() {
            return;
        }
        if let Some(kinds) = self.lock().get_mut(scope) {
            kinds.heard |= kind as u8;
        }
    }

    /// Returns whether every scope has been heard of, as far as this kind goes.
    pub(crate) fn is_settled(&self, kind: Synced) -> bool {
        let scopes = self.lock();
        scopes.values().all(|kinds| kinds.heard & kind as u8 != 0)
    }

    /// Returns whether all that is to be known of this namespace has been listed.
    pub(crate) fn is_listed(&self, namespace: &str) -> bool {
        let scopes = self.lock();
        let kinds = scopes
            .get(&None)
            .or_else(|| scopes.get(&Some(namespace.into())));
        kinds.is_some_and(|kinds| kinds.listed == BOTH)
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Scope, Kinds>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(text: &str) -> Result<Namespaces, MalformedNamespace> {
        text.split(',').map(str::parse::<NamespaceName>).collect()
    }

    #[test]
    fn namespaces_must_be_dns_labels_and_duplicates_are_merged() {
        let two = names("team-a, b,team-a").unwrap();
        assert_eq!(two.names().collect::<Vec<_>>(), ["b", "team-a"]);
        assert_eq!(Namespaces::from_iter([]), Namespaces::All);
        let long = "a".repeat(64);
        for bad in ["", "a,", "A", "-a", "a-", "a.b", "a_b", &long] {
            let error = names(bad).unwrap_err().to_string();
            assert!(error.contains("lower-case letters"), "{error}");
        }
    }

    #[test]
    fn a_namespace_that_cannot_be_listed_blocks_no_other_and_counts_once_listed() {
        let heard = Heard::of(&names("a,b").unwrap());
        let scope = |name: &str| Some(name.into());
        assert!(!heard.listed(&scope("a"), Synced::Subscriptions));
        assert!(heard.listed(&scope("a"), Synced::Keys));
        assert!(!heard.listed(&scope("a"), Synced::Keys), "only once");
        assert!(!heard.is_settled(Synced::Keys));
        heard.failed(&scope("b"), Synced::Subscriptions);
        heard.failed(&scope("b"), Synced::Keys);
        assert!(heard.is_settled(Synced::Subscriptions) && heard.is_settled(Synced::Keys));
        assert!(heard.is_listed("a") && !heard.is_listed("b") && !heard.is_listed("c"));
        heard.listed(&scope("b"), Synced::Keys);
        assert!(heard.listed(&scope("b"), Synced::Subscriptions));
        assert!(heard.is_listed("b"));
    }

    #[test]
    fn a_failed_list_of_the_whole_cluster_is_waited_for() {
        let heard = Heard::of(&Namespaces::All);
        heard.failed(&None, Synced::Subscriptions);
        assert!(!heard.is_settled(Synced::Subscriptions));
        heard.listed(&None, Synced::Subscriptions);
        assert!(heard.is_settled(Synced::Subscriptions) && !heard.is_listed("a"));
        heard.listed(&None, Synced::Keys);
        assert!(heard.is_listed("a"));
    }
}
