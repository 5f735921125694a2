//! One item of a filter list: an exact value, or a pattern in which `*` stands for any text.

use std::fmt;

use compact_str::CompactString;
use serde::{Deserialize, Serialize};

/// An exact value, or a pattern with `*` (any number of any characters) anywhere. Case-sensitive.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Pattern(CompactString);

impl Pattern {
    /// The pattern with this text.
    pub fn new(text: impl AsRef<str>) -> Self {
        Self(text.as_ref().into())
    }

    /// The text as written.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns whether the text has no `*`, so that only the equal value matches.
    pub fn is_exact(&self) -> bool {
        memchr::memchr(b'*', self.0.as_bytes()).is_none()
    }

    /// The number of `*`.
    pub(crate) fn stars(&self) -> usize {
        memchr::memchr_iter(b'*', self.0.as_bytes()).count()
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
        matches(&self.0, value)
    }
}

impl Pattern {
    /// Returns whether it matches every text that the other one matches.
    ///
    /// A `*` of the other one stands for any text, so only a `*` here can match it, and no literal does. Exact as long as there is a
    /// character that is in neither of them.
    pub fn covers(&self, other: &Self) -> bool {
        self.matches(&other.0)
    }

    /// Returns whether some text matches both. The time is the product of their lengths, unless one of them is
    /// [exact](Self::is_exact).
    pub fn overlaps(&self, other: &Self) -> bool {
        if other.is_exact() {
            return self.matches(&other.0);
        }
        if self.is_exact() {
            return other.matches(&self.0);
        }
        let (ours, theirs) = (self.0.as_bytes(), other.0.as_bytes());
        // For each place in `theirs`, whether some text is matched by what is before it and what was looked at of `ours`.
        let mut reached = vec![false; theirs.len() + 1];
        let mut next = reached.clone();
        reached[0] = true;
        skip_stars(&mut reached, theirs);
        for byte in ours {
            for at in 0..=theirs.len() {
                if *byte == b'*' {
                    next[at] = reached[at] || (at > 0 && next[at - 1]);
                } else {
                    let literal = at > 0 && reached[at - 1] && theirs[at - 1] == *byte;
                    let by_star = at > 0 && theirs[at - 1] == b'*' && reached[at];
                    next[at] = literal || by_star;
                }
            }
            skip_stars(&mut next, theirs);
            std::mem::swap(&mut reached, &mut next);
        }
        reached[theirs.len()]
    }
}

/// Returns whether `value` matches the pattern with this text.
pub(crate) fn matches(pattern: &str, value: &str) -> bool {
    let mut parts = pattern.split('*');
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

/// A `*` may stand for nothing.
fn skip_stars(reached: &mut [bool], pattern: &[u8]) {
    for (at, byte) in pattern.iter().enumerate() {
        if *byte == b'*' && reached[at] {
            reached[at + 1] = true;
        }
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

    proptest! {
        #[test]
        fn a_pattern_covers_what_it_matches_all_texts_of(p in "[ab*]{0,6}", q in "[ab*]{0,6}", texts in prop::collection::vec("[abx]{0,8}", 32)) {
            let (p, q) = (Pattern::new(p), Pattern::new(q));
            if p.covers(&q) {
                for text in &texts {
                    prop_assert!(!q.matches(text) || p.matches(text), "{text}");
                }
            } else {
                // With a character that is in neither.
                let witness = q.as_str().replace('*', "x");
                prop_assert!(q.matches(&witness) && !p.matches(&witness), "{witness}");
            }
        }

        #[test]
        fn patterns_overlap_if_a_text_matches_both(p in "[ab*]{0,6}", q in "[ab*]{0,6}", text in "[ab]{0,8}") {
            let (p, q) = (Pattern::new(p), Pattern::new(q));
            prop_assert_eq!(p.overlaps(&q), q.overlaps(&p));
            if p.matches(&text) && q.matches(&text) {
                prop_assert!(p.overlaps(&q));
            }
        }
    }

    /// Every text of up to six letters, for patterns of up to three characters: of two that overlap, one is that short.
    #[test]
    fn patterns_without_a_common_text_do_not_overlap() {
        let texts = |length: usize, letters: &str| {
            let mut all = vec![String::new()];
            for _ in 0..length {
                let longer: Vec<_> = all
                    .iter()
                    .flat_map(|text| letters.chars().map(move |c| format!("{text}{c}")))
                    .collect();
                all.extend(longer);
            }
            all.sort();
            all.dedup();
            all
        };
        let (patterns, values) = (texts(3, "ab*"), texts(6, "ab"));
        for p in &patterns {
            for q in &patterns {
                let (p, q) = (Pattern::new(p.as_str()), Pattern::new(q.as_str()));
                let common = values.iter().any(|v| p.matches(v) && q.matches(v));
                assert_eq!(p.overlaps(&q), common, "{p} {q}");
            }
        }
    }

    #[test]
    fn a_prefix_and_a_suffix_may_not_overlap() {
        assert!(!Pattern::new("ab*ba").matches("aba"));
        assert!(Pattern::new("*").matches(""));
        assert!(Pattern::new("**").matches("anything"));
    }
}
