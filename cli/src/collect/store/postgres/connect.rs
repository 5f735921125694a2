//! A session with the server.

use std::error::Error as _;
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ClientConfig, RootCertStore};
use secrecy::ExposeSecret as _;
use tokio::task::AbortHandle;
use tokio::time::timeout;
use tokio_postgres::{Client, Config};
use tokio_postgres_rustls::MakeRustlsConnect;

use crate::collect::config::PostgresPlan;
use crate::collect::store::StoreError;

/// How long a connection may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// A server that is silent this long is gone.
const DEAD: Duration = Duration::from_secs(30);

/// A connection. The server ends what it does for it, and drops its locks, when this is dropped.
pub(super) struct Session {
    pub(super) client: Client,
    connection: AbortHandle,
}

impl Drop for Session {
    fn drop(&mut self) {
        self.connection.abort();
    }
}

impl Session {
    pub(super) async fn connect(plan: &PostgresPlan) -> Result<Self, StoreError> {
        let mut config: Config = plan
            .url
            .expose_secret()
            .parse()
            .map_err(|e| StoreError::lasting(describe(&e)))?;
        config
            .application_name("datastream collect")
            .connect_timeout(CONNECT_TIMEOUT)
            .keepalives_idle(DEAD / 3)
            .tcp_user_timeout(DEAD);
        let attempt = config.connect(tls(plan)?);
        // The time that the library allows does not include what comes after the socket.
        let (client, connection) = match timeout(2 * CONNECT_TIMEOUT, attempt).await {
            Ok(Ok(connected)) => connected,
            Ok(Err(error)) => {
                return Err(StoreError {
                    reason: describe(&error),
                    passes: passes(&error),
                });
            }
            Err(_) => return Err(StoreError::passing("the server does not answer")),
        };
        let connection = tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(error = describe(&error), "connection to PostgreSQL ended");
            }
        });
        Ok(Self {
            client,
            connection: connection.abort_handle(),
        })
    }
}

/// TLS as `sslmode` in the URL says: if the server offers it (the default), always, or never.
fn tls(plan: &PostgresPlan) -> Result<MakeRustlsConnect, StoreError> {
    let mut roots = RootCertStore::empty();
    match &plan.ca_file {
        Some(path) => {
            let at = |e: String| StoreError::lasting(format!("{}: {e}", path.display()));
            let certificates = CertificateDer::pem_file_iter(path)
                .and_then(Iterator::collect::<Result<Vec<_>, _>>)
                .map_err(|e| at(e.to_string()))?;
            for certificate in certificates {
                roots.add(certificate).map_err(|e| at(e.to_string()))?;
            }
        }
        None => roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned()),
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|e| StoreError::lasting(e.to_string()))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(MakeRustlsConnect::new(config))
}

/// The error with its causes: the library's own words name only the kind.
pub(super) fn describe(error: &tokio_postgres::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let more = error.to_string();
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        cause = error.source();
    }
    text
}

/// Whether it may pass by itself: the server cannot be reached, is starting or stopping, or has too much to do. A wrong
/// password or a missing right does not.
pub(super) fn passes(error: &tokio_postgres::Error) -> bool {
    let Some(code) = error.code() else {
        // No answer of the server. Only the handshake of TLS fails in the same way every time.
        return !describe(error).contains("certificate");
    };
    // Connection, resources, operator's intervention, deadlock and the like, system.
    ["08", "53", "57", "40", "58"]
        .iter()
        .any(|class| code.code().starts_with(class))
}
