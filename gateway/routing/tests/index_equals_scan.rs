//! The index finds exactly the places that a look at every route would find, also after changes.

use datastream_protocol::event::EventType;
use datastream_routing::{
    EventFields, Filter, FilterIndex, KeyHash, Matches, Pattern, PerField, Route, SubscriptionId,
};
use proptest::array::uniform4;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

/// Items of few letters, so that many are shared, overlap and match.
fn items() -> impl Strategy<Value = Vec<Pattern>> {
    let item = prop_oneof![
        3 => "[ab]{1,3}",
        3 => "[ab*]{1,4}",
        1 => "[ab*é]{0,9}",
        1 => "\\*[ab]{5,20}\\*",
    ];
    vec(item.prop_map(Pattern::new), 0..4)
}

/// Lists of which there are so few that many filters are the same.
fn common_items() -> impl Strategy<Value = Vec<Pattern>> {
    let lists: [&[&str]; 4] = [&[], &["a"], &["a*"], &["a", "*b*"]];
    select(lists.to_vec()).prop_map(|list| list.iter().map(|item| Pattern::new(*item)).collect())
}

/// Lists that have much in common, and are longer than those by which filters are filed at first.
fn long_items() -> impl Strategy<Value = Vec<Pattern>> {
    let items = vec("[ab]{1,6}".prop_map(Pattern::new), 20..50);
    prop_oneof![2 => items, 1 => common_items()]
}

/// Lists of which many items match the same values.
fn overlapping_items() -> impl Strategy<Value = Vec<Pattern>> {
    let items = vec("\\*[ab]{1,3}\\*".prop_map(Pattern::new), 3..12);
    prop_oneof![2 => items, 1 => common_items()]
}

fn filter() -> impl Strategy<Value = Filter> {
    let lists = prop_oneof![
        2 => uniform4(items()),
        2 => uniform4(common_items()),
        1 => uniform4(long_items()),
        1 => uniform4(overlapping_items()),
    ];
    lists.prop_map(|lists| Filter::new(PerField::from_fn(|field| lists[field as usize].clone())))
}

fn route() -> impl Strategy<Value = Route> {
    let types = vec(select(&EventType::ALL[..]), 1..5);
    (types, vec(filter(), 0..4)).prop_map(move |(types, filters)| Route {
        event_types: types.into_iter().collect(),
        filters,
        ..Route::new(SubscriptionId::new("default", "s"), KeyHash::of("k"))
    })
}

/// Places, of which the first may begin with one route.
const PLACES: u32 = 100;

/// A place, and the route that is there from now on.
fn change() -> impl Strategy<Value = (u32, Option<Route>)> {
    (0..PLACES, proptest::option::weighted(0.8, route()))
}

fn value() -> impl Strategy<Value = Option<String>> {
    let text = prop_oneof![4 => "[ab]{0,5}", 1 => "[ab*é]{0,5}", 1 => "[ab]{5,80}"];
    proptest::option::weighted(0.9, text)
}

/// An index, and the routes that are in it.
#[derive(Default)]
struct Filed {
    index: FilterIndex,
    routes: Vec<Option<Route>>,
}

impl Filed {
    fn set(&mut self, place: u32, route: Option<Route>) {
        let at = place as usize;
        if self.routes.len() <= at {
            self.routes.resize(at + 1, None);
        }
        if let Some(before) = std::mem::replace(&mut self.routes[at], route) {
            self.index.remove(place, &before);
        }
        if let Some(route) = &self.routes[at] {
            self.index.insert(place, route);
        }
    }

    fn scan(&self, event: &EventFields<'_>) -> Vec<u32> {
        let routes = (0..).zip(&self.routes);
        let wanting = routes.filter(|(_, route)| route.as_ref().is_some_and(|r| r.matches(event)));
        wanting.map(|(place, _)| place).collect()
    }
}

proptest! {
    #[test]
    fn the_index_finds_what_a_scan_finds(
        (crowd, shared) in (0..PLACES, route()),
        first in vec(change(), 0..120),
        second in vec(change(), 0..60),
        events in vec((select(&EventType::ALL[..]), uniform4(value())), 1..12),
    ) {
        let (mut filed, mut matches) = (Filed::default(), Matches::default());
        for place in 0..crowd {
            filed.set(place, Some(shared.clone()));
        }
        for changes in [first, second] {
            for (place, route) in changes {
                filed.set(place, route);
            }
            for (event_type, values) in &events {
                let event = EventFields {
                    event_type: *event_type,
                    values: PerField::from_fn(|field| values[field as usize].as_deref()),
                };
                filed.index.matches(&event, &mut matches);
                let mut found = matches.as_slice().to_vec();
                found.sort_unstable();
                prop_assert_eq!(found, filed.scan(&event));
            }
        }
        for place in 0..PLACES {
            filed.set(place, None);
        }
        prop_assert!(filed.index.is_empty(), "{:?}", filed.index);
    }
}
