//! The certificate of the other side of a connection, which TLS has verified.

use rustls::pki_types::CertificateDer;
use x509_cert::Certificate;
use x509_cert::der::Decode as _;
use x509_cert::ext::pkix::SubjectAltName;
use x509_cert::ext::pkix::name::GeneralName;

use super::pem::seconds;

/// A certificate of the other side of a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerCertificate {
    /// Its subject alternative names (RFC 5280, section 4.2.1.6): DNS names in lower case, URIs and e-mail addresses.
    pub names: Vec<String>,
    /// The end of its validity, in seconds since 1970.
    pub end: i64,
}

impl PeerCertificate {
    /// Reads a certificate that TLS has verified. Other kinds of names are left out.
    ///
    /// # Errors
    /// The certificate is malformed.
    pub fn of(certificate: &CertificateDer<'_>) -> anyhow::Result<Self> {
        let certificate = Certificate::from_der(certificate)?.tbs_certificate;
        // Names that cannot be read name nobody.
        let names = certificate.get::<SubjectAltName>().ok().flatten();
        let names = names.map_or_else(Vec::new, |(_, names)| names.0);
        // An authority may sign one kind for whoever asks, and another only for those whom it knows: none passes for another.
        let name = |name: GeneralName| match name {
            GeneralName::DnsName(name) => {
                let name = name.as_str().to_ascii_lowercase();
                (!name.contains([':', '@'])).then_some(name)
            }
            GeneralName::UniformResourceIdentifier(name) => {
                name.as_str().contains(':').then(|| name.to_string())
            }
            GeneralName::Rfc822Name(name) => {
                let is_address = name.as_str().contains('@') && !name.as_str().contains(':');
                is_address.then(|| name.to_string())
            }
            _ => None,
        };
        Ok(Self {
            names: names.into_iter().filter_map(name).collect(),
            end: seconds(certificate.validity.not_after),
        })
    }
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, KeyPair, SanType};

    use super::*;

    #[test]
    fn names_of_all_kinds_and_the_end_of_a_certificate_are_read() {
        let mut params = CertificateParams::new(["Collector.Example".to_owned()]).unwrap();
        let uri = "spiffe://cluster.local/ns/team/sa/collector";
        for name in [
            SanType::URI(uri.try_into().unwrap()),
            SanType::Rfc822Name("ops@example.com".try_into().unwrap()),
            SanType::IpAddress("127.0.0.1".parse().unwrap()),
        ] {
            params.subject_alt_names.push(name);
        }
        params.not_after = rcgen::date_time_ymd(2100, 1, 1);
        let certificate = params.self_signed(&KeyPair::generate().unwrap()).unwrap();
        let read = PeerCertificate::of(certificate.der()).unwrap();
        assert_eq!(read.names, ["collector.example", uri, "ops@example.com"]);
        assert_eq!(read.end, 4_102_444_800);
    }

    #[test]
    fn a_name_of_one_kind_does_not_pass_for_one_of_another() {
        let mut params = CertificateParams::default();
        params.subject_alt_names = vec![
            SanType::URI("collector.example".try_into().unwrap()),
            SanType::Rfc822Name("collector.example".try_into().unwrap()),
            SanType::Rfc822Name("spiffe://a/b@c".try_into().unwrap()),
            SanType::DnsName("spiffe://a/b".try_into().unwrap()),
        ];
        let certificate = params.self_signed(&KeyPair::generate().unwrap()).unwrap();
        let read = PeerCertificate::of(certificate.der()).unwrap();
        assert_eq!(read.names, [""; 0]);
    }

    #[test]
    fn a_certificate_without_such_names_has_none() {
        let certificate = CertificateParams::default()
            .self_signed(&KeyPair::generate().unwrap())
            .unwrap();
        assert!(
            PeerCertificate::of(certificate.der())
                .unwrap()
                .names
                .is_empty()
        );
    }
}
