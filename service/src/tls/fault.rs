//! Failures of handshakes, in words.

use std::fmt;
use std::io;

use rustls::{AlertDescription, CertificateError, Error, InvalidMessage};

/// A failure of a handshake that whoever set up one of the two sides can mend.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The server speaks something else.
    NoTls,
    /// Its certificate is signed by somebody else.
    UnknownAuthority,
    /// Its certificate has expired.
    Expired,
    /// Its certificate is not valid yet, or the clock here is behind.
    NotYetValid,
    /// Its certificate is for another name.
    OtherName,
    /// It wants a certificate of its client, and was shown none.
    ClientUnknown,
    /// It does not take the certificate of its client.
    ClientRefused,
}

impl Fault {
    /// Finds the fault in the error of a handshake, or of the connection after it: TLS 1.3 tells a client only then that it is
    /// refused.
    pub fn of(error: &io::Error) -> Option<Self> {
        match error.get_ref()?.downcast_ref()? {
            Error::InvalidMessage(InvalidMessage::InvalidContentType) => Some(Self::NoTls),
            Error::InvalidCertificate(fault) => Self::of_certificate(fault),
            Error::AlertReceived(alert) => Self::of_alert(*alert),
            _ => None,
        }
    }

    const fn of_certificate(error: &CertificateError) -> Option<Self> {
        Some(match error {
            // An authority that was made again under the same name.
            CertificateError::UnknownIssuer | CertificateError::BadSignature => {
                Self::UnknownAuthority
            }
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => Self::Expired,
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
                Self::NotYetValid
            }
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
                Self::OtherName
            }
            _ => return None,
        })
    }

    const fn of_alert(alert: AlertDescription) -> Option<Self> {
        Some(match alert {
            AlertDescription::CertificateRequired => Self::ClientUnknown,
            AlertDescription::UnknownCA
            | AlertDescription::BadCertificate
            | AlertDescription::CertificateExpired
            | AlertDescription::CertificateUnknown
            | AlertDescription::DecryptError
            | AlertDescription::AccessDenied => Self::ClientRefused,
            _ => return None,
        })
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoTls => "it does not speak TLS",
            Self::UnknownAuthority => "its certificate is of an authority that is not trusted",
            Self::Expired => "its certificate has expired",
            Self::NotYetValid => "its certificate is not valid yet, or the clock here is behind",
            Self::OtherName => "its certificate is for another name",
            Self::ClientUnknown => "it wants a certificate of its client, and was shown none",
            Self::ClientRefused => "it does not take the certificate of its client, or wants one",
        })
    }
}
