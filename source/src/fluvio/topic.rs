//! The topic that carries the events: made if it is missing.

use std::time::Duration;

use anyhow::{Context as _, bail};
use fluvio::metadata::topic::TopicSpec;
use tokio::time::timeout;

use super::FluvioTarget;

/// The client itself waits more than 90 s for an address that never answers.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Makes sure that the topic is there; one that is missing gets this many partitions.
///
/// # Errors
/// Fluvio does not answer, or does not make it.
pub async fn ensure(target: &FluvioTarget, partitions: u32) -> anyhow::Result<()> {
    let FluvioTarget { cluster, topic } = target;
    let address = cluster.address();
    timeout(TIMEOUT, create_if_missing(target, partitions))
        .await
        .with_context(|| format!("Fluvio at {address} does not answer: is that its SC's address?"))?
        .with_context(|| format!("cannot look for topic {topic:?} in Fluvio at {address}"))
}

async fn create_if_missing(target: &FluvioTarget, partitions: u32) -> anyhow::Result<()> {
    let client = target.cluster.connect().await?;
    let admin = client.admin().await;
    let exists = async || -> anyhow::Result<bool> {
        let topics = admin.all::<TopicSpec>().await?;
        Ok(topics.iter().any(|t| t.name == target.topic))
    };
    if exists().await? {
        return Ok(());
    }
    let spec = TopicSpec::new_computed(partitions, 1, None);
    if let Err(error) = admin.create(target.topic.clone(), false, spec).await {
        // Somebody else may have been faster.
        if !exists().await? {
            bail!("cannot create it: {error:#}");
        }
    }
    tracing::info!(topic = target.topic, partitions, "topic created");
    Ok(())
}
