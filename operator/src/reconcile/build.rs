//! The Secret of a subscription as it should be: its stream key, and the URL to use it with. Pure, but for a new key.

use std::collections::BTreeMap;
use std::time::Duration;

use datastream_protocol::StreamKey;
use datastream_routing::names::COMPONENT;
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::jiff::Timestamp;
use secrecy::{ExposeSecret as _, SecretString};

use crate::key_rotation::{Decision, KeyRotation};
use crate::stream_secret::{
    LABEL, Notes, ObservedSecret, Ownership, STREAM_KEY, URL, annotations, secret_name, url_hash,
};
use crate::subscription::Subscription;

/// A new key.
///
/// # Errors
/// The system has no random bytes.
pub fn new_stream_key() -> Result<StreamKey, getrandom::Error> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes)?;
    Ok(StreamKey::from_random(bytes))
}

/// Plan for a subscription's Secret, and when to look at its key again.
pub(super) struct Planned {
    pub plan: SecretPlan,
    pub again: Option<Duration>,
}

/// Plan for a subscription's Secret.
pub(super) enum SecretPlan {
    /// It is as it should be, with this key.
    Keep(StreamKey),
    /// No Secret is known: one is to be created.
    Create(Secret, StreamKey),
    /// It is to be replaced, if it is still as it was read.
    Replace {
        secret: Secret,
        key: StreamKey,
        /// The key is a new one.
        is_new: bool,
        /// It has an owner that is to be another one.
        changes_owner: bool,
        /// It notes something that is to be noted no more.
        drops_note: bool,
    },
    /// It is someone else's, and left alone.
    Foreign,
}

/// The Secret as it should be now, with the URL under this endpoint, given the one that is there.
///
/// # Errors
/// The system has no random bytes for a new key.
pub(super) fn secret(
    subscription: &Subscription,
    rotation: &KeyRotation,
    endpoint: &str,
    found: Option<&ObservedSecret>,
    now: Timestamp,
) -> Result<Planned, getrandom::Error> {
    let planned = |plan, notes: &Notes| Planned {
        plan,
        again: rotation.next(notes, now),
    };
    let Some(found) = found else {
        let (key, notes) = (new_stream_key()?, rotation.first(now));
        let secret = secret_with(subscription, endpoint, &key, &notes);
        return Ok(planned(SecretPlan::Create(secret, key), &notes));
    };
    let uid = subscription.uid.clone().unwrap_or_default();
    let owned = found.ownership(&uid, subscription.adopts);
    let kept = match owned {
        Ownership::Foreign => {
            let plan = SecretPlan::Foreign;
            return Ok(Planned { plan, again: None });
        }
        Ownership::Ours | Ownership::Adopted => found.key.clone(),
        // A key that was given to a subscription of the past is not given to its successor.
        Ownership::Leftover => None,
    };
    let (key, notes, is_new) = match kept.map(|key| (key, rotation.decide(found, now))) {
        Some((key, Decision::Keep(notes))) => {
            if owned == Ownership::Ours && is_as_wanted(found, endpoint, &key, &notes) {
                return Ok(planned(SecretPlan::Keep(key), &notes));
            }
            (key, notes, false)
        }
        Some((_, Decision::Replace(notes))) => (new_stream_key()?, notes, true),
        None => (new_stream_key()?, rotation.first(now), true),
    };
    let mut secret = secret_with(subscription, endpoint, &key, &notes);
    // With the version that was read: what someone else has written since is looked at first.
    let version = found.resource_version.as_ref();
    secret.metadata.resource_version = version.map(ToString::to_string);
    let plan = SecretPlan::Replace {
        secret,
        key,
        is_new,
        changes_owner: matches!(owned, Ownership::Leftover | Ownership::Adopted),
        drops_note: found.notes().previous.is_some() && notes.previous.is_none(),
    };
    Ok(planned(plan, &notes))
}

/// Returns whether everything that is wanted is there; what others added is theirs.
fn is_as_wanted(found: &ObservedSecret, endpoint: &str, key: &StreamKey, notes: &Notes) -> bool {
    let url = stream_url(endpoint, key);
    found.is_labelled
        && found.owner.as_ref().is_some_and(|o| o.is_as_written)
        && found.url == Some(url_hash(url.expose_secret()))
        && found.notes() == *notes
}

fn secret_with(
    subscription: &Subscription,
    endpoint: &str,
    key: &StreamKey,
    notes: &Notes,
) -> Secret {
    let mut secret = Secret::default();
    secret.metadata.name = Some(secret_name(&subscription.id.name));
    secret.metadata.namespace = Some(subscription.id.namespace.to_string());
    secret.metadata.labels = Some(BTreeMap::from([(COMPONENT.to_owned(), LABEL.to_owned())]));
    let annotations = annotations(notes);
    secret.metadata.annotations = Some(annotations).filter(|all| !all.is_empty());
    let owner = subscription.owner_reference();
    secret.metadata.owner_references = owner.map(|o| vec![o]);
    secret.type_ = Some("Opaque".to_owned());
    let url = stream_url(endpoint, key);
    let text = |t: &str| ByteString(t.as_bytes().to_vec());
    secret.data = Some(BTreeMap::from([
        (STREAM_KEY.to_owned(), text(key.expose())),
        (URL.to_owned(), text(url.expose_secret())),
    ]));
    secret
}

/// The URL that a client opens: the endpoint with the key.
pub fn stream_url(endpoint: &str, key: &StreamKey) -> SecretString {
    format!("{endpoint}?stream_key={}", key.expose()).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_random_and_well_formed() {
        let (one, two) = (new_stream_key().unwrap(), new_stream_key().unwrap());
        assert_ne!(one.expose(), two.expose());
        assert!(StreamKey::parse(one.expose()).is_ok());
    }

    #[test]
    fn the_url_is_the_endpoint_with_the_key() {
        let key = StreamKey::parse("0123456789abcdef0123456789abcdef").unwrap();
        let url = stream_url("ws://example.com/stream", &key);
        assert_eq!(
            url.expose_secret(),
            "ws://example.com/stream?stream_key=0123456789abcdef0123456789abcdef"
        );
    }
}
