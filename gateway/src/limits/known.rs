//! A bounded memory of those who came.

use std::collections::HashMap;
use std::hash::Hash;

/// Entries after which those that are idle are forgotten.
const IDLE_FORGOTTEN_AT: usize = 1 << 12;
/// The most entries: further ones are not remembered, and have no limit of their own. What all share still holds for them.
const MOST: usize = 1 << 16;

/// Values by key, of which those that are idle are forgotten.
#[derive(Debug)]
pub(crate) struct Known<K, V>(HashMap<K, V>);

impl<K, V> Default for Known<K, V> {
    fn default() -> Self {
        Self(HashMap::new())
    }
}

impl<K: Eq + Hash, V> Known<K, V> {
    /// The value of a key, made if it is not known yet; none if there are too many.
    pub(crate) fn entry(
        &mut self,
        key: K,
        make: impl FnOnce() -> V,
        mut is_idle: impl FnMut(&mut V) -> bool,
    ) -> Option<&mut V> {
        let count = self.0.len();
        if !self.0.contains_key(&key) {
            // At powers of two, so that it costs each entry a constant time.
            if count >= IDLE_FORGOTTEN_AT && count.is_power_of_two() {
                self.0.retain(|_, value| !is_idle(value));
            }
            if self.0.len() >= MOST {
                return None;
            }
        }
        Some(self.0.entry(key).or_insert_with(make))
    }

    /// The value of a key that is known.
    pub(crate) fn get_mut(&mut self, key: &K) -> Option<&mut V> {
        self.0.get_mut(key)
    }

    /// Number of keys.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn those_that_are_idle_are_forgotten_and_never_too_many_remembered() {
        let mut known = Known::default();
        for n in 0..3 * IDLE_FORGOTTEN_AT {
            known.entry(n, || n, |value| *value % 2 == 0).unwrap();
        }
        assert!(known.len() < 3 * IDLE_FORGOTTEN_AT);
        let mut known = Known::default();
        let mut remembered = 0;
        for n in 0..MOST + 10 {
            remembered += usize::from(known.entry(n, || (), |()| false).is_some());
        }
        assert_eq!((remembered, known.len()), (MOST, MOST));
        assert!(
            known.entry(5, || (), |()| false).is_some(),
            "one that is known"
        );
    }
}
