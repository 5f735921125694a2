//! Certificates of tests, by an authority of their own.
#![allow(
    clippy::unwrap_used,
    clippy::missing_panics_doc,
    reason = "a test without certificates is none"
)]

use std::path::{Path, PathBuf};

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, IsCa, Issuer, KeyPair, SanType,
    date_time_ymd,
};

use super::{Identity, IdentityFiles, Pem, SHARED_NAME};

/// A year in which nobody runs these tests any more.
pub const DISTANT_YEAR: i32 = 2100;

/// A self-signed certificate for those who share it.
pub fn shared_identity() -> Identity {
    let params = CertificateParams::new([SHARED_NAME.to_owned()]).unwrap();
    let key = KeyPair::generate().unwrap();
    let certificate = params.self_signed(&key).unwrap().pem();
    let pem = |text: String| Pem::new("the test's".to_owned(), text.into_bytes());
    Identity::new(pem(certificate), pem(key.serialize_pem()))
}

/// A certificate authority.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

impl Authority {
    /// A new one.
    #[allow(clippy::new_without_default, reason = "each is another one")]
    pub fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name = DistinguishedName::new();
        params
            .distinguished_name
            .push(DnType::CommonName, "test authority");
        let key = KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        let issuer = Issuer::new(params, key);
        Self { issuer, pem }
    }

    /// Its certificate.
    pub fn pem(&self) -> &str {
        &self.pem
    }

    /// Writes its certificate into a folder.
    pub fn write(&self, dir: &Path) -> PathBuf {
        let path = dir.join("ca.crt");
        std::fs::write(&path, &self.pem).unwrap();
        path
    }

    /// Writes a certificate of a client with this name, a DNS name or a URI, and its key into a folder.
    pub fn issue_client(&self, dir: &Path, name: &str) -> IdentityFiles {
        let name = if name.contains(':') {
            SanType::URI(name.try_into().unwrap())
        } else {
            SanType::DnsName(name.try_into().unwrap())
        };
        let mut params = CertificateParams::default();
        params.subject_alt_names.push(name);
        self.sign(dir, params, DISTANT_YEAR)
    }

    /// Writes a certificate for these names that ends with this year, and its key, into a folder.
    pub fn issue(&self, dir: &Path, names: &[&str], year: i32) -> IdentityFiles {
        let names: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
        self.sign(dir, CertificateParams::new(names).unwrap(), year)
    }

    fn sign(&self, dir: &Path, mut params: CertificateParams, year: i32) -> IdentityFiles {
        params.not_after = date_time_ymd(year, 12, 31);
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        let files = IdentityFiles {
            certificate: dir.join("tls.crt"),
            key: dir.join("tls.key"),
        };
        std::fs::write(&files.certificate, certificate.pem()).unwrap();
        std::fs::write(&files.key, key.serialize_pem()).unwrap();
        files
    }
}
