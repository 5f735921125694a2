//! Routing objects that could not be written.

use std::collections::BTreeMap;
use std::time::Duration;

use datastream_routing::BucketId;
use tokio::time::Instant;

const FIRST: Duration = Duration::from_secs(1);
const LAST: Duration = Duration::from_secs(30);

/// Routing objects that could not be written, each with its own pause: one that is refused does not hold up the others.
#[derive(Debug, Default)]
pub(super) struct Failing(BTreeMap<BucketId, Failure>);

#[derive(Debug)]
struct Failure {
    error: String,
    pause: Duration,
    due: Instant,
}

impl Failing {
    /// A write failed: the next one is due after twice as long as the last time.
    pub(super) fn failed(&mut self, bucket: BucketId, error: String, now: Instant) {
        let before = self.0.get(&bucket).map(|failure| failure.pause);
        let pause = before.map_or(FIRST, |pause| (pause * 2).min(LAST));
        let failure = Failure {
            error,
            pause,
            due: now + pause,
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
