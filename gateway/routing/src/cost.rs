//! The cost of filters to the gateways.

use crate::filter::Filter;
use crate::pattern::Pattern;

/// Returns the cost of a subscription's filters: the bytes of the literal text in all patterns that have a `*` anywhere but at
/// their end only.
///
/// Exact values and prefixes (`AC000*`) cost nothing: a gateway looks them up. Any other pattern is searched for within every
/// value, by an automaton whose size grows with the literal text.
///
/// ```
/// # use datastream_routing::{Field, Filter, cost};
/// let dsns = |patterns: &[&str]| {
///     Filter::default().with(Field::Dsn, patterns.iter().map(|p| (*p).into()))
/// };
/// assert_eq!(cost(&[dsns(&["AC000W000340777", "AC000*", "*"])]), 0);
/// assert_eq!(cost(&[dsns(&["*0*0*aB*", "*7"]), dsns(&["AC*1"])]), 4 + 1 + 3);
/// ```
pub fn cost(filters: &[Filter]) -> u64 {
    let lists = filters.iter().flat_map(Filter::lists);
    lists.flat_map(|(_, list)| list).map(of_pattern).sum()
}

fn of_pattern(pattern: &Pattern) -> u64 {
    let text = pattern.as_str();
    let is_looked_up = match text.find('*') {
        None => true,
        Some(first) => text[first..].bytes().all(|b| b == b'*'),
    };
    if is_looked_up {
        return 0;
    }
    text.bytes().filter(|b| *b != b'*').count() as u64
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::field::Field;

    fn of(text: &str) -> u64 {
        of_pattern(&Pattern::new(text))
    }

    #[test]
    fn patterns_that_are_looked_up_cost_nothing() {
        for text in ["", "A", "A*", "A**", "*", "**"] {
            assert_eq!(of(text), 0, "{text}");
        }
    }

    #[test]
    fn patterns_that_are_searched_for_cost_their_literal_text() {
        for (text, cost) in [("*A", 1), ("A*B", 2), ("*A*", 1), ("*ä*b*", 3), ("A*B*", 2)] {
            assert_eq!(of(text), cost, "{text}");
        }
    }

    proptest! {
        #[test]
        fn the_cost_of_filters_is_the_sum_of_their_parts(texts in prop::collection::vec("[ab*]{0,8}", 0..20)) {
            let patterns = |texts: &[String]| texts.iter().map(|t| t.as_str().into()).collect::<Vec<_>>();
            let (dsns, names) = texts.split_at(texts.len() / 2);
            let filter = Filter::default().with(Field::Dsn, patterns(dsns)).with(Field::PropertyName, patterns(names));
            prop_assert_eq!(cost(&[filter.clone(), filter]), 2 * texts.iter().map(|t| of(t)).sum::<u64>());
        }
    }
}
