//! Whom clients trust.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, bail};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ClientConfig, RootCertStore};

/// TLS that trusts the authorities in this PEM file, or, without one, those of the web (Mozilla's).
///
/// # Errors
/// The file cannot be read, has no certificate, or one that cannot be an authority's.
pub fn client_config(ca_file: Option<&Path>) -> anyhow::Result<ClientConfig> {
    let roots = match ca_file {
        Some(path) => authorities(path).with_context(|| path.display().to_string())?,
        None => webpki_roots::TLS_SERVER_ROOTS.iter().cloned().collect(),
    };
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(config)
}

fn authorities(path: &Path) -> anyhow::Result<RootCertStore> {
    let certificates = CertificateDer::pem_file_iter(path)?.collect::<Result<Vec<_>, _>>()?;
    let mut roots = RootCertStore::empty();
    for certificate in certificates {
        roots.add(certificate)?;
    }
    if roots.is_empty() {
        bail!("has no certificate: give the authority's, in PEM");
    }
    Ok(roots)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_without_certificates_is_rejected_by_name() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("ca.pem");
        let error = |text: Option<&str>| {
            if let Some(text) = text {
                std::fs::write(&path, text).unwrap();
            }
            format!("{:#}", client_config(Some(&path)).unwrap_err())
        };
        for (text, expected) in [
            (None, "No such file"),
            (Some(""), "has no certificate"),
            (
                Some("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"),
                "certificate",
            ),
        ] {
            let error = error(text);
            assert!(
                error.contains("ca.pem: ") && error.contains(expected),
                "{error}"
            );
        }
        assert!(client_config(None).is_ok());
    }
}
