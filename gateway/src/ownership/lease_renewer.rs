//! The gateway's own Lease: that it lives, whether it is ready, the hash of every bucket that it serves, how many streams it
//! has, and where other gateways can ask it.

use std::sync::Arc;
use std::time::Duration;

use datastream_routing::names::{
    COMPONENT, GROUP, HELD, PEER, PEER_TLS, READY, STREAMS, encode_held,
};
use datastream_routing::{BucketHash, BucketId};
use datastream_service_kube::api::{in_time, reason};
use datastream_service_kube::lease::{DURATION, RENEW_EVERY};
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::jiff::Timestamp;
use kube::api::{DeleteParams, Patch, PatchParams};
use kube::{Api, Client};
use serde_json::json;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

use super::claim::Claimant;
use super::peer_tls::PeerTls;
use crate::config::{ConfigState, ConfigStore};
use crate::session::StreamCount;

/// Changes within this time are acknowledged together.
const SETTLE: Duration = Duration::from_millis(20);
/// Pause after an acknowledgement for each bucket that was new in it: a single change is reported at once, and while all of them
/// change, they are reported together.
const PACE: Duration = Duration::from_millis(4);
const RETRY: Duration = Duration::from_millis(500);
const DELETE_TIMEOUT: Duration = Duration::from_secs(2);
const FIELD_MANAGER: &str = "datastream-gateway";

/// Keeps the Lease of one gateway.
pub struct LeaseRenewer {
    leases: Api<Lease>,
    name: String,
    me: Claimant,
    peer: Option<String>,
    /// TLS by which others can ask.
    tls: Arc<PeerTls>,
    /// Time at which the Lease was last written.
    renewed: watch::Sender<Option<Instant>>,
}

/// Number of buckets that differ from the last report.
fn changed_buckets(reported: Option<&ConfigState>, state: &ConfigState) -> u32 {
    let is_reported = |(bucket, hash): &(&BucketId, &BucketHash)| {
        reported.is_some_and(|reported| reported.held.get(bucket) == Some(hash))
    };
    let changed = state.held.iter().filter(|held| !is_reported(held)).count();
    u32::try_from(changed).unwrap_or(u32::MAX)
}

/// The name of the Lease of the gateway in this pod.
pub(super) fn lease_name(pod: &str) -> String {
    format!("datastream-gateway-{pod}")
}

impl LeaseRenewer {
    /// The Lease of this gateway in `namespace`; `renewed` gets the time of every renewal.
    pub(super) fn new(
        client: Client,
        namespace: &str,
        me: Claimant,
        peer: Option<String>,
        tls: Arc<PeerTls>,
        renewed: watch::Sender<Option<Instant>>,
    ) -> Self {
        Self {
            leases: Api::namespaced(client, namespace),
            name: lease_name(&me.pod),
            me,
            peer,
            tls,
            renewed,
        }
    }

    /// Writes the Lease once the routes are complete, renews it every 5 s and at once when what it says changes, and
    /// deletes it in the end. The API server's absence is survived: what the gateway serves does not depend on it.
    pub async fn run(
        self,
        store: Arc<ConfigStore>,
        mut ready: watch::Receiver<bool>,
        streams: StreamCount,
        cancel: CancellationToken,
    ) {
        let mut changes = store.subscribe();
        let synced = changes.wait_for(|state| state.synced);
        tokio::select! {
            result = synced => if result.is_err() { return },
            () = cancel.cancelled() => return,
        }
        let mut failing = false;
        let mut reported: Option<Arc<ConfigState>> = None;
        loop {
            let state = changes.borrow_and_update().clone();
            let changed = changed_buckets(reported.as_deref(), &state);
            let is_ready = *ready.borrow_and_update();
            let written = self.write(&state, is_ready, streams.streams()).await;
            let pause = if written.is_ok() { RENEW_EVERY } else { RETRY };
            match written {
                Err(error) if !failing => {
                    tracing::warn!(
                        lease = self.name,
                        error = reason(&error),
                        "cannot renew the Lease; trying again"
                    );
                    failing = true;
                }
                Err(_) => (),
                Ok(()) => {
                    failing = false;
                    self.renewed.send_replace(Some(Instant::now()));
                }
            }
            reported = Some(state);
            let next = Instant::now() + pause;
            let again = Instant::now() + PACE * changed;
            let changed = async {
                let changed = changes.changed().await;
                sleep_until(again.max(Instant::now() + SETTLE)).await;
                changed
            };
            tokio::select! {
                () = sleep_until(next) => (),
                Ok(()) = changed => (),
                Ok(()) = ready.changed() => (),
                () = cancel.cancelled() => break,
            }
        }
        match timeout(
            DELETE_TIMEOUT,
            self.leases.delete(&self.name, &DeleteParams::default()),
        )
        .await
        {
            Ok(Ok(_)) => (),
            Ok(Err(error)) => {
                tracing::warn!(
                    lease = self.name,
                    error = reason(&error),
                    "cannot delete the Lease; it expires"
                )
            }
            Err(_) => tracing::warn!(
                lease = self.name,
                "cannot delete the Lease in time; it expires"
            ),
        }
    }

    async fn write(&self, state: &ConfigState, ready: bool, streams: usize) -> kube::Result<()> {
        // The wire form of MicroTime: RFC 3339 with microseconds.
        let now = Timestamp::now()
            .strftime("%Y-%m-%dT%H:%M:%S.%6fZ")
            .to_string();
        let lease = json!({
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": {
                "name": self.name,
                "labels": { COMPONENT: "gateway", GROUP: self.me.group },
                "annotations": {
                    HELD: encode_held(&state.held),
                    READY: ready.to_string(),
                    STREAMS: streams.to_string(),
                    PEER: self.peer,
                    PEER_TLS: self.tls.current().is_some().to_string(),
                },
            },
            "spec": {
                "holderIdentity": self.me.holder,
                "leaseDurationSeconds": DURATION.as_secs(),
                "renewTime": now,
            },
        });
        let params = PatchParams::apply(FIELD_MANAGER).force();
        let patch = Patch::Apply(&lease);
        let write = self.leases.patch(&self.name, &params, &patch);
        in_time(write).await.map(|_| ())
    }
}
