//! The client of the API server, and for how long it may be silent.

use std::time::Duration;

use anyhow::Context as _;
use kube::runtime::watcher;
use kube::{Client, Config};
use tokio::time::timeout;

/// The API server ends each watch after this time, and the next one begins where it ended: so silence that lasts longer is no
/// lack of events.
pub const WATCH: Duration = Duration::from_mins(1);

/// A connection on which an answer or a watch is awaited and nothing has come for this long is taken for dead: a network that
/// drops packets, or a server that hangs, ends no connection.
pub const SILENCE: Duration = WATCH.saturating_add(Duration::from_secs(15));

/// The client that `KUBECONFIG` or the account of the pod says.
///
/// # Errors
/// There is neither, or it cannot be used.
pub async fn client() -> anyhow::Result<Client> {
    let config = Config::infer()
        .await
        .context("cannot find a Kubernetes API server: set KUBECONFIG, or run in a pod")?;
    Ok(Client::try_from(bounded(config, SILENCE))?)
}

fn bounded(mut config: Config, silence: Duration) -> Config {
    config.read_timeout = Some(silence);
    // Otherwise the time for which a connection of the pool was idle counts, too.
    config.reset_reader_on_write = true;
    config
}

/// Timeout of one request to the API server, watches excepted.
pub const REQUEST_TIMEOUT: Duration = Duration::from_secs(5);

/// Returns the answer to a request.
///
/// # Errors
/// The request's own, or [`kube::Error::Service`] if it takes longer than [`REQUEST_TIMEOUT`].
pub async fn in_time<T>(request: impl Future<Output = kube::Result<T>>) -> kube::Result<T> {
    let late = || kube::Error::Service("the API server did not answer in time".into());
    timeout(REQUEST_TIMEOUT, request)
        .await
        .unwrap_or_else(|_| Err(late()))
}

/// The message of the API server, if an error has one.
pub fn reason(error: &kube::Error) -> String {
    match error {
        kube::Error::Api(status) if !status.message.is_empty() => status.message.clone(),
        error => error.to_string(),
    }
}

/// The same for an error of a watch.
pub fn watch_reason(error: &watcher::Error) -> String {
    match error {
        watcher::Error::InitialListFailed(error) => format!("cannot list: {}", reason(error)),
        watcher::Error::WatchStartFailed(error) => format!("cannot watch: {}", reason(error)),
        watcher::Error::WatchFailed(error) => format!("the watch failed: {}", reason(error)),
        watcher::Error::WatchError(status) => format!("the watch ended: {}", status.message),
        error @ watcher::Error::NoResourceVersion => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use futures_util::StreamExt as _;
    use k8s_openapi::api::core::v1::Secret;
    use kube::Api;
    use tokio::net::TcpListener;

    use super::*;
    use crate::watch::{Change, Selection, changes};

    #[tokio::test]
    async fn an_api_server_that_accepts_connections_and_does_not_answer_is_reported() {
        let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = silent.local_addr().unwrap();
        let config = Config::new(format!("http://{address}").parse().unwrap());
        let client = Client::try_from(bounded(config, Duration::from_millis(100))).unwrap();
        let changes = changes::<Secret>(Api::all(client), Selection::all());
        let received: Vec<_> = changes.take(2).map(|(change, _)| change).collect().await;
        let failed = |change: &Change<Secret>| matches!(change, Change::Failed(_));
        assert!(received.iter().all(failed), "{received:?}");
    }
}
