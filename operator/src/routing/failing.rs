//! Routing objects that could not be written.

use std::collections::BTreeMap;
use std::time::Duration;

use datastream_routing::BucketId;
use datastream_service::backoff::Backoff;
use tokio::time::Instant;

const FIRST: Duration = Duration::from_secs(1);
const LAST: Duration = Duration::from_secs(30);

/// Routing objects that could not be written, each with its own pause: one that is refused does not hold up the others.
#[derive(Debug, Default)]
pub(super) struct Failing(BTreeMap<BucketId, Failure>);

#[derive(Debug)]
struct Failure {
    error: String,
    backoff: Backoff,
    due: Instant,
}

impl Failing {
    /// A write failed: the next one is due after twice as long as the last time.
    pub(super) fn failed(&mut self, bucket: BucketId, error: String, now: Instant) {
        let before = self.0.remove(&bucket).map(|failure| failure.backoff);
        let mut backoff = before.unwrap_or(Backoff::new(FIRST, LAST));
        let failure = Failure {
            error,
            due: now + backoff.next_delay(),
            backoff,
        };
        self.0.insert(bucket, failure);
    }

    /// A write went through.
    pub(super) fn over(&mut self, bucket: BucketId) {
        self.0.remove(&bucket);
    }

    /// Returns when an object may be written again, if that is not yet.
    pub(super) fn due(&self, bucket: BucketId, now: Instant) -> Option<Instant> {
        let due = self.0.get(&bucket)?.due;
        (due > now).then_some(due)
    }

    /// The last error of an object.
    pub(super) fn error(&self, bucket: BucketId) -> Option<&str> {
        self.0.get(&bucket).map(|failure| failure.error.as_str())
    }
}
