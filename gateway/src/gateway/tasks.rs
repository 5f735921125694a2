//! The tasks that live as long as the gateway.

use std::future::Future;

use anyhow::anyhow;
use tokio::task::JoinSet;

/// The tasks that live as long as the gateway. The first one to end ends it.
#[derive(Default)]
pub(super) struct Tasks(JoinSet<anyhow::Error>);

impl Tasks {
    pub(super) fn spawn(
        &mut self,
        name: &'static str,
        task: impl Future<Output = anyhow::Result<()>> + Send + 'static,
    ) {
        self.0.spawn(async move {
            match task.await {
                Ok(()) => anyhow!("{name} ended"),
                Err(error) => error.context(format!("{name} failed")),
            }
        });
    }

    /// Waits for the first one to end. One that panicked has ended, too.
    pub(super) async fn first_end(&mut self) -> anyhow::Error {
        match self.0.join_next().await {
            Some(Ok(error)) => error,
            Some(Err(error)) => anyhow!(error).context("a task panicked"),
            None => anyhow!("nothing runs"),
        }
    }
}
