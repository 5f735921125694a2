//! Leader election: of all replicas one works. It holds a Lease and ends if it loses it.

use anyhow::Context as _;
use kube::Client;
use kube_lease_manager::{LeaseManager, LeaseManagerBuilder};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// A leader that stops renewing is replaced after this long.
const LEASE_SECONDS: u64 = 15;
/// The Lease is renewed this long before it expires.
const GRACE_SECONDS: u64 = 10;

/// A candidate, and later perhaps the leader.
pub(crate) struct Candidate {
    leads: watch::Receiver<bool>,
    task: JoinHandle<Result<LeaseManager, kube_lease_manager::LeaseManagerError>>,
}

/// The Lease of the replica that leads, in the namespace of the gateways.
const LEASE: &str = "datastream-operator";

impl Candidate {
    /// Stands for election.
    pub(crate) async fn stand(
        client: Client,
        namespace: &str,
        identity: &str,
    ) -> anyhow::Result<Self> {
        let manager = LeaseManagerBuilder::new(client, LEASE)
            .with_namespace(namespace)
            .with_identity(identity)
            .with_duration(LEASE_SECONDS)
            .with_grace(GRACE_SECONDS)
            .build()
            .await
            .with_context(|| format!("cannot make Lease {namespace}/{LEASE}"))?;
        let (leads, task) = manager.watch().await;
        Ok(Self { leads, task })
    }

    /// Waits until elected.
    pub(crate) async fn elected(&mut self) -> anyhow::Result<()> {
        let elected = self.leads.wait_for(|leads| *leads).await;
        elected.context("the election ended").map(|_| ())
    }

    /// Waits until the Lease is lost.
    pub(crate) async fn deposed(&mut self) {
        // If the election itself ends, nobody renews the Lease any more.
        let _ = self.leads.wait_for(|leads| !*leads).await;
    }

    /// Gives the Lease back, so that another replica takes over at once.
    pub(crate) async fn resign(self) {
        drop(self.leads);
        match self.task.await {
            Ok(Ok(_)) => (),
            Ok(Err(error)) => tracing::warn!(%error, "cannot give the Lease back; it expires"),
            Err(error) => tracing::warn!(%error, "the election ended badly"),
        }
    }
}
