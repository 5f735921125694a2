//! The URL of a PostgreSQL database, which may be in a file that changes.

use std::borrow::Cow;
use std::error::Error as _;
use std::path::PathBuf;

use secrecy::{ExposeSecret as _, SecretString};
use tokio_postgres::Config;

use crate::source;

/// Modes in which libpq checks certificates. Here they are always checked, so that all of them mean the same.
const CHECKED: [&str; 2] = ["verify-full", "verify-ca"];

/// The URL, or where it is. Debug shows no password.
#[derive(Clone, Debug)]
pub(crate) enum PostgresUrl {
    /// `postgres://USER:PASSWORD@HOST:PORT/DATABASE`, or `KEY=VALUE …`.
    Fixed(SecretString),
    /// A file that is read at every connect: passwords are exchanged.
    File(PathBuf),
}

impl PostgresUrl {
    /// Returns the settings of a connection, read again from their source.
    ///
    /// # Errors
    /// A file that cannot be read, or what is wrong with the URL.
    pub(crate) fn config(&self) -> Result<Config, String> {
        match self {
            Self::Fixed(url) => parse(url.expose_secret()),
            Self::File(path) => {
                let text = source::read(path).map_err(|e| e.to_string())?;
                let parsed = parse(text.expose_secret().trim());
                parsed.map_err(|e| format!("{}: {e}", path.display()))
            }
        }
    }
}

fn parse(url: &str) -> Result<Config, String> {
    checked_modes(url).parse().map_err(|e| explain(&e))
}

/// The URL with every mode that checks certificates written as `require`.
fn checked_modes(url: &str) -> Cow<'_, str> {
    // In a URL, options follow the question mark: a password may look like one.
    let options = match url.split_once("://") {
        Some(_) => url.find('?').unwrap_or(url.len()),
        None => 0,
    };
    let (place, options) = url.split_at(options);
    let mut written = Cow::Borrowed(options);
    for mode in CHECKED {
        for quote in ["", "'"] {
            let option = format!("sslmode={quote}{mode}{quote}");
            if written.contains(&option) {
                written = Cow::Owned(written.replace(&option, "sslmode=require"));
            }
        }
    }
    match written {
        Cow::Borrowed(_) => Cow::Borrowed(url),
        Cow::Owned(options) => Cow::Owned(format!("{place}{options}")),
    }
}

fn explain(error: &tokio_postgres::Error) -> String {
    let cause = error.source().map(|c| format!(": {c}")).unwrap_or_default();
    let text = format!("{error}{cause}");
    let advice = if text.contains("`sslmode`") || text.contains("'sslmode'") {
        "sslmode is disable, prefer (if there is none), require, verify-ca or verify-full; certificates are checked in each of the last three"
    } else if text.contains("sslrootcert") {
        "leave sslrootcert out, and give the path as caFile beside the URL"
    } else {
        "write postgres://USER:PASSWORD@HOST:5432/DATABASE"
    };
    format!("{text}; {advice}")
}

#[cfg(test)]
mod tests {
    use tokio_postgres::config::SslMode;

    use super::*;

    #[test]
    fn every_verifying_sslmode_becomes_require() {
        for (url, mode) in [
            ("postgres://u@h/d?sslmode=verify-full", SslMode::Require),
            (
                "postgres://u@h/d?connect_timeout=3&sslmode=verify-ca&application_name=a",
                SslMode::Require,
            ),
            ("host=h user=u sslmode=verify-full", SslMode::Require),
            ("host=h user=u sslmode='verify-ca'", SslMode::Require),
            ("postgres://u@h/d?sslmode=require", SslMode::Require),
            ("postgres://u@h/d?sslmode=disable", SslMode::Disable),
            ("postgres://u@h/d", SslMode::Prefer),
        ] {
            assert_eq!(parse(url).unwrap().get_ssl_mode(), mode, "{url}");
        }
        let config = parse("postgres://u:sslmode=verify-full@h/d").unwrap();
        assert_eq!(config.get_password(), Some(&b"sslmode=verify-full"[..]));
    }

    #[test]
    fn an_unknown_option_is_rejected_with_the_valid_ones() {
        for (url, expected) in [
            (
                "postgres://u@h/d?sslmode=allow",
                "disable, prefer (if there is none), require, verify-ca or verify-full",
            ),
            ("postgres://u@h/d?sslrootcert=/ca.pem", "caFile"),
            ("postgres://u@h:x/d", "postgres://USER:PASSWORD@HOST"),
        ] {
            let error = parse(url).unwrap_err();
            assert!(error.contains(expected), "{url}: {error}");
        }
    }

    #[test]
    fn a_url_file_is_read_at_every_connect_and_may_have_a_byte_order_mark() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("url");
        let url = PostgresUrl::File(path.clone());
        assert!(url.config().unwrap_err().contains("cannot read"));
        for password in ["old", "new"] {
            std::fs::write(&path, format!("\u{feff}postgres://u:{password}@h/d\r\n")).unwrap();
            let config = url.config().unwrap();
            assert_eq!(config.get_password(), Some(password.as_bytes()));
            assert_eq!(config.get_dbname(), Some("d"));
        }
    }
}
