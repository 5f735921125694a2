//! A cluster on a command line.

use std::path::PathBuf;

use datastream_service::tls::IdentityFiles;

use super::super::parse_address;
use super::{ClusterFiles, FluvioCluster};

/// A Fluvio cluster, and how to connect to it.
#[derive(Clone, Debug, clap::Args)]
#[group(skip)]
pub struct ClusterArgs {
    /// Address of Fluvio's SC, HOST:PORT
    #[arg(long = "fluvio", value_name = "HOST:PORT", env = "DATASTREAM_FLUVIO", value_parser = parse_address)]
    pub address: Option<String>,
    /// Connect as the current profile of this file says, which Fluvio's own commands keep in ~/.fluvio/config
    #[arg(
        long = "fluvio-profile",
        value_name = "FILE",
        env = "DATASTREAM_FLUVIO_PROFILE",
        conflicts_with = "address"
    )]
    pub profile: Option<PathBuf>,
    /// Speak TLS with Fluvio, whose certificates are of an authority in this PEM file; read again when it changes
    #[arg(
        long = "fluvio-ca",
        value_name = "FILE",
        env = "DATASTREAM_FLUVIO_CA",
        requires = "address"
    )]
    pub authority: Option<PathBuf>,
    /// Show Fluvio this certificate (PEM)
    #[arg(long = "fluvio-cert", value_name = "FILE", env = "DATASTREAM_FLUVIO_CERT", requires_all = ["authority", "key"])]
    pub certificate: Option<PathBuf>,
    /// The private key of that certificate (PEM)
    #[arg(
        long = "fluvio-key",
        value_name = "FILE",
        env = "DATASTREAM_FLUVIO_KEY",
        requires = "certificate"
    )]
    pub key: Option<PathBuf>,
    /// The name in the certificate of Fluvio's SC, where it is not the host of its address; those of SPUs are for SPU.NAME
    #[arg(
        long = "fluvio-server-name",
        value_name = "NAME",
        env = "DATASTREAM_FLUVIO_SERVER_NAME",
        requires = "authority"
    )]
    pub server_name: Option<String>,
}

impl ClusterArgs {
    /// The cluster, if one is named.
    ///
    /// # Errors
    /// A file that cannot be used, and why.
    pub fn cluster(&self) -> anyhow::Result<Option<FluvioCluster>> {
        if let Some(path) = &self.profile {
            return FluvioCluster::of_profile(path).map(Some);
        }
        let Some(address) = self.address.as_deref() else {
            return Ok(None);
        };
        let Some(authority) = self.authority.clone() else {
            return Ok(Some(FluvioCluster::plain(address)));
        };
        let identity = self.certificate.clone().zip(self.key.clone());
        let files = ClusterFiles {
            authority,
            identity: identity.map(|(certificate, key)| IdentityFiles { certificate, key }),
            server_name: self.server_name.clone(),
        };
        FluvioCluster::with_tls(address, files).map(Some)
    }

    /// The cluster, which has to be named.
    ///
    /// # Errors
    /// As for [`cluster`](Self::cluster), or none is named.
    pub fn required(&self) -> anyhow::Result<FluvioCluster> {
        let missing = "say where Fluvio is: --fluvio HOST:PORT, or --fluvio-profile FILE";
        self.cluster()?.ok_or_else(|| anyhow::anyhow!(missing))
    }
}
