//! The subscription's Secret, and its owner.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use datastream_crds::DatastreamSubscription;
use datastream_protocol::StreamKey;
use datastream_routing::names::COMPONENT;
use datastream_routing::{KeyHash, SubscriptionId};
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::jiff::Timestamp;
use kube::{Resource as _, ResourceExt as _};
use sha2::{Digest as _, Sha256};

use crate::resource_version::ResourceVersion;
use crate::uid::Uid;

/// The key of the stream key in a subscription's Secret.
pub(crate) const STREAM_KEY: &str = "stream_key";
/// The key of the URL in a subscription's Secret.
pub(crate) const URL: &str = "url";
/// The value of the label [`COMPONENT`] on a subscription's Secret.
pub(crate) const LABEL: &str = "stream-key";
/// The annotation of a subscription that says `true` if the key in a Secret without an owner, or of a deleted subscription, is
/// to be its own: after a restore from a backup.
pub(crate) const ADOPT: &str = "datastream.dev/adopt-secret";
/// The annotation of a subscription that asks for a new key whenever its value changes. The Secret says under the same name which value
/// was the last one.
pub(crate) const ROTATE: &str = "datastream.dev/rotate-key";
/// The most characters of a value of [`ROTATE`]: it is kept with each subscription and each Secret.
pub(crate) const REQUEST_CHARS: usize = 256;
/// The annotation of a Secret that says when its key was issued.
const ISSUED: &str = "datastream.dev/key-issued";
/// The annotation of a Secret with the SHA-256 of the key before, as long as that is good.
const PREVIOUS_KEY: &str = "datastream.dev/previous-key-sha256";
/// The annotation of a Secret that says how long that is.
const PREVIOUS_KEY_UNTIL: &str = "datastream.dev/previous-key-until";
/// All annotations with which something is noted of a key.
pub(crate) const NOTES: [&str; 4] = [ISSUED, PREVIOUS_KEY, PREVIOUS_KEY_UNTIL, ROTATE];
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

/// A hash of a URL with a stream key: it is only compared, and takes less memory.
pub(crate) type UrlHash = [u8; 16];

/// The hash of a URL with a stream key.
pub(crate) fn url_hash(url: &str) -> UrlHash {
    let digest: [u8; 32] = Sha256::digest(url.as_bytes()).into();
    let mut short = [0; 16];
    short.copy_from_slice(&digest[..16]);
    short
}

/// The parts of a subscription's Secret that are looked at. They are kept for each subscription, and a whole Secret takes ten
/// times as much memory.
#[derive(Clone, Debug, Default)]
pub(crate) struct ObservedSecret {
    pub resource_version: Option<ResourceVersion>,
    pub is_labelled: bool,
    /// The subscription that controls it.
    pub owner: Option<Owner>,
    /// True if something else than a subscription of this name controls it.
    pub is_others: bool,
    /// The key in it, if it is well-formed.
    pub key: Option<StreamKey>,
    /// The hash of the URL in it.
    pub url: Option<UrlHash>,
    /// Notes on the key; absent if there are none.
    pub notes: Option<Box<Notes>>,
}

/// The part of a value of [`ROTATE`] that is kept: all of it, or so much that it is seen to be too long.
pub(crate) fn kept_request(value: &str) -> &str {
    let end = value.char_indices().nth(REQUEST_CHARS + 1);
    end.map_or(value, |(end, _)| &value[..end])
}

/// Notes of a Secret on its key.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Notes {
    /// Time at which the key was issued; absent if nobody wants to know.
    pub issued: Option<Timestamp>,
    pub previous: Option<PreviousKey>,
    /// The last value of the annotation [`ROTATE`].
    pub request: Option<String>,
}

/// A key that was replaced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PreviousKey {
    pub hash: KeyHash,
    /// The end of its time.
    pub until: Timestamp,
}

/// The owner of a Secret.
#[derive(Clone, Debug)]
pub(crate) struct Owner {
    pub uid: Uid,
    /// The reference to it is as this operator writes it.
    pub is_as_written: bool,
}

/// Ownership of a Secret, seen from a subscription.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ownership {
    /// The subscription's.
    Ours,
    /// Owned by nobody, or by a subscription of the same name that was deleted, and the subscription says that it is to have the
    /// key.
    Adopted,
    /// A subscription's of the same name that was deleted.
    Leftover,
    /// Someone else's.
    Foreign,
}

impl ObservedSecret {
    /// Reads the Secret of the subscription with this name.
    pub(crate) fn of(secret: &Secret, subscription: &str) -> Self {
        let text = |key: &str| {
            let bytes = secret.data.as_ref()?.get(key)?;
            std::str::from_utf8(&bytes.0).ok()
        };
        let owner = owner(secret, subscription);
        Self {
            resource_version: secret.resource_version().map(ResourceVersion::from),
            is_labelled: secret.labels().get(COMPONENT).is_some_and(|l| l == LABEL),
            is_others: owner.is_none()
                && secret
                    .owner_references()
                    .iter()
                    .any(|o| o.controller == Some(true)),
            owner,
            key: text(STREAM_KEY).and_then(|text| StreamKey::parse(text).ok()),
            url: text(URL).map(url_hash),
            notes: Some(notes(secret))
                .filter(|notes| *notes != Notes::default())
                .map(Box::new),
        }
    }

    /// The notes on the key.
    pub(crate) fn notes(&self) -> Notes {
        self.notes.as_deref().cloned().unwrap_or_default()
    }

    /// Returns whose it is, seen from the subscription with this uid, which adopts it if it can.
    pub(crate) fn ownership(&self, uid: &Uid, adopts: bool) -> Ownership {
        let is_adopted = adopts && self.is_labelled && self.key.is_some() && !self.is_others;
        match &self.owner {
            Some(owner) if owner.uid == *uid => Ownership::Ours,
            _ if is_adopted => Ownership::Adopted,
            Some(_) => Ownership::Leftover,
            None => Ownership::Foreign,
        }
    }
}

/// Reads what is noted of the key; what cannot be read was not noted.
fn notes(secret: &Secret) -> Notes {
    let note = |name: &str| secret.annotations().get(name);
    let time = |name| note(name).and_then(|text| text.parse().ok());
    let hash = note(PREVIOUS_KEY).and_then(|text| KeyHash::from_hex(text).ok());
    Notes {
        issued: time(ISSUED),
        previous: hash
            .zip(time(PREVIOUS_KEY_UNTIL))
            .map(|(hash, until)| PreviousKey { hash, until }),
        request: note(ROTATE).map(|request| kept_request(request).to_owned()),
    }
}

/// The annotations of a Secret with these notes.
pub(crate) fn annotations(notes: &Notes) -> BTreeMap<String, String> {
    let previous = notes.previous.as_ref();
    [
        (ISSUED, notes.issued.map(|time| time.to_string())),
        (PREVIOUS_KEY, previous.map(|key| key.hash.to_hex())),
        (
            PREVIOUS_KEY_UNTIL,
            previous.map(|key| key.until.to_string()),
        ),
        (ROTATE, notes.request.clone()),
    ]
    .into_iter()
    .filter_map(|(name, value)| Some((name.to_owned(), value?)))
    .collect()
}

fn owner(secret: &Secret, subscription: &str) -> Option<Owner> {
    let owner = secret.owner_references().iter().find(|o| {
        o.controller == Some(true)
            && o.kind == DatastreamSubscription::kind(&())
            && o.api_version.starts_with("datastream.dev/")
            && o.name == subscription
    })?;
    Some(Owner {
        uid: owner.uid.as_str().into(),
        is_as_written: owner.api_version == DatastreamSubscription::api_version(&()),
    })
}

/// The Secrets with stream keys, as far as the watch has brought them. One without the label may be in the way all the same, and
/// a new one may be on its way.
#[derive(Clone, Debug, Default)]
pub(crate) struct Secrets(Arc<Mutex<HashMap<SubscriptionId, Arc<ObservedSecret>>>>);

impl Secrets {
    /// The Secret of this subscription.
    pub(crate) fn get(&self, id: &SubscriptionId) -> Option<Arc<ObservedSecret>> {
        let secrets = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        secrets.get(id).cloned()
    }

    /// The subscriptions of a namespace that have one.
    pub(crate) fn within(&self, namespace: &str) -> Vec<SubscriptionId> {
        let secrets = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let ids = secrets.keys();
        let within = ids.filter(|id| id.namespace.as_ref() == namespace);
        within.cloned().collect()
    }

    /// The Secret of this subscription as it is now; absent if it is gone.
    pub(crate) fn set(&self, id: SubscriptionId, found: Option<ObservedSecret>) {
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

    fn found(changed: &serde_json::Value) -> ObservedSecret {
        ObservedSecret::of(&secret(&owner(changed)), "leds")
    }

    #[test]
    fn a_secret_belongs_to_its_controlling_subscription() {
        let ours = found(&json!({}));
        assert_eq!(ours.ownership(&"u1".into(), false), Ownership::Ours);
        assert_eq!(ours.ownership(&"u2".into(), false), Ownership::Leftover);
        assert!(ours.is_labelled && ours.owner.unwrap().is_as_written);
        for foreign in [
            json!({"controller": false}),
            json!({"kind": "Deployment"}),
            json!({"apiVersion": "apps/v1"}),
            json!({"name": "lamps"}),
        ] {
            assert_eq!(
                found(&foreign).ownership(&"u1".into(), false),
                Ownership::Foreign,
                "{foreign}"
            );
        }
    }

    #[test]
    fn an_owner_reference_of_an_older_api_version_is_ours_and_rewritten() {
        let found = found(&json!({"apiVersion": "datastream.dev/v1alpha0"}));
        assert_eq!(found.ownership(&"u1".into(), false), Ownership::Ours);
        assert!(!found.owner.unwrap().is_as_written);
    }

    #[test]
    fn a_secret_is_adopted_only_with_a_valid_key_the_label_and_no_other_controller() {
        let with_key = |mut secret: Secret| {
            let key = k8s_openapi::ByteString(vec![b'a'; 32]);
            secret.data = Some(BTreeMap::from([(STREAM_KEY.to_owned(), key)]));
            secret
        };
        let ownership = |secret: &Secret, adopts| {
            ObservedSecret::of(secret, "leds").ownership(&"u2".into(), adopts)
        };
        let leftover = with_key(secret(&owner(&json!({}))));
        let mut orphan = leftover.clone();
        orphan.metadata.owner_references = None;
        assert_eq!(ownership(&leftover, true), Ownership::Adopted);
        assert_eq!(ownership(&orphan, true), Ownership::Adopted);
        assert_eq!(ownership(&leftover, false), Ownership::Leftover);
        assert_eq!(ownership(&orphan, false), Ownership::Foreign);
        let mut unlabelled = orphan.clone();
        unlabelled.metadata.labels = None;
        let mut keyless = orphan.clone();
        keyless.data = None;
        let others = with_key(secret(&owner(&json!({"kind": "Deployment"}))));
        for foreign in [unlabelled, keyless, others] {
            assert_eq!(ownership(&foreign, true), Ownership::Foreign, "{foreign:?}");
        }
    }

    #[test]
    fn a_malformed_key_in_a_secret_is_ignored() {
        let mut secret = secret(&owner(&json!({})));
        let bytes = |text: &[u8]| k8s_openapi::ByteString(text.to_vec());
        for bad in [b"short".as_slice(), b"\xff\xfe"] {
            secret.data = Some(BTreeMap::from([(STREAM_KEY.to_owned(), bytes(bad))]));
            assert!(ObservedSecret::of(&secret, "leds").key.is_none());
        }
        secret.data = Some(BTreeMap::from([(
            STREAM_KEY.to_owned(),
            bytes(&[b'a'; 32]),
        )]));
        assert!(ObservedSecret::of(&secret, "leds").key.is_some());
    }
}
