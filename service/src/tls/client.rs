//! TLS of clients.

use std::path::Path;
use std::sync::Arc;

use rustls::ClientConfig;

use super::pem::{Identity, Pem};

/// TLS of a client, and when its certificate ends.
#[derive(Clone, Debug)]
pub struct Client {
    /// The configuration for the next connection.
    pub config: Arc<ClientConfig>,
    /// The end of the certificate's validity, if there is one, in seconds since 1970.
    pub end: Option<i64>,
}

/// TLS that trusts the authorities in this PEM file, or, without one, those of the web (Mozilla's).
///
/// # Errors
/// The file cannot be read, has no certificate, or one that cannot be an authority's.
pub fn client_config(ca_file: Option<&Path>) -> anyhow::Result<ClientConfig> {
    let authorities = ca_file.map(Pem::read).transpose()?;
    Ok(build(authorities.as_ref(), None)?.0)
}

/// TLS that trusts these authorities, or, without any, those of the web (Mozilla's), and shows this certificate.
///
/// # Errors
/// An authority, the certificate, or its key, cannot be used.
pub fn client_of(authorities: Option<&Pem>, identity: Option<&Identity>) -> anyhow::Result<Client> {
    let (config, end) = build(authorities, identity)?;
    let config = Arc::new(config);
    Ok(Client { config, end })
}

fn build(
    authorities: Option<&Pem>,
    identity: Option<&Identity>,
) -> anyhow::Result<(ClientConfig, Option<i64>)> {
    let roots = match authorities {
        Some(authorities) => authorities.authorities()?,
        None => webpki_roots::TLS_SERVER_ROOTS.iter().cloned().collect(),
    };
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots);
    let Some(identity) = identity else {
        return Ok((builder.with_no_client_auth(), None));
    };
    let (chain, key, end) = identity.parse()?;
    let config = builder.with_client_auth_cert(chain, key);
    Ok((config.map_err(|error| identity.unusable(error))?, Some(end)))
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
