//! The writer of routing objects.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use datastream_routing::names::{
    HAS_ACCESS_KEY, INDEX, INDEX_KEY, ROUTES_KEY, encode_index, index_name, labels, routes_bucket,
    routes_name,
};
use datastream_routing::{BUCKETS, BucketId, SubscriptionId};
use datastream_service_kube::api::reason;
use futures_util::StreamExt as _;
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use kube::api::{Patch, PatchParams};
use kube::{Api, ResourceExt as _};
use serde_json::{Value, json};
use tokio::sync::{Notify, mpsc};
use tokio::time::{Instant, sleep, sleep_until, timeout_at};

use super::state::{Lane, SharedRoutingState, Write};
use crate::FIELD_MANAGER;
use crate::metrics::Metrics;

/// Changes within this time are written together.
pub(super) const SETTLE: Duration = Duration::from_millis(50);
/// Pause after a round of writes for each object that was written, as long as changes keep coming: a
/// single edit is on its way at once, and while subscriptions change by the thousand, each object is written once for many.
pub(super) const PACE: Duration = Duration::from_millis(30);
/// Time in which every object is written once, while all of them change.
pub(crate) const ROUND: Duration = PACE.saturating_mul(BUCKETS as u32);
/// Changes that have not come for so long do not keep coming.
const QUIET: Duration = Duration::from_millis(250);
/// Routing objects that are written at once: of those that are urgent, and of the others.
pub(super) const CONCURRENCY: usize = 8;
/// A list of the routing objects that could not be written is written again after this time.
const LIST_AGAIN: Duration = Duration::from_secs(5);
/// An API server that does not answer a write within this time is asked again.
const WRITE_TIMEOUT: Duration = Duration::from_secs(10);

/// The outcome for the objects that were planned together.
#[derive(Default)]
struct Round {
    /// The number of those that the API server was asked to write.
    written: u32,
    has_failed: bool,
}

/// The task that keeps the routing objects as the state wants them.
pub struct Publisher {
    /// The Secrets of the namespace of the gateways.
    pub secrets: Api<Secret>,
    /// The group of gateways that they are for.
    pub group: String,
    /// The state, which plans the writes.
    pub state: SharedRoutingState,
    /// Notified when there may be something to write.
    pub changed: Arc<Notify>,
    /// Notified when there may be something to write that is urgent.
    pub urgent: Arc<Notify>,
    /// The queue for the subscriptions whose routes were published.
    pub published: mpsc::Sender<SubscriptionId>,
    /// Counts what is written.
    pub metrics: Arc<Metrics>,
}

impl Publisher {
    /// Writes until dropped.
    pub async fn run(self) -> anyhow::Result<()> {
        tokio::try_join!(self.write_rounds(), self.write_urgent())?;
        Ok(())
    }

    /// Writes what is not urgent, in rounds, until dropped.
    async fn write_rounds(&self) -> anyhow::Result<()> {
        let mut due: Option<Instant> = None;
        let mut is_held = false;
        loop {
            let at = due.unwrap_or_else(Instant::now);
            tokio::select! {
                () = self.changed.notified() => sleep(SETTLE).await,
                () = sleep_until(at), if due.is_some() => (),
            }
            let plan = self.state.lock().plan(Lane::Ordinary, Instant::now());
            if plan.held_until.is_some() && !is_held {
                tracing::warn!(
                    group = self.group,
                    "more than half of all routes would go at once: holding them back for now; if that is not meant, bring the subscriptions back"
                );
            }
            is_held = plan.held_until.is_some();
            self.metrics
                .shrink_held
                .with_label_values(&[&self.group])
                .set(i64::from(is_held));
            due = [plan.held_until, plan.retry_at].into_iter().flatten().min();
            if let Some(index) = plan.index {
                // Before the objects: a gateway that starts meanwhile knows that one is still to come.
                if self.list(&index).await {
                    self.state.lock().wrote_index(index);
                } else {
                    let again = Instant::now() + LIST_AGAIN;
                    due = Some(due.map_or(again, |due| due.min(again)));
                }
            }
            // One that was to be written after the list may be urgent now.
            self.wake_urgent();
            let were_planned = !plan.objects.is_empty();
            let round = self.write(plan.objects).await?;
            // What is held back has its time. What was given back, or is held back since, is to be planned again.
            let is_left = were_planned && plan.held_until.is_none() && self.state.lock().is_dirty();
            if round.has_failed || is_left {
                self.changed.notify_one();
            }
            self.rest(Instant::now() + PACE * round.written).await;
        }
    }

    /// Waits until then, or until nothing changes any more.
    async fn rest(&self, until: Instant) {
        let mut changed = false;
        while Instant::now() < until {
            let quiet = until.min(Instant::now() + QUIET);
            if timeout_at(quiet, self.changed.notified()).await.is_err() {
                break;
            }
            changed = true;
        }
        if changed {
            self.changed.notify_one();
        }
    }

    /// Writes those of planned objects that are still to be written.
    async fn write(&self, objects: Vec<BucketId>) -> anyhow::Result<Round> {
        let mut results = futures_util::stream::iter(objects)
            .map(|bucket| self.write_planned(bucket, Lane::Ordinary))
            .buffer_unordered(CONCURRENCY);
        let mut round = Round::default();
        while let Some(result) = results.next().await {
            if let Some((bucket, result)) = result {
                round.written += 1;
                round.has_failed |= !self.finish(bucket, result).await?;
            }
            // Somebody may be kept out of it since, and it was being written.
            self.wake_urgent();
        }
        Ok(round)
    }

    fn wake_urgent(&self) {
        if self.state.lock().has_urgent() {
            self.urgent.notify_one();
        }
    }

    /// Notes what became of a write. Returns whether it was done.
    pub(super) async fn finish(
        &self,
        bucket: BucketId,
        result: kube::Result<u64>,
    ) -> anyhow::Result<bool> {
        match result {
            Ok(resource_version) => {
                self.metrics.objects_written.inc();
                let changed = self.state.lock().wrote(bucket, resource_version);
                for id in changed {
                    self.published.send(id).await?;
                }
                Ok(true)
            }
            Err(error) => {
                self.metrics.object_errors.inc();
                let name = routes_name(&self.group, bucket);
                tracing::warn!(
                    object = name,
                    error = reason(&error),
                    "cannot write the routing object; trying again"
                );
                let error = format!("Secret {name}: {}", reason(&error));
                let mut state = self.state.lock();
                state.failed(bucket, error, Instant::now());
                Ok(false)
            }
        }
    }

    /// Writes a planned object when its turn has come. Returns nothing if there is nothing to write any more.
    pub(super) async fn write_planned(
        &self,
        bucket: BucketId,
        lane: Lane,
    ) -> Option<(BucketId, kube::Result<u64>)> {
        let begun = self.state.lock().begin(bucket, lane, Instant::now());
        let write = begun?;
        Some((bucket, self.write_one(&write).await))
    }

    async fn write_one(&self, write: &Write) -> kube::Result<u64> {
        let name = routes_name(&self.group, write.bucket);
        let written = self
            .apply(&name, "routes", &[(ROUTES_KEY, &write.bytes)])
            .await?;
        Ok(version(&written))
    }

    /// Writes the list of all routing objects. Returns whether it is written.
    async fn list(&self, objects: &BTreeSet<BucketId>) -> bool {
        let name = index_name(&self.group);
        let list = encode_index(objects);
        let content = [(INDEX_KEY, list.as_bytes()), (HAS_ACCESS_KEY, b"true")];
        let written = self.apply(&name, INDEX, &content).await;
        if let Err(error) = &written {
            self.metrics.object_errors.inc();
            tracing::warn!(
                object = name,
                error = reason(error),
                "cannot write the list of the routing objects; trying again"
            );
        }
        written.is_ok()
    }

    async fn apply(
        &self,
        name: &str,
        component: &str,
        content: &[(&str, &[u8])],
    ) -> Result<Secret, kube::Error> {
        let (patch, params) = group_secret(name, component, &self.group, content);
        let written = self.secrets.patch(name, &params, &patch);
        let timed_out = |_| kube::Error::Service("the API server did not answer in time".into());
        let written = tokio::time::timeout(WRITE_TIMEOUT, written).await;
        written.map_err(timed_out)?
    }
}

/// The patch that makes a Secret for the gateways of a group hold this.
pub(crate) fn group_secret(
    name: &str,
    component: &str,
    group: &str,
    content: &[(&str, &[u8])],
) -> (Patch<Value>, PatchParams) {
    let content = content.iter();
    let content = content.map(|(key, bytes)| (*key, ByteString(bytes.to_vec())));
    let secret = json!({
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": { "name": name, "labels": labels(component, group) },
        "type": "Opaque",
        "data": content.collect::<BTreeMap<_, _>>(),
    });
    let params = PatchParams::apply(FIELD_MANAGER).force();
    (Patch::Apply(secret), params)
}

/// The bucket, the resource version and the bytes of a routing Secret; absent if its name is not one.
pub fn decode_object(secret: &Secret) -> Option<(BucketId, u64, &[u8])> {
    let bucket = routes_bucket(&secret.name_any())?;
    let bytes = secret.data.as_ref().and_then(|data| data.get(ROUTES_KEY));
    Some((
        bucket,
        version(secret),
        bytes.map_or(&[], |b| b.0.as_slice()),
    ))
}

/// Resource versions are compared as numbers, as Kubernetes 1.35 allows (KEP-5504).
fn version(secret: &Secret) -> u64 {
    let version = secret.metadata.resource_version.as_deref();
    version.and_then(|v| v.parse().ok()).unwrap_or_default()
}

#[cfg(test)]
mod tests;
