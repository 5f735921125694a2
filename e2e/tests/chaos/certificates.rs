//! Certificates of the broker, and of gateways that speak TLS, in files that are replaced as those of a Secret are.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use datastream_service::tls::{Authority, DISTANT_YEAR, IdentityFiles, client_config};
use datastream_source::fluvio::{ClusterFiles, FluvioCluster};
use tokio_rustls::TlsConnector;

/// An authority, and one certificate for all addresses of a round, with which servers and clients show who they are.
pub(crate) struct Certificates {
    dir: PathBuf,
    authority: Authority,
    addresses: Vec<String>,
    renewed: usize,
}

impl Certificates {
    pub(crate) fn new(dir: &Path, addresses: Vec<String>) -> anyhow::Result<Self> {
        let mut this = Self {
            dir: dir.join("certificates"),
            authority: Authority::new(),
            addresses,
            renewed: 0,
        };
        fs::create_dir(&this.dir)?;
        this.authority.write(&this.dir);
        this.renew()?;
        Ok(this)
    }

    /// Replaces certificate and key at once.
    pub(crate) fn renew(&mut self) -> anyhow::Result<()> {
        self.renewed += 1;
        let folder = format!("of-{}", self.renewed);
        fs::create_dir(self.dir.join(&folder))?;
        let names: Vec<_> = self.addresses.iter().map(String::as_str).collect();
        self.authority
            .issue(&self.dir.join(&folder), &names, DISTANT_YEAR);
        let link = self.dir.join("next");
        std::os::unix::fs::symlink(folder, &link)?;
        fs::rename(link, self.dir.join("current"))?;
        Ok(())
    }

    fn identity(&self) -> IdentityFiles {
        let current = self.dir.join("current");
        IdentityFiles {
            certificate: current.join("tls.crt"),
            key: current.join("tls.key"),
        }
    }

    /// The file of the authority.
    pub(crate) fn authority(&self) -> PathBuf {
        self.dir.join("ca.crt")
    }

    /// Arguments of a server.
    pub(crate) fn of_server(&self) -> [String; 2] {
        let IdentityFiles { certificate, key } = self.identity();
        [
            format!("--tls-cert={}", certificate.display()),
            format!("--tls-key={}", key.display()),
        ]
    }

    /// Arguments of a gateway for the broker.
    pub(crate) fn of_client(&self) -> [String; 3] {
        let IdentityFiles { certificate, key } = self.identity();
        [
            format!("--fluvio-ca={}", self.authority().display()),
            format!("--fluvio-cert={}", certificate.display()),
            format!("--fluvio-key={}", key.display()),
        ]
    }

    /// The broker at this address.
    pub(crate) fn cluster(&self, address: &str) -> anyhow::Result<FluvioCluster> {
        let files = ClusterFiles {
            authority: self.authority(),
            identity: Some(self.identity()),
            server_name: None,
        };
        FluvioCluster::with_tls(address, files)
    }

    /// The way in which clients speak TLS with gateways.
    pub(crate) fn connector(&self) -> anyhow::Result<TlsConnector> {
        let config = client_config(Some(&self.authority()))?;
        Ok(TlsConnector::from(Arc::new(config)))
    }
}
