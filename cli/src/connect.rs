//! Options of commands that connect to streams.

use std::path::PathBuf;

use clap::Args;
use datastream_client::{CredentialFiles, Credentials};
use datastream_protocol::StreamUrl;
use datastream_service::tls::IdentityFiles;

/// Place of stream keys in requests, other credentials, and the authorities that are trusted.
#[derive(Clone, Debug, Args)]
pub struct ConnectArgs {
    /// Send stream keys as Authorization: Bearer and not in URLs, where proxies log them.
    #[arg(long)]
    pub key_in_header: bool,
    /// Trust the certificate authorities in this PEM file instead of those of the web.
    #[arg(long, value_name = "FILE")]
    pub ca_file: Option<PathBuf>,
    /// Open streams with the token (JWT) in this file, which is read again when it changes; a URL names the subscription then, as
    /// in wss://HOST/stream?subscription=NAMESPACE/NAME.
    #[arg(long, value_name = "FILE")]
    pub token_file: Option<PathBuf>,
    /// Show this certificate (PEM) to gateways that ask for one.
    #[arg(long, value_name = "FILE", requires = "cert_key_file")]
    pub cert_file: Option<PathBuf>,
    /// The private key of that certificate (PEM).
    #[arg(long, value_name = "FILE", requires = "cert_file")]
    pub cert_key_file: Option<PathBuf>,
}

impl ConnectArgs {
    /// Moves the key of a stream to where these options want it.
    pub(crate) fn place_key(&self, url: &mut StreamUrl) {
        if self.key_in_header {
            url.move_key_to_header();
        }
    }

    /// The credentials, and the authorities whose certificates are taken.
    ///
    /// # Errors
    /// A file that cannot be used.
    pub(crate) fn credentials(&self) -> anyhow::Result<Credentials> {
        let identity = self.cert_file.clone().zip(self.cert_key_file.clone());
        let files = CredentialFiles {
            authorities: self.ca_file.clone(),
            identity: identity.map(|(certificate, key)| IdentityFiles { certificate, key }),
            token: self.token_file.clone(),
        };
        Credentials::new(files).map_err(anyhow::Error::msg)
    }
}
