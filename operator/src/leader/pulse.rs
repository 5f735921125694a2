//! The sign of life of the threads that do the work, for the election, which has one of its own.

use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

const EVERY: Duration = Duration::from_secs(1);
/// Time without a beat after which the threads count as hung.
pub(super) const HUNG_AFTER: Duration = Duration::from_secs(30);

/// The time of the last sign of life.
pub(super) struct Pulse(watch::Receiver<Instant>);

impl Pulse {
    /// A pulse that beats on this runtime until it is stopped.
    pub(super) fn beating(stop: CancellationToken) -> Self {
        let (beat, last) = watch::channel(Instant::now());
        tokio::spawn(stop.run_until_cancelled_owned(async move {
            loop {
                sleep(EVERY).await;
                beat.send_replace(Instant::now());
            }
        }));
        Self(last)
    }

    /// Returns whether there was a beat of late.
    pub(super) fn is_there(&self) -> bool {
        self.0.borrow().elapsed() < HUNG_AFTER
    }
}

#[cfg(test)]
impl Pulse {
    /// A pulse that has beaten once.
    pub(super) fn last() -> Self {
        Self(watch::channel(Instant::now()).1)
    }
}
