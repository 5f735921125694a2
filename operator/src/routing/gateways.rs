//! The gateways that live and what they hold, from their Leases.

use std::collections::BTreeMap;

use datastream_routing::names::{HELD, READY, decode_held};
use datastream_routing::{BucketHash, BucketId};
use datastream_service_kube::lease::Freshness;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::jiff::Timestamp;
use kube::ResourceExt as _;
use tokio::time::Instant;

/// Subscriptions whose status may be different now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Affected {
    /// No subscription.
    None,
    /// Subscriptions of buckets of which a gateway holds another version than before.
    Buckets(Vec<Acknowledged>),
    /// All: a gateway came or went.
    All,
}

/// A change of the version of one bucket that a gateway holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Acknowledged {
    /// The bucket.
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
    state: State,
    /// It says that it takes streams.
    ready: bool,
    buckets: BTreeMap<BucketId, BucketHash>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Its Lease is renewed.
    Alive,
    /// Its Lease was old at first sight, by two clocks that may differ, or because nobody could renew one: it is seen to be
    /// renewed until then, or dead.
    Doubtful(Instant),
    /// Its Lease has expired.
    Dead,
}

impl Gateway {
    fn is_counted(&self) -> bool {
        self.ready && self.state == State::Alive
    }

    /// Returns when its state changes if nothing is heard of it.
    fn expires(&self) -> Option<Instant> {
        match self.state {
            State::Alive => Some(self.freshness.expires),
            State::Doubtful(until) => Some(until),
            State::Dead => None,
        }
    }
}

/// The gateways of a group.
#[derive(Debug, Default)]
pub(super) struct Gateways {
    by_lease: BTreeMap<String, Gateway>,
    /// Renewals cannot be seen, so that nothing expires.
    is_paused: bool,
}

impl Gateways {
    /// A Lease as it is now.
    pub(super) fn set(&mut self, lease: &Lease, now: Instant, clock: Timestamp) -> Affected {
        let name = lease.name_any();
        let before = self.by_lease.remove(&name);
        let freshness = Freshness::seen(lease, before.as_ref().map(|b| &b.freshness), now, clock);
        let annotations = lease.annotations();
        let ready = annotations.get(READY).is_some_and(|r| r == "true");
        let state = match before.as_ref().map(|b| b.state) {
            _ if freshness.is_fresh(now) => State::Alive,
            // Not renewed, and expires when it is looked at again.
            Some(state) => state,
            None => State::Doubtful(now + freshness.duration),
        };
        let gateway = Gateway {
            freshness,
            state,
            ready,
            buckets: annotations
                .get(HELD)
                .map(|held| decode_held(held))
                .unwrap_or_default(),
        };
        let (counted, doubtful) = before.as_ref().map_or((false, false), |b| {
            (b.is_counted(), matches!(b.state, State::Doubtful(_)))
        });
        let affected = if counted != gateway.is_counted() || (doubtful && state == State::Alive) {
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
            Some(gateway) if gateway.is_counted() || gateway.state != State::Dead => Affected::All,
            _ => Affected::None,
        }
    }

    /// Stops counting the gateways whose Leases have expired. Returns the names of those Leases, too.
    pub(super) fn expire(&mut self, now: Instant) -> (Affected, Vec<String>) {
        let mut expired = vec![];
        if !self.is_paused {
            for (name, gateway) in &mut self.by_lease {
                if gateway.expires().is_some_and(|at| at <= now) {
                    gateway.state = State::Dead;
                    expired.push(name.clone());
                }
            }
        }
        let affected = if expired.is_empty() {
            Affected::None
        } else {
            Affected::All
        };
        (affected, expired)
    }

    /// Returns the time at which [`Gateways::expire`] has something to do next.
    pub(super) fn next_expiry(&self) -> Option<Instant> {
        if self.is_paused {
            return None;
        }
        self.by_lease.values().filter_map(Gateway::expires).min()
    }

    /// Renewals cannot be seen: nothing expires until they can be again.
    pub(super) fn pause(&mut self) {
        self.is_paused = true;
    }

    /// Renewals can be seen again: each gateway has the whole duration of its Lease to show that it lives.
    pub(super) fn resume(&mut self, now: Instant) {
        self.is_paused = false;
        for gateway in self.by_lease.values_mut() {
            match &mut gateway.state {
                State::Alive => gateway.freshness.restart(now),
                State::Doubtful(until) => *until = now + gateway.freshness.duration,
                State::Dead => (),
            }
        }
    }

    /// Returns whether the gateway with this Lease lives, or may live.
    pub(super) fn may_live(&self, lease: &str) -> bool {
        let gateway = self.by_lease.get(lease);
        gateway.is_some_and(|g| g.state != State::Dead)
    }

    /// Returns whether some gateways have yet to show whether they live.
    pub(super) fn are_in_doubt(&self) -> bool {
        let mut states = self.by_lease.values().map(|g| g.state);
        states.any(|state| matches!(state, State::Doubtful(_)))
    }

    /// The number of gateways that are ready and live.
    pub(super) fn live(&self) -> usize {
        self.by_lease.values().filter(|g| g.is_counted()).count()
    }

    /// The name of every live gateway's Lease's name and the hash of this bucket that it holds.
    pub(super) fn holding(
        &self,
        bucket: BucketId,
    ) -> impl Iterator<Item = (&str, Option<BucketHash>)> {
        self.by_lease
            .iter()
            .filter(|(_, g)| g.is_counted())
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
    fn gateways_are_live_while_they_are_ready_and_renew() {
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
            (Affected::None, vec![])
        );
        assert_eq!(
            gateways.expire(expiry),
            (Affected::All, vec!["a".to_owned()])
        );
        assert_eq!((gateways.live(), gateways.next_expiry()), (0, None));
    }

    #[test]
    fn no_lease_expires_while_renewals_cannot_be_observed_nor_for_one_duration_after() {
        let (now, clock) = (Instant::now(), Timestamp::now());
        let mut gateways = Gateways::default();
        gateways.set(&lease("a", true, clock, None), now, clock);
        gateways.pause();
        let later = now + Duration::from_mins(10);
        assert_eq!(gateways.next_expiry(), None);
        assert_eq!(gateways.expire(later), (Affected::None, vec![]));
        gateways.resume(later);
        let expiry = later + Duration::from_secs(15);
        assert_eq!((gateways.live(), gateways.next_expiry()), (1, Some(expiry)));
        // One that is renewed was never away, for anybody's status.
        let renewed = clock + SignedDuration::from_secs(603);
        let soon = later + Duration::from_secs(3);
        let affected = gateways.set(&lease("a", true, renewed, None), soon, clock);
        assert_eq!(affected, Affected::None);
        assert_eq!(gateways.expire(expiry), (Affected::None, vec![]));
    }

    #[test]
    fn a_lease_first_seen_old_is_in_doubt_until_renewed_or_expired() {
        let (now, clock) = (Instant::now(), Timestamp::now());
        let old = clock - SignedDuration::from_secs(60);
        let mut gateways = Gateways::default();
        gateways.set(&lease("a", true, old, None), now, clock);
        assert!(gateways.are_in_doubt() && gateways.may_live("a"));
        let expiry = now + Duration::from_secs(15);
        assert_eq!(gateways.next_expiry(), Some(expiry));
        assert_eq!(
            gateways.expire(expiry),
            (Affected::All, vec!["a".to_owned()])
        );
        assert!(!gateways.are_in_doubt() && !gateways.may_live("a"));
    }

    #[test]
    fn a_lease_first_seen_stale_does_not_count_until_renewed() {
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
        assert!(!gateways.are_in_doubt());
        assert_eq!(gateways.remove("a"), Affected::All);
        assert_eq!(gateways.remove("a"), Affected::None);
    }
}
