//! Tokens: JWTs of an OpenID Connect issuer (RFC 7519, RFC 9068) that name the subscriptions which they open.

mod args;
mod fetch;
mod grant;
mod key_set;
mod ring_provider;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use datastream_routing::{Route, SubscriptionId};
use datastream_service::text::printable;
use jsonwebtoken::{Algorithm, Header, Validation, decode, decode_header};
use serde_json::Value;

pub use args::TokenArgs;
use grant::{Grant, grants};
use key_set::{Key, Lookup};
pub(crate) use key_set::{KeySet, KeySetReport};

/// The longest token that is looked at, in bytes.
pub(crate) const MAX_TOKEN: usize = 12 << 10;

/// Tokens that a group of gateways takes, and the claims of theirs that count.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenSettings {
    /// The issuer, as `iss` names it.
    pub issuer: String,
    /// The audience of which a token must be, as `aud` names it.
    pub audience: String,
    /// The URL of the issuer's keys (RFC 7517); without it, the one that the issuer's own document names (OpenID Connect Discovery 1.0).
    pub key_set: Option<String>,
    /// The authorities of the issuer's server, in PEM; without a file, those of the web.
    pub authorities: Option<PathBuf>,
    /// A bearer token for the issuer's server, which wants one for its keys as an API server of Kubernetes does.
    pub bearer: Option<PathBuf>,
    /// The claim with the subscriptions that a token opens.
    pub claim: String,
    /// The path of a claim with a namespace, all of whose subscriptions a token opens.
    pub namespace_claim: Option<Vec<String>>,
    /// The time by which the clocks of issuer and gateway may differ.
    pub leeway: Duration,
}

/// A token as a client brings it. Its `Debug` does not show it.
#[derive(Clone, PartialEq, Eq)]
pub struct Jwt(Box<str>);

/// A token that is good.
#[derive(Debug)]
pub(crate) struct Token {
    /// Its subject, for people to read.
    pub subject: String,
    /// The time from which on it is good no longer, in seconds since 1970.
    pub end: i64,
    grants: Vec<Grant>,
}

/// Reason why a token opens nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum TokenError {
    /// It is not good, and why.
    Invalid(String),
    /// It may be good: the keys of its issuer are not known here.
    Unknown,
}

/// Tells good tokens from bad ones.
#[derive(Debug)]
pub(crate) struct Tokens {
    settings: TokenSettings,
    keys: Arc<KeySet>,
}

impl Jwt {
    /// Takes a text that has the form of a token: three parts in base64url (RFC 7515, section 7.1).
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let is_part = |part: &str| {
            let is_digit = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_');
            !part.is_empty() && part.bytes().all(is_digit)
        };
        let is_token =
            text.len() <= MAX_TOKEN && text.split('.').count() == 3 && text.split('.').all(is_part);
        is_token.then(|| Self(text.into()))
    }
}

impl std::fmt::Debug for Jwt {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Jwt(…)")
    }
}

impl Token {
    /// Returns whether it opens the stream of this route.
    pub(crate) fn opens(&self, route: &Route) -> bool {
        self.grants.iter().any(|grant| grant.is_of(route))
    }

    /// Returns whether it opens no stream at all.
    pub(crate) const fn opens_nothing(&self) -> bool {
        self.grants.is_empty()
    }

    /// The one subscription that it opens, if it names one and nothing else.
    pub(crate) fn only(&self) -> Option<SubscriptionId> {
        match self.grants.as_slice() {
            [grant] => grant.only(),
            _ => None,
        }
    }
}

impl Tokens {
    /// Takes the tokens that these settings describe, signed with one of these keys.
    pub(crate) fn new(settings: TokenSettings, keys: Arc<KeySet>) -> Self {
        ring_provider::install();
        Self { settings, keys }
    }

    /// Checks a token. Takes as long as the issuer needs to tell its keys, if it is signed with one that is new.
    ///
    /// # Errors
    /// The reason why it opens nothing.
    pub(crate) async fn verify(&self, jwt: &Jwt) -> Result<Token, TokenError> {
        let header = decode_header(jwt.0.as_bytes()).map_err(|e| invalid(&e))?;
        // RFC 7515, section 4.1.11: what it names must be understood, and nothing of the kind is.
        if header.crit.is_some() || header.extras.inner().contains_key("crit") {
            return Err(TokenError::Invalid(
                "it asks for extensions (crit)".to_owned(),
            ));
        }
        let key = match self.keys.find(&header) {
            Lookup::Found(key) => key,
            Lookup::Refused(reason) => return Err(TokenError::Invalid(reason.to_owned())),
            Lookup::Missing => {
                if !self.keys.refreshed(&header).await {
                    return Err(TokenError::Unknown);
                }
                match self.keys.find(&header) {
                    Lookup::Found(key) => key,
                    Lookup::Refused(reason) => return Err(TokenError::Invalid(reason.to_owned())),
                    Lookup::Missing => {
                        let reason = "it is signed with a key that its issuer does not have";
                        return Err(TokenError::Invalid(reason.to_owned()));
                    }
                }
            }
        };
        self.check(jwt, &header, &key)
    }

    fn check(&self, jwt: &Jwt, header: &Header, key: &Key) -> Result<Token, TokenError> {
        let claims = decode::<Value>(
            jwt.0.as_bytes(),
            &key.decoding,
            &self.validation(header.alg),
        );
        let claims = claims.map_err(|e| invalid(&e))?.claims;
        // The library takes a list of issuers, too, which is no issuer.
        if claims.get("iss").and_then(Value::as_str) != Some(&self.settings.issuer) {
            return Err(TokenError::Invalid(
                "its issuer (iss) is another one".to_owned(),
            ));
        }
        let end = claims
            .get("exp")
            .and_then(Value::as_f64)
            .unwrap_or_default();
        let leeway = i64::try_from(self.settings.leeway.as_secs()).unwrap_or_default();
        Ok(Token {
            subject: subject(&claims),
            end: (end as i64).saturating_add(leeway),
            grants: grants(&claims, &self.settings).map_err(TokenError::Invalid)?,
        })
    }

    fn validation(&self, algorithm: Algorithm) -> Validation {
        let mut validation = Validation::new(algorithm);
        validation.set_audience(&[&self.settings.audience]);
        validation.set_issuer(&[&self.settings.issuer]);
        validation.set_required_spec_claims(&["exp", "iss", "aud"]);
        validation.validate_nbf = true;
        validation.leeway = self.settings.leeway.as_secs();
        validation
    }
}

/// The subject, of a length that fits into a line.
fn subject(claims: &Value) -> String {
    let subject = claims
        .get("sub")
        .and_then(Value::as_str)
        .unwrap_or_default();
    printable(&subject.chars().take(128).collect::<String>()).into_owned()
}

/// The fault of a token in words.
fn invalid(error: &jsonwebtoken::errors::Error) -> TokenError {
    use jsonwebtoken::errors::ErrorKind;
    let reason = match error.kind() {
        ErrorKind::ExpiredSignature => "it has expired".to_owned(),
        ErrorKind::ImmatureSignature => "it is not valid yet (nbf)".to_owned(),
        ErrorKind::InvalidSignature => "its signature is wrong".to_owned(),
        ErrorKind::InvalidIssuer => "its issuer (iss) is another one".to_owned(),
        ErrorKind::InvalidAudience => "it is for another audience (aud)".to_owned(),
        ErrorKind::MissingRequiredClaim(claim) => format!("it has no {claim}"),
        ErrorKind::InvalidAlgorithm => "its algorithm (alg) is not taken".to_owned(),
        _ => "it is malformed".to_owned(),
    };
    TokenError::Invalid(reason)
}

#[cfg(test)]
mod tests;
