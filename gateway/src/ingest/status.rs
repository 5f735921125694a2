//! State of the source, for `/readyz` and the metrics.

use std::sync::{Mutex, MutexGuard, PoisonError};

use datastream_source::Bounds;

/// State of one partition.
#[derive(Clone, Debug, Default)]
pub(crate) struct PartitionStatus {
    /// Bounds of the records in it, as the broker reports them.
    pub bounds: Bounds,
    /// The next offset that the live path reads.
    pub next: u64,
    /// The live path has an open stream.
    pub connected: bool,
    /// Last error of the live path, until it has an open stream again.
    pub last_error: Option<String>,
    /// Number of times that the live stream has been opened again.
    pub reopened: u64,
}

impl PartitionStatus {
    /// Records that the broker holds and the live path has not read.
    pub(crate) fn lag(&self) -> u64 {
        self.bounds.end.saturating_sub(self.next)
    }
}

/// The state of the source; written by the tails and the monitor, read by probes and metrics.
#[derive(Debug, Default)]
pub(crate) struct SourceStatus {
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    /// State of each partition; empty until the topic's partitions are known.
    partitions: Vec<PartitionStatus>,
    /// Reason why the broker's control side cannot be asked, if so.
    error: Option<String>,
}

impl SourceStatus {
    /// A copy of what is known of the partitions; none are known before the topic is first reached.
    pub(crate) fn partitions(&self) -> Vec<PartitionStatus> {
        self.lock().partitions.clone()
    }

    /// Reason why the broker cannot be asked for the topic's partitions, if so.
    pub(crate) fn error(&self) -> Option<String> {
        self.lock().error.clone()
    }

    /// Takes what the broker says of the partitions. The first time, the live path starts at their ends.
    pub(crate) fn set_bounds(&self, bounds: &[Bounds]) {
        let mut inner = self.lock();
        inner.error = None;
        if inner.partitions.is_empty() {
            let partition = |b: &Bounds| PartitionStatus {
                next: b.end,
                ..PartitionStatus::default()
            };
            inner.partitions = bounds.iter().map(partition).collect();
        }
        for (partition, bounds) in inner.partitions.iter_mut().zip(bounds) {
            partition.bounds = *bounds;
        }
    }

    /// Takes down why the broker cannot be asked.
    pub(crate) fn set_error(&self, error: String) {
        self.lock().error = Some(error);
    }

    /// Changes what is known of one partition.
    pub(crate) fn update<T>(
        &self,
        partition: u32,
        change: impl FnOnce(&mut PartitionStatus) -> T,
    ) -> Option<T> {
        self.lock()
            .partitions
            .get_mut(partition as usize)
            .map(change)
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
