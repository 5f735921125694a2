//! The index finds exactly the routes that a scan over all routes would find.

use datastream_protocol::event::EventType;
use datastream_routing::{
    EventFields, Filter, KeyHash, Matches, Pattern, PerField, Route, RouteTable, SubscriptionId,
};
use proptest::array::uniform4;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

fn items() -> impl Strategy<Value = Vec<Pattern>> {
    vec("[ab*]{1,4}".prop_map(Pattern::new), 0..4)
}

fn filter() -> impl Strategy<Value = Filter> {
    uniform4(items())
        .prop_map(|lists| Filter::new(PerField::from_fn(|field| lists[field as usize].clone())))
}

fn route(number: usize) -> impl Strategy<Value = Route> {
    (vec(select(&EventType::ALL[..]), 1..5), vec(filter(), 0..4)).prop_map(
        move |(types, filters)| {
            let id = SubscriptionId::new("default", format!("s{number}"));
            Route {
                event_types: types.into_iter().collect(),
                filters,
                ..Route::new(id, KeyHash::of(&number.to_string()))
            }
        },
    )
}

fn table() -> impl Strategy<Value = RouteTable> {
    vec(Just(()), 0..12)
        .prop_flat_map(|slots| {
            slots
                .iter()
                .enumerate()
                .map(|(i, ())| route(i))
                .collect::<Vec<_>>()
        })
        .prop_map(RouteTable::from_routes)
}

fn value() -> impl Strategy<Value = Option<String>> {
    proptest::option::weighted(0.9, "[abé]{0,5}")
}

proptest! {
    #[test]
    fn the_index_finds_what_a_scan_finds(
        table in table(),
        events in vec((select(&EventType::ALL[..]), uniform4(value())), 1..8),
    ) {
        let mut matches = Matches::default();
        for (event_type, values) in &events {
            let event = EventFields {
                event_type: *event_type,
                values: PerField::from_fn(|field| values[field as usize].as_deref()),
            };
            table.matches(&event, &mut matches);
            let mut found = matches.as_slice().to_vec();
            found.sort_unstable();
            let expected: Vec<u32> =
                (0..).zip(table.routes()).filter(|(_, r)| r.matches(&event)).map(|(i, _)| i).collect();
            prop_assert_eq!(found, expected);
        }
    }
}
