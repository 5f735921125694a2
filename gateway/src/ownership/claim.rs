//! The Lease that claims a subscription's stream: what is written, and what is read in it.

use datastream_routing::SubscriptionId;
use datastream_routing::names::{
    COMPONENT, GROUP, LAG, LAST_SEQ, POD, SUBSCRIPTION, SUBSCRIPTION_UID, claim_name,
};
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use k8s_openapi::jiff::Timestamp;
use kube::ResourceExt as _;
use serde_json::{Value, json};

use crate::session::Progress;

/// Claimant of streams: one process of a gateway.
#[derive(Clone, Debug)]
pub(crate) struct Claimant {
    /// The group of gateways.
    pub group: String,
    /// The pod.
    pub pod: String,
    /// The pod and a random part, other with every start: what a pod of the same name held before is not its own.
    pub holder: String,
}

impl Claimant {
    /// A claimant with a new random part.
    pub(crate) fn new(group: &str, pod: &str) -> Self {
        Self {
            group: group.to_owned(),
            pod: pod.to_owned(),
            holder: format!("{pod}_{:016x}", rand::random::<u64>()),
        }
    }

    /// The name of the claim of a subscription's stream.
    pub(crate) fn claim_name(&self, id: &SubscriptionId) -> String {
        claim_name(&self.group, id)
    }

    /// A claim to create.
    pub(crate) fn claim(&self, id: &SubscriptionId, uid: &str, now: Timestamp) -> Lease {
        let mut lease = Lease::default();
        lease.metadata.name = Some(self.claim_name(id));
        let owned = |(k, v): (&str, &str)| (k.to_owned(), v.to_owned());
        lease.metadata.labels = Some(
            [(COMPONENT, "stream"), (GROUP, &self.group)]
                .map(owned)
                .into(),
        );
        let subscription = id.to_string();
        lease.metadata.annotations = Some(
            [
                (SUBSCRIPTION, subscription.as_str()),
                (SUBSCRIPTION_UID, uid),
                (POD, &self.pod),
            ]
            .map(owned)
            .into(),
        );
        lease.spec = Some(LeaseSpec {
            holder_identity: Some(self.holder.clone()),
            acquire_time: Some(MicroTime(now)),
            ..LeaseSpec::default()
        });
        lease
    }

    /// The merge patch that takes a claim over, if it is still as it was seen.
    pub(crate) fn take_over(&self, found: &Lease, uid: &str, now: Timestamp) -> Value {
        let transitions = found.spec.as_ref().and_then(|s| s.lease_transitions);
        json!({
            "metadata": {
                "resourceVersion": found.resource_version(),
                "annotations": { SUBSCRIPTION_UID: uid, POD: self.pod, LAST_SEQ: null, LAG: null },
            },
            "spec": {
                "holderIdentity": self.holder,
                "acquireTime": MicroTime(now),
                "leaseTransitions": transitions.unwrap_or_default() + 1,
            },
        })
    }
}

/// The merge patch that reports how far a stream has come, if the claim is still as it was left.
pub(crate) fn progress(version: &str, progress: &Progress) -> Value {
    json!({ "metadata": {
        "resourceVersion": version,
        "annotations": { LAST_SEQ: progress.last_seq, LAG: progress.lag.to_string() },
    }})
}

/// The pod of a holder.
pub(crate) fn pod_of(holder: &str) -> &str {
    holder.rsplit_once('_').map_or(holder, |(pod, _)| pod)
}

/// Holder of a claim; none if the Lease does not say.
pub(crate) fn holder(lease: &Lease) -> Option<&str> {
    lease.spec.as_ref()?.holder_identity.as_deref()
}

/// The pod of whoever holds it.
pub(crate) fn pod(lease: &Lease) -> &str {
    lease.annotations().get(POD).map_or("?", String::as_str)
}
