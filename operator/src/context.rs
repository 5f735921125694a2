//! What every reconcile may use.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use datastream_routing::SubscriptionId;
use k8s_openapi::api::core::v1::Secret;
use kube::Client;
use kube::runtime::events::Recorder;
use kube::runtime::reflector::Store;
use tokio::sync::watch;

use crate::groups::Groups;
use crate::metrics::Metrics;

const FIRST_RETRY: Duration = Duration::from_millis(500);
const LAST_RETRY: Duration = Duration::from_mins(1);

/// Shared by all reconciles.
pub(crate) struct Context {
    pub client: Client,
    /// The Secrets with stream keys, as far as the watch has brought them.
    pub secrets: Store<Secret>,
    pub groups: Groups,
    /// True once everything has been listed: until then nothing can be said of any subscription.
    pub complete: watch::Receiver<bool>,
    pub recorder: Recorder,
    pub metrics: Arc<Metrics>,
    /// How often in a row a subscription has failed.
    pub failures: Mutex<HashMap<SubscriptionId, u32>>,
}

impl Context {
    /// Waits until everything has been listed.
    pub(crate) async fn completed(&self) {
        // An error means that the process is about to end.
        let _ = self.complete.clone().wait_for(|complete| *complete).await;
    }

    /// A reconcile failed: how long to wait for the next one, twice as long each time.
    pub(crate) fn failed(&self, id: SubscriptionId) -> Duration {
        let mut failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        let count = failures.entry(id).or_default();
        let wait = FIRST_RETRY.saturating_mul(1 << (*count).min(10));
        *count += 1;
        wait.min(LAST_RETRY)
    }

    /// A reconcile went well.
    pub(crate) fn succeeded(&self, id: &SubscriptionId) {
        let mut failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        failures.remove(id);
    }
}
