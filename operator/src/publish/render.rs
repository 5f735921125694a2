//! From routes to buckets.

use std::collections::BTreeMap;

use datastream_routing::{Bucket, BucketId, Route};

/// The buckets that hold these routes. Buckets without routes are left out.
pub fn render(routes: impl IntoIterator<Item = Route>) -> BTreeMap<BucketId, Bucket> {
    let mut buckets: BTreeMap<BucketId, Vec<Route>> = BTreeMap::new();
    for route in routes {
        buckets.entry(route.id.bucket()).or_default().push(route);
    }
    buckets
        .into_iter()
        .map(|(id, routes)| (id, Bucket::new(id, routes)))
        .collect()
}
