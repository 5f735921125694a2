//! The choice of routes for a bucket that would become too large.

use datastream_routing::Route;

use super::Routes;

/// Encoded routes of one bucket, in bytes. A Secret holds 1 MiB; the rest is for the envelope and for gateways that
/// mount it beside others.
pub const MAX_BUCKET_BYTES: usize = 900_000;

/// The routes to publish of those that do not fit into the limit together: what is published stays, as it is if its new form does not fit, and new
/// routes are taken in while there is room.
pub(super) fn pack(published: &Routes, wanted: Routes, limit: usize) -> Routes {
    let mut taken: Routes = published
        .iter()
        .filter(|(id, _)| wanted.contains_key(id))
        .map(|(id, route)| (id.clone(), route.clone()))
        .collect();
    let mut size: usize = taken.values().map(|route| bytes(route)).sum();
    // Those that shrink make room for the others.
    let mut changes: Vec<_> = wanted
        .into_iter()
        .filter(|(id, route)| taken.get(id) != Some(route))
        .map(|(id, route)| {
            let growth = bytes(&route).cast_signed()
                - taken.get(&id).map_or(0, |old| bytes(old).cast_signed());
            (growth, id, route)
        })
        .collect();
    changes.sort_by(|a, b| (a.0, &a.1).cmp(&(b.0, &b.1)));
    for (growth, id, route) in changes {
        let larger = size.saturating_add_signed(growth);
        if larger <= limit {
            size = larger;
            taken.insert(id, route);
        }
    }
    taken
}

/// Returns the size of a route in a bucket, in bytes, its comma included.
fn bytes(route: &Route) -> usize {
    serde_json::to_vec(route).map_or(usize::MAX / 4096, |text| text.len() + 1)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::Arc;

    use datastream_routing::{Field, Filter, KeyHash, SubscriptionId};

    use super::*;

    fn route(name: &str, devices: usize) -> (SubscriptionId, Arc<Route>) {
        let id = SubscriptionId::new("team", name);
        let dsns = (0..devices).map(|n| format!("DSN{n:07}").as_str().into());
        let filter = Filter::default().with(Field::Dsn, dsns);
        let route = Route {
            filters: vec![filter],
            ..Route::new(id.clone(), KeyHash::of("k"))
        };
        (id, Arc::new(route))
    }

    #[test]
    fn a_full_bucket_keeps_what_it_has_and_takes_what_fits() {
        let limit = bytes(&route("a", 100).1) * 2 + bytes(&route("c", 10).1);
        let published = BTreeMap::from([route("a", 100), route("b", 100)]);
        let wanted = BTreeMap::from([
            route("a", 100),
            route("b", 150),
            route("c", 10),
            route("d", 50),
        ]);
        let fitted = pack(&published, wanted, limit);
        assert_eq!(
            fitted,
            BTreeMap::from([route("a", 100), route("b", 100), route("c", 10)])
        );
        // Room that one gives up is there for others.
        let wanted = BTreeMap::from([route("a", 10), route("b", 120), route("d", 50)]);
        assert_eq!(pack(&published, wanted.clone(), limit), wanted);
        // What is not wanted is not kept.
        let wanted = BTreeMap::from([route("x", 1000)]);
        assert_eq!(pack(&published, wanted, limit), BTreeMap::new());
    }
}
