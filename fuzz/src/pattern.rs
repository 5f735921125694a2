//! Patterns, one by one and all at once in an index, against the definition of a match.

use datastream_protocol::event::EventType;
use datastream_routing::{
    EventFields, Field, Filter, FilterIndex, KeyHash, Matches, Pattern, PerField, Route,
    SubscriptionId, cost,
};

/// Patterns of one input.
const PATTERNS: usize = 32;

/// Matches the first line with each of the other lines as a pattern.
pub fn run(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let mut lines = text.split('\n');
    let value = lines.next().unwrap_or_default();
    let patterns: Vec<Pattern> = lines.take(PATTERNS).map(Pattern::new).collect();
    for pattern in &patterns {
        let expected = matches(pattern.as_str(), value);
        assert_eq!(pattern.matches(value), expected, "{pattern} {value}");
        if pattern.is_exact() {
            assert_eq!(pattern.as_str() == value, expected, "{pattern} {value}");
        }
        if expected {
            assert!(value.starts_with(pattern.prefix()), "{pattern} {value}");
            assert!(value.ends_with(pattern.suffix()), "{pattern} {value}");
        }
        let cost = cost(&[filter(pattern)]);
        let texts = pattern.as_str().split('*').filter(|text| !text.is_empty());
        let expected = if texts.count() > 1 { 256 } else { 0 };
        assert_eq!(cost, expected, "{pattern}");
    }
    index_agrees(&patterns, value);
}

/// The definition of a match, in steps of one character of the pattern.
fn matches(pattern: &str, value: &str) -> bool {
    let value: Vec<char> = value.chars().collect();
    // The pattern as far as it has been read matches the first N characters if `reached[N]`.
    let mut reached = vec![false; value.len() + 1];
    reached[0] = true;
    for c in pattern.chars() {
        if c == '*' {
            let first = reached.iter().position(|is_reached| *is_reached);
            reached[first.unwrap_or(value.len() + 1)..].fill(true);
        } else {
            for n in (1..reached.len()).rev() {
                reached[n] = reached[n - 1] && value[n - 1] == c;
            }
            reached[0] = false;
        }
    }
    reached[value.len()]
}

fn index_agrees(patterns: &[Pattern], value: &str) {
    let mut index = FilterIndex::default();
    for (place, pattern) in (0..).zip(patterns) {
        index.insert(place, &route(pattern));
    }
    let event = EventFields {
        event_type: EventType::Location,
        values: PerField::from_fn(|field| (field == Field::Dsn).then_some(value)),
    };
    let mut found = Matches::default();
    index.matches(&event, &mut found);
    let mut found = found.as_slice().to_vec();
    found.sort_unstable();
    let expected = (0_u32..).zip(patterns);
    let expected = expected.filter(|(_, pattern)| matches(pattern.as_str(), value));
    let expected: Vec<_> = expected.map(|(place, _)| place).collect();
    assert_eq!(found, expected, "{patterns:?} {value}");
    for (place, pattern) in (0..).zip(patterns) {
        index.remove(place, &route(pattern));
    }
    assert!(index.is_empty(), "{patterns:?}");
}

fn route(pattern: &Pattern) -> Route {
    let id = SubscriptionId::new("default", "s");
    Route {
        filters: vec![filter(pattern)],
        ..Route::new(id, KeyHash::of("k"))
    }
}

fn filter(pattern: &Pattern) -> Filter {
    Filter::default().with(Field::Dsn, [pattern.clone()])
}
