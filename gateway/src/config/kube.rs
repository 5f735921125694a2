//! Routing objects as Secrets, watched through the API server.

use std::collections::BTreeMap;
use std::sync::Arc;

use anyhow::Context as _;
use datastream_routing::names;
use datastream_service::tls::{Identity, Pem};
use datastream_service_kube::api::watch_reason;
use datastream_service_kube::watch::{Change, Selection, Unreadable, Watched, changes};
use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use k8s_openapi::api::core::v1::Secret;
use kube::{Api, Client, ResourceExt};
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use super::{ConfigSource, ConfigStore, ConfigUpdate};

/// Events that are applied together at most: the operator writes many buckets at once.
const TOGETHER: usize = 1024;
/// Pause after a new table, as a multiple of the time that making it took, which grows with the routes. Changes are gathered
/// meanwhile, so hundreds of them make one table, and tables take a fifth of a core at most.
const REST: u32 = 4;

/// The routing Secrets of one group of gateways.
pub struct KubeSource {
    secrets: Api<Watched<Secret>>,
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
            let index = names::index_name(&self.group);
            let peers = names::peers_name(&self.group);
            let access = names::access_name(&self.group);
            let selection = Selection::labelled(&names::routes_selector(&self.group));
            let mut changes = std::pin::pin!(changes(self.secrets, selection));
            let mut waiting = Waiting::default();
            let mut due = Instant::now();
            loop {
                let change = tokio::select! {
                    // What is there is taken first, so that one table is made of it.
                    biased;
                    () = cancel.cancelled() => return Ok(()),
                    change = changes.next(), if waiting.taken < TOGETHER => Some(change.context("the watch of the routing Secrets ended")?.0),
                    () = sleep_until(due), if waiting.taken > 0 => None,
                };
                match change {
                    Some(Change::Failed(error)) => {
                        let error = watch_reason(&error);
                        tracing::warn!(error, "cannot watch the routing Secrets; trying again");
                        store.set_source_error(Some(error));
                    }
                    Some(Change::Recovered) => store.set_source_error(None),
                    Some(Change::Set(secret)) if secret.name_any() == index => {
                        waiting.add(listed(secret))
                    }
                    Some(Change::Set(secret)) if secret.name_any() == peers => {
                        waiting.add(identity(secret))
                    }
                    Some(Change::Set(secret)) if secret.name_any() == access => {
                        waiting.add(rules(secret))
                    }
                    Some(Change::Set(secret)) => waiting.add(set(secret)),
                    // What is known of it stays.
                    Some(Change::Unreadable(object))
                        if object.metadata.name.as_ref() == Some(&peers) =>
                    {
                        tracing::warn!(
                            object = peers,
                            error = object.error,
                            "cannot read the certificate of the gateways"
                        );
                    }
                    Some(Change::Unreadable(object))
                        if object.metadata.name.as_ref() == Some(&access) =>
                    {
                        waiting.add(ConfigUpdate::Access {
                            object: access.clone(),
                            content: Err(object.error),
                        });
                    }
                    Some(Change::Unreadable(object)) => waiting.add(unreadable(object)),
                    // What was listed is still to be there.
                    Some(Change::Gone(_, object))
                        if [&index, &peers, &access].contains(&&object) => {}
                    Some(Change::Gone(_, object)) => waiting.add(ConfigUpdate::Remove { object }),
                    Some(Change::Synced) => waiting.add(ConfigUpdate::Synced),
                    None => {
                        let begun = Instant::now();
                        store
                            .apply_apart(std::mem::take(&mut waiting).updates())
                            .await?;
                        due = Instant::now() + begun.elapsed() * REST;
                    }
                }
            }
        })
    }
}

/// Updates that wait for the next table: of each object the newest.
#[derive(Default)]
struct Waiting {
    objects: BTreeMap<String, ConfigUpdate>,
    synced: bool,
    /// Number of updates taken in.
    taken: usize,
}

impl Waiting {
    fn add(&mut self, update: ConfigUpdate) {
        self.taken += 1;
        match &update {
            ConfigUpdate::Set { object, .. }
            | ConfigUpdate::Unreadable { object, .. }
            | ConfigUpdate::Listed { object, .. }
            | ConfigUpdate::Peers { object, .. }
            | ConfigUpdate::Access { object, .. }
            | ConfigUpdate::Remove { object } => {
                self.objects.insert(object.clone(), update);
            }
            ConfigUpdate::Synced => self.synced = true,
        }
    }

    fn updates(self) -> Vec<ConfigUpdate> {
        let synced = self.synced.then_some(ConfigUpdate::Synced);
        self.objects.into_values().chain(synced).collect()
    }
}

fn unreadable(object: Unreadable) -> ConfigUpdate {
    ConfigUpdate::Unreadable {
        object: object.metadata.name.unwrap_or_default(),
        reason: object.error,
    }
}

/// A Secret without the key is a broken routing object: the store refuses its empty content.
fn set(mut secret: Secret) -> ConfigUpdate {
    ConfigUpdate::Set {
        bytes: bytes(&mut secret, names::ROUTES_KEY),
        object: secret.name_any(),
    }
}

fn rules(mut secret: Secret) -> ConfigUpdate {
    ConfigUpdate::Access {
        content: Ok(bytes(&mut secret, names::ACCESS_KEY)),
        object: secret.name_any(),
    }
}

fn listed(mut secret: Secret) -> ConfigUpdate {
    let data = secret.data.as_ref();
    let has_access = data.is_some_and(|data| data.contains_key(names::HAS_ACCESS_KEY));
    let list = names::decode_index(&bytes(&mut secret, names::INDEX_KEY));
    let object = secret.name_any();
    match list {
        Ok(buckets) => ConfigUpdate::Listed {
            object,
            buckets,
            has_access,
        },
        Err(reason) => ConfigUpdate::Unreadable { object, reason },
    }
}

/// The certificate of the gateways, which may be malformed: whoever uses it finds out.
fn identity(mut secret: Secret) -> ConfigUpdate {
    let object = secret.name_any();
    let pem = |key: &str, bytes| Pem::new(format!("{key} of Secret {object}"), bytes);
    let certificate = pem("tls.crt", bytes(&mut secret, "tls.crt"));
    let key = pem("tls.key", bytes(&mut secret, "tls.key"));
    let identity = Arc::new(Identity::new(certificate, key));
    ConfigUpdate::Peers { object, identity }
}

fn bytes(secret: &mut Secret, key: &str) -> Vec<u8> {
    let data = secret.data.as_mut();
    data.and_then(|data| data.remove(key))
        .map(|bytes| bytes.0)
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_newest_update_of_each_object_is_queued_and_synced_comes_last() {
        let set = |object: &str, content: &str| ConfigUpdate::Set {
            object: object.to_owned(),
            bytes: content.into(),
        };
        let remove = |object: &str| ConfigUpdate::Remove {
            object: object.to_owned(),
        };
        let mut waiting = Waiting::default();
        for update in [
            set("a", "1"),
            ConfigUpdate::Synced,
            set("b", "1"),
            set("a", "2"),
            remove("b"),
            remove("c"),
            set("c", "1"),
        ] {
            waiting.add(update);
        }
        assert_eq!(waiting.taken, 7);
        let expected = [
            set("a", "2"),
            remove("b"),
            set("c", "1"),
            ConfigUpdate::Synced,
        ];
        assert_eq!(waiting.updates(), expected);
    }
}
