//! What a reconcile needs: the subscription's Secret, and whose it is.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use datastream_crds::DatastreamSubscription;
use datastream_routing::SubscriptionId;
use datastream_routing::object::COMPONENT;
use k8s_openapi::api::core::v1::Secret;
use kube::{Resource as _, ResourceExt as _};
use secrecy::SecretString;

use crate::build::StreamKey;

/// The key of the stream key in a subscription's Secret.
pub(crate) const STREAM_KEY: &str = "stream_key";
/// The key of the URL in a subscription's Secret.
pub(crate) const URL: &str = "url";
/// What the label [`COMPONENT`] says of a subscription's Secret.
pub(crate) const LABEL: &str = "stream-key";
/// The end of the name of a subscription's Secret.
const SUFFIX: &str = "-stream-key";

/// The name of the Secret of the subscription with this name.
pub(crate) fn secret_name(subscription: &str) -> String {
    format!("{subscription}{SUFFIX}")
}

/// The name of the subscription that a Secret with this name is for.
pub(crate) fn subscription_of(secret_name: &str) -> Option<&str> {
    secret_name.strip_suffix(SUFFIX)
}

/// What is looked at in a subscription's Secret. There is one for each subscription, and a whole Secret takes ten times as much
/// memory.
#[derive(Clone, Debug)]
pub(crate) struct Found {
    pub resource_version: Option<String>,
    pub is_labelled: bool,
    /// The subscription that controls it.
    pub owner: Option<Owner>,
    /// The key in it, if it is well-formed.
    pub key: Option<StreamKey>,
    pub url: Option<SecretString>,
}

/// The owner of a Secret.
#[derive(Clone, Debug)]
pub(crate) struct Owner {
    pub uid: String,
    /// Whether the reference to it is what is written here.
    pub is_as_written: bool,
}

/// Whose a Secret is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ownership {
    /// The subscription's.
    Ours,
    /// A subscription's of the same name that was deleted.
    Leftover,
    /// Someone else's.
    Foreign,
}

impl Found {
    /// What there is to see in the Secret of the subscription with this name.
    pub(crate) fn in_secret(secret: &Secret, subscription: &str) -> Self {
        let text = |key: &str| {
            let bytes = secret.data.as_ref()?.get(key)?;
            std::str::from_utf8(&bytes.0).ok()
        };
        Self {
            resource_version: secret.resource_version(),
            is_labelled: secret.labels().get(COMPONENT).is_some_and(|l| l == LABEL),
            owner: owner(secret, subscription),
            key: text(STREAM_KEY).and_then(|text| StreamKey::parse(text).ok()),
            url: text(URL).map(SecretString::from),
        }
    }

    /// Whose it is, seen from the subscription with this uid.
    pub(crate) fn ownership(&self, uid: &str) -> Ownership {
        match &self.owner {
            None => Ownership::Foreign,
            Some(owner) if owner.uid == uid => Ownership::Ours,
            Some(_) => Ownership::Leftover,
        }
    }
}

fn owner(secret: &Secret, subscription: &str) -> Option<Owner> {
    let owner = secret.owner_references().iter().find(|o| {
        o.controller == Some(true)
            && o.kind == DatastreamSubscription::kind(&())
            && o.api_version.starts_with("datastream.dev/")
            && o.name == subscription
    })?;
    Some(Owner {
        uid: owner.uid.clone(),
        is_as_written: owner.api_version == DatastreamSubscription::api_version(&()),
    })
}

/// The Secrets with stream keys, as far as the watch has brought them. One without the label may be in the way all the same, and
/// a new one may be on its way.
#[derive(Clone, Debug, Default)]
pub(crate) struct Secrets(Arc<Mutex<BTreeMap<SubscriptionId, Arc<Found>>>>);

impl Secrets {
    /// The Secret of this subscription.
    pub(crate) fn get(&self, id: &SubscriptionId) -> Option<Arc<Found>> {
        let secrets = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        secrets.get(id).cloned()
    }

    /// The Secret of this subscription as it is now; absent if it is gone.
    pub(crate) fn set(&self, id: SubscriptionId, found: Option<Found>) {
        let mut secrets = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match found {
            Some(found) => secrets.insert(id, Arc::new(found)),
            None => secrets.remove(&id),
        };
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn secret(owner: &serde_json::Value) -> Secret {
        serde_json::from_value(json!({
            "metadata": {"name": "leds-stream-key", "resourceVersion": "7", "labels": {COMPONENT: LABEL}, "ownerReferences": [owner]},
        }))
        .unwrap()
    }

    fn owner(changed: &serde_json::Value) -> serde_json::Value {
        let mut owner = json!({
            "apiVersion": DatastreamSubscription::api_version(&()), "kind": "DatastreamSubscription",
            "name": "leds", "uid": "u1", "controller": true,
        });
        let fields = changed.as_object().unwrap().clone();
        owner.as_object_mut().unwrap().extend(fields);
        owner
    }

    fn found(changed: &serde_json::Value) -> Found {
        Found::in_secret(&secret(&owner(changed)), "leds")
    }

    #[test]
    fn a_secret_is_the_subscriptions_that_controls_it() {
        let ours = found(&json!({}));
        assert_eq!(ours.ownership("u1"), Ownership::Ours);
        assert_eq!(ours.ownership("u2"), Ownership::Leftover);
        assert!(ours.is_labelled && ours.owner.unwrap().is_as_written);
        for foreign in [
            json!({"controller": false}),
            json!({"kind": "Deployment"}),
            json!({"apiVersion": "apps/v1"}),
            json!({"name": "lamps"}),
        ] {
            assert_eq!(
                found(&foreign).ownership("u1"),
                Ownership::Foreign,
                "{foreign}"
            );
        }
    }

    #[test]
    fn a_reference_of_an_older_version_is_ours_and_to_be_written_again() {
        let found = found(&json!({"apiVersion": "datastream.dev/v1alpha0"}));
        assert_eq!(found.ownership("u1"), Ownership::Ours);
        assert!(!found.owner.unwrap().is_as_written);
    }

    #[test]
    fn what_is_no_key_is_none() {
        let mut secret = secret(&owner(&json!({})));
        let bytes = |text: &[u8]| k8s_openapi::ByteString(text.to_vec());
        for bad in [b"short".as_slice(), b"\xff\xfe"] {
            secret.data = Some(BTreeMap::from([(STREAM_KEY.to_owned(), bytes(bad))]));
            assert!(Found::in_secret(&secret, "leds").key.is_none());
        }
        secret.data = Some(BTreeMap::from([(
            STREAM_KEY.to_owned(),
            bytes(&[b'a'; 32]),
        )]));
        assert!(Found::in_secret(&secret, "leds").key.is_some());
    }
}
