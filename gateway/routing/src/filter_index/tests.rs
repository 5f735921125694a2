//! Bounds on what filters take, whatever their lists have in common. That they are found is shown by `tests/index_equals_scan.rs`.

use datastream_protocol::event::EventType;

use super::*;
use crate::combinations::MAX_COMBINATIONS;
use crate::cost::cost;
use crate::id::SubscriptionId;
use crate::key::KeyHash;

fn list(name: &str, numbers: impl IntoIterator<Item = usize>) -> Vec<Pattern> {
    let items = numbers.into_iter().map(|n| format!("{name}{n}"));
    items.map(Pattern::new).collect()
}

/// A route whose only filter has these lists.
fn route(lists: [Vec<Pattern>; 4]) -> Route {
    let filter = Filter::new(PerField::from_fn(|field| lists[field as usize].clone()));
    Route {
        filters: vec![filter],
        ..Route::new(SubscriptionId::new("default", "s"), KeyHash::of("k"))
    }
}

/// An index of these routes.
fn index(routes: &[Route]) -> FilterIndex {
    let mut index = FilterIndex::default();
    for (place, route) in (0..).zip(routes) {
        index.insert(place, route);
    }
    index
}

fn found(index: &FilterIndex, values: [&str; 4]) -> Vec<u32> {
    let event = EventFields {
        event_type: EventType::Datapoint,
        values: PerField::from_fn(|field| Some(values[field as usize])),
    };
    let mut matches = Matches::default();
    index.matches(&event, &mut matches);
    let mut found = matches.as_slice().to_vec();
    found.sort_unstable();
    found
}

/// The most candidates of a node, and the most nodes of an entry, of so many.
fn crowds(index: &FilterIndex, entries: u32) -> (usize, usize) {
    let candidates = |node: &u32| {
        let inner = index.tree.node(*node).inner.as_ref();
        inner.map_or(0, |inner| inner.candidates.as_slice().len())
    };
    let nodes = || (0..entries).map(|entry| index.entries.get(entry).nodes.as_slice());
    let most = nodes().flatten().map(candidates).max();
    (most.unwrap(), nodes().map(<[u32]>::len).max().unwrap())
}

fn empties(mut index: FilterIndex, routes: &[Route]) {
    for (place, route) in (0..).zip(routes) {
        index.remove(place, route);
    }
    assert!(index.is_empty());
}

#[test]
fn long_lists_below_a_common_item_are_not_checked_one_after_the_other() {
    let routes: Vec<_> = (0..1_000)
        .map(|n| {
            let length = if n % 100 == 0 { 1_000 } else { 40 };
            let own = (0..length).map(|d| n * 2_000 + d);
            let dsns = [list("common", [0]), list("d", own)].concat();
            route([list("p", [0]), dsns, vec![], vec![]])
        })
        .collect();
    let index = index(&routes);
    let (candidates, _) = crowds(&index, 1_000);
    assert!(candidates <= CROWD, "{candidates}");
    assert_eq!(found(&index, ["p0", "d4001", "x", "x"]), [2]);
    assert_eq!(found(&index, ["p0", "d200999", "x", "x"]), [100]);
    assert_eq!(found(&index, ["p0", "common0", "x", "x"]).len(), 1_000);
    assert_eq!(found(&index, ["p1", "d4001", "x", "x"]), [0; 0]);
    empties(index, &routes);
}

/// Twenty routes whose filters have three lists in common, of this length, and one of their own with an item in common.
fn alike(length: usize) -> Vec<Route> {
    let routes = (0..20).map(|n| {
        let last = [list("common", [0]), list("z", n * 20..n * 20 + length)].concat();
        let [a, b, c] = ["a", "b", "c"].map(|name| list(name, 0..length));
        route([a, b, c, last])
    });
    routes.collect()
}

#[test]
fn lists_that_filters_have_in_common_do_not_multiply_beyond_what_they_cost() {
    let routes = alike(20);
    let index = index(&routes);
    let (_, nodes) = crowds(&index, 20);
    assert!(nodes as u64 <= MAX_COMBINATIONS, "{nodes}");
    assert!(cost(&routes[0].filters) >= 256);
    assert_eq!(found(&index, ["a19", "b19", "c19", "z20"]), [1]);
    assert_eq!(found(&index, ["a0", "b0", "c0", "z0"]), [0]);
    assert_eq!(found(&index, ["a7", "b7", "c7", "common0"]).len(), 20);
    assert_eq!(found(&index, ["a7", "b7", "c20", "common0"]), [0; 0]);
    empties(index, &routes);
}

#[test]
fn lists_with_few_combinations_are_not_checked() {
    let routes = alike(5);
    let index = index(&routes);
    let (candidates, _) = crowds(&index, 20);
    assert!(candidates <= CANDIDATES, "{candidates}");
    assert!(cost(&routes[0].filters) < 256);
    assert_eq!(found(&index, ["a4", "b4", "c4", "z21"]), [1]);
    assert_eq!(found(&index, ["a4", "b4", "c4", "common0"]).len(), 20);
    empties(index, &routes);
}

#[test]
fn patterns_that_an_event_matches_together_do_not_multiply_beyond_what_they_cost() {
    let texts = ["0", "1", "2", "00", "01", "12", "22"];
    let infixes = || texts.map(|text| Pattern::new(format!("*{text}*"))).to_vec();
    let routes: Vec<_> = (0..20)
        .map(|n| route([infixes(), infixes(), infixes(), list("z", [n, 99])]))
        .collect();
    let index = index(&routes);
    let (_, nodes) = crowds(&index, 20);
    assert!(nodes <= 2 * 7 * 2, "{nodes}");
    assert!(cost(&routes[0].filters) >= 256);
    assert_eq!(found(&index, ["001122", "001122", "001122", "z7"]), [7]);
    assert_eq!(found(&index, ["001122", "0", "22", "z99"]).len(), 20);
    assert_eq!(found(&index, ["001122", "0", "33", "z7"]), [0; 0]);
    empties(index, &routes);
}
