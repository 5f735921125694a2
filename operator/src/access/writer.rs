//! The writer of the access rules of a group.

use std::sync::Arc;
use std::time::Duration;

use datastream_routing::names::{ACCESS, ACCESS_KEY, access_name};
use datastream_service::backoff::Backoff;
use datastream_service_kube::api::{in_time, reason};
use k8s_openapi::api::core::v1::Secret;
use kube::Api;
use tokio::time::sleep;

use super::SharedAccess;
use crate::groups::Group;
use crate::metrics::Metrics;
use crate::routing::group_secret;

/// Pauses between attempts to write them.
const FIRST_PAUSE: Duration = Duration::from_millis(200);
const LAST_PAUSE: Duration = Duration::from_secs(10);

/// Sees that the Secret with the access rules of a group says what is in force: as soon as it is known what the group has, and whenever
/// one of them may have changed.
pub(crate) async fn keep(
    secrets: Api<Secret>,
    name: String,
    group: Group,
    access: SharedAccess,
    metrics: Arc<Metrics>,
) -> anyhow::Result<()> {
    let (group_name, changed) = (name, group.access_changed);
    let name = access_name(&group_name);
    let mut backoff = Backoff::new(FIRST_PAUSE, LAST_PAUSE);
    loop {
        let rules = access.lock().current().cloned();
        let is_publishable = group.state.lock().is_publishable();
        let Some(rules) = rules.filter(|_| is_publishable) else {
            changed.notified().await;
            continue;
        };
        let bytes = rules.encode()?;
        let (secret, params) = group_secret(&name, ACCESS, &group_name, &[(ACCESS_KEY, &bytes)]);
        match in_time(secrets.patch(&name, &params, &secret)).await {
            Ok(_) => {
                backoff.reset();
                changed.notified().await;
            }
            Err(error) => {
                metrics.object_errors.inc();
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
