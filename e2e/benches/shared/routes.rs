//! Subscriptions of a bench, as a folder of routing objects.

use std::path::Path;

use datastream_routing::buckets;
use datastream_routing::{Filter, KeyHash, Route, SubscriptionId};

/// The stream key of a subscription.
pub(crate) fn key(number: usize) -> String {
    format!("{number:032x}")
}

/// The route of a subscription to all types of events.
pub(crate) fn route(number: usize, filters: Vec<Filter>) -> Route {
    Route {
        filters,
        ..Route::new(
            SubscriptionId::new("bench", format!("s{number}")),
            KeyHash::of(&key(number)),
        )
    }
}

/// The routing objects with these routes: the names of their files, and what is in them.
pub(crate) fn objects(
    routes: impl Iterator<Item = Route>,
) -> impl Iterator<Item = (String, Vec<u8>)> {
    let objects = buckets(routes).into_iter();
    objects.map(|(id, bucket)| (format!("{id}.json"), bucket.encode().unwrap()))
}

/// Writes the routing objects of so many subscriptions, each with its filters.
pub(crate) fn write(dir: &Path, count: usize, filters: impl Fn(usize) -> Vec<Filter>) {
    let routes = (0..count).map(|number| route(number, filters(number)));
    for (name, content) in objects(routes) {
        std::fs::write(dir.join(name), content).unwrap();
    }
}
