//! Command-line options on tokens.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, value_parser};

use super::TokenSettings;

/// Options on the tokens that a gateway takes.
#[derive(Clone, Debug, Args)]
pub struct TokenArgs {
    /// Take tokens (JWT) of this OpenID Connect issuer beside stream keys, as their claim iss names it
    #[arg(
        long,
        env = "DATASTREAM_TOKEN_ISSUER",
        value_name = "URL",
        requires = "token_audience"
    )]
    pub token_issuer: Option<String>,
    /// The audience that tokens must name in their claim aud
    #[arg(
        long,
        env = "DATASTREAM_TOKEN_AUDIENCE",
        value_name = "NAME",
        requires = "token_issuer"
    )]
    pub token_audience: Option<String>,
    /// The URL of the issuer's keys (JWKS; default: where ISSUER/.well-known/openid-configuration says)
    #[arg(
        long,
        env = "DATASTREAM_TOKEN_KEYS",
        value_name = "URL",
        requires = "token_issuer"
    )]
    pub token_keys: Option<String>,
    /// The authorities of the issuer's server (PEM; default: those of the web)
    #[arg(
        long,
        env = "DATASTREAM_TOKEN_CA",
        value_name = "FILE",
        requires = "token_issuer"
    )]
    pub token_ca: Option<PathBuf>,
    /// A file with a bearer token to read the keys with, which API servers of Kubernetes ask for
    #[arg(
        long,
        env = "DATASTREAM_TOKEN_BEARER",
        value_name = "FILE",
        requires = "token_issuer"
    )]
    pub token_bearer: Option<PathBuf>,
    /// The claim that names the subscriptions which a token opens
    #[arg(
        long,
        env = "DATASTREAM_TOKEN_CLAIM",
        value_name = "NAME",
        default_value = "datastream"
    )]
    pub token_claim: String,
    /// The path of a claim with a namespace, of which a token opens all subscriptions: /kubernetes.io/namespace for tokens of
    /// service accounts (default: none)
    #[arg(
        long,
        env = "DATASTREAM_TOKEN_NAMESPACE_CLAIM",
        value_name = "/PATH",
        requires = "token_issuer",
        value_parser = path
    )]
    pub token_namespace_claim: Option<ClaimPath>,
    /// Seconds by which the clocks of issuer and gateway may differ
    #[arg(long, env = "DATASTREAM_TOKEN_LEEWAY", value_name = "SECONDS", default_value_t = 60, value_parser = value_parser!(u32).range(..=300))]
    pub token_leeway: u32,
}

/// The path of a claim, as a JSON pointer (RFC 6901).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClaimPath(Vec<String>);

fn path(text: &str) -> Result<ClaimPath, String> {
    let (before, path) = text.split_once('/').unwrap_or((text, ""));
    if !before.is_empty() || path.is_empty() {
        return Err("a claim's path is a JSON pointer, as in /kubernetes.io/namespace".to_owned());
    }
    let names = path.split('/');
    let names = names.map(|name| name.replace("~1", "/").replace("~0", "~"));
    Ok(ClaimPath(names.collect()))
}

impl TokenArgs {
    /// The settings that these arguments mean; none if no tokens are taken.
    pub fn settings(&self) -> Option<TokenSettings> {
        let (issuer, audience) = self.token_issuer.clone().zip(self.token_audience.clone())?;
        Some(TokenSettings {
            issuer,
            audience,
            key_set: self.token_keys.clone(),
            authorities: self.token_ca.clone(),
            bearer: self.token_bearer.clone(),
            claim: self.token_claim.clone(),
            namespace_claim: self.token_namespace_claim.clone().map(|path| path.0),
            leeway: Duration::from_secs(self.token_leeway.into()),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_claims_path_is_a_json_pointer() {
        let parsed = |text| path(text).map(|path| path.0);
        let namespace = ["kubernetes.io", "namespace"].map(str::to_owned);
        assert_eq!(parsed("/kubernetes.io/namespace").unwrap(), namespace);
        assert_eq!(parsed("/https:~1~1a~0b").unwrap(), ["https://a~b"]);
        for bad in ["", "/", "namespace", "a/b"] {
            assert!(parsed(bad).is_err(), "{bad}");
        }
    }
}
