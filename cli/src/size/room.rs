//! Subscriptions that a group of gateways has room for.

use datastream_operator::routing::MAX_BUCKET_BYTES;
use datastream_routing::BUCKETS;

/// Standard deviations that the fullest of all routing objects may be above the mean. By chance, one is beyond that in one of a hundred
/// groups.
const DEVIATIONS: f64 = 4.0;

/// Subscriptions whose routes take so many bytes each that a group has room for, in two digits. A hash decides which routing object a
/// route is in, so they do not all become full at once (a Poisson distribution).
pub(super) fn room(route_bytes: u64) -> u64 {
    let most = MAX_BUCKET_BYTES as f64 / route_bytes as f64;
    let root = (most + DEVIATIONS * DEVIATIONS / 4.0).sqrt() - DEVIATIONS / 2.0;
    let all = f64::from(BUCKETS) * root * root;
    let step = 10_f64.powf(all.log10().floor() - 1.0);
    ((all / step).floor() * step) as u64
}

#[cfg(test)]
mod tests {
    use datastream_routing::SubscriptionId;

    use super::super::costs::ROUTE_BYTES;
    use super::*;

    #[test]
    fn so_many_subscriptions_leave_room_in_each_routing_object() {
        // Those of docs/scaling.md, with one DSN and with 10 KiB of filters.
        for (route_bytes, expected) in [(ROUTE_BYTES, 540_000), (ROUTE_BYTES + 10_240, 14_000)] {
            let subscriptions = room(route_bytes);
            assert_eq!(subscriptions, expected);
            let mut routes = [0; BUCKETS as usize];
            for number in 0..subscriptions {
                let id = SubscriptionId::new("team-a", format!("subscription-{number}"));
                routes[usize::from(id.bucket().0)] += 1;
            }
            let fullest = routes.iter().max().unwrap() * route_bytes;
            let most = MAX_BUCKET_BYTES as u64;
            assert!((most * 7 / 10..=most).contains(&fullest), "{fullest}");
        }
    }
}
