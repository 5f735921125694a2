//! The authorities whose certificates a client takes.

use std::path::Path;
use std::sync::Arc;

use datastream_service::tls::client_config;
use tokio_tungstenite::Connector;

/// Authorities whose certificates are taken from servers: those of the web, or those of a file. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Trust(Arc<rustls::ClientConfig>);

impl Trust {
    /// Trusts the authorities in this PEM file, or, without one, those of the web.
    ///
    /// # Errors
    /// The file, and why it cannot be used.
    pub fn new(ca_file: Option<&Path>) -> Result<Self, String> {
        let config = client_config(ca_file).map_err(|error| format!("{error:#}"))?;
        Ok(Self(Arc::new(config)))
    }

    pub(crate) fn connector(&self) -> Connector {
        Connector::Rustls(self.0.clone())
    }
}
