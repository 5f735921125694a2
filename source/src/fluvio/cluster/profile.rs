//! The file in which Fluvio's own commands keep clusters and their certificates (`~/.fluvio/config`).

use std::path::Path;

use anyhow::{Context as _, bail};
use datastream_service::tls::{Identity, IdentityFiles, Pem};
use fluvio::FluvioClusterConfig;
use fluvio::config::{ConfigFile, TlsCerts, TlsConfig, TlsPolicy};

use super::ClusterFiles;
use super::tls::Material;

/// The current profile of a file.
pub(super) struct Profile {
    pub(super) address: String,
    /// The name in the SC's certificate, if there is to be TLS.
    pub(super) tls: Option<String>,
}

impl Profile {
    pub(super) fn read(path: &Path) -> anyhow::Result<Self> {
        let cluster = current(path)?;
        let tls = match cluster.tls {
            TlsPolicy::Disabled => None,
            TlsPolicy::Anonymous => bail!(
                "{}: its tls_policy is anonymous, which takes any server for Fluvio: give the profile certificates (verified)",
                path.display()
            ),
            TlsPolicy::Verified(tls) => Some(tls.domain().to_owned()),
        };
        let address = super::super::parse_address(&cluster.endpoint);
        let address = address.map_err(anyhow::Error::msg);
        Ok(Self {
            address: address.with_context(|| format!("{}: endpoint", path.display()))?,
            tls,
        })
    }
}

/// Certificates and keys of the current profile.
pub(super) fn material(path: &Path) -> anyhow::Result<Material> {
    match current(path)?.tls {
        TlsPolicy::Verified(TlsConfig::Inline(certs)) => Ok(inline(path, certs)),
        TlsPolicy::Verified(TlsConfig::Files(paths)) => Material::of_files(&ClusterFiles {
            authority: paths.ca_cert,
            identity: Some(IdentityFiles {
                certificate: paths.cert,
                key: paths.key,
            }),
            server_name: None,
        }),
        _ => bail!(
            "{}: the current profile has no certificates any more",
            path.display()
        ),
    }
}

fn current(path: &Path) -> anyhow::Result<FluvioClusterConfig> {
    let text = path.to_str().context("a profile's path must be UTF-8")?;
    let file = ConfigFile::load(Some(text.to_owned())).with_context(|| text.to_owned())?;
    let cluster = file.config().current_cluster();
    Ok(cluster.with_context(|| text.to_owned())?.clone())
}

fn inline(path: &Path, certs: TlsCerts) -> Material {
    let of = |what: &str, text: String| {
        Pem::new(format!("{what} of {}", path.display()), text.into_bytes())
    };
    Material {
        authority: of("ca_cert", certs.ca_cert),
        identity: Some(Identity::new(of("cert", certs.cert), of("key", certs.key))),
    }
}
