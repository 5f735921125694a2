//! A session with the server.

use std::error::Error as _;
use std::sync::LazyLock;
use std::time::Duration;

use datastream_service::tls::client_config;
use rand::RngExt as _;
use tokio::task::AbortHandle;
use tokio::time::timeout;
use tokio_postgres::Client;
use tokio_postgres_rustls::MakeRustlsConnect;

use super::sql;
use crate::config::PostgresPlan;
use crate::store::{ErrorKind, StoreError};

/// Timeout of one attempt to connect to a host.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// A server that is silent this long is gone.
const DEAD: Duration = Duration::from_secs(30);

/// The name of every collector's sessions, to which each process adds its own.
pub(super) const APPLICATION: &str = "datastream collect";
/// The name of this process's sessions: no other one has it.
static THIS_PROCESS: LazyLock<String> =
    LazyLock::new(|| format!("{APPLICATION} {:016x}", rand::rng().random::<u64>()));

/// A connection. The server ends what it does for it, and drops its locks, when this is dropped.
pub(super) struct Session {
    pub(super) client: Client,
    /// Its name for itself.
    pub(super) application: String,
    connection: AbortHandle,
}

impl Drop for Session {
    fn drop(&mut self) {
        self.connection.abort();
    }
}

impl Session {
    pub(super) async fn connect(plan: &PostgresPlan) -> Result<Self, StoreError> {
        let mut config = plan.url.config().map_err(StoreError::lasting)?;
        config
            .application_name(THIS_PROCESS.as_str())
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
                    kind: kind(&error),
                });
            }
            Err(_) => return Err(StoreError::passing("the server does not answer")),
        };
        let connection = tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(error = describe(&error), "connection to PostgreSQL ended");
            }
        });
        let session = Self {
            client,
            application: THIS_PROCESS.clone(),
            connection: connection.abort_handle(),
        };
        let prepared = async {
            session.client.execute(sql::KEEP_ALIVE, &[]).await?;
            session.client.execute(sql::DURABLE, &[]).await
        };
        match timeout(2 * CONNECT_TIMEOUT, prepared).await {
            Ok(Ok(_)) => Ok(session),
            Ok(Err(error)) => Err(StoreError {
                reason: describe(&error),
                kind: kind(&error),
            }),
            Err(_) => Err(StoreError::passing("the server does not answer")),
        }
    }
}

/// TLS as `sslmode` in the URL says: if the server offers it (the default), always, or never.
fn tls(plan: &PostgresPlan) -> Result<MakeRustlsConnect, StoreError> {
    client_config(plan.ca_file.as_deref())
        .map(MakeRustlsConnect::new)
        .map_err(|e| StoreError::lasting(format!("{e:#}")))
}

/// The error with its causes: the library's own message names only the kind.
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

/// The remedy of an error.
pub(super) fn kind(error: &tokio_postgres::Error) -> ErrorKind {
    let Some(code) = error.code() else {
        // No answer of the server. Only the handshake of TLS fails in the same way every time.
        return if describe(error).contains("certificate") {
            ErrorKind::Lasting
        } else {
            ErrorKind::Passing
        };
    };
    let is_of = |classes: &[&str]| classes.iter().any(|class| code.code().starts_with(class));
    // Connection, resources, operator's intervention, deadlock and the like, system, a server that takes no writes: a standby, or
    // under maintenance.
    if is_of(&["08", "53", "57", "40", "58", "25006"]) {
        ErrorKind::Passing
    // Data, constraints, limits, what a trigger raises.
    } else if is_of(&["22", "23", "54", "P0"]) {
        ErrorKind::Refused
    // A wrong password, a missing right.
    } else {
        ErrorKind::Lasting
    }
}
