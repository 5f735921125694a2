//! Watch over a client that takes nothing while others wait for the memory that it holds.

use std::time::Duration;

use tokio::time::Instant;

use crate::fanout::OWN_BYTES;

/// Longest time for which a client may take nothing while others wait for the memory that it holds.
const STALLED: Duration = Duration::from_secs(2);

/// Interval of looks.
const LOOK: Duration = Duration::from_secs(1);

/// Watches whether the client takes anything, while it has more to take than its share of memory.
pub(super) struct Stall {
    /// Time of the next look.
    next: Instant,
    /// Bytes that it had taken when it last took any, and when that was seen.
    taken: (u64, Instant),
}

impl Stall {
    /// A watch, if so many bytes on their way are more than the client's share; `written` bytes have gone to it so far.
    pub(super) fn of(in_flight: usize, written: u64) -> Option<Self> {
        (in_flight > OWN_BYTES).then(|| Self {
            next: Instant::now() + LOOK,
            taken: (written, Instant::now()),
        })
    }

    /// The time of the next look.
    pub(super) const fn next(&self) -> Instant {
        self.next
    }

    /// Looks whether the client, to which `written` bytes have gone, has taken nothing for too long.
    pub(super) fn is_over(&mut self, written: u64) -> bool {
        let now = Instant::now();
        self.next = now + LOOK;
        if self.taken.0 != written {
            self.taken = (written, now);
        }
        now - self.taken.1 >= STALLED
    }
}
