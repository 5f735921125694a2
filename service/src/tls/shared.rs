//! TLS between processes that have one certificate in common, and trust nothing else.

use std::sync::Arc;

use anyhow::Context as _;
use rustls::server::WebPkiClientVerifier;
use rustls::{ClientConfig, ServerConfig};

use super::client::client_of;
use super::pem::Identity;

/// The name in a shared certificate, whatever the addresses of those who have it.
pub const SHARED_NAME: &str = "peers.datastream.internal";

/// TLS of both sides, by a self-signed certificate that both have.
#[derive(Clone, Debug)]
pub struct SharedTls {
    /// The side that is connected to. A client need not show the certificate; one that shows another is refused.
    pub server: Arc<ServerConfig>,
    /// The side that connects. It shows the certificate, and takes no other.
    pub client: Arc<ClientConfig>,
}

impl SharedTls {
    /// TLS by this certificate, which is for [`SHARED_NAME`].
    ///
    /// # Errors
    /// The certificate, or its key, cannot be used.
    pub fn new(identity: &Identity) -> anyhow::Result<Self> {
        let client = client_of(Some(identity.certificate()), Some(identity))?.config;
        let (chain, key, _) = identity.parse()?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let roots = Arc::new(identity.certificate().authorities()?);
        let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider.clone())
            .allow_unauthenticated()
            .build()
            .context("the certificate is no authority for itself")?;
        let server = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_client_cert_verifier(verifier)
            .with_single_cert(chain, key)
            .map_err(|error| identity.unusable(error))?;
        let server = Arc::new(server);
        Ok(Self { server, client })
    }
}
