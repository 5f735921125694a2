//! Makes the Secret of a subscription what it should be. Writes nothing if it is already.

use std::collections::BTreeMap;

use datastream_crds::DatastreamSubscription;
use datastream_protocol::StreamKey;
use datastream_routing::object::COMPONENT;
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use kube::api::{Patch, PatchParams, PostParams};
use kube::{Api, Resource as _, ResourceExt as _};
use secrecy::ExposeSecret as _;

use crate::FIELD_MANAGER;
use crate::build::{new_stream_key, stream_url};
use crate::context::Context;
use crate::gather::{ADOPT, Found, LABEL, Ownership, STREAM_KEY, URL, secret_name};
use crate::metrics::Metrics;
use crate::publish::id_of;

/// The state of the Secret.
#[derive(Debug)]
pub(crate) enum Applied {
    /// It holds this key.
    Key {
        /// The key.
        key: StreamKey,
        /// The key is a new one.
        issued: bool,
    },
    /// A Secret of this name belongs to someone else, and is left alone.
    Conflict,
}

/// An error that keeps the Secret from being made.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// The API server refused, or could not be reached.
    #[error(transparent)]
    Kube(#[from] kube::Error),
    /// The system has no random bytes.
    #[error("no random bytes for a stream key: {0}")]
    Random(getrandom::Error),
}

/// Keeps, mends or makes the Secret, with the URL under this endpoint.
pub(crate) async fn apply(
    context: &Context,
    subscription: &DatastreamSubscription,
    endpoint: &str,
) -> Result<Applied, Error> {
    let namespace = subscription.namespace().unwrap_or_default();
    let secrets: Api<Secret> = Api::namespaced(context.client.clone(), &namespace);
    let this = Apply {
        metrics: &context.metrics,
        subscription,
        endpoint,
        secrets,
    };
    if let Some(found) = context.secrets.get(&id_of(subscription)) {
        return this.keep(&found).await;
    }
    match this.make().await {
        // It is not one of those that are watched, or not yet.
        Err(Error::Kube(kube::Error::Api(status))) if status.is_already_exists() => {
            let secret = this.secrets.get(&this.name()).await?;
            let found = Found::in_secret(&secret, &subscription.name_any());
            this.keep(&found).await
        }
        made => made,
    }
}

/// One subscription's Secret, about to be written.
struct Apply<'a> {
    metrics: &'a Metrics,
    subscription: &'a DatastreamSubscription,
    endpoint: &'a str,
    secrets: Api<Secret>,
}

impl Apply<'_> {
    /// There is none.
    async fn make(&self) -> Result<Applied, Error> {
        let key = new_stream_key().map_err(Error::Random)?;
        let params = PostParams {
            field_manager: Some(FIELD_MANAGER.to_owned()),
            ..PostParams::default()
        };
        self.secrets.create(&params, &self.wanted(&key)).await?;
        Ok(self.written(key, true))
    }

    /// There is this one.
    async fn keep(&self, found: &Found) -> Result<Applied, Error> {
        let adopts = self.subscription.annotations().get(ADOPT);
        let adopts = adopts.is_some_and(|adopts| adopts == "true");
        let owned = found.ownership(&self.subscription.uid().unwrap_or_default(), adopts);
        let kept = match owned {
            Ownership::Foreign => return Ok(Applied::Conflict),
            Ownership::Ours | Ownership::Adopted => found.key.clone(),
            // A key that was given to a subscription of the past is not given to its successor.
            Ownership::Leftover => None,
        };
        let (key, issued) = match kept {
            Some(key) if owned == Ownership::Ours && self.is_as_wanted(found, &key) => {
                return Ok(Applied::Key { key, issued: false });
            }
            Some(key) => (key, false),
            None => (new_stream_key().map_err(Error::Random)?, true),
        };
        let mut wanted = self.wanted(&key);
        // With the version that was read: what someone else has written since is looked at first.
        wanted.metadata.resource_version = found.resource_version.clone();
        let apply = PatchParams::apply(FIELD_MANAGER);
        // An apply would keep the owner of the past, and the API server refuses two: a merge replaces the list.
        let (params, patch) = match owned {
            Ownership::Leftover | Ownership::Adopted => (apply, Patch::Merge(&wanted)),
            _ => (apply.force(), Patch::Apply(&wanted)),
        };
        self.secrets.patch(&self.name(), &params, &patch).await?;
        Ok(self.written(key, issued))
    }

    /// Returns whether everything that is wanted is there; what others added is theirs.
    fn is_as_wanted(&self, found: &Found, key: &StreamKey) -> bool {
        let url = stream_url(self.endpoint, key);
        found.is_labelled
            && found.owner.as_ref().is_some_and(|o| o.is_as_written)
            && found
                .url
                .as_ref()
                .is_some_and(|u| u.expose_secret() == url.expose_secret())
    }

    fn written(&self, key: StreamKey, issued: bool) -> Applied {
        self.metrics.secrets_written.inc();
        if issued {
            self.metrics.keys_issued.inc();
        }
        Applied::Key { key, issued }
    }

    fn name(&self) -> String {
        secret_name(&self.subscription.name_any())
    }

    fn wanted(&self, key: &StreamKey) -> Secret {
        let mut secret = Secret::default();
        secret.metadata.name = Some(self.name());
        secret.metadata.namespace = self.subscription.namespace();
        secret.metadata.labels = Some(BTreeMap::from([(COMPONENT.to_owned(), LABEL.to_owned())]));
        let owner = self.subscription.controller_owner_ref(&());
        secret.metadata.owner_references = owner.map(|o| vec![o]);
        secret.type_ = Some("Opaque".to_owned());
        let url = stream_url(self.endpoint, key);
        let text = |t: &str| ByteString(t.as_bytes().to_vec());
        secret.data = Some(BTreeMap::from([
            (STREAM_KEY.to_owned(), text(key.expose())),
            (URL.to_owned(), text(url.expose_secret())),
        ]));
        secret
    }
}
