//! Combinations of the items of a filter's lists: they multiply, where items add up.

use std::collections::BTreeSet;

/// Combinations up to which a filter is filed by all its lists, each under a node of its own where many filters meet. What has more is
/// checked there.
pub(crate) const MAX_COMBINATIONS: u64 = 1_024;
/// Combinations that one event may match, up to which a filter is filed by all its lists: the event goes to the node of each.
pub(crate) const MAX_WAYS: u64 = 32;

/// The numbers of combinations of some lists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Combinations {
    /// All of them.
    pub all: u64,
    /// The most that one event can match.
    pub ways: u64,
}

impl Combinations {
    /// Those of no list.
    pub(crate) const ONE: Self = Self { all: 1, ways: 1 };

    /// Those with one more list, of so many items, of which so many can match one value.
    #[must_use]
    pub(crate) fn with(self, items: usize, ways: usize) -> Self {
        Self {
            all: self.all.saturating_mul(items as u64),
            ways: self.ways.saturating_mul(ways as u64),
        }
    }

    /// Returns whether they are so few that a filter is filed under them.
    pub(crate) const fn are_few(self) -> bool {
        self.all <= MAX_COMBINATIONS && self.ways <= MAX_WAYS
    }
}

/// A group of items of which one value matches at most one.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Alternatives {
    Exact,
    /// Beginnings of this length.
    Beginning(usize),
    /// Ends of this length.
    End(usize),
    /// Whatever may match beside any other: the item with this number.
    Other(usize),
}

impl Alternatives {
    fn of((number, item): (usize, &str)) -> Self {
        let mut parts = item.split('*').enumerate();
        let mut texts = parts.by_ref().filter(|(_, text)| !text.is_empty());
        let (first, second) = (texts.next(), texts.next());
        let stars = item.bytes().filter(|byte| *byte == b'*').count();
        match (first, second) {
            _ if stars == 0 => Self::Exact,
            (Some((0, text)), None) => Self::Beginning(text.len()),
            (Some((at, text)), None) if at == stars => Self::End(text.len()),
            _ => Self::Other(number),
        }
    }
}

/// Returns the most items of a list that can match one value.
pub(crate) fn ways<'a>(items: impl ExactSizeIterator<Item = &'a str>) -> usize {
    if items.len() < 2 {
        return items.len();
    }
    let groups: BTreeSet<_> = items.enumerate().map(Alternatives::of).collect();
    groups.len()
}

#[cfg(test)]
mod tests {
    use proptest::collection::btree_set;
    use proptest::prelude::*;

    use super::*;
    use crate::pattern::matches;

    #[test]
    fn exact_items_and_beginnings_and_ends_of_one_length_exclude_each_other() {
        for (items, most) in [
            (&[][..], 0),
            (&["a*b*"], 1),
            (&["a", "b", "c"], 1),
            (&["a*", "b*", "c**"], 1),
            (&["*a", "*b", "**c"], 1),
            (&["a*", "ab*", "a", "*a"], 4),
            (&["*a*", "*b*", "a*b", "*"], 4),
        ] {
            assert_eq!(ways(items.iter().copied()), most, "{items:?}");
        }
    }

    proptest! {
        #[test]
        fn no_value_matches_more_items_than_that(
            items in btree_set("[ab*]{1,4}".prop_filter("neighbours", |item| !item.contains("**")), 0..30),
            value in "[ab]{0,6}",
        ) {
            let matching = items.iter().filter(|item| matches(item, &value)).count();
            prop_assert!(matching <= ways(items.iter().map(String::as_str)));
        }
    }

    #[test]
    fn combinations_are_few_up_to_the_limits() {
        let of = |lists: &[(usize, usize)]| {
            let add = |c: Combinations, (items, ways): &(usize, usize)| c.with(*items, *ways);
            lists.iter().fold(Combinations::ONE, add)
        };
        assert!(of(&[(32, 1), (32, 1), (1, 1)]).are_few());
        assert!(!of(&[(33, 1), (32, 1)]).are_few());
        assert!(of(&[(8, 8), (4, 4)]).are_few());
        assert!(!of(&[(8, 8), (5, 5)]).are_few());
        assert!(!of(&[(usize::MAX, 1), (usize::MAX, 1)]).are_few());
    }
}
