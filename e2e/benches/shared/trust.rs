//! A certificate for the gateway, and clients that trust it.

use std::path::Path;
use std::sync::Arc;

use datastream_service::tls::{Authority, DISTANT_YEAR, IdentityFiles, client_config};
use rustls::ClientConfig;
use tokio_tungstenite::Connector;

/// Trust of clients in the gateway's certificate.
pub(crate) struct Trust(Arc<ClientConfig>);

impl Trust {
    /// Writes a certificate for this machine and its key into a folder. Returns the trust in it, and the arguments of a gateway.
    pub(crate) fn make(dir: &Path) -> (Self, [String; 2]) {
        let authority = Authority::new();
        let IdentityFiles { certificate, key } = authority.issue(dir, &["127.0.0.1"], DISTANT_YEAR);
        let config = client_config(Some(&authority.write(dir))).unwrap();
        let arguments = [
            format!("--tls-cert={}", certificate.display()),
            format!("--tls-key={}", key.display()),
        ];
        (Self(Arc::new(config)), arguments)
    }

    /// Connector of a client of tokio's.
    #[allow(dead_code, reason = "not every bench has such clients")]
    pub(crate) fn connector(&self) -> Connector {
        Connector::Rustls(self.0.clone())
    }

    /// Settings of a client.
    #[allow(dead_code, reason = "not every bench has clients of its own")]
    pub(crate) fn config(&self) -> Arc<ClientConfig> {
        self.0.clone()
    }
}
