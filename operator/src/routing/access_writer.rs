//! The writer of the access rules of a group.

use std::sync::Arc;
use std::time::Duration;

use datastream_routing::names::{ACCESS, ACCESS_KEY, access_name};
use datastream_service::backoff::Backoff;
use datastream_service_kube::api::{in_time, reason};
use k8s_openapi::api::core::v1::Secret;
use kube::Api;
use tokio::sync::Notify;
use tokio::time::sleep;

use super::publisher::group_secret;
use super::state::SharedRoutingState;
use crate::access::SharedAccess;
use crate::metrics::Metrics;

/// Pauses between attempts to write them.
const FIRST_PAUSE: Duration = Duration::from_millis(200);
const LAST_PAUSE: Duration = Duration::from_secs(10);

/// The task that keeps the Secret with the access rules of a group as what is in force.
pub(crate) struct AccessWriter {
    /// The Secrets of the namespace of the gateways.
    pub secrets: Api<Secret>,
    /// The group of gateways that they are for.
    pub group: String,
    /// The access rules in force.
    pub access: SharedAccess,
    /// The state of the group: nothing is written before it is known what the group has.
    pub state: SharedRoutingState,
    /// Notified when what is in force, or what the gateways have, may be something else.
    pub changed: Arc<Notify>,
    /// Wakes the publisher of the routes, which waits for the rules.
    pub publish: Arc<Notify>,
    /// Wakes it for what is urgent, which waits for the rules, too.
    pub urgent: Arc<Notify>,
    /// Counts what cannot be written.
    pub metrics: Arc<Metrics>,
}

impl AccessWriter {
    /// Writes until dropped.
    pub(crate) async fn run(self) -> anyhow::Result<()> {
        let name = access_name(&self.group);
        let mut backoff = Backoff::new(FIRST_PAUSE, LAST_PAUSE);
        // It stays so, and the state may be busy.
        let mut is_publishable = false;
        loop {
            let rules = self.access.lock().current().cloned();
            is_publishable = is_publishable || self.state.lock().is_publishable();
            let Some(rules) = rules.filter(|_| is_publishable) else {
                self.changed.notified().await;
                continue;
            };
            let bytes = rules.encode()?;
            match self.write(&name, &bytes).await {
                Ok(()) => {
                    backoff.reset();
                    let is_newest = self.access.lock().current() == Some(&rules);
                    if is_newest {
                        self.state.lock().wrote_access();
                        self.publish.notify_one();
                        self.urgent.notify_one();
                    }
                    self.changed.notified().await;
                }
                Err(error) => {
                    self.metrics.object_errors.inc();
                    tracing::warn!(
                        object = name,
                        error = reason(&error),
                        "cannot write the access rules of the gateways; trying again"
                    );
                    sleep(backoff.next_delay()).await;
                }
            }
        }
    }

    /// Writes the rules, unless the gateways have them.
    async fn write(&self, name: &str, bytes: &[u8]) -> kube::Result<()> {
        if self.state.lock().is_access_published(bytes) {
            return Ok(());
        }
        let content = [(ACCESS_KEY, bytes)];
        let (secret, params) = group_secret(name, ACCESS, &self.group, &content);
        in_time(self.secrets.patch(name, &params, &secret)).await?;
        self.state.lock().set_published_access(Some(bytes));
        Ok(())
    }
}
