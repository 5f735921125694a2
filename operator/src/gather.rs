//! What a reconcile needs: the subscription's Secret, and whose it is.

use std::sync::Arc;

use datastream_crds::DatastreamSubscription;
use k8s_openapi::api::core::v1::Secret;
use kube::runtime::reflector::ObjectRef;
use kube::{Resource as _, ResourceExt as _};

use crate::build::StreamKey;
use crate::context::Context;

/// The key of the stream key in a subscription's Secret.
pub(crate) const STREAM_KEY: &str = "stream_key";
/// The key of the URL in a subscription's Secret.
pub(crate) const URL: &str = "url";
/// The end of the name of a subscription's Secret.
const SUFFIX: &str = "-stream-key";

/// The name of the Secret of the subscription with this name.
pub(crate) fn secret_name(subscription: &str) -> String {
    format!("{subscription}{SUFFIX}")
}

/// The Secret that is to hold a subscription's key, as far as the watch has brought it. One without the label may be in the way
/// all the same, and a new one may be on its way.
pub(crate) fn gather(
    context: &Context,
    subscription: &DatastreamSubscription,
) -> Option<Arc<Secret>> {
    let namespace = subscription.namespace().unwrap_or_default();
    let name = secret_name(&subscription.name_any());
    context
        .secrets
        .get(&ObjectRef::new(&name).within(&namespace))
}

/// Whose a Secret is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Ownership {
    /// This subscription's, by uid.
    Ours(String),
    /// A subscription's of the same name that was deleted.
    Leftover,
    /// Someone else's.
    Foreign,
}

/// Who controls a Secret, seen from the subscription with this name and, where one is asked for, uid.
pub(crate) fn ownership(secret: &Secret, subscription: &str, uid: Option<&str>) -> Ownership {
    let owner = secret.owner_references().iter().find(|o| {
        o.controller == Some(true)
            && o.kind == DatastreamSubscription::kind(&())
            && o.api_version.starts_with("datastream.dev/")
            && o.name == subscription
    });
    match owner {
        None => Ownership::Foreign,
        Some(owner) if uid.is_none_or(|uid| owner.uid == uid) => Ownership::Ours(owner.uid.clone()),
        Some(_) => Ownership::Leftover,
    }
}

/// The name of the subscription that a Secret with this name is for.
pub(crate) fn subscription_of(secret_name: &str) -> Option<&str> {
    secret_name.strip_suffix(SUFFIX)
}

/// The well-formed key in a Secret.
pub(crate) fn key_in(secret: &Secret) -> Option<StreamKey> {
    let bytes = secret.data.as_ref()?.get(STREAM_KEY)?;
    StreamKey::parse(std::str::from_utf8(&bytes.0).ok()?).ok()
}
