//! TLS between processes that have one certificate in common, and trust nothing else.

use std::sync::Arc;

use anyhow::Context as _;
use rustls::server::WebPkiClientVerifier;
use rustls::{ClientConfig, ServerConfig};

use super::client::client_of;
use super::pem::Identity;
use super::server::server_config;

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
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let roots = Arc::new(identity.certificate().authorities()?);
        let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider)
            .allow_unauthenticated()
            .build()
            .context("the certificate is no authority for itself")?;
        let (server, _) = server_config(identity, verifier)?;
        let server = Arc::new(server);
        Ok(Self { server, client })
    }
}

#[cfg(test)]
mod tests {
    use rustls::pki_types::ServerName;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, duplex};
    use tokio_rustls::{TlsAcceptor, TlsConnector};

    use super::super::{client_of, shared_identity};
    use super::*;

    /// Returns whether a client gets a byte from a server, and the number of certificates that it has shown.
    async fn connect(server: &SharedTls, client: Arc<ClientConfig>) -> Option<usize> {
        let (near, far) = duplex(1 << 16);
        let acceptor = TlsAcceptor::from(server.server.clone());
        let serving = async {
            let mut socket = acceptor.accept(far).await.ok()?;
            socket.write_u8(1).await.ok()?;
            socket.flush().await.ok()?;
            let shown = socket.get_ref().1.peer_certificates();
            Some(shown.map_or(0, <[_]>::len))
        };
        let name = ServerName::try_from(SHARED_NAME).unwrap();
        let connecting = async {
            let mut socket = TlsConnector::from(client).connect(name, near).await.ok()?;
            socket.read_u8().await.ok()
        };
        let (shown, read) = tokio::join!(serving, connecting);
        shown.filter(|_| read.is_some())
    }

    #[tokio::test]
    async fn those_who_share_a_certificate_know_each_other_and_nobody_else() {
        let shared = SharedTls::new(&shared_identity()).unwrap();
        let other = SharedTls::new(&shared_identity()).unwrap();
        assert_eq!(connect(&shared, shared.client.clone()).await, Some(1));
        assert_eq!(connect(&shared, other.client.clone()).await, None);
        assert_eq!(connect(&other, shared.client.clone()).await, None);
    }

    #[tokio::test]
    async fn a_client_without_a_certificate_is_let_in_unknown() {
        let identity = shared_identity();
        let shared = SharedTls::new(&identity).unwrap();
        let anonymous = client_of(Some(identity.certificate()), None).unwrap();
        assert_eq!(connect(&shared, anonymous.config).await, Some(0));
    }
}
