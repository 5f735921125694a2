//! Reading an issuer's keys from its server.

use std::time::Duration;

use anyhow::{Context as _, ensure};
use bytes::Bytes;
use datastream_service::file::read_token;
use datastream_service::tls::client_config;
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::header::{ACCEPT, AUTHORIZATION, HeaderValue};
use hyper::{Request, Uri};
use hyper_rustls::HttpsConnectorBuilder;
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use tokio::time::timeout;

use super::TokenSettings;
use super::key_set::JsonKeySet;

/// Time that one answer may take.
const TIMEOUT: Duration = Duration::from_secs(4);
/// Media types of documents and of key sets (RFC 7517, section 8.5). API servers of Kubernetes have nothing else of the latter.
const MEDIA_TYPES: &str = "application/json, application/jwk-set+json";
/// The largest answer, in bytes.
const MAX_ANSWER: usize = 256 << 10;

/// The server of an issuer.
#[derive(Debug)]
pub(super) struct Issuer {
    settings: TokenSettings,
    place: Place,
}

/// The place of the keys.
#[derive(Debug)]
enum Place {
    /// They are here.
    Keys(Uri),
    /// A document here says where they are.
    Document(Uri),
}

/// The issuer's document on itself (OpenID Connect Discovery 1.0, section 3).
#[derive(Deserialize)]
struct Document {
    issuer: String,
    jwks_uri: String,
}

impl Issuer {
    /// The issuer of these tokens.
    ///
    /// # Errors
    /// A URL or a file that cannot be used.
    pub(super) fn new(settings: &TokenSettings) -> anyhow::Result<Self> {
        let place = if let Some(url) = &settings.key_set {
            Place::Keys(secure(url)?)
        } else {
            let issuer = settings.issuer.trim_end_matches('/');
            let url = format!("{issuer}/.well-known/openid-configuration");
            let help = "where the issuer's name is no URL that this gateway can read, say where its keys are";
            Place::Document(secure(&url).context(help)?)
        };
        client_config(settings.authorities.as_deref())?;
        let settings = settings.clone();
        Ok(Self { settings, place })
    }

    /// The name of the issuer.
    pub(super) fn name(&self) -> &str {
        &self.settings.issuer
    }

    /// Reads the keys.
    ///
    /// # Errors
    /// The server cannot be reached, or says something else.
    pub(super) async fn keys(&self) -> anyhow::Result<JsonKeySet> {
        let keys = match &self.place {
            Place::Keys(keys) => keys.clone(),
            Place::Document(document) => {
                let Document { issuer, jwks_uri } = self.get(document).await?;
                ensure!(
                    issuer == self.settings.issuer,
                    "{document}: the issuer calls itself {issuer}, not {}",
                    self.settings.issuer
                );
                secure(&jwks_uri)?
            }
        };
        self.get(&keys).await
    }

    async fn get<T: DeserializeOwned>(&self, url: &Uri) -> anyhow::Result<T> {
        let answer = timeout(TIMEOUT, self.read(url)).await;
        let seconds = TIMEOUT.as_secs();
        let answer = answer.with_context(|| format!("{url}: no answer within {seconds} s"))?;
        let answer = answer.with_context(|| url.to_string())?;
        serde_json::from_slice(&answer).with_context(|| url.to_string())
    }

    async fn read(&self, url: &Uri) -> anyhow::Result<Bytes> {
        // Read anew each time, which is seldom: the file may have been replaced.
        let tls = client_config(self.settings.authorities.as_deref())?;
        let connector = HttpsConnectorBuilder::new()
            .with_tls_config(tls)
            .https_or_http()
            .enable_http1()
            .build();
        let client = Client::builder(TokioExecutor::new()).build(connector);
        let mut request = Request::get(url).header(ACCEPT, MEDIA_TYPES);
        if let Some(bearer) = self.bearer()? {
            request = request.header(AUTHORIZATION, bearer);
        }
        let response = client.request(request.body(Empty::<Bytes>::new())?).await?;
        let status = response.status();
        ensure!(status.as_u16() == 200, "the answer is {status}");
        let body = Limited::new(response.into_body(), MAX_ANSWER);
        let body = body.collect().await.map_err(anyhow::Error::from_boxed)?;
        Ok(body.to_bytes())
    }

    /// The value of `Authorization`, if there is to be one.
    fn bearer(&self) -> anyhow::Result<Option<HeaderValue>> {
        let Some(path) = &self.settings.bearer else {
            return Ok(None);
        };
        let token = read_token(path).with_context(|| path.display().to_string())?;
        let mut value = HeaderValue::try_from(format!("Bearer {token}"))?;
        value.set_sensitive(true);
        Ok(Some(value))
    }
}

/// A URL at which nobody on the way can put in keys of his own.
fn secure(url: &str) -> anyhow::Result<Uri> {
    let uri: Uri = url.parse().with_context(|| url.to_owned())?;
    let is_here = matches!(uri.host(), Some("localhost" | "127.0.0.1" | "[::1]"));
    let is_secure = match uri.scheme_str() {
        Some("https") => true,
        Some("http") => is_here,
        _ => false,
    };
    ensure!(
        is_secure && uri.host().is_some(),
        "{url}: the keys of an issuer are read from https://HOST/..., or from http:// on the same machine"
    );
    Ok(uri)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_read_only_where_nobody_can_put_in_others() {
        for good in [
            "https://id.example/keys",
            "http://127.0.0.1:1/keys",
            "http://localhost/",
        ] {
            assert!(secure(good).is_ok(), "{good}");
        }
        for bad in [
            "http://id.example/keys",
            "ftp://localhost/",
            "id.example",
            "https://",
            "",
        ] {
            assert!(secure(bad).is_err(), "{bad}");
        }
    }
}
