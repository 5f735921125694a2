//! The stream key or token of a request, in whichever way a client brings it.

use datastream_protocol::{KEY_SUBPROTOCOL, StreamKey, TOKEN_SUBPROTOCOL};
use datastream_routing::KeyHash;
use datastream_service::probes::bearer_in;
use hyper::HeaderMap;
use hyper::header::{AUTHORIZATION, HeaderName, HeaderValue, SEC_WEBSOCKET_PROTOCOL};

use super::{Jwt, Refusal};
use crate::header_list::items;

/// Credential of a request for a stream. Of a key, the secret itself is not kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Credential {
    /// The hash of a stream key.
    Key(KeyHash),
    /// A token, to be checked.
    Token(Jwt),
    /// Something that cannot be a key. It is answered as a wrong one is.
    Malformed,
}

/// Treatment of stream keys in the query, where the logs of proxies record them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum QueryKeys {
    /// They are taken, as the Datastream Service takes them.
    #[default]
    Accept,
    /// A request with one is refused (400).
    Refuse,
}

impl Credential {
    /// Reads a stream key.
    pub fn key(text: &str) -> Self {
        StreamKey::parse(text).map_or(Self::Malformed, |key| Self::Key(KeyHash::from(&key)))
    }

    /// Reads a token.
    fn token(text: &str) -> Self {
        Jwt::parse(text).map_or(Self::Malformed, Self::Token)
    }

    /// Reads a stream key or a token.
    fn bearer(text: &str) -> Self {
        Jwt::parse(text).map_or_else(|| Self::key(text), Self::Token)
    }

    /// The one credential of a request that has this one in its query, and these headers: `Authorization: Bearer KEY` (or a token; RFC
    /// 6750, section 2.1), or, from browsers, which can set no header of a WebSocket but that, the subprotocol `datastream.key.KEY` or
    /// `datastream.token.TOKEN`.
    ///
    /// # Errors
    /// There is more than one, or one in the query where none may be.
    pub(crate) fn of(
        in_query: Option<Self>,
        headers: &HeaderMap,
        query_keys: QueryKeys,
    ) -> Result<Option<Self>, Refusal> {
        if in_query.is_some() && query_keys == QueryKeys::Refuse {
            return Err(Refusal::wrong(
                "this gateway takes no stream_key in the URL, which proxies log: send Authorization: Bearer KEY, or, from a browser, the subprotocols datastream.v1 and datastream.key.KEY",
            ));
        }
        let mut all = in_query
            .into_iter()
            .chain(bearers(headers))
            .chain(subprotocols(headers));
        let first = all.next();
        if all.next().is_some() {
            return Err(Refusal::wrong(
                "the request has more than one stream key or token: give one, in the query (a key only), in Authorization, or as a subprotocol",
            ));
        }
        Ok(first)
    }
}

/// Credentials in `Authorization`. Other schemes are for whoever stands in front of the gateway.
fn bearers(headers: &HeaderMap) -> impl Iterator<Item = Credential> {
    let tokens = values(headers, &AUTHORIZATION).filter_map(bearer_in);
    tokens.map(Credential::bearer)
}

/// Credentials among the subprotocols that a client offers.
fn subprotocols(headers: &HeaderMap) -> impl Iterator<Item = Credential> {
    items(headers, &SEC_WEBSOCKET_PROTOCOL).filter_map(|offered| {
        let key = offered.strip_prefix(KEY_SUBPROTOCOL).map(Credential::key);
        let token = || {
            offered
                .strip_prefix(TOKEN_SUBPROTOCOL)
                .map(Credential::token)
        };
        key.or_else(token)
    })
}

fn values<'a>(headers: &'a HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'a str> {
    let values = headers.get_all(name).into_iter();
    values.map(|value: &HeaderValue| value.to_str().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "0123456789abcdef0123456789abcdef";

    fn of(query: Option<&str>, headers: &[(HeaderName, &str)]) -> Result<Option<Credential>, u16> {
        let headers: HeaderMap = headers
            .iter()
            .map(|(name, value)| (name.clone(), value.parse().unwrap()))
            .collect();
        Credential::of(query.map(Credential::key), &headers, QueryKeys::Accept)
            .map_err(|refusal| refusal.status())
    }

    #[test]
    fn a_key_is_read_from_the_query_the_authorization_or_the_subprotocols() {
        let key = Ok(Some(Credential::Key(KeyHash::of(KEY))));
        assert_eq!(of(Some(KEY), &[]), key);
        for value in [format!("Bearer {KEY}"), format!("bearer  {KEY} ")] {
            assert_eq!(of(None, &[(AUTHORIZATION, &value)]), key, "{value}");
        }
        for value in [
            format!("datastream.v1, datastream.key.{KEY}"),
            format!("datastream.key.{KEY},datastream.v1"),
        ] {
            assert_eq!(
                of(None, &[(SEC_WEBSOCKET_PROTOCOL, &value)]),
                key,
                "{value}"
            );
        }
        assert_eq!(of(None, &[]), Ok(None));
        assert_eq!(of(None, &[(AUTHORIZATION, "Basic YTpi")]), Ok(None));
        assert_eq!(of(Some(KEY), &[(AUTHORIZATION, "Basic YTpi")]), key);
    }

    #[test]
    fn a_token_is_read_from_the_authorization_or_the_subprotocols_and_nowhere_else() {
        let token = Ok(Some(Credential::Token(Jwt::parse("e30.e30.c2ln").unwrap())));
        assert_eq!(of(None, &[(AUTHORIZATION, "Bearer e30.e30.c2ln")]), token);
        let offered = "datastream.v1, datastream.token.e30.e30.c2ln";
        assert_eq!(of(None, &[(SEC_WEBSOCKET_PROTOCOL, offered)]), token);
        let malformed = Ok(Some(Credential::Malformed));
        assert_eq!(of(Some("e30.e30.c2ln"), &[]), malformed);
        let offered = format!("datastream.v1, datastream.token.{KEY}");
        assert_eq!(of(None, &[(SEC_WEBSOCKET_PROTOCOL, &offered)]), malformed);
        let offered = "datastream.v1, datastream.key.e30.e30.c2ln";
        assert_eq!(of(None, &[(SEC_WEBSOCKET_PROTOCOL, offered)]), malformed);
    }

    #[test]
    fn what_cannot_be_a_key_is_malformed() {
        let malformed = Ok(Some(Credential::Malformed));
        for text in ["x", &KEY.to_uppercase(), &KEY[1..], &format!("{KEY}0")] {
            assert_eq!(of(Some(text), &[]), malformed, "{text}");
            let value = format!("Bearer {text}");
            assert_eq!(of(None, &[(AUTHORIZATION, &value)]), malformed, "{text}");
        }
        assert_eq!(
            of(None, &[(SEC_WEBSOCKET_PROTOCOL, "datastream.key.")]),
            malformed
        );
    }

    #[test]
    fn a_request_with_two_keys_is_refused_even_if_they_are_the_same() {
        let bearer = format!("Bearer {KEY}");
        let offered = format!("datastream.v1, datastream.key.{KEY}");
        let twice = format!("datastream.key.{KEY}, datastream.key.x");
        for (query, headers) in [
            (Some(KEY), vec![(AUTHORIZATION, bearer.as_str())]),
            (Some(KEY), vec![(SEC_WEBSOCKET_PROTOCOL, offered.as_str())]),
            (
                None,
                vec![
                    (AUTHORIZATION, bearer.as_str()),
                    (SEC_WEBSOCKET_PROTOCOL, offered.as_str()),
                ],
            ),
            (None, vec![(SEC_WEBSOCKET_PROTOCOL, twice.as_str())]),
            (
                None,
                vec![(AUTHORIZATION, &bearer), (AUTHORIZATION, "Bearer x")],
            ),
        ] {
            assert_eq!(of(query, &headers), Err(400), "{query:?} {headers:?}");
        }
    }

    #[test]
    fn a_key_in_the_query_is_refused_where_none_may_be() {
        let refuse = |query: Option<&str>, headers: &HeaderMap| {
            Credential::of(query.map(Credential::key), headers, QueryKeys::Refuse)
        };
        let refusal = refuse(Some(KEY), &HeaderMap::new()).unwrap_err();
        assert_eq!(refusal.status(), 400);
        assert!(!refusal.to_string().contains(KEY));
        let mut headers = HeaderMap::new();
        headers.insert(AUTHORIZATION, format!("Bearer {KEY}").parse().unwrap());
        assert!(matches!(
            refuse(None, &headers),
            Ok(Some(Credential::Key(_)))
        ));
    }
}
