//! Principals: those who opened a stream, and by what.

use std::fmt;
use std::sync::Arc;

use datastream_routing::{ClientCertificate, KeyHash, Route};
use datastream_service::text::printable;
use datastream_service::tls::PeerCertificate;
use serde::Serialize;

use super::token::Token;

/// Principal of a stream: what opened it, and without which it is closed.
#[derive(Clone, Debug)]
pub(crate) struct Principal {
    pub proof: Proof,
    /// The certificate of the client, if it showed one that the gateway's authorities have signed.
    pub certificate: Option<Arc<PeerCertificate>>,
}

/// Proof that opens a stream.
#[derive(Clone, Debug)]
pub(crate) enum Proof {
    /// The stream key with this hash.
    Key(KeyHash),
    /// A token.
    Token(Arc<Token>),
    /// The certificate of the client, by itself.
    Certificate,
}

/// Principal as the audit log reports it.
#[derive(Serialize)]
pub(crate) struct Who<'a> {
    /// `key`, `token` or `certificate`.
    credential: &'static str,
    /// The first digits of the hash of the key.
    #[serde(skip_serializing_if = "Option::is_none")]
    key_sha256: Option<String>,
    /// The subject of the token.
    #[serde(skip_serializing_if = "Option::is_none")]
    subject: Option<&'a str>,
    /// Names in the certificate.
    #[serde(skip_serializing_if = "Option::is_none")]
    certificate: Option<&'a [String]>,
}

/// Digits of the hash of a key that are reported: enough to tell keys apart.
const DIGITS: usize = 8;

/// A description for people.
impl fmt::Display for Principal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.proof {
            Proof::Key(_) => f.write_str("key")?,
            Proof::Token(token) => write!(f, "token of {}", token.subject)?,
            Proof::Certificate => f.write_str("certificate")?,
        }
        let name = self.certificate.as_ref().and_then(|c| c.names.first());
        name.map_or(Ok(()), |name| write!(f, " ({})", printable(name)))
    }
}

impl Principal {
    /// The holder of this key, who has no certificate.
    #[cfg(test)]
    pub(crate) const fn of_key(key: KeyHash) -> Self {
        Self {
            proof: Proof::Key(key),
            certificate: None,
        }
    }

    /// The description for the audit log.
    pub(crate) fn who(&self) -> Who<'_> {
        let (credential, key, subject) = match &self.proof {
            Proof::Key(key) => ("key", Some(key), None),
            Proof::Token(token) => ("token", None, Some(token.subject.as_str())),
            Proof::Certificate => ("certificate", None, None),
        };
        let digits = |key: &KeyHash| {
            let mut digits = key.to_hex();
            digits.truncate(DIGITS);
            digits
        };
        Who {
            credential,
            key_sha256: key.map(digits),
            subject,
            certificate: self.certificate.as_ref().map(|c| c.names.as_slice()),
        }
    }

    /// Returns whether it opens the stream of this route.
    pub(crate) fn opens(&self, route: &Route) -> bool {
        let bound = route.client_certificate.as_deref();
        let proves = match &self.proof {
            Proof::Key(key) => route.keys().any(|good| good == *key),
            Proof::Token(token) => token.opens(route),
            Proof::Certificate => bound.is_some_and(|bound| bound.without_key),
        };
        proves && bound.is_none_or(|bound| self.is_named_by(bound))
    }

    /// Returns whether its certificate is one of these.
    fn is_named_by(&self, wanted: &ClientCertificate) -> bool {
        let shown = self.certificate.as_deref();
        shown.is_some_and(|shown| shown.names.iter().any(|name| wanted.names.contains(name)))
    }

    /// The time from which on it opens this stream no longer, in seconds since 1970; none if it does not end by itself.
    pub(crate) fn end(&self, route: &Route) -> Option<i64> {
        let token = match &self.proof {
            Proof::Token(token) => Some(token.end),
            Proof::Key(_) | Proof::Certificate => None,
        };
        // Of a certificate that nobody asks for, nothing depends.
        let bound = route.client_certificate.is_some();
        let certificate = self.certificate.as_ref().filter(|_| bound);
        token.into_iter().chain(certificate.map(|c| c.end)).min()
    }
}

#[cfg(test)]
mod tests {
    use datastream_routing::SubscriptionId;

    use super::*;

    fn bound(without_key: bool) -> Route {
        let id = SubscriptionId::new("team", "leds");
        Route {
            client_certificate: Some(Box::new(ClientCertificate {
                names: vec!["a.example".to_owned()],
                without_key,
            })),
            ..Route::new(id, KeyHash::of("key"))
        }
    }

    fn principal(proof: Proof, names: &[&str]) -> Principal {
        let names: Vec<_> = names.iter().map(|n| (*n).to_owned()).collect();
        let certificate = PeerCertificate { names, end: 7 };
        Principal {
            proof,
            certificate: Some(Arc::new(certificate)),
        }
    }

    #[test]
    fn a_bound_key_opens_nothing_without_a_certificate_of_the_right_name() {
        let route = bound(false);
        let key = || Proof::Key(KeyHash::of("key"));
        assert!(principal(key(), &["b.example", "a.example"]).opens(&route));
        assert!(!principal(key(), &["b.example"]).opens(&route));
        assert!(!principal(key(), &[]).opens(&route));
        assert!(!Principal::of_key(KeyHash::of("key")).opens(&route));
        assert!(!principal(Proof::Key(KeyHash::of("other")), &["a.example"]).opens(&route));
        assert!(!principal(Proof::Certificate, &["a.example"]).opens(&route));
    }

    #[test]
    fn a_certificate_alone_opens_what_asks_for_nothing_else() {
        let by_certificate = |names| principal(Proof::Certificate, names);
        assert!(by_certificate(&["a.example"]).opens(&bound(true)));
        assert!(!by_certificate(&["b.example"]).opens(&bound(true)));
        let unbound = Route {
            client_certificate: None,
            ..bound(true)
        };
        assert!(!by_certificate(&["a.example"]).opens(&unbound));
    }

    #[test]
    fn a_certificate_ends_what_asks_for_it_and_nothing_else() {
        let with_both = principal(Proof::Key(KeyHash::of("key")), &["a.example"]);
        assert_eq!(with_both.end(&bound(false)), Some(7));
        let unbound = Route {
            client_certificate: None,
            ..bound(false)
        };
        assert_eq!(with_both.end(&unbound), None);
    }
}
