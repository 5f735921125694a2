//! One item of a filter list: an exact value, or a pattern in which `*` stands for any text.

use std::fmt;

use serde::{Deserialize, Serialize};

/// An exact value, or a pattern with `*` (any number of any characters) anywhere. Case-sensitive.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Pattern(String);

impl Pattern {
    /// The pattern with this text.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text as written.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns whether the text has no `*`, so that only the equal value matches.
    pub fn is_exact(&self) -> bool {
        memchr::memchr(b'*', self.0.as_bytes()).is_none()
    }

    /// The literal text before the first `*` (all of it if there is none).
    pub fn prefix(&self) -> &str {
        self.0.split('*').next().unwrap_or_default()
    }

    /// The literal text after the last `*` (all of it if there is none).
    pub fn suffix(&self) -> &str {
        self.0.rsplit('*').next().unwrap_or_default()
    }

    /// Returns whether `value` matches. The time is linear in the length of the value for each literal part.
    ///
    /// ```
    /// # use datastream_routing::Pattern;
    /// assert!(Pattern::new("AC*0*7").matches("AC000W000340777"));
    /// assert!(!Pattern::new("AC*0").matches("AC000W000340777"));
    /// ```
    pub fn matches(&self, value: &str) -> bool {
        let mut parts = self.0.split('*');
        let Some(first) = parts.next() else {
            return value.is_empty();
        };
        let Some(last) = parts.next_back() else {
            return value == first;
        };
        let Some(rest) = value.strip_prefix(first) else {
            return false;
        };
        let Some(mut middle) = rest.strip_suffix(last) else {
            return false;
        };
        // Taking each literal part at its leftmost place leaves the most room for the next ones.
        for part in parts {
            match memchr::memmem::find(middle.as_bytes(), part.as_bytes()) {
                Some(at) => middle = &middle[at + part.len()..],
                None => return false,
            }
        }
        true
    }
}

impl From<&str> for Pattern {
    fn from(text: &str) -> Self {
        Self::new(text)
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The definition: `*` matches every split, tried one by one.
    fn reference(pattern: &[char], value: &[char]) -> bool {
        match pattern.split_first() {
            None => value.is_empty(),
            Some(('*', rest)) => (0..=value.len()).any(|i| reference(rest, &value[i..])),
            Some((c, rest)) => value.first() == Some(c) && reference(rest, &value[1..]),
        }
    }

    proptest! {
        #[test]
        fn matches_what_the_definition_matches(pattern in "[ab*é]{0,8}", value in "[abé]{0,10}") {
            let (p, v): (Vec<_>, Vec<_>) = (pattern.chars().collect(), value.chars().collect());
            prop_assert_eq!(Pattern::new(pattern).matches(&value), reference(&p, &v));
        }
    }

    #[test]
    fn a_prefix_and_a_suffix_may_not_overlap() {
        assert!(!Pattern::new("ab*ba").matches("aba"));
        assert!(Pattern::new("*").matches(""));
        assert!(Pattern::new("**").matches("anything"));
    }
}
