//! Subscriptions of a bench, as a folder of routing objects.

use std::path::Path;

use datastream_protocol::event::EventType;
use datastream_routing::buckets;
use datastream_routing::{Filter, Heartbeat, KeyHash, Resume, Route, SubscriptionId};

/// The stream key of a subscription.
pub(crate) fn key(number: usize) -> String {
    format!("{number:032x}")
}

/// Writes the routing objects of so many subscriptions to all types of events, each with its filters.
pub(crate) fn write(dir: &Path, count: usize, filters: impl Fn(usize) -> Vec<Filter>) {
    let routes = (0..count).map(|number| Route {
        key_sha256: KeyHash::of(&key(number)),
        id: SubscriptionId::new("bench", format!("s{number}")),
        uid: "1".to_owned(),
        generation: 1,
        suspended: false,
        event_types: EventType::ALL.into_iter().collect(),
        filters: filters(number),
        heartbeat: Heartbeat::default(),
        resume: Resume::Latest,
    });
    for (id, bucket) in buckets(routes) {
        std::fs::write(dir.join(format!("{id}.json")), bucket.encode().unwrap()).unwrap();
    }
}
