//! What a valid subscription needs: a stream key, the URL to use it with, and its route. Pure, but for the key.

use datastream_routing::{KeyHash, Route};
use secrecy::{ExposeSecret, SecretString};

use crate::validate::ValidSubscription;

/// A stream key: 32 lower-case hexadecimal digits, 128 bits from the system's random source. Never shown by `Debug`.
#[derive(Clone, Debug)]
pub struct StreamKey(SecretString);

/// The text is not 32 lower-case hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a stream key has 32 lower-case hexadecimal digits")]
pub struct MalformedKey;

impl StreamKey {
    /// A key that is there already.
    ///
    /// # Errors
    /// The text cannot be a key.
    pub fn parse(text: &str) -> Result<Self, MalformedKey> {
        let good = text.len() == 32 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        if good {
            Ok(Self(text.into()))
        } else {
            Err(MalformedKey)
        }
    }

    /// What the gateways know of the key.
    pub fn hash(&self) -> KeyHash {
        KeyHash::of(self.0.expose_secret())
    }

    /// The key itself, for the Secret and nothing else.
    pub fn expose(&self) -> &str {
        self.0.expose_secret()
    }
}

/// A new key.
///
/// # Errors
/// The system has no random bytes.
pub fn new_stream_key() -> Result<StreamKey, getrandom::Error> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes)?;
    Ok(StreamKey(hex::encode(bytes).into()))
}

/// What the gateways are told of a subscription.
pub fn route(subscription: &ValidSubscription, key_sha256: KeyHash) -> Route {
    Route {
        id: subscription.id.clone(),
        uid: subscription.uid.clone(),
        generation: subscription.generation,
        key_sha256,
        suspended: subscription.suspended,
        event_types: subscription.event_types,
        filters: subscription.filters.clone(),
        heartbeat: subscription.heartbeat,
        resume: subscription.resume,
    }
}

/// The subscription that a route was made of.
pub(crate) fn subscription(route: &Route) -> ValidSubscription {
    ValidSubscription {
        id: route.id.clone(),
        uid: route.uid.clone(),
        generation: route.generation,
        suspended: route.suspended,
        event_types: route.event_types,
        filters: route.filters.clone(),
        heartbeat: route.heartbeat,
        resume: route.resume,
    }
}

/// The URL that a client opens: the endpoint with the key.
pub fn stream_url(endpoint: &str, key: &StreamKey) -> SecretString {
    format!("{endpoint}?stream_key={}", key.expose()).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_random_well_formed_and_hidden() {
        let (one, two) = (new_stream_key().unwrap(), new_stream_key().unwrap());
        assert_ne!(one.expose(), two.expose());
        assert_eq!(StreamKey::parse(one.expose()).unwrap().hash(), one.hash());
        assert!(!format!("{one:?}").contains(one.expose()));
        for bad in [
            "",
            "abc",
            &one.expose().to_uppercase(),
            &format!("{}0", one.expose()),
        ] {
            if bad != one.expose() {
                assert_eq!(StreamKey::parse(bad).err(), Some(MalformedKey), "{bad}");
            }
        }
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
