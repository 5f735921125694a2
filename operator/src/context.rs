//! Things that every reconcile may use.

use std::sync::Arc;

use kube::Client;
use tokio::sync::watch;

use crate::events::Events;
use crate::groups::Groups;
use crate::metrics::Metrics;
use crate::namespaces::Heard;
use crate::retry::Reconciles;
use crate::stream_secret::Secrets;

/// State that all reconciles share.
pub(crate) struct Context {
    pub client: Client,
    pub secrets: Secrets,
    pub groups: Groups,
    /// True once everything has been listed: until then nothing can be said of any subscription.
    pub complete: watch::Receiver<bool>,
    /// Namespaces that are listed: nothing can be said of the others.
    pub heard: Heard,
    pub events: Events,
    pub metrics: Arc<Metrics>,
    pub reconciles: Reconciles,
}

impl Context {
    /// Waits until everything has been listed.
    pub(crate) async fn completed(&self) {
        // An error means that the process is about to end.
        let _ = self.complete.clone().wait_for(|complete| *complete).await;
    }
}
