//! The cost of filters to the gateways.

use crate::filter::Filter;
use crate::pattern::Pattern;

/// Cost of a pattern that is checked.
const CHECKED: u64 = 256;

/// Returns the cost of a subscription's filters: 256 for each pattern that has literal text in several places (`AC*7`, `*a*b*`).
///
/// All others cost nothing: a gateway looks up exact values, beginnings (`AC000*`), ends (`*7`) and texts (`*led*`), however many there
/// are. A pattern with text in several places is looked up by one of them, and checked in each event that has it.
///
/// ```
/// # use datastream_routing::{Field, Filter, cost};
/// let dsns = |patterns: &[&str]| {
///     Filter::default().with(Field::Dsn, patterns.iter().map(|p| (*p).into()))
/// };
/// assert_eq!(cost(&[dsns(&["AC000W000340777", "AC000*", "*7", "*led*", "*"])]), 0);
/// assert_eq!(cost(&[dsns(&["*0*0*aB*", "*7"]), dsns(&["AC*1"])]), 2 * 256);
/// ```
pub fn cost(filters: &[Filter]) -> u64 {
    let lists = filters.iter().flat_map(Filter::lists);
    let checked = lists.flat_map(|(_, list)| list).filter(|p| is_checked(p));
    checked.count() as u64 * CHECKED
}

fn is_checked(pattern: &Pattern) -> bool {
    let texts = pattern.as_str().split('*').filter(|text| !text.is_empty());
    texts.count() > 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_with_text_in_several_places_are_checked_and_others_looked_up() {
        for text in ["", "A", "A*", "A**", "*", "**", "*A", "*A*", "*ä*"] {
            assert!(!is_checked(&Pattern::new(text)), "{text}");
        }
        for text in ["A*B", "*A*B", "A*B*", "*A*B*", "*ä*b*"] {
            assert!(is_checked(&Pattern::new(text)), "{text}");
        }
    }
}
