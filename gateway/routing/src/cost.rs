//! The cost of filters to the gateways.

use crate::combinations::{Combinations, MAX_COMBINATIONS, MAX_WAYS, ways};
use crate::filter::Filter;
use crate::pattern::Pattern;

/// Cost of a pattern, or a filter, that is checked.
const CHECKED: u64 = 256;
/// Combinations that cost 1: as many that those of a filter never cost more than checking it.
const COMBINATIONS: u64 = MAX_COMBINATIONS / CHECKED;
/// Combinations of a subscription that are free.
const FREE_COMBINATIONS: u64 = 128;
/// Items that cost 1.
const ITEMS: u64 = 8;
/// Items of a subscription that are free.
const FREE_ITEMS: u64 = 64;
/// Cost of each combination beyond the first that one event may match.
const WAY: u64 = CHECKED / MAX_WAYS;

/// Returns the cost of a subscription's filters, in time of each event and in memory of each gateway.
///
/// - 256 for each pattern that has literal text in several places (`AC*7`, `*a*b*`). It is looked up by one of them, and checked in each
///   event that has it. Exact values, beginnings (`AC000*`), ends (`*7`) and texts (`*led*`) are looked up.
/// - 256 for each filter whose lists have more than 1,024 combinations, or more than 32 of which one event can match: where many such
///   filters meet, they are checked one after the other.
/// - 8 for each combination of another filter with several lists, beyond its first one, that one event can match: the event goes to the
///   node of each.
/// - 1 for each 4 combinations of such filters beyond the first 128 of the subscription, and for each 8 items beyond its first 64: their
///   memory.
///
/// ```
/// # use datastream_routing::{Field, Filter, cost};
/// let dsns = |patterns: &[&str]| {
///     Filter::default().with(Field::Dsn, patterns.iter().map(|p| (*p).into()))
/// };
/// assert_eq!(cost(&[dsns(&["AC000W000340777", "AC000*", "*7", "*led*", "*"])]), 0);
/// assert_eq!(cost(&[dsns(&["*0*0*aB*", "*7"]), dsns(&["AC*1"])]), 2 * 256);
///
/// let numbered = |items| (0..items).map(|n: u16| n.to_string().as_str().into());
/// let fleet = |dsns, properties| {
///     let filter = Filter::default().with(Field::Dsn, numbered(dsns));
///     [filter.with(Field::PropertyName, numbered(properties))]
/// };
/// assert_eq!(cost(&fleet(10, 10)), 0);
/// assert_eq!(cost(&fleet(200, 4)), (204 - 64) / 8 + (200 * 4 - 128) / 4);
/// assert_eq!(cost(&fleet(256, 5)), 256 + (261 - 64) / 8);
/// ```
pub fn cost(filters: &[Filter]) -> u64 {
    let (mut checked, mut items, mut combinations, mut ways_more) = (0, 0_u64, 0_u64, 0);
    for filter in filters {
        let given = || filter.lists().filter(|(_, list)| !list.is_empty());
        for (_, list) in given() {
            checked += list.iter().filter(|item| is_checked(item)).count() as u64;
            items += list.len() as u64;
        }
        if given().nth(1).is_some() {
            let of_lists = given().fold(Combinations::ONE, |combinations, (_, list)| {
                combinations.with(list.len(), ways(list.iter().map(Pattern::as_str)))
            });
            if of_lists.are_few() {
                combinations += of_lists.all;
                ways_more += of_lists.ways - 1;
            } else {
                checked += 1;
            }
        }
    }
    checked * CHECKED
        + ways_more * WAY
        + combinations.saturating_sub(FREE_COMBINATIONS) / COMBINATIONS
        + items.saturating_sub(FREE_ITEMS) / ITEMS
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
