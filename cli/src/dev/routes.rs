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
    /// As the manifest has it.
    asked: ValidSubscription,
    /// The subscription in force instead, where access rules deny what is asked for now and allow what was asked for before.
    kept: Option<ValidSubscription>,
    /// The part of what is asked for that access rules deny.
    denied: Option<Box<str>>,
}

impl Issued {
    fn route(&self) -> Route {
        let hash = (&self.key).into();
        match &self.kept {
            Some(kept) => kept.route(hash),
            None => Route {
                denied: self.denied.clone(),
                ..self.asked.route(hash)
            },
        }
    }

    fn in_force(&self) -> &ValidSubscription {
        self.kept.as_ref().unwrap_or(&self.asked)
    }

    fn is_open(&self) -> bool {
        !self.in_force().suspended && (self.denied.is_none() || self.kept.is_some())
    }
}

/// Changes that a look at the manifests has found.
#[derive(Default)]
pub(super) struct Changes {
    /// Streams that there were not before.
    pub new: Vec<NewStream>,
    /// Subscriptions with another spec.
    pub edited: Vec<ValidSubscription>,
    /// Subscriptions with another answer of the access rules, in words.
    pub access: Vec<(SubscriptionId, String)>,
    /// Subscriptions that are gone.
    pub deleted: Vec<SubscriptionId>,
}

/// A stream that there was not before.
pub(super) struct NewStream {
    pub id: SubscriptionId,
    pub key: StreamKey,
    /// The reason why its stream is refused, if it is.
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
            let key = identity.key;
            let mut issued = Issued {
                key,
                asked: subscription,
                kept: None,
                denied,
            };
            if let Some(old) = before.remove(id) {
                // As the API server counts: only a changed spec is a new generation.
                issued.asked.generation = old.asked.generation;
                let is_edited = issued.asked != old.asked;
                issued.asked.generation += i64::from(is_edited);
                if issued.denied.is_some() && (old.denied.is_none() || old.kept.is_some()) {
                    let before = old.in_force();
                    let is_less = before.event_types != issued.asked.event_types
                        || before.filters != issued.asked.filters;
                    let is_allowed = access.check(before).is_ok();
                    issued.kept = (is_less && is_allowed).then(|| before.clone());
                }
                let is_same = issued.denied == old.denied && issued.is_open() == old.is_open();
                match &issued.denied {
                    Some(denied) if is_edited || !is_same => {
                        let consequence = if issued.kept.is_some() {
                            "not accepted, its stream goes on as before"
                        } else {
                            "its stream is refused"
                        };
                        let note = format!("{consequence}: {denied}");
                        changes.access.push((id.clone(), note));
                    }
                    None if old.denied.is_some() => {
                        let note = "allowed again: its stream can be opened".to_owned();
                        changes.access.push((id.clone(), note));
                    }
                    None if is_edited => changes.edited.push(issued.asked.clone()),
                    _ => (),
                }
            } else {
                let suspended = issued.asked.suspended.then(|| "suspended".to_owned());
                let denied = issued.denied.as_ref().map(ToString::to_string);
                changes.new.push(NewStream {
                    id: id.clone(),
                    key: issued.key.clone(),
                    refused: denied.or(suspended),
                });
            }
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
