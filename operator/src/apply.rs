//! Makes the Secret of a subscription what it should be. Writes nothing if it is already.

use std::collections::BTreeMap;

use datastream_crds::DatastreamSubscription;
use datastream_routing::object::COMPONENT;
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use kube::api::{Patch, PatchParams, PostParams};
use kube::{Api, Resource as _, ResourceExt as _};
use secrecy::ExposeSecret as _;

use crate::FIELD_MANAGER;
use crate::build::{StreamKey, new_stream_key, stream_url};
use crate::context::Context;
use crate::gather::{KeySecret, Ownership, STREAM_KEY, URL, key_in, ownership};

/// What became of the Secret.
#[derive(Debug)]
pub(crate) enum Applied {
    /// It holds this key.
    Key {
        /// The key.
        key: StreamKey,
        /// Whether the key is a new one.
        issued: bool,
    },
    /// A Secret of this name belongs to someone else, and is left alone.
    Conflict,
}

/// Why the Secret could not be made.
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
    gathered: &KeySecret,
    endpoint: &str,
) -> Result<Applied, Error> {
    let owned = gathered.found.as_deref().map(|secret| {
        let uid = subscription.uid();
        ownership(secret, &subscription.name_any(), uid.as_deref())
    });
    let kept = match owned {
        Some(Ownership::Foreign) => return Ok(Applied::Conflict),
        Some(Ownership::Ours(_)) => gathered.found.as_deref().and_then(key_in),
        // A key that was given to a subscription of the past is not given to its successor.
        Some(Ownership::Leftover) | None => None,
    };
    let issued = kept.is_none();
    let key = kept.map_or_else(|| new_stream_key().map_err(Error::Random), Ok)?;
    let wanted = secret(subscription, &gathered.name, &key, endpoint);
    let namespace = subscription.namespace().unwrap_or_default();
    let secrets: Api<Secret> = Api::namespaced(context.client.clone(), &namespace);
    match gathered.found.as_deref() {
        Some(found) if is_as_wanted(found, &wanted) => return Ok(Applied::Key { key, issued }),
        Some(found) => {
            // With the version that was read: what someone else has written since is looked at first.
            let mut wanted = wanted;
            wanted.metadata.resource_version = found.resource_version();
            let apply = PatchParams::apply(FIELD_MANAGER);
            // An apply would keep the owner of the past, and the API server refuses two: a merge replaces the list.
            let (params, patch) = match owned {
                Some(Ownership::Leftover) => (apply, Patch::Merge(&wanted)),
                _ => (apply.force(), Patch::Apply(&wanted)),
            };
            secrets.patch(&gathered.name, &params, &patch).await?;
        }
        None => {
            let params = PostParams {
                field_manager: Some(FIELD_MANAGER.to_owned()),
                ..PostParams::default()
            };
            secrets.create(&params, &wanted).await?;
        }
    }
    context.metrics.secrets_written.inc();
    if issued {
        context.metrics.keys_issued.inc();
    }
    Ok(Applied::Key { key, issued })
}

fn secret(
    subscription: &DatastreamSubscription,
    name: &str,
    key: &StreamKey,
    endpoint: &str,
) -> Secret {
    let mut secret = Secret::default();
    secret.metadata.name = Some(name.to_owned());
    secret.metadata.namespace = subscription.namespace();
    secret.metadata.labels = Some(BTreeMap::from([(
        COMPONENT.to_owned(),
        "stream-key".to_owned(),
    )]));
    secret.metadata.owner_references = subscription.controller_owner_ref(&()).map(|o| vec![o]);
    secret.type_ = Some("Opaque".to_owned());
    let url = stream_url(endpoint, key);
    let text = |t: &str| ByteString(t.as_bytes().to_vec());
    secret.data = Some(BTreeMap::from([
        (STREAM_KEY.to_owned(), text(key.expose())),
        (URL.to_owned(), text(url.expose_secret())),
    ]));
    secret
}

/// Whether everything that is wanted is there; what others added is theirs.
fn is_as_wanted(found: &Secret, wanted: &Secret) -> bool {
    let label = |s: &Secret| s.labels().get(COMPONENT).cloned();
    let data = |s: &Secret, key: &str| s.data.as_ref().and_then(|d| d.get(key)).cloned();
    label(found) == label(wanted)
        && wanted
            .owner_references()
            .iter()
            .all(|o| found.owner_references().contains(o))
        && [STREAM_KEY, URL]
            .iter()
            .all(|key| data(found, key) == data(wanted, key))
}
