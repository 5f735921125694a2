//! Sources of the routes: every source writes the same [`ConfigStore`], every reader takes its table from it.

mod directory;
mod folder_changes;
mod kube;
mod store;

pub use directory::DirectorySource;
pub use folder_changes::is_change;
pub use kube::KubeSource;
pub use store::{AccessState, ConfigState, ConfigStore, ConfigUpdate, StaleRoutes};

use std::sync::Arc;

use futures_util::future::BoxFuture;
use tokio_util::sync::CancellationToken;

/// A source of routing objects: the Kubernetes watch, a directory, or `datastream dev`'s manifests.
pub trait ConfigSource: Send + 'static {
    /// Names the source and the place that it reads, for logs and `/readyz`.
    fn describe(&self) -> String;

    /// Feeds the store until cancelled. An outage of what lies behind is the source's own business: it says so with
    /// [`ConfigStore::set_source_error`] and tries again with backoff. Returning ends the gateway.
    fn run(
        self: Box<Self>,
        store: Arc<ConfigStore>,
        cancel: CancellationToken,
    ) -> BoxFuture<'static, anyhow::Result<()>>;
}
