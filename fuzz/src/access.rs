//! Access rules of a group: what is read and written again is the same, and a subscription that was checked gets no event that is
//! denied.

use datastream_protocol::event::EventType;
use datastream_routing::{AccessRules, EventFields, Field, Filter, Pattern, PerField, Policy};

/// Patterns of the rules that subscriptions and events are made of.
const PATTERNS: usize = 6;

/// Reads an object with access rules.
pub fn run(data: &[u8]) {
    let rules = match AccessRules::decode(data) {
        Ok(rules) => rules,
        Err(error) => return assert!(!error.to_string().is_empty()),
    };
    let bytes = rules.encode().unwrap();
    assert_eq!(AccessRules::decode(&bytes).unwrap(), rules);
    let lists = rules.rules.iter().flat_map(|rule| rule.filter.lists());
    let patterns: Vec<_> = lists
        .flat_map(|(_, list)| list)
        .take(PATTERNS)
        .cloned()
        .collect();
    let namespaces = rules.namespaces.keys().map(String::as_str);
    for namespace in namespaces.chain(["no namespace"]).take(4) {
        if let Some(policy) = rules.policy(namespace) {
            decides_as_it_checks(&policy, &patterns);
        }
    }
}

/// Panics unless what a check lets a subscription ask for is permitted, for events like the patterns of the rules.
fn decides_as_it_checks(policy: &Policy, patterns: &[Pattern]) {
    let mut filters = vec![vec![]];
    for field in Field::ALL {
        let of = |pattern: &Pattern| vec![Filter::default().with(field, [pattern.clone()])];
        filters.extend(patterns.iter().map(of));
    }
    let values = patterns.iter().map(|p| Some(p.as_str().replace('*', "x")));
    let values: Vec<_> = values.chain([None, Some("other".to_owned())]).collect();
    for event_type in EventType::ALL {
        let types = [event_type].into_iter().collect();
        for filters in &filters {
            if policy.check(types, filters).is_err() {
                continue;
            }
            for value in &values {
                let of = |field: Field| {
                    let is_there = event_type.has_property() || field != Field::PropertyName;
                    value.as_deref().filter(|_| is_there)
                };
                let event = EventFields {
                    event_type,
                    values: PerField::from_fn(of),
                };
                let is_asked = filters.is_empty() || filters.iter().any(|f| f.matches(&event));
                assert!(!is_asked || policy.permits(&event), "{filters:?} {event:?}");
            }
        }
    }
}
