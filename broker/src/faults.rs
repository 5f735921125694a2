//! Switches that make the broker misbehave as real ones do, for tests.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

/// The switches; all off at first.
#[derive(Debug, Default)]
pub(crate) struct Faults {
    /// Requests are read and never answered.
    pub silent: AtomicBool,
    /// The high watermark stays where it is: readers of committed records see nothing new.
    pub hold_high_watermark: AtomicBool,
    /// The SC gets no reports of where the logs end: what it answers is stale.
    pub hold_reports: AtomicBool,
    /// The SPU leads no partition, as after a restart, before the SC has assigned partitions to it.
    pub disown: AtomicBool,
    /// Connections made from now on end with a reset, as those of a killed process do.
    pub reset: AtomicBool,
    delay_ms: AtomicU64,
    tear: AtomicU64,
    refuse_produce: AtomicU64,
    lose_acks: AtomicU64,
}

impl Faults {
    pub(crate) fn set_delay(&self, delay: Duration) {
        self.delay_ms
            .store(delay.as_millis() as u64, Ordering::Relaxed);
    }

    pub(crate) fn delay(&self) -> Duration {
        Duration::from_millis(self.delay_ms.load(Ordering::Relaxed))
    }

    /// The next `count` large answers break off in the middle.
    pub(crate) fn set_tear(&self, count: u64) {
        self.tear.store(count, Ordering::Relaxed);
    }

    /// The next `count` produce requests are refused with 'not leader', nothing stored.
    pub(crate) fn set_refuse_produce(&self, count: u64) {
        self.refuse_produce.store(count, Ordering::Relaxed);
    }

    /// The next `count` produce requests are stored, but the connection closes instead of the answer.
    pub(crate) fn set_lose_acks(&self, count: u64) {
        self.lose_acks.store(count, Ordering::Relaxed);
    }

    pub(crate) fn take_tear(&self) -> bool {
        take(&self.tear)
    }

    pub(crate) fn take_refuse_produce(&self) -> bool {
        take(&self.refuse_produce)
    }

    pub(crate) fn take_lost_ack(&self) -> bool {
        take(&self.lose_acks)
    }
}

fn take(count: &AtomicU64) -> bool {
    count
        .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |n| n.checked_sub(1))
        .is_ok()
}
