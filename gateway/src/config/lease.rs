//! The gateway's own Lease: that it lives, whether it is ready, and the hash of every bucket that it serves.

use std::sync::Arc;
use std::time::Duration;

use datastream_routing::object::{COMPONENT, GROUP, HELD, READY, encode_held};
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::jiff::Timestamp;
use kube::api::{DeleteParams, Patch, PatchParams};
use kube::{Api, Client};
use serde_json::json;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

use super::{ConfigState, ConfigStore};

const RENEW_EVERY: Duration = Duration::from_secs(5);
const LEASE_SECONDS: i32 = 15;
/// Changes within this time are acknowledged together.
const SETTLE: Duration = Duration::from_millis(20);
const RETRY: Duration = Duration::from_millis(500);
const DELETE_TIMEOUT: Duration = Duration::from_secs(2);
const FIELD_MANAGER: &str = "datastream-gateway";

/// Keeps the Lease of one gateway.
pub struct LeaseKeeper {
    leases: Api<Lease>,
    name: String,
    group: String,
    pod: String,
}

impl LeaseKeeper {
    /// The Lease of `pod`, a gateway of `group` in `namespace`.
    pub fn new(
        client: Client,
        namespace: &str,
        group: impl Into<String>,
        pod: impl Into<String>,
    ) -> Self {
        let pod = pod.into();
        let name = format!("datastream-gateway-{pod}");
        Self {
            leases: Api::namespaced(client, namespace),
            name,
            group: group.into(),
            pod,
        }
    }

    /// Writes the Lease once the routes are complete, renews it every 5 s and at once when what it says changes, and
    /// deletes it in the end. The API server's absence is survived: what the gateway serves does not depend on it.
    pub async fn run(
        self,
        store: Arc<ConfigStore>,
        mut ready: watch::Receiver<bool>,
        cancel: CancellationToken,
    ) {
        let mut changes = store.subscribe();
        let synced = changes.wait_for(|state| state.synced);
        tokio::select! {
            result = synced => if result.is_err() { return },
            () = cancel.cancelled() => return,
        }
        let mut failing = false;
        loop {
            let state = changes.borrow_and_update().clone();
            let is_ready = *ready.borrow_and_update();
            let written = self.write(&state, is_ready).await;
            let pause = if written.is_ok() { RENEW_EVERY } else { RETRY };
            match written {
                Err(error) if !failing => {
                    tracing::warn!(lease = self.name, %error, "cannot renew the Lease; trying again");
                    failing = true;
                }
                Err(_) => (),
                Ok(()) => failing = false,
            }
            let next = Instant::now() + pause;
            tokio::select! {
                () = sleep_until(next) => (),
                Ok(()) = changes.changed() => tokio::time::sleep(SETTLE).await,
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
                tracing::warn!(lease = self.name, %error, "cannot delete the Lease; it expires")
            }
            Err(_) => tracing::warn!(
                lease = self.name,
                "cannot delete the Lease in time; it expires"
            ),
        }
    }

    async fn write(&self, state: &ConfigState, ready: bool) -> kube::Result<()> {
        // The wire form of MicroTime: RFC 3339 with microseconds.
        let now = Timestamp::now()
            .strftime("%Y-%m-%dT%H:%M:%S.%6fZ")
            .to_string();
        let lease = json!({
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": {
                "name": self.name,
                "labels": { COMPONENT: "gateway", GROUP: self.group },
                "annotations": {
                    HELD: encode_held(&state.held),
                    READY: ready.to_string(),
                },
            },
            "spec": {
                "holderIdentity": self.pod,
                "leaseDurationSeconds": LEASE_SECONDS,
                "renewTime": now,
            },
        });
        let params = PatchParams::apply(FIELD_MANAGER).force();
        timeout(
            RENEW_EVERY,
            self.leases
                .patch(&self.name, &params, &Patch::Apply(&lease)),
        )
        .await
        .map_err(|_| kube::Error::Service("the API server did not answer in time".into()))?
        .map(|_| ())
    }
}
