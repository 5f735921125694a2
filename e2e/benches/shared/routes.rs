//! Subscriptions of a bench, as a folder of routing objects.

use std::path::Path;

use datastream_routing::buckets;
use datastream_routing::{Filter, KeyHash, Route, SubscriptionId};

/// The stream key of a subscription.
pub(crate) fn key(number: usize) -> String {
    format!("{number:032x}")
}

/// Writes the routing objects of so many subscriptions to all types of events, each with its filters.
pub(crate) fn write(dir: &Path, count: usize, filters: impl Fn(usize) -> Vec<Filter>) {
    let routes = (0..count).map(|number| Route {
        filters: filters(number),
        ..Route::new(
            SubscriptionId::new("bench", format!("s{number}")),
            KeyHash::of(&key(number)),
        )
    });
    for (id, bucket) in buckets(routes) {
        std::fs::write(dir.join(format!("{id}.json")), bucket.encode().unwrap()).unwrap();
    }
}
