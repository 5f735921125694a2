//! Parts that a valid subscription needs: a stream key, the URL to use it with, and its route. Pure, but for the key.

use datastream_protocol::StreamKey;
use datastream_routing::{KeyHash, Route};
use secrecy::SecretString;

use crate::validate::ValidSubscription;

/// A new key.
///
/// # Errors
/// The system has no random bytes.
pub fn new_stream_key() -> Result<StreamKey, getrandom::Error> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes)?;
    Ok(StreamKey::from_random(bytes))
}

/// Makes the route of a subscription: what the gateways are told of it.
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
    use secrecy::ExposeSecret as _;

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
