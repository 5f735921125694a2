//! The writer of routing objects out of which somebody is to be kept at once. It waits neither for the round of the others nor for one
//! of them that hangs.

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep_until};

use super::publisher::{CONCURRENCY, PACE, Publisher, SETTLE};
use super::state::Lane;

impl Publisher {
    /// Writes what is urgent, until dropped.
    pub(super) async fn write_urgent(&self) -> anyhow::Result<()> {
        let slots = &Semaphore::new(CONCURRENCY);
        // No more than there are routing objects: each is written once at a time.
        let mut writing = FuturesUnordered::new();
        let mut rested = Instant::now();
        let mut due: Option<Instant> = None;
        loop {
            let at = due.unwrap_or_else(Instant::now);
            tokio::select! {
                () = self.urgent.notified() => (),
                Some(finished) = writing.next(), if !writing.is_empty() => {
                    match finished {
                        Some((bucket, result)) => {
                            self.finish(bucket, result).await?;
                        }
                        // Nothing was written that others would have to wait for.
                        None => rested = rested.checked_sub(PACE).unwrap_or(rested),
                    }
                    // What else changed in it meanwhile may be for the others to write.
                    if self.state.lock().is_dirty() {
                        self.changed.notify_one();
                    }
                }
                () = sleep_until(at), if due.is_some() => {
                    let plan = self.state.lock().plan(Lane::Urgent, Instant::now());
                    rested = Instant::now() + PACE * u32::try_from(plan.objects.len())?;
                    due = plan.retry_at.map(|at| at.max(rested));
                    writing.extend(plan.objects.into_iter().map(|bucket| async move {
                        let _slot = slots.acquire().await;
                        self.write_planned(bucket, Lane::Urgent).await
                    }));
                    continue;
                }
            }
            let soon = Instant::now() + SETTLE;
            due = Some(due.map_or(soon, |due| due.min(soon)).max(rested));
        }
    }
}
