//! A certificate for the gateway, and clients that trust it.

use std::path::Path;
use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ClientConfig, RootCertStore};
use tokio_tungstenite::Connector;

/// Whom clients trust.
pub(crate) struct Trust(Arc<ClientConfig>);

impl Trust {
    /// Writes a certificate for this machine and its key into a folder. Returns the trust in it, and the arguments of a gateway.
    pub(crate) fn make(dir: &Path) -> (Self, [String; 2]) {
        let made = rcgen::generate_simple_self_signed(vec!["127.0.0.1".to_owned()]).unwrap();
        let [certificate, key] = ["tls.crt", "tls.key"].map(|name| dir.join(name));
        std::fs::write(&certificate, made.cert.pem()).unwrap();
        std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
        let mut roots = RootCertStore::empty();
        roots
            .add(CertificateDer::from_pem_slice(made.cert.pem().as_bytes()).unwrap())
            .unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let arguments = [
            format!("--tls-cert={}", certificate.display()),
            format!("--tls-key={}", key.display()),
        ];
        (Self(Arc::new(config)), arguments)
    }

    /// What a client connects with.
    pub(crate) fn connector(&self) -> Connector {
        Connector::Rustls(self.0.clone())
    }
}
