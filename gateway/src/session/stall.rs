//! Watch over a client that takes nothing while others wait for the memory that it holds.

use std::time::Duration;

use tokio::time::{Instant, Interval};

use super::heartbeats::ticks;
use crate::fanout::OWN_BYTES;

/// Longest time for which a client may take nothing while others wait for the memory that it holds.
const STALLED: Duration = Duration::from_secs(2);

/// Watches whether the client takes anything, while it has more to take than its share of memory.
pub(super) struct Stall {
    ticks: Interval,
    /// Bytes that it had taken when it last took any, and when that was seen.
    taken: (u64, Instant),
}

impl Stall {
    /// A watch, if so many bytes on their way are more than the client's share; `written` bytes have gone to it so far.
    pub(super) fn of(in_flight: usize, written: u64) -> Option<Self> {
        (in_flight > OWN_BYTES).then(|| Self {
            ticks: ticks(1),
            taken: (written, Instant::now()),
        })
    }

    /// Waits for the next look. Cancel-safe.
    pub(super) async fn tick(&mut self) {
        self.ticks.tick().await;
    }

    /// Returns whether the client, to which `written` bytes have gone, has taken nothing for too long.
    pub(super) fn is_over(&mut self, written: u64) -> bool {
        if self.taken.0 != written {
            self.taken = (written, Instant::now());
        }
        self.taken.1.elapsed() >= STALLED
    }
}
