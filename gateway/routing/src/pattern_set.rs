//! Many patterns, asked at once: which of them match a value?
//!
//! A pattern is literal text between its `*`s. Patterns are filed in a tree by these texts, first to last, so that patterns that
//! begin alike share the work, and one automaton finds all texts that stand in a value in one pass over it. Taking each text at
//! its leftmost place leaves the most room for those behind it, so each node of the tree is reached at one place at the most, and
//! only nodes whose texts stand in the value are looked at. The cost of a value follows what matches in it, and not how many
//! patterns there are.

use std::collections::HashMap;

use aho_corasick::AhoCorasick;

use crate::pattern::Pattern;

/// A set of patterns, each with a number.
#[derive(Debug, Default)]
pub(crate) struct PatternSet {
    /// Nodes by the text before the first `*`.
    roots: Affixes<Node>,
    /// Finds the texts between two `*`s. None: there are none, or the automaton would be too large.
    literals: Option<AhoCorasick>,
    texts: Vec<Box<str>>,
    patterns: u32,
}

/// The patterns that begin with the texts on the way here.
#[derive(Debug, Default)]
struct Node {
    /// The pattern that ends here with a `*`.
    open: Option<u32>,
    /// The patterns that end with one more text, by that.
    closed: Option<Box<Affixes<u32>>>,
    /// Children by the number of the next text.
    #[allow(
        clippy::box_collection,
        reason = "most nodes have none, and a pointer is a sixth of a map"
    )]
    next: Option<Box<HashMap<u32, Node>>>,
}

/// Values by a text that others begin or end with.
#[derive(Debug)]
struct Affixes<V> {
    /// The lengths in bytes that occur, ascending.
    lengths: Vec<usize>,
    values: HashMap<Box<str>, V>,
}

/// Makes a set.
#[derive(Debug, Default)]
pub(crate) struct PatternSetBuilder {
    set: PatternSet,
    numbers: HashMap<Box<str>, u32>,
}

/// Working memory of a look-up.
#[derive(Debug, Default)]
pub(crate) struct Found {
    /// The patterns that match, each once.
    pub matching: Vec<u32>,
    /// The texts that stand in the value and where, sorted by both.
    places: Vec<(u32, usize)>,
    /// Index in `places` at which each text begins.
    texts: Vec<(u32, usize)>,
}

impl<V> Default for Affixes<V> {
    fn default() -> Self {
        Self {
            lengths: Vec::new(),
            values: HashMap::new(),
        }
    }
}

impl<V: Default> Affixes<V> {
    fn entry(&mut self, text: &str) -> &mut V {
        if !self.values.contains_key(text) {
            if let Err(at) = self.lengths.binary_search(&text.len()) {
                self.lengths.insert(at, text.len());
            }
            self.values.insert(text.into(), V::default());
        }
        self.values.entry(text.into()).or_default()
    }
}

impl<V> Affixes<V> {
    /// The values of all texts that `value` begins with, with their lengths.
    fn before<'a>(&'a self, value: &'a str) -> impl Iterator<Item = (usize, &'a V)> {
        self.fitting(value)
            .filter_map(|length| Some((length, self.values.get(value.get(..length)?)?)))
    }

    /// The values of all texts that `value` ends with.
    fn after<'a>(&'a self, value: &'a str) -> impl Iterator<Item = &'a V> {
        self.fitting(value)
            .filter_map(|length| self.values.get(value.get(value.len() - length..)?))
    }

    fn fitting(&self, value: &str) -> impl Iterator<Item = usize> {
        let most = value.len();
        self.lengths.iter().copied().take_while(move |l| *l <= most)
    }
}

impl PatternSetBuilder {
    /// Adds a pattern that is not exact, and returns its number; equal ones have the same.
    pub(crate) fn add(&mut self, pattern: &Pattern) -> u32 {
        let Self { set, numbers } = self;
        let mut texts = pattern.as_str().split('*');
        let first = texts.next().unwrap_or_default();
        let last = texts.next_back().unwrap_or_default();
        let mut node = set.roots.entry(first);
        for text in texts.filter(|text| !text.is_empty()) {
            let number = *numbers.entry(text.into()).or_insert_with(|| {
                set.texts.push(text.into());
                set.texts.len() as u32 - 1
            });
            node = node.next.get_or_insert_default().entry(number).or_default();
        }
        let new = set.patterns;
        let number = if last.is_empty() {
            *node.open.get_or_insert(new)
        } else {
            let closed = node.closed.get_or_insert_default();
            if closed.values.contains_key(last) {
                *closed.entry(last)
            } else {
                *closed.entry(last) = new;
                new
            }
        };
        set.patterns += u32::from(number == new);
        number
    }

    /// The set of what was added.
    pub(crate) fn build(mut self) -> PatternSet {
        if !self.set.texts.is_empty() {
            let texts = self.set.texts.iter().map(|text| text.as_bytes());
            self.set.literals = AhoCorasick::new(texts).ok();
        }
        self.set
    }
}

impl PatternSet {
    /// The number of different patterns; their numbers are below it.
    pub(crate) fn len(&self) -> usize {
        self.patterns as usize
    }

    /// Finds all patterns that match `value`.
    pub(crate) fn find(&self, value: &str, found: &mut Found) {
        found.matching.clear();
        let mut is_searched = false;
        for (length, root) in self.roots.before(value) {
            if root.next.is_some() && !is_searched {
                self.search(value, found);
                is_searched = true;
            }
            self.walk(root, value, length, found);
        }
    }

    /// Finds the texts that stand in `value`.
    fn search(&self, value: &str, found: &mut Found) {
        found.places.clear();
        found.texts.clear();
        match &self.literals {
            Some(literals) => {
                let places = literals.find_overlapping_iter(value);
                found
                    .places
                    .extend(places.map(|m| (m.pattern().as_u32(), m.start())));
            }
            None => {
                for (text, number) in self.texts.iter().zip(0..) {
                    let places = memchr::memmem::find_iter(value.as_bytes(), text.as_bytes());
                    // Those that overlap are missing: the leftmost place from somewhere on is asked for again below.
                    found.places.extend(places.map(|start| (number, start)));
                }
            }
        }
        found.places.sort_unstable();
        for (at, (text, _)) in found.places.iter().enumerate() {
            if found.texts.last().is_none_or(|(last, _)| last != text) {
                found.texts.push((*text, at));
            }
        }
    }

    /// Looks at what is below a node that is reached with everything before `from` used up.
    fn walk(&self, node: &Node, value: &str, from: usize, found: &mut Found) {
        found.matching.extend(node.open);
        let Some(rest) = value.get(from..) else {
            return;
        };
        if let Some(closed) = &node.closed {
            found.matching.extend(closed.after(rest));
        }
        let Some(next) = &node.next else { return };
        if next.len() < found.texts.len() {
            for (text, child) in next.iter() {
                if let Ok(at) = found.texts.binary_search_by_key(text, |(text, _)| *text) {
                    self.step(child, *text, at, value, from, found);
                }
            }
        } else {
            for at in 0..found.texts.len() {
                let text = found.texts[at].0;
                if let Some(child) = next.get(&text) {
                    self.step(child, text, at, value, from, found);
                }
            }
        }
    }

    /// Descends to a child, if its text is in the value from `from` on.
    fn step(
        &self,
        child: &Node,
        text: u32,
        at: usize,
        value: &str,
        from: usize,
        found: &mut Found,
    ) {
        let length = self.texts[text as usize].len();
        let place = if self.literals.is_some() {
            let end = found
                .texts
                .get(at + 1)
                .map_or(found.places.len(), |(_, place)| *place);
            let places = &found.places[found.texts[at].1..end];
            let first = places.partition_point(|(_, start)| *start < from);
            places.get(first).map(|(_, start)| *start)
        } else {
            let rest = &value.as_bytes()[from..];
            memchr::memmem::find(rest, self.texts[text as usize].as_bytes()).map(|at| from + at)
        };
        if let Some(start) = place {
            self.walk(child, value, start + length, found);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    fn set(patterns: &[Pattern]) -> (PatternSet, Vec<u32>) {
        let mut builder = PatternSetBuilder::default();
        let numbers = patterns.iter().map(|p| builder.add(p)).collect();
        (builder.build(), numbers)
    }

    proptest! {
        #[test]
        fn a_pattern_set_finds_exactly_the_patterns_that_match(
            patterns in vec("[ab*é]{0,3}\\*[ab*é]{0,4}", 0..20),
            values in vec("[abé]{0,10}", 1..5),
            without_automaton in any::<bool>(),
        ) {
            let patterns: Vec<Pattern> = patterns.into_iter().map(Pattern::new).collect();
            let (mut set, numbers) = set(&patterns);
            if without_automaton {
                set.literals = None;
            }
            let mut found = Found::default();
            for value in &values {
                set.find(value, &mut found);
                let mut once = found.matching.clone();
                once.sort_unstable();
                once.dedup();
                prop_assert_eq!(once.len(), found.matching.len(), "each once");
                for (pattern, number) in patterns.iter().zip(&numbers) {
                    prop_assert_eq!(found.matching.contains(number), pattern.matches(value), "{} {}", pattern, value);
                }
            }
        }
    }

    #[test]
    fn equivalent_patterns_share_one_number() {
        let (set, numbers) = set(&[
            "a*b".into(),
            "a**b".into(),
            "a*b*".into(),
            "*a".into(),
            "a*b".into(),
        ]);
        assert_eq!(numbers, [0, 0, 1, 2, 0]);
        assert_eq!(set.len(), 3);
    }
}
