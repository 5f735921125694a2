//! Writes the Secret of a subscription as it was planned. Writes nothing if it is so already.

use datastream_protocol::StreamKey;
use k8s_openapi::api::core::v1::Secret;
use kube::Api;
use kube::api::{Patch, PatchParams, PostParams};
use serde_json::Value;

use super::build::SecretPlan;
use super::gather::Gathered;
use crate::FIELD_MANAGER;
use crate::context::Context;
use crate::stream_secret::{NOTES, secret_name};

/// The state of the Secret.
#[derive(Debug)]
pub(super) enum Applied {
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

/// A merge that leaves no other note of a key than those of this Secret, and its owners as they are unless they are to change.
fn merge(secret: &Secret, changes_owner: bool) -> Result<Value, Error> {
    let mut patch = serde_json::to_value(secret).map_err(kube::Error::SerdeError)?;
    if !changes_owner && let Some(metadata) = patch["metadata"].as_object_mut() {
        metadata.remove("ownerReferences");
    }
    for note in NOTES {
        let annotations = &mut patch["metadata"]["annotations"];
        if annotations.get(note).is_none() {
            annotations[note] = Value::Null;
        }
    }
    Ok(patch)
}

/// Makes or replaces the Secret, as planned.
pub(super) async fn apply(
    context: &Context,
    gathered: &Gathered<'_>,
    plan: SecretPlan,
) -> Result<Applied, Error> {
    let id = gathered.id;
    let secrets: Api<Secret> = Api::namespaced(context.client.clone(), &id.namespace);
    let (key, issued) = match plan {
        SecretPlan::Foreign => return Ok(Applied::Conflict),
        SecretPlan::Keep(key) => return Ok(Applied::Key { key, issued: false }),
        SecretPlan::Create(secret, key) => {
            let params = PostParams {
                field_manager: Some(FIELD_MANAGER.to_owned()),
                ..PostParams::default()
            };
            secrets.create(&params, &secret).await?;
            (key, true)
        }
        SecretPlan::Replace {
            secret,
            key,
            is_new,
            changes_owner,
            drops_note,
        } => {
            let apply = PatchParams::apply(FIELD_MANAGER);
            // An apply would keep the owner of the past, and the API server refuses two: a merge replaces the list. And it would keep a
            // note that somebody else has written, too, as whoever restores a Secret.
            let name = secret_name(&id.name);
            if changes_owner || drops_note {
                let patch = Patch::Merge(merge(&secret, changes_owner)?);
                secrets.patch(&name, &apply, &patch).await?;
            } else {
                let patch = Patch::Apply(&secret);
                secrets.patch(&name, &apply.force(), &patch).await?;
            }
            (key, is_new)
        }
    };
    context.metrics.secrets_written.inc();
    if issued {
        context.metrics.keys_issued.inc();
    }
    Ok(Applied::Key { key, issued })
}
