//! Setup that has to be done once in a process.

use anyhow::anyhow;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// Chooses the TLS provider.
///
/// Before anything opens a connection: rustls asks for it, and a second one would make it panic.
///
/// # Errors
/// One is installed already.
pub fn install_tls_provider() -> anyhow::Result<()> {
    let installed = rustls::crypto::ring::default_provider().install_default();
    installed.map_err(|_| anyhow!("a TLS provider is installed already"))
}

/// A token that SIGTERM (from Kubernetes) and SIGINT (Ctrl-C) cancel.
///
/// # Errors
/// The signals cannot be listened for.
pub fn stop_on_signal() -> anyhow::Result<CancellationToken> {
    let stop = CancellationToken::new();
    let signalled = stop.clone();
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => (),
            _ = tokio::signal::ctrl_c() => (),
        }
        signalled.cancel();
    });
    Ok(stop)
}
