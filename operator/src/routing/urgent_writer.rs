//! The writer of routing objects out of which somebody is to be kept at once. It waits neither for the round of the others nor for one
//! of them that hangs.

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep_until};

use super::publisher::{CONCURRENCY, PACE, Publisher, SETTLE};

impl Publisher {
    /// Writes what is urgent, until dropped.
    pub(super) async fn write_urgent(&self) -> anyhow::Result<()> {
        let slots = Semaphore::new(CONCURRENCY);
        // No more than there are routing objects: each is written once at a time.
        let mut writing = FuturesUnordered::new();
        let mut rested = Instant::now();
        let mut due: Option<Instant> = None;
        loop {
            let at = due.unwrap_or_else(Instant::now);
            tokio::select! {
                () = self.urgent.notified() => (),
                Some((write, result)) = writing.next(), if !writing.is_empty() => {
                    self.finish(&write, result).await?;
                    // What else changed in it meanwhile may be for the others to write.
                    if self.state.lock().is_dirty() {
                        self.changed.notify_one();
                    }
                }
                () = sleep_until(at), if due.is_some() => {
                    let plan = self.state.lock().plan_urgent(Instant::now());
                    rested = Instant::now() + PACE * u32::try_from(plan.writes.len())?;
                    due = plan.retry_at.map(|at| at.max(rested));
                    writing.extend(plan.writes.into_iter().map(|write| async {
                        let _slot = slots.acquire().await;
                        let result = self.write_one(&write).await;
                        (write, result)
                    }));
                    continue;
                }
            }
            let soon = Instant::now() + SETTLE;
            due = Some(due.map_or(soon, |due| due.min(soon)).max(rested));
        }
    }
}
