//! Options of commands that connect to streams.

use std::path::PathBuf;

use anyhow::anyhow;
use clap::Args;
use datastream_client::Trust;
use datastream_protocol::StreamUrl;

/// Place of stream keys in requests, and the authorities that are trusted.
#[derive(Clone, Debug, Args)]
pub struct ConnectArgs {
    /// Send stream keys as Authorization: Bearer and not in URLs, where proxies log them.
    #[arg(long)]
    pub key_in_header: bool,
    /// Trust the certificate authorities in this PEM file instead of those of the web.
    #[arg(long, value_name = "FILE")]
    pub ca_file: Option<PathBuf>,
}

impl ConnectArgs {
    /// Moves the key of a stream to where these options want it.
    pub(crate) fn place_key(&self, url: &mut StreamUrl) {
        if self.key_in_header {
            url.move_key_to_header();
        }
    }

    /// The authorities whose certificates are taken.
    ///
    /// # Errors
    /// The file cannot be used.
    pub(crate) fn trust(&self) -> anyhow::Result<Trust> {
        Trust::new(self.ca_file.as_deref()).map_err(|error| anyhow!("--ca-file: {error}"))
    }
}
