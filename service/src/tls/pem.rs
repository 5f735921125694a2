//! Certificates and keys in PEM (RFC 7468).

use std::fmt;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, ensure};
use rustls::RootCertStore;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use x509_cert::Certificate;
use x509_cert::der::Decode as _;
use x509_cert::time::Time;

use crate::file::read_regular;

/// Largest file that is read.
const MAX_FILE: u64 = 1 << 20;

/// The files of a certificate and its private key, as cert-manager writes them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdentityFiles {
    /// The certificate and those between it and the authority, in PEM.
    pub certificate: PathBuf,
    /// Its private key, in PEM.
    pub key: PathBuf,
}

/// Text in PEM. Its `Debug` shows where it is from, not what it says.
#[derive(PartialEq, Eq)]
pub struct Pem {
    from: String,
    text: Vec<u8>,
}

impl Pem {
    /// Text from somewhere, as errors name that.
    pub const fn new(from: String, text: Vec<u8>) -> Self {
        Self { from, text }
    }

    /// The text of a file.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn read(path: &Path) -> anyhow::Result<Self> {
        let from = path.display().to_string();
        let text = read_regular(path, MAX_FILE).with_context(|| from.clone())?;
        Ok(Self { from, text })
    }

    /// The certificates, at least one.
    ///
    /// # Errors
    /// There is none, or it is malformed.
    pub fn certificates(&self) -> anyhow::Result<Vec<CertificateDer<'static>>> {
        let certificates =
            CertificateDer::pem_slice_iter(&self.text).collect::<Result<Vec<_>, _>>();
        let certificates = certificates.with_context(|| self.from.clone())?;
        ensure!(
            !certificates.is_empty(),
            "{}: has no certificate in PEM",
            self.from
        );
        Ok(certificates)
    }

    /// The authorities whose certificates these are.
    ///
    /// # Errors
    /// There is no certificate, or one that cannot be an authority's.
    pub fn authorities(&self) -> anyhow::Result<RootCertStore> {
        let mut roots = RootCertStore::empty();
        for certificate in self.certificates()? {
            roots.add(certificate).with_context(|| self.from.clone())?;
        }
        Ok(roots)
    }

    fn key(&self) -> anyhow::Result<PrivateKeyDer<'static>> {
        PrivateKeyDer::from_pem_slice(&self.text)
            .with_context(|| format!("{}: has no private key in PEM", self.from))
    }
}

impl fmt::Debug for Pem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Pem").field(&self.from).finish()
    }
}

/// A certificate and its private key, as they were read.
#[derive(Debug, PartialEq, Eq)]
pub struct Identity {
    certificate: Pem,
    key: Pem,
}

impl Identity {
    /// A certificate, with those between it and the authority, and its private key.
    pub const fn new(certificate: Pem, key: Pem) -> Self {
        Self { certificate, key }
    }

    /// The certificate, with those between it and the authority.
    pub(super) const fn certificate(&self) -> &Pem {
        &self.certificate
    }

    /// Reads the files.
    ///
    /// # Errors
    /// A file that cannot be read.
    pub fn read(files: &IdentityFiles) -> anyhow::Result<Self> {
        Ok(Self {
            certificate: Pem::read(&files.certificate)?,
            key: Pem::read(&files.key)?,
        })
    }

    /// The chain and the key, and the end of the certificate's validity, in seconds since 1970.
    pub(super) fn parse(
        &self,
    ) -> anyhow::Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>, i64)> {
        let chain = self.certificate.certificates()?;
        let end = chain.first().map(end_of).transpose();
        let end = end.with_context(|| self.certificate.from.clone())?;
        Ok((chain, self.key.key()?, end.unwrap_or_default()))
    }

    /// The error of a certificate and a key that cannot be used together.
    pub(super) fn unusable(&self, error: rustls::Error) -> anyhow::Error {
        let (key, certificate) = (&self.key.from, &self.certificate.from);
        let reason = match error {
            rustls::Error::InconsistentKeys(_) => format!("{key}: not the key of {certificate}"),
            _ => format!("{key}, the key of {certificate}, cannot be used"),
        };
        anyhow::Error::new(error).context(reason)
    }
}

/// The end of a certificate's validity, in seconds since 1970.
///
/// # Errors
/// The certificate is malformed.
pub fn end_of(certificate: &CertificateDer<'_>) -> anyhow::Result<i64> {
    let certificate = Certificate::from_der(certificate)?;
    Ok(seconds(certificate.tbs_certificate.validity.not_after))
}

/// A time of a certificate, in seconds since 1970.
pub(super) fn seconds(time: Time) -> i64 {
    i64::try_from(time.to_unix_duration().as_secs()).unwrap_or(i64::MAX)
}
