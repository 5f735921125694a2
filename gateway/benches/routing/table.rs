//! The cost of the route table: a change, and the start.

use std::time::Instant;

use datastream_gateway::config::{ConfigStore, ConfigUpdate};
use datastream_routing::{Bucket, Field, Filter, KeyHash, Route, SubscriptionId, buckets};

use crate::Verdict;

/// Routes of which one changes.
const CHANGED_AMONG: usize = 100_000;
const CHANGES: usize = 1_000;
/// Routes that are loaded.
const LOADED: usize = 1_000_000;

/// Milliseconds of work for one changed route among 100,000.
const CHANGE: f64 = 1.0;
/// Seconds in which 1,000,000 routes are loaded from their objects.
const LOAD: f64 = 3.0;

/// A route with a filter as most have it.
fn route(number: usize) -> Route {
    let name = format!("s{number}");
    let key = KeyHash::of(&name);
    let dsns = [format!("AC000W{number:09}").as_str().into()];
    Route {
        uid: "6f8f6c1e-3c1b-4f0e-8a51-0d5d6c3b2a19".to_owned(),
        filters: vec![Filter::default().with(Field::Dsn, dsns)],
        ..Route::new(SubscriptionId::new("bench", name), key)
    }
}

/// Prints the cost of a change and of the start.
pub(crate) fn run(verdict: &mut Verdict) {
    changes(verdict);
    load(verdict);
}

/// The objects of these routes, as a gateway is told about them.
fn objects(routes: Vec<Route>) -> Vec<ConfigUpdate> {
    let buckets = buckets(routes).into_values();
    buckets.map(|bucket| object(&bucket)).collect()
}

fn object(bucket: &Bucket) -> ConfigUpdate {
    ConfigUpdate::Set {
        object: format!("routes-{}", bucket.id),
        bytes: bucket.encode().unwrap(),
    }
}

fn changes(verdict: &mut Verdict) {
    let all: Vec<_> = (0..CHANGED_AMONG).map(route).collect();
    let mut by_bucket = buckets(all.iter().cloned());
    let store = ConfigStore::new();
    store.apply(objects(all.clone()));
    let mut applied = vec![];
    for number in 0..CHANGES {
        let changed = Route {
            generation: 2,
            key_sha256: KeyHash::of(&format!("other {number}")),
            filters: route(CHANGED_AMONG + number).filters,
            ..all[number * 7919 % CHANGED_AMONG].clone()
        };
        let bucket = by_bucket.get_mut(&changed.id.bucket()).unwrap();
        let at = bucket
            .routes
            .binary_search_by(|route| route.id.cmp(&changed.id));
        bucket.routes[at.unwrap()] = changed;
        let update = object(bucket);
        let start = Instant::now();
        store.apply(vec![update]);
        applied.push(start.elapsed().as_secs_f64() * 1e3);
    }
    applied.sort_by(f64::total_cmp);
    let work = applied[CHANGES / 2];
    println!("one changed route among {CHANGED_AMONG}, the median of {CHANGES} times");
    verdict.at_most(
        &format!("{work:>8.3} ms to read its object and apply it"),
        work,
        CHANGE,
    );
}

fn load(verdict: &mut Verdict) {
    let updates = objects((0..LOADED).map(route).collect());
    let sizes = updates.iter().map(|update| match update {
        ConfigUpdate::Set { bytes, .. } => bytes.len(),
        _ => 0,
    });
    let mib = sizes.sum::<usize>() >> 20;
    let store = ConfigStore::new();
    let start = Instant::now();
    store.apply(updates);
    let took = start.elapsed().as_secs_f64();
    assert_eq!(store.table().len(), LOADED);
    println!("{LOADED} routes, {mib} MiB of routing objects");
    verdict.at_most(&format!("{took:>8.2} s to load them"), took, LOAD);
}
