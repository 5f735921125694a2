//! The connections of clients: the claims of streams, the gateways that live, and the statuses that are to be written.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use datastream_crds::{Connection, ConnectionState};
use datastream_routing::SubscriptionId;
use datastream_routing::names::{
    LAG, LAST_SEQ, POD, SUBSCRIPTION, SUBSCRIPTION_UID, decode_subscription,
};
use datastream_service::backoff::Backoff;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;
use kube::ResourceExt as _;
use tokio::time::Instant;

/// A change of state of one subscription is written at most this often.
const STATE_EVERY: Duration = Duration::from_secs(5);
/// The progress of a stream is written at most this often.
const PROGRESS_EVERY: Duration = Duration::from_mins(1);
/// A claim whose gateway has been gone for this long is of no use to anybody.
const ABANDONED: Duration = Duration::from_mins(1);
/// Pause after a status could not be written, doubled with each failure in a row.
const FIRST_RETRY: Duration = Duration::from_secs(1);
const LAST_RETRY: Duration = Duration::from_mins(1);

/// Plain data, no I/O.
#[derive(Debug, Default)]
pub(crate) struct Connections {
    claims: BTreeMap<SubscriptionId, Claim>,
    /// The subscription whose claim a Lease is.
    by_lease: HashMap<String, SubscriptionId>,
    /// The holders that live, by their Leases.
    gateways: BTreeMap<String, String>,
    /// Subscriptions whose status may be out of date.
    dirty: BTreeSet<SubscriptionId>,
    /// Uid and last `seq` of streams whose claims are gone, until the status has the `seq`.
    ended: HashMap<SubscriptionId, (String, String)>,
    /// Time at which the status of a subscription was last written.
    written: HashMap<SubscriptionId, Instant>,
    /// Subscriptions whose status could not be written: when to try again, and the pause before that.
    failing: HashMap<SubscriptionId, (Instant, Backoff)>,
}

/// A claim of a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Claim {
    lease: String,
    version: Option<String>,
    uid: String,
    holder: String,
    pod: Option<String>,
    since: Option<Time>,
    last_seq: Option<String>,
    lag: Option<i64>,
    /// Time since which its holder has been missing, if it is.
    abandoned: Option<Instant>,
}

/// The connections, as every task has them.
#[derive(Clone, Debug, Default)]
pub(crate) struct SharedConnections(Arc<Mutex<Connections>>);

impl SharedConnections {
    /// The connections, for a moment: not to be held across an await.
    pub(crate) fn lock(&self) -> MutexGuard<'_, Connections> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Comparison of what a status should say with what it says.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Verdict {
    /// It says so already.
    Same,
    /// It is to be written now.
    Write(Connection),
    /// It is to be written, but not yet.
    Later,
}

impl Connections {
    /// A claim as it is now.
    pub(crate) fn set_claim(&mut self, lease: &Lease) {
        let annotation = |name| lease.annotations().get(name).cloned();
        let Some(id) = annotation(SUBSCRIPTION).and_then(|s| decode_subscription(&s)) else {
            return;
        };
        let spec = lease.spec.clone().unwrap_or_default();
        let claim = Claim {
            lease: lease.name_any(),
            version: lease.resource_version(),
            uid: annotation(SUBSCRIPTION_UID).unwrap_or_default(),
            holder: spec.holder_identity.unwrap_or_default(),
            pod: annotation(POD),
            since: spec.acquire_time.map(|t| whole_seconds(t.0)),
            last_seq: annotation(LAST_SEQ),
            lag: annotation(LAG).and_then(|lag| lag.parse().ok()),
            abandoned: None,
        };
        self.by_lease.insert(claim.lease.clone(), id.clone());
        self.dirty.insert(id.clone());
        self.claims.insert(id, claim);
    }

    /// A claim is gone.
    pub(crate) fn remove_claim(&mut self, lease: &str) {
        let Some(id) = self.by_lease.remove(lease) else {
            return;
        };
        // In another group of gateways the stream has a claim of another name, which may have come first.
        if let Some(claim) = self.claims.remove(&id) {
            if claim.lease != lease {
                self.claims.insert(id, claim);
                return;
            }
            if let Some(seq) = claim.last_seq {
                self.ended.insert(id.clone(), (claim.uid, seq));
            }
        }
        self.dirty.insert(id);
    }

    /// A gateway lives: its Lease, and the name under which it claims streams.
    pub(crate) fn set_gateway(&mut self, lease: String, holder: String) {
        if self.gateways.get(&lease) != Some(&holder) {
            self.gateways.insert(lease, holder);
            self.dirty.extend(self.claims.keys().cloned());
        }
    }

    /// A gateway's Lease is gone, or has expired.
    pub(crate) fn remove_gateway(&mut self, lease: &str) {
        if let Some(holder) = self.gateways.remove(lease) {
            self.mark_held_by(&holder);
        }
    }

    /// Returns the claims that nobody will ever release, because their gateways are gone: name and version.
    pub(crate) fn abandoned(&mut self, now: Instant) -> Vec<(String, String)> {
        let live: BTreeSet<_> = self.gateways.values().map(String::as_str).collect();
        let mut abandoned = vec![];
        for claim in self.claims.values_mut() {
            if live.contains(claim.holder.as_str()) {
                claim.abandoned = None;
                continue;
            }
            let since = *claim.abandoned.get_or_insert(now);
            if now - since >= ABANDONED
                && let Some(version) = &claim.version
            {
                abandoned.push((claim.lease.clone(), version.clone()));
            }
        }
        abandoned
    }

    /// Marks a status that was there when this process began: it may no longer be true. It counts as written just now: a new
    /// operator does not write what the one before would not have.
    pub(crate) fn mark(&mut self, id: SubscriptionId, now: Instant) {
        self.written.insert(id.clone(), now);
        self.dirty.insert(id);
    }

    /// The subscription is gone.
    pub(crate) fn forget(&mut self, id: &SubscriptionId) {
        self.dirty.remove(id);
        self.ended.remove(id);
        self.written.remove(id);
        self.failing.remove(id);
    }

    /// The subscriptions to look at, handed over.
    pub(crate) fn take_dirty(&mut self) -> BTreeSet<SubscriptionId> {
        std::mem::take(&mut self.dirty)
    }

    /// Returns the verdict on the status of the subscription with this uid, given what it says.
    pub(crate) fn verdict(
        &self,
        id: &SubscriptionId,
        uid: &str,
        said: Option<&Connection>,
        now: Instant,
        clock: Timestamp,
    ) -> Verdict {
        let wanted = match self
            .claims
            .get(id)
            .filter(|c| c.uid == uid && self.lives(c))
        {
            Some(claim) => Connection {
                state: ConnectionState::Online,
                pod: claim.pod.clone(),
                since: claim.since.clone(),
                last_seq: claim.last_seq.clone().or_else(|| said?.last_seq.clone()),
                lag: claim.lag,
            },
            None => match said {
                // Never connected: nothing to say.
                None => return Verdict::Same,
                // Without a time that can be read, it is written again.
                Some(said) if said.state == ConnectionState::Offline && said.since.is_some() => {
                    return Verdict::Same;
                }
                Some(said) => Connection {
                    state: ConnectionState::Offline,
                    pod: None,
                    since: Some(whole_seconds(clock)),
                    last_seq: self.last_seq(id, uid).or_else(|| said.last_seq.clone()),
                    lag: None,
                },
            },
        };
        if said == Some(&wanted) {
            return Verdict::Same;
        }
        let is_transition = said.is_none_or(|s| s.state != wanted.state || s.pod != wanted.pod);
        let every = if is_transition {
            STATE_EVERY
        } else {
            PROGRESS_EVERY
        };
        if self.failing.get(id).is_some_and(|(due, _)| now < *due) {
            return Verdict::Later;
        }
        let waited = self.written.get(id).is_none_or(|when| now - *when >= every);
        if waited {
            Verdict::Write(wanted)
        } else {
            Verdict::Later
        }
    }

    /// The status was written.
    pub(crate) fn wrote(&mut self, id: SubscriptionId, now: Instant) {
        self.ended.remove(&id);
        self.failing.remove(&id);
        self.written.insert(id, now);
    }

    /// The status could not be written: it is tried again, later each time. Returns when.
    pub(crate) fn failed(&mut self, id: SubscriptionId, now: Instant) -> Duration {
        let before = self.failing.remove(&id).map(|(_, backoff)| backoff);
        let mut backoff = before.unwrap_or(Backoff::new(FIRST_RETRY, LAST_RETRY));
        let pause = backoff.next_delay();
        self.failing.insert(id, (now + pause, backoff));
        pause
    }

    /// Streams that are connected, as far as is known.
    pub(crate) fn online(&self) -> usize {
        self.claims.values().filter(|c| self.lives(c)).count()
    }

    fn last_seq(&self, id: &SubscriptionId, uid: &str) -> Option<String> {
        let claim = self.claims.get(id).map(|c| (&c.uid, c.last_seq.as_ref()));
        let ended = self.ended.get(id).map(|(uid, seq)| (uid, Some(seq)));
        let (whose, seq) = claim.or(ended)?;
        seq.filter(|_| whose == uid).cloned()
    }

    fn lives(&self, claim: &Claim) -> bool {
        self.gateways.values().any(|holder| *holder == claim.holder)
    }

    fn mark_held_by(&mut self, holder: &str) {
        let held = self
            .claims
            .iter()
            .filter(|(_, claim)| claim.holder == holder);
        self.dirty.extend(held.map(|(id, _)| id.clone()));
    }
}

/// The API server keeps whole seconds.
fn whole_seconds(time: Timestamp) -> Time {
    Time(Timestamp::from_second(time.as_second()).unwrap_or(time))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn id() -> SubscriptionId {
        SubscriptionId::new("team", "leds")
    }

    fn claim(holder: &str, last_seq: Option<&str>) -> Lease {
        serde_json::from_value(json!({
            "metadata": {"name": "claim", "resourceVersion": "7", "annotations": {
                SUBSCRIPTION: "team/leds", SUBSCRIPTION_UID: "u", POD: "gw-0", LAST_SEQ: last_seq.unwrap_or(""), LAG: "0",
            }},
            "spec": {"holderIdentity": holder, "acquireTime": "2026-11-24T10:00:00.000000Z"},
        }))
        .unwrap()
    }

    fn join(connections: &mut Connections, holder: &str) {
        connections.set_gateway("gw-0".to_owned(), holder.to_owned());
    }

    fn verdict(connections: &Connections, said: Option<&Connection>, now: Instant) -> Verdict {
        connections.verdict(&id(), "u", said, now, Timestamp::now())
    }

    fn written(verdict: Verdict) -> Connection {
        match verdict {
            Verdict::Write(connection) => connection,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_claim_counts_while_its_gateway_is_live() {
        let now = Instant::now();
        let mut connections = Connections::default();
        assert_eq!(verdict(&connections, None, now), Verdict::Same);
        connections.set_claim(&claim("gw-0_a", Some("7")));
        // A claim of a process that is not there is none.
        assert_eq!(verdict(&connections, None, now), Verdict::Same);
        join(&mut connections, "gw-0_a");
        let online = written(verdict(&connections, None, now));
        assert_eq!(online.state, ConnectionState::Online);
        assert_eq!(
            (online.pod.as_deref(), online.last_seq.as_deref()),
            (Some("gw-0"), Some("7"))
        );
        assert_eq!(verdict(&connections, Some(&online), now), Verdict::Same);
        assert_eq!(
            connections.verdict(&id(), "v", None, now, Timestamp::now()),
            Verdict::Same
        );

        let later = now + Duration::from_secs(16);
        connections.remove_gateway("gw-0");
        assert!(connections.abandoned(later).is_empty());
        assert!(connections.take_dirty().contains(&id()));
        let offline = written(verdict(&connections, Some(&online), later));
        assert_eq!(
            (offline.state, offline.pod.as_deref()),
            (ConnectionState::Offline, None)
        );
        assert_eq!(offline.last_seq.as_deref(), Some("7"));
        assert_eq!(
            connections.abandoned(later + ABANDONED),
            [("claim".to_owned(), "7".to_owned())]
        );
    }

    #[test]
    fn a_restarted_pod_does_not_hold_the_streams_of_its_predecessor() {
        let now = Instant::now();
        let mut connections = Connections::default();
        join(&mut connections, "gw-0_a");
        connections.set_claim(&claim("gw-0_a", None));
        let online = written(verdict(&connections, None, now));
        connections.take_dirty();
        join(&mut connections, "gw-0_b");
        assert!(connections.take_dirty().contains(&id()));
        let offline = written(verdict(&connections, Some(&online), now));
        assert_eq!(offline.state, ConnectionState::Offline);
        connections.remove_claim("claim");
        assert!(connections.take_dirty().contains(&id()));
        assert_eq!(verdict(&connections, Some(&offline), now), Verdict::Same);
    }

    #[test]
    fn removing_the_claim_of_a_former_group_keeps_that_of_the_current_group() {
        let now = Instant::now();
        let mut connections = Connections::default();
        join(&mut connections, "gw-0_a");
        connections.set_claim(&claim("gw-0_a", None));
        let mut moved = claim("gw-0_a", Some("9"));
        moved.metadata.name = Some("claim-eu".to_owned());
        connections.set_claim(&moved);
        connections.remove_claim("claim");
        let online = written(verdict(&connections, None, now));
        assert_eq!(online.state, ConnectionState::Online);
        connections.remove_claim("claim-eu");
        let later = now + STATE_EVERY;
        let offline = written(verdict(&connections, Some(&online), later));
        assert_eq!(offline.state, ConnectionState::Offline);
    }

    #[test]
    fn flapping_and_progress_are_written_at_a_bounded_rate() {
        let now = Instant::now();
        let mut connections = Connections::default();
        join(&mut connections, "gw-0_a");
        connections.set_claim(&claim("gw-0_a", Some("7")));
        let online = written(verdict(&connections, None, now));
        connections.wrote(id(), now);
        connections.set_claim(&claim("gw-0_a", Some("9")));
        let soon = now + Duration::from_secs(10);
        assert_eq!(verdict(&connections, Some(&online), soon), Verdict::Later);
        connections.remove_claim("claim");
        assert_eq!(
            verdict(&connections, Some(&online), now + Duration::from_secs(1)),
            Verdict::Later
        );
        written(verdict(&connections, Some(&online), soon));
    }

    #[test]
    fn a_status_that_cannot_be_written_is_retried_with_backoff() {
        let mut now = Instant::now();
        let mut connections = Connections::default();
        connections.set_claim(&claim("gw-0_a", Some("7")));
        join(&mut connections, "gw-0_a");
        let mut tries = 0;
        for _ in 0..1200 {
            if let Verdict::Write(_) = verdict(&connections, None, now) {
                tries += 1;
                connections.failed(id(), now);
            }
            now += Duration::from_millis(500);
        }
        assert!((10..40).contains(&tries), "{tries} in ten minutes");
        now += LAST_RETRY;
        written(verdict(&connections, None, now));
        connections.wrote(id(), now);
        assert!(connections.failed(id(), now) <= FIRST_RETRY);
    }

    #[test]
    fn an_offline_status_whose_time_cannot_be_read_is_written_again() {
        let connections = Connections::default();
        let said = Connection {
            state: ConnectionState::Offline,
            pod: None,
            since: None,
            last_seq: Some("7".to_owned()),
            lag: None,
        };
        let mended = written(verdict(&connections, Some(&said), Instant::now()));
        assert!(mended.since.is_some() && mended.last_seq == said.last_seq);
        assert_eq!(
            verdict(&connections, Some(&mended), Instant::now()),
            Verdict::Same
        );
    }
}
