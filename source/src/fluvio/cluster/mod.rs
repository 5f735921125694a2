//! A Fluvio cluster: where it is, and how it is connected to.

#[cfg(feature = "args")]
mod args;
mod connector;
mod profile;
mod tls;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use datastream_service::tls::IdentityFiles;
use fluvio::{Fluvio, FluvioClusterConfig};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;
use tokio_util::either::Either;

#[cfg(feature = "args")]
pub use args::ClusterArgs;

use self::connector::Connector;
use self::profile::Profile;
use self::tls::{ClusterTls, Files};
use crate::CertificateEnds;

/// The socket of a unit, as it is or with TLS.
pub(super) type UnitSocket = Either<TcpStream, Box<TlsStream<TcpStream>>>;

/// A Fluvio cluster. Cheap to clone.
#[derive(Clone, Debug)]
pub struct FluvioCluster {
    address: Arc<str>,
    tls: Option<Arc<ClusterTls>>,
}

/// TLS with a cluster, as files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClusterFiles {
    /// The authorities, in PEM, whose certificates the cluster may have.
    pub authority: PathBuf,
    /// The certificate that the cluster is shown, if it asks.
    pub identity: Option<IdentityFiles>,
    /// The name in the SC's certificate; those of the SPUs are for `SPU.NAME`, as for Fluvio's own clients. Without one, each
    /// certificate is for the host of the address that is connected to.
    pub server_name: Option<String>,
}

/// The place of a unit (Fluvio's SPU).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct UnitAddress {
    pub address: String,
    /// The unit's name.
    pub name: String,
}

impl FluvioCluster {
    /// The cluster with this SC, `HOST:PORT`, without TLS.
    pub fn plain(address: impl Into<Arc<str>>) -> Self {
        let (address, tls) = (address.into(), None);
        Self { address, tls }
    }

    /// The cluster with this SC, `HOST:PORT`, with TLS. The files are read again when they change, for connections from then on.
    ///
    /// # Errors
    /// The file that cannot be used, and why.
    pub fn with_tls(address: impl Into<Arc<str>>, files: ClusterFiles) -> anyhow::Result<Self> {
        let server_name = files.server_name.clone();
        let tls = ClusterTls::load(Files::Each(files), server_name)?;
        Ok(Self {
            address: address.into(),
            tls: Some(Arc::new(tls)),
        })
    }

    /// The cluster of the current profile in a file of Fluvio's own commands (`~/.fluvio/config`), whose certificates are read again
    /// when they change.
    ///
    /// # Errors
    /// The file cannot be read, has no current profile, or one that cannot be used.
    pub fn of_profile(path: &Path) -> anyhow::Result<Self> {
        let Profile { address, tls } = Profile::read(path)?;
        let tls = tls.map(|domain| ClusterTls::load(Files::Profile(path.to_owned()), Some(domain)));
        Ok(Self {
            address: address.into(),
            tls: tls.transpose()?.map(Arc::new),
        })
    }

    /// The address of the cluster's SC, `HOST:PORT`.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Ends of the certificates in use.
    pub fn certificate_ends(&self) -> CertificateEnds {
        let ends = self.tls.as_ref().map(|tls| tls.ends());
        ends.unwrap_or_default()
    }

    /// Connects to the controller (SC).
    pub(super) async fn connect(&self) -> anyhow::Result<Fluvio> {
        let config = FluvioClusterConfig::new(&*self.address);
        match &self.tls {
            None => Fluvio::connect_with_config(&config).await,
            Some(tls) => {
                let connector = Box::new(Connector::new(tls.clone()));
                Fluvio::connect_with_connector(connector, &config).await
            }
        }
    }

    /// Connects to a unit.
    pub(super) async fn connect_unit(&self, unit: &UnitAddress) -> io::Result<UnitSocket> {
        let Some(tls) = &self.tls else {
            let socket = TcpStream::connect(&unit.address).await?;
            socket.set_nodelay(true)?;
            return Ok(Either::Left(socket));
        };
        let name = tls.name_of_unit(&unit.name);
        let socket = tls.connect(&unit.address, name.as_deref()).await?;
        Ok(Either::Right(Box::new(socket)))
    }
}

impl From<&str> for FluvioCluster {
    fn from(address: &str) -> Self {
        Self::plain(address)
    }
}

impl From<String> for FluvioCluster {
    fn from(address: String) -> Self {
        Self::plain(address)
    }
}

impl From<&String> for FluvioCluster {
    fn from(address: &String) -> Self {
        Self::plain(address.as_str())
    }
}
