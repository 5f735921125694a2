//! Which gateways live and what they hold, from their Leases.

use std::collections::BTreeMap;

use datastream_routing::object::{HELD, READY, decode_held};
use datastream_routing::{BucketHash, BucketId};
use datastream_service::lease::Freshness;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::jiff::Timestamp;
use kube::ResourceExt as _;
use tokio::time::Instant;

/// Whose status may be different now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Affected {
    /// Nobody's.
    None,
    /// Subscriptions of buckets of which a gateway holds another version than before.
    Buckets(Vec<Acknowledged>),
    /// Everybody's: a gateway came or went.
    All,
}

/// What a gateway says of one bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Acknowledged {
    /// Which one.
    pub bucket: BucketId,
    /// The version that it held before, if any.
    pub before: Option<BucketHash>,
    /// The version that it holds now, if any.
    pub now: Option<BucketHash>,
}

/// One gateway.
#[derive(Debug)]
struct Gateway {
    freshness: Freshness,
    /// Ready, and its Lease is fresh.
    counted: bool,
    buckets: BTreeMap<BucketId, BucketHash>,
}

/// The gateways of a group.
#[derive(Debug, Default)]
pub(super) struct Gateways {
    by_lease: BTreeMap<String, Gateway>,
}

impl Gateways {
    /// A Lease as it is now.
    pub(super) fn set(&mut self, lease: &Lease, now: Instant, clock: Timestamp) -> Affected {
        let name = lease.name_any();
        let before = self.by_lease.remove(&name);
        let freshness = Freshness::seen(lease, before.as_ref().map(|b| &b.freshness), now, clock);
        let annotations = lease.annotations();
        let ready = annotations.get(READY).is_some_and(|r| r == "true");
        let gateway = Gateway {
            counted: ready && freshness.is_fresh(now),
            freshness,
            buckets: annotations
                .get(HELD)
                .map(|held| decode_held(held))
                .unwrap_or_default(),
        };
        let counted = before.as_ref().is_some_and(|b| b.counted);
        let affected = if counted != gateway.counted {
            Affected::All
        } else if !counted {
            Affected::None
        } else {
            let before = before.map(|b| b.buckets).unwrap_or_default();
            let new = gateway.buckets.keys().filter(|b| !before.contains_key(b));
            let changed: Vec<_> = before
                .keys()
                .chain(new)
                .map(|bucket| Acknowledged {
                    bucket: *bucket,
                    before: before.get(bucket).copied(),
                    now: gateway.buckets.get(bucket).copied(),
                })
                .filter(|a| a.before != a.now)
                .collect();
            if changed.is_empty() {
                Affected::None
            } else {
                Affected::Buckets(changed)
            }
        };
        self.by_lease.insert(name, gateway);
        affected
    }

    /// A Lease is gone.
    pub(super) fn remove(&mut self, name: &str) -> Affected {
        match self.by_lease.remove(name) {
            Some(gateway) if gateway.counted => Affected::All,
            _ => Affected::None,
        }
    }

    /// Stops counting the gateways whose Leases have expired.
    pub(super) fn expire(&mut self, now: Instant) -> Affected {
        let mut affected = Affected::None;
        for gateway in self.by_lease.values_mut() {
            if gateway.counted && !gateway.freshness.is_fresh(now) {
                gateway.counted = false;
                affected = Affected::All;
            }
        }
        affected
    }

    /// When [`Gateways::expire`] has something to do next.
    pub(super) fn next_expiry(&self) -> Option<Instant> {
        let counted = self.by_lease.values().filter(|g| g.counted);
        counted.map(|g| g.freshness.expires).min()
    }

    /// How many gateways are ready and live.
    pub(super) fn live(&self) -> usize {
        self.by_lease.values().filter(|g| g.counted).count()
    }

    /// For every live gateway its Lease's name and the hash of this bucket that it holds.
    pub(super) fn holding(
        &self,
        bucket: BucketId,
    ) -> impl Iterator<Item = (&str, Option<BucketHash>)> {
        self.by_lease
            .iter()
            .filter(|(_, g)| g.counted)
            .map(move |(name, g)| (name.as_str(), g.buckets.get(&bucket).copied()))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
    use k8s_openapi::jiff::SignedDuration;
    use serde_json::json;

    use super::*;

    fn lease(name: &str, ready: bool, renewed: Timestamp, hash: Option<BucketHash>) -> Lease {
        let held: BTreeMap<_, _> = hash
            .map(|h| ("007".to_owned(), h.to_string()))
            .into_iter()
            .collect();
        serde_json::from_value(json!({
            "metadata": {"name": name, "annotations": {READY: ready.to_string(), HELD: json!(held).to_string()}},
            "spec": {"leaseDurationSeconds": 15, "renewTime": MicroTime(renewed)},
        }))
        .unwrap()
    }

    #[test]
    fn gateways_count_while_they_are_ready_and_renew() {
        let (mut now, mut clock) = (Instant::now(), Timestamp::now());
        let mut gateways = Gateways::default();
        assert_eq!(
            gateways.set(&lease("a", false, clock, None), now, clock),
            Affected::None
        );
        assert_eq!(
            gateways.set(&lease("a", true, clock, None), now, clock),
            Affected::All
        );
        let hash = BucketHash::of(b"x");
        let one = Affected::Buckets(vec![Acknowledged {
            bucket: BucketId(7),
            before: None,
            now: Some(hash),
        }]);
        assert_eq!(
            gateways.set(&lease("a", true, clock, Some(hash)), now, clock),
            one
        );
        assert_eq!(
            gateways.holding(BucketId(7)).collect::<Vec<_>>(),
            [("a", Some(hash))]
        );
        for _ in 0..10 {
            now += Duration::from_secs(5);
            clock += SignedDuration::from_secs(5);
            assert_eq!(
                gateways.set(&lease("a", true, clock, Some(hash)), now, clock),
                Affected::None
            );
        }
        let expiry = gateways.next_expiry().unwrap();
        assert_eq!(expiry, now + Duration::from_secs(15));
        assert_eq!(
            gateways.expire(expiry - Duration::from_millis(1)),
            Affected::None
        );
        assert_eq!(gateways.expire(expiry), Affected::All);
        assert_eq!((gateways.live(), gateways.next_expiry()), (0, None));
    }

    #[test]
    fn a_lease_that_is_stale_at_first_sight_does_not_count_until_it_is_renewed() {
        let (now, clock) = (Instant::now(), Timestamp::now());
        let mut gateways = Gateways::default();
        let old = clock - SignedDuration::from_secs(60);
        assert_eq!(
            gateways.set(&lease("a", true, old, None), now, clock),
            Affected::None
        );
        // Renewed by a clock that is a minute late: seen to live all the same.
        let renewed = old + SignedDuration::from_secs(5);
        assert_eq!(
            gateways.set(&lease("a", true, renewed, None), now, clock),
            Affected::All
        );
        assert_eq!(gateways.remove("a"), Affected::All);
        assert_eq!(gateways.remove("a"), Affected::None);
    }
}
