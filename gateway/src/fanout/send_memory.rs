//! The memory that all streams together may take for what waits to be sent, beyond the little that each has of its own.

use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::Notify;

/// A number of bytes that queues borrow from and give back to. Whoever gets none reads on from the log later.
#[derive(Debug)]
pub(crate) struct SendMemory {
    limit: usize,
    free: AtomicUsize,
    freed: Notify,
}

impl SendMemory {
    /// So many bytes, all free.
    pub(crate) fn new(limit: usize) -> Self {
        Self {
            limit,
            free: AtomicUsize::new(limit),
            freed: Notify::new(),
        }
    }

    /// Takes these bytes, if they are free.
    pub(crate) fn borrow(&self, bytes: usize) -> bool {
        self.free
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, |free| {
                free.checked_sub(bytes)
            })
            .is_ok()
    }

    /// Gives borrowed bytes back, and wakes one of those that wait for some.
    pub(crate) fn give_back(&self, bytes: usize) {
        if bytes > 0 {
            self.free.fetch_add(bytes, Ordering::AcqRel);
            self.freed.notify_one();
        }
    }

    /// Waits until something was given back. Who then gets what it needs calls [`SendMemory::pass_on`]: there may be more.
    pub(crate) async fn freed(&self) {
        self.freed.notified().await;
    }

    /// Wakes the next one that waits, if there is anything for it.
    pub(crate) fn pass_on(&self) {
        if self.free.load(Ordering::Acquire) > 0 {
            self.freed.notify_one();
        }
    }

    /// Returns whether so little is left that streams whose clients take nothing are in the way of the others.
    pub(crate) fn is_short(&self) -> bool {
        self.free.load(Ordering::Acquire) < self.limit / 4
    }

    /// Bytes that are borrowed.
    pub(crate) fn borrowed(&self) -> usize {
        self.limit - self.free.load(Ordering::Acquire).min(self.limit)
    }
}
