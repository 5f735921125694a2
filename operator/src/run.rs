//! The operator as one call: check, listen, stand for election, work, resign.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::Context as _;
use datastream_service::probes::serve;
use datastream_service_kube::api;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::access::AccessSettings;
use crate::groups::{GroupSetting, Limits};
use crate::leader::{Candidate, Lock};
use crate::metrics::Metrics;
use crate::namespaces::Namespaces;
use crate::probes::OperatorProbes;
use crate::{controller, preflight};

/// The operator's settings.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The namespace of the gateways, where routing objects and Leases are.
    pub routes_namespace: String,
    /// The namespace of the lock that the replica which leads has. If it is that of the gateways, who may write every Lease there,
    /// the lock is a ConfigMap.
    pub leader_namespace: String,
    /// The namespaces whose subscriptions are served.
    pub namespaces: Namespaces,
    /// The groups of gateways to publish to; at least one, each once.
    pub groups: Vec<GroupSetting>,
    /// Address of probes and metrics; port 0 picks a free one.
    pub listen: SocketAddr,
    /// Metrics are only for those whom the API server lets get `/metrics`.
    pub metrics_authorization: bool,
    /// The name of this replica, different from all others'.
    pub identity: String,
    /// Limits of each group.
    pub limits: Limits,
    /// Settings of the access rules.
    pub access: AccessSettings,
}

/// Runs until `cancel` is cancelled. `bound` gets the address of probes and metrics.
///
/// # Errors
/// Something keeps it from starting, or a part of it has ended.
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
    let client = api::client().await?;
    let lock = Lock::in_namespace(&settings.leader_namespace, &settings.routes_namespace);
    preflight::check(&client, &settings, &lock).await?;
    let listener = TcpListener::bind(settings.listen).await.with_context(|| {
        format!(
            "cannot listen on {}: choose another --listen",
            settings.listen
        )
    })?;
    bound(listener.local_addr()?);
    let metrics = Arc::new(Metrics::new(names)?);
    let authorization = settings.metrics_authorization;
    let probes = OperatorProbes::new(metrics.clone(), &client, authorization)?;
    let mut candidate = Candidate::stand(api::client, lock, &settings.identity);
    let work = async {
        loop {
            let term = candidate.elected().await?;
            tracing::info!(identity = settings.identity, "leading");
            metrics.leads.set(1);
            tokio::select! {
                biased;
                () = candidate.deposed(term) => tracing::warn!("not leading any more; standing for election again"),
                result = controller::run(client.clone(), settings.clone(), metrics.clone()) => return result,
            }
            metrics.stand_by();
        }
    };
    let result: anyhow::Result<()> = tokio::select! {
        result = work => result,
        result = serve(listener, Arc::new(probes)) => result.context("probes and metrics"),
        () = cancel.cancelled() => Ok(()),
    };
    // If the election has ended by itself, what it ended with is the cause.
    candidate.resign().await.and(result)
}
