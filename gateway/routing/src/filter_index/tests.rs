//! Bounds on what filters take, whatever their lists have in common. That they are found is shown by `tests/index_equals_scan.rs`.

use datastream_protocol::event::EventType;

use super::*;
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
            // Of some, more than an entry has nodes for otherwise.
            let length = if n % 100 == 0 { 2_000 } else { 40 };
            let own = (0..length).map(|d| n * 2_000 + d);
            let dsns = [list("common", [0]), list("d", own)].concat();
            route([list("p", [0]), dsns, vec![], vec![]])
        })
        .collect();
    let index = index(&routes);
    let (candidates, _) = crowds(&index, 1_000);
    assert!(candidates <= CROWD, "{candidates}");
    assert_eq!(found(&index, ["p0", "d4001", "x", "x"]), [2]);
    assert_eq!(found(&index, ["p0", "d201999", "x", "x"]), [100]);
    assert_eq!(found(&index, ["p0", "common0", "x", "x"]).len(), 1_000);
    assert_eq!(found(&index, ["p1", "d4001", "x", "x"]), [0; 0]);
    empties(index, &routes);
}

#[test]
fn lists_that_filters_have_in_common_do_not_multiply() {
    let routes: Vec<_> = (0..20)
        .map(|n| {
            let last = [list("common", [0]), list("z", n * 20..n * 20 + 20)].concat();
            route([list("a", 0..20), list("b", 0..20), list("c", 0..20), last])
        })
        .collect();
    let index = index(&routes);
    let (_, nodes) = crowds(&index, 20);
    assert!(nodes <= 2 * MAX_NODES, "{nodes}");
    assert_eq!(found(&index, ["a19", "b19", "c19", "z20"]), [1]);
    assert_eq!(found(&index, ["a0", "b0", "c0", "z0"]), [0]);
    assert_eq!(found(&index, ["a7", "b7", "c7", "common0"]).len(), 20);
    assert_eq!(found(&index, ["a7", "b7", "c20", "common0"]), [0; 0]);
    empties(index, &routes);
}
