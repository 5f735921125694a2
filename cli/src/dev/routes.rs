//! The operator's part: identities, generations and buckets for what the folder says, fed to the gateway in this process.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use anyhow::Context as _;
use datastream_gateway::config::{ConfigSource, ConfigStore, ConfigUpdate};
use datastream_operator::access::AccessDefault;
use datastream_operator::spec::ValidSubscription;
use datastream_protocol::StreamKey;
use datastream_routing::buckets;
use datastream_routing::{Bucket, BucketId, Route, SubscriptionId};
use futures_util::future::BoxFuture;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::keys::Keys;
use crate::manifests::{Access, Object, ObjectId};

/// Tables that may wait for the gateway.
const QUEUE: usize = 4;

/// Gives subscriptions keys and generations, and the gateway its routing objects.
pub(super) struct Routes {
    keys: Keys,
    issued: BTreeMap<SubscriptionId, Issued>,
    /// Buckets that the gateway has: one that becomes empty is emptied, not forgotten.
    buckets: BTreeSet<BucketId>,
    updates: mpsc::Sender<Vec<ConfigUpdate>>,
}

struct Issued {
    key: StreamKey,
    subscription: ValidSubscription,
    /// What access rules deny of it.
    denied: Option<Box<str>>,
}

impl Issued {
    fn route(&self) -> Route {
        Route {
            denied: self.denied.clone(),
            ..self.subscription.route((&self.key).into())
        }
    }

    const fn is_open(&self) -> bool {
        !self.subscription.suspended && self.denied.is_none()
    }
}

/// Changes that a look at the manifests has found.
#[derive(Default)]
pub(super) struct Changes {
    /// Streams that there were not before.
    pub new: Vec<NewStream>,
    /// Subscriptions with another spec.
    pub edited: Vec<ValidSubscription>,
    /// Subscriptions that access rules deny something now, and what; absent if they do no longer.
    pub denied: Vec<(SubscriptionId, Option<Box<str>>)>,
    /// Subscriptions that are gone.
    pub deleted: Vec<SubscriptionId>,
}

/// A stream that there was not before.
pub(super) struct NewStream {
    pub id: SubscriptionId,
    pub key: StreamKey,
    /// Why its stream is refused, if it is.
    pub refused: Option<String>,
}

/// The gateway's end.
pub(super) struct InProcess(mpsc::Receiver<Vec<ConfigUpdate>>);

impl Routes {
    pub(super) fn new(keys: Keys) -> (Self, InProcess) {
        let (updates, receiver) = mpsc::channel(QUEUE);
        (
            Self {
                keys,
                issued: BTreeMap::new(),
                buckets: BTreeSet::new(),
                updates,
            },
            InProcess(receiver),
        )
    }

    /// The keys of the streams that can be opened.
    pub(super) fn keys(&self) -> Vec<StreamKey> {
        let issued = self.issued.values();
        let open = issued.filter(|issued| issued.is_open());
        open.map(|issued| issued.key.clone()).collect()
    }

    /// Puts exactly these subscriptions and access rules in force, and returns what that changes.
    pub(super) async fn put<'a>(
        &mut self,
        objects: impl Iterator<Item = (&'a ObjectId, &'a Object)> + Clone,
    ) -> anyhow::Result<Changes> {
        let mut before = std::mem::take(&mut self.issued);
        let mut changes = Changes::default();
        let access = Access::of(objects.clone(), AccessDefault::default());
        let subscriptions = objects.filter_map(|(_, object)| match object {
            Object::Subscription(subscription) => Some(subscription.as_ref().clone()),
            _ => None,
        });
        for mut subscription in subscriptions {
            let id = &subscription.id.clone();
            let denied = access.check(&subscription).err();
            let denied = denied.map(|denial| denial.to_string().into_boxed_str());
            let identity = self.keys.of(id)?;
            subscription.uid = identity.uid;
            if let Some(old) = before.remove(id) {
                subscription.generation = old.subscription.generation;
                // As the API server counts: only a changed spec is a new generation.
                if subscription != old.subscription {
                    subscription.generation += 1;
                    changes.edited.push(subscription.clone());
                }
                if denied != old.denied {
                    changes.denied.push((id.clone(), denied.clone()));
                }
            } else {
                let suspended = subscription.suspended.then(|| "suspended".to_owned());
                changes.new.push(NewStream {
                    id: id.clone(),
                    key: identity.key.clone(),
                    refused: denied.as_ref().map(ToString::to_string).or(suspended),
                });
            }
            let key = identity.key;
            let issued = Issued {
                key,
                subscription,
                denied,
            };
            self.issued.insert(id.clone(), issued);
        }
        // Only what was seen to go: a manifest that is faulty at the start keeps its key for when it is mended.
        for id in before.keys() {
            self.keys.forget(id);
        }
        changes.deleted = before.into_keys().collect();
        self.keys.save()?;
        let rendered = buckets(self.issued.values().map(Issued::route));
        self.buckets.extend(rendered.keys());
        let mut updates = vec![ConfigUpdate::Access {
            object: "the access rules".to_owned(),
            content: Ok(access.rules().encode()?),
        }];
        for id in &self.buckets {
            let empty = Bucket::new(*id, vec![]);
            let bytes = rendered.get(id).unwrap_or(&empty).encode()?;
            updates.push(ConfigUpdate::Set {
                object: format!("bucket {id}"),
                bytes,
            });
        }
        // Without manifests there is nothing else that says so.
        updates.push(ConfigUpdate::Listed {
            object: "the list of buckets".to_owned(),
            buckets: self.buckets.clone(),
            has_access: true,
        });
        updates.push(ConfigUpdate::Synced);
        self.updates
            .send(updates)
            .await
            .context("the gateway has ended")?;
        Ok(changes)
    }
}

impl ConfigSource for InProcess {
    fn describe(&self) -> String {
        "the manifests of datastream dev".to_owned()
    }

    fn run(
        mut self: Box<Self>,
        store: Arc<ConfigStore>,
        cancel: CancellationToken,
    ) -> BoxFuture<'static, anyhow::Result<()>> {
        Box::pin(async move {
            loop {
                tokio::select! {
                    Some(updates) = self.0.recv() => store.apply(updates),
                    () = cancel.cancelled() => return Ok(()),
                }
            }
        })
    }
}
