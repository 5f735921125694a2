//! Names of objects.

use std::collections::{BTreeMap, BTreeSet};

/// Namespace and name.
pub(super) type Name = (String, String);

/// Names of objects, each namespace once: there may be a hundred thousand objects.
#[derive(Debug, Default)]
pub(super) struct Names(BTreeMap<Box<str>, BTreeSet<Box<str>>>);

impl Names {
    pub(super) fn insert(&mut self, (namespace, name): &Name) {
        let name = name.as_str();
        if let Some(names) = self.0.get_mut(namespace.as_str()) {
            if !names.contains(name) {
                names.insert(name.into());
            }
        } else {
            let names = BTreeSet::from([name.into()]);
            self.0.insert(namespace.as_str().into(), names);
        }
    }

    pub(super) fn remove(&mut self, (namespace, name): &Name) {
        if let Some(names) = self.0.get_mut(namespace.as_str()) {
            names.remove(name.as_str());
            if names.is_empty() {
                self.0.remove(namespace.as_str());
            }
        }
    }

    /// The names that are not among these others.
    pub(super) fn without(self, others: &Self) -> impl Iterator<Item = Name> {
        self.0.into_iter().flat_map(|(namespace, names)| {
            let others = others.0.get(&namespace);
            let names = names.into_iter();
            names
                .filter(move |name| others.is_none_or(|others| !others.contains(name)))
                .map(move |name| (namespace.to_string(), name.into_string()))
        })
    }

    pub(super) fn clear(&mut self) {
        self.0.clear();
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn len(&self) -> usize {
        self.0.values().map(BTreeSet::len).sum()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn some() -> impl Strategy<Value = Vec<Name>> {
        prop::collection::vec(("[ab]", "[abc]"), 0..10)
    }

    fn names(of: &[Name]) -> Names {
        let mut names = Names::default();
        for name in of {
            names.insert(name);
        }
        names
    }

    proptest! {
        #[test]
        fn names_are_a_set(here in some(), gone in some(), others in some()) {
            let mut kept = names(&here);
            for name in &gone {
                kept.remove(name);
            }
            let mut expected: BTreeSet<_> = here.into_iter().collect();
            expected.retain(|name| !gone.contains(name));
            prop_assert_eq!((kept.len(), kept.is_empty()), (expected.len(), expected.is_empty()));
            expected.retain(|name| !others.contains(name));
            let others = names(&others);
            prop_assert_eq!(kept.without(&others).collect::<BTreeSet<_>>(), expected);
        }
    }
}
