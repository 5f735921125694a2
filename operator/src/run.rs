//! The operator as one call: check, listen, stand for election, work, resign.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use datastream_service::probes;
use kube::Client;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::groups::GroupSetting;
use crate::leader::Candidate;
use crate::metrics::Metrics;
use crate::{controller, preflight};

/// What the operator can be told.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The namespace of the gateways, where routing objects and Leases are.
    pub routes_namespace: String,
    /// The groups of gateways to publish to; at least one, each once.
    pub groups: Vec<GroupSetting>,
    /// Where probes and metrics are served; port 0 picks a free one.
    pub listen: SocketAddr,
    /// The name of this replica, different from all others'.
    pub identity: String,
    /// How long a sudden loss of more than half of all routes is held back.
    pub shrink_hold: Duration,
}

/// Runs until `cancel` is cancelled. `bound` is told where probes and metrics are.
///
/// # Errors
/// What keeps it from starting, a lost election after it was won, or a part of it that has ended.
pub async fn run(
    settings: Settings,
    bound: impl FnOnce(SocketAddr),
    cancel: CancellationToken,
) -> anyhow::Result<()> {
    let names: BTreeSet<_> = settings.groups.iter().map(|g| g.name.as_str()).collect();
    anyhow::ensure!(
        !names.is_empty() && names.len() == settings.groups.len(),
        "--groups must name at least one group of gateways, and each once"
    );
    let client = Client::try_default()
        .await
        .context("cannot find a Kubernetes API server: set KUBECONFIG, or run in a pod")?;
    preflight::check(&client, &settings.routes_namespace).await?;
    let listener = TcpListener::bind(settings.listen)
        .await
        .with_context(|| format!("cannot listen on {}", settings.listen))?;
    bound(listener.local_addr()?);
    let metrics = Arc::new(Metrics::new(names)?);
    let mut candidate = Candidate::stand(
        client.clone(),
        &settings.routes_namespace,
        &settings.identity,
    )
    .await?;
    let work = async {
        candidate.elected().await?;
        tracing::info!(identity = settings.identity, "leading");
        metrics.leads.set(1);
        tokio::select! {
            result = controller::run(client, settings, metrics.clone()) => result,
            () = candidate.deposed() => anyhow::bail!("lost the leadership: another replica has the Lease"),
        }
    };
    let result = tokio::select! {
        result = work => result,
        result = probes::serve(listener, metrics.clone()) => result.context("probes and metrics"),
        () = cancel.cancelled() => Ok(()),
    };
    candidate.resign().await;
    result
}
