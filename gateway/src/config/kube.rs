//! Routing objects as Secrets, watched through the API server.

use std::sync::Arc;
use std::time::Instant;

use datastream_routing::object;
use datastream_service::watch::{Change, Listing, Reconnect};
use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use k8s_openapi::api::core::v1::Secret;
use kube::runtime::WatchStreamExt as _;
use kube::runtime::watcher;
use kube::{Api, Client, ResourceExt};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::{ConfigSource, ConfigStore, ConfigUpdate};

/// Events that are applied together if they are there: the operator writes many buckets at once.
const TOGETHER: usize = 256;
/// After a new table was made, which takes longer the more routes there are, others wait for so many times as long: so changes
/// by the hundred are taken together, and take a fifth of a core at most.
const REST: u32 = 4;

/// The routing Secrets of one group of gateways.
pub struct KubeSource {
    secrets: Api<Secret>,
    namespace: String,
    group: String,
}

impl KubeSource {
    /// The routing Secrets of `group` in `namespace`.
    pub fn new(client: Client, namespace: impl Into<String>, group: impl Into<String>) -> Self {
        let (namespace, group) = (namespace.into(), group.into());
        Self {
            secrets: Api::namespaced(client, &namespace),
            namespace,
            group,
        }
    }
}

impl ConfigSource for KubeSource {
    fn describe(&self) -> String {
        format!(
            "routing Secrets of group {} in namespace {}",
            self.group, self.namespace
        )
    }

    fn run(
        self: Box<Self>,
        store: Arc<ConfigStore>,
        cancel: CancellationToken,
    ) -> BoxFuture<'static, anyhow::Result<()>> {
        Box::pin(async move {
            let selector = object::selector("routes", &self.group);
            let events =
                watcher::watcher(self.secrets, watcher::Config::default().labels(&selector));
            let mut chunks = events
                .backoff(Reconnect::default())
                .boxed()
                .ready_chunks(TOGETHER);
            let mut listing = Listing::default();
            loop {
                let chunk = tokio::select! {
                    chunk = chunks.next() => chunk.unwrap_or_default(),
                    () = cancel.cancelled() => return Ok(()),
                };
                if chunk.is_empty() {
                    anyhow::bail!("the watch of the routing Secrets ended");
                }
                let mut updates = vec![];
                for event in chunk {
                    match event {
                        Ok(event) => {
                            store.set_source_error(None);
                            updates.extend(listing.take(event).into_iter().map(update));
                        }
                        Err(error) => {
                            tracing::warn!(%error, "cannot watch the routing Secrets; trying again");
                            store.set_source_error(Some(error.to_string()));
                        }
                    }
                }
                if !updates.is_empty() {
                    let begun = Instant::now();
                    store.apply(updates);
                    tokio::select! {
                        () = sleep(begun.elapsed() * REST) => (),
                        () = cancel.cancelled() => return Ok(()),
                    }
                }
            }
        })
    }
}

fn update(change: Change<Secret>) -> ConfigUpdate {
    match change {
        Change::Set(secret) => set(secret),
        Change::Gone(_, object) => ConfigUpdate::Remove { object },
        Change::Synced => ConfigUpdate::Synced,
    }
}

/// A Secret without the key is a broken routing object: the store refuses its empty content.
fn set(mut secret: Secret) -> ConfigUpdate {
    let bytes = secret
        .data
        .as_mut()
        .and_then(|data| data.remove(object::ROUTES_KEY))
        .map(|bytes| bytes.0);
    ConfigUpdate::Set {
        object: secret.name_any(),
        bytes: bytes.unwrap_or_default(),
    }
}
