//! Asks the broker what the topic holds: to know the partitions at the start, and the lag from then on.

use std::sync::Arc;
use std::time::Duration;

use datastream_service::backoff::Backoff;
use datastream_source::{Bounds, EventSource};
use tokio::time::{MissedTickBehavior, interval, sleep};

use super::SourceStatus;

const EVERY: Duration = Duration::from_secs(1);
const BACKOFF_MIN: Duration = Duration::from_millis(100);
const BACKOFF_MAX: Duration = Duration::from_secs(5);

/// Waits until the topic can be reached, and returns what its partitions hold.
pub(crate) async fn first_bounds(
    source: &Arc<dyn EventSource>,
    status: &SourceStatus,
) -> Vec<Bounds> {
    let mut backoff = Backoff::new(BACKOFF_MIN, BACKOFF_MAX);
    loop {
        match source.bounds().await {
            Ok(bounds) => {
                status.set_bounds(&bounds);
                return bounds;
            }
            Err(error) => {
                tracing::warn!(%error, "cannot reach the topic; trying again");
                status.set_error(error.to_string());
            }
        }
        sleep(backoff.next_delay()).await;
    }
}

/// Keeps the status up to date. Ends when the topic gets more partitions: only a new start reads those.
pub(crate) async fn monitor(
    source: Arc<dyn EventSource>,
    status: Arc<SourceStatus>,
) -> anyhow::Result<()> {
    let known = status.partitions().len();
    let mut ticks = interval(EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        match source.bounds().await {
            Ok(bounds) if bounds.len() > known => {
                anyhow::bail!(
                    "the topic has {} partitions now, not {known}: starting again to read them",
                    bounds.len()
                );
            }
            Ok(bounds) => status.set_bounds(&bounds),
            Err(error) => {
                if status.error().is_none() {
                    tracing::warn!(%error, "cannot ask for the topic's partitions; events flow on");
                }
                status.set_error(error.to_string());
            }
        }
    }
}
