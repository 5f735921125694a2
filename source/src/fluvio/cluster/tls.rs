//! TLS with a cluster.

use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicI64, Ordering};

use datastream_service::tls::{Client, Fault, Identity, Pem, Source, Watched, client_of, end_of};
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::super::CONNECT_TIMEOUT;
use super::{ClusterFiles, profile};
use crate::CertificateEnds;

/// Sources of certificates and keys.
#[derive(Debug)]
pub(super) enum Files {
    /// A file for each of them.
    Each(ClusterFiles),
    /// A profile of Fluvio's own commands.
    Profile(PathBuf),
}

/// Certificates and keys, as they were read.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Material {
    pub(super) authority: Pem,
    pub(super) identity: Option<Identity>,
}

/// TLS with one cluster.
#[derive(Debug)]
pub(super) struct ClusterTls {
    client: Watched<Files>,
    server_name: Option<String>,
    /// End of the certificate that a server has shown last; 0 before the first.
    server_end: AtomicI64,
}

impl Material {
    pub(super) fn of_files(files: &ClusterFiles) -> anyhow::Result<Self> {
        Ok(Self {
            authority: Pem::read(&files.authority)?,
            identity: files.identity.as_ref().map(Identity::read).transpose()?,
        })
    }
}

impl Source for Files {
    type Material = Material;
    type Value = Client;

    fn read(&self) -> anyhow::Result<Material> {
        match self {
            Self::Each(files) => Material::of_files(files),
            Self::Profile(path) => profile::material(path),
        }
    }

    fn build(&self, material: &Material) -> anyhow::Result<Client> {
        client_of(Some(&material.authority), material.identity.as_ref())
    }

    fn describe(&self) -> String {
        match self {
            Self::Each(ClusterFiles {
                authority,
                identity,
                ..
            }) => {
                let path = identity
                    .as_ref()
                    .map_or(authority, |files| &files.certificate);
                path.display().to_string()
            }
            Self::Profile(path) => path.display().to_string(),
        }
    }
}

impl ClusterTls {
    pub(super) fn load(files: Files, server_name: Option<String>) -> anyhow::Result<Self> {
        Ok(Self {
            client: Watched::load(files)?,
            server_name,
            server_end: AtomicI64::new(0),
        })
    }

    /// The name in the SC's certificate, if it is not that of the address.
    pub(super) fn server_name(&self) -> Option<&str> {
        self.server_name.as_deref()
    }

    /// The name in a unit's certificate, if it is not that of the address.
    pub(super) fn name_of_unit(&self, unit: &str) -> Option<String> {
        Some(format!("{unit}.{}", self.server_name()?))
    }

    pub(super) fn ends(&self) -> CertificateEnds {
        let server = self.server_end.load(Ordering::Relaxed);
        CertificateEnds {
            client: self.client.current().end,
            server: (server > 0).then_some(server),
        }
    }

    /// Connects to an address, `HOST:PORT`, whose certificate is for this name, or else for the host.
    pub(super) async fn connect(
        &self,
        address: &str,
        name: Option<&str>,
    ) -> io::Result<TlsStream<TcpStream>> {
        let name = name.unwrap_or_else(|| host(address));
        let server = ServerName::try_from(name.to_owned()).map_err(|_| {
            let reason = format!("{name:?} is no name that a certificate could have");
            io::Error::new(io::ErrorKind::InvalidInput, reason)
        })?;
        let connector = TlsConnector::from(self.client.current().config.clone());
        let connecting = async {
            let socket = TcpStream::connect(address).await?;
            socket.set_nodelay(true)?;
            connector.connect(server, socket).await
        };
        let stream = timeout(CONNECT_TIMEOUT, connecting).await;
        let stream = stream.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()));
        let stream = stream.map_err(|error| explained(address, name, error))?;
        let shown = stream.get_ref().1.peer_certificates();
        let end = shown.and_then(|chain| chain.first()).map(end_of);
        if let Some(Ok(end)) = end {
            self.server_end.store(end, Ordering::Relaxed);
        }
        Ok(stream)
    }
}

/// The host of `HOST:PORT`.
fn host(address: &str) -> &str {
    let host = address.rsplit_once(':').map_or(address, |(host, _)| host);
    host.trim_start_matches('[').trim_end_matches(']')
}

fn explained(address: &str, name: &str, error: io::Error) -> io::Error {
    let reason = match Fault::of(&error) {
        Some(fault) => format!("TLS with {address} as {name}: {fault} ({error})"),
        None => format!("TLS with {address} as {name}: {error}"),
    };
    io::Error::new(error.kind(), reason)
}
