//! Streams with an end of their own: batches, for clients that come again and again.

use std::time::Duration;

use tokio::time::Instant;

/// Bounds of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Batch {
    /// Events that may still be sent.
    left: u64,
    /// Time until which the first event is waited for, if the batch ends by itself.
    until: Option<Instant>,
    is_empty: bool,
}

impl Batch {
    /// At most so many events. With `wait`, it ends once everything stored has been sent, but waits so long for the first event;
    /// without, it waits for all of them.
    pub(crate) fn new(limit: Option<u64>, wait: Option<Duration>) -> Option<Self> {
        (limit.is_some() || wait.is_some()).then(|| Self {
            left: limit.unwrap_or(u64::MAX),
            until: wait.map(|wait| Instant::now() + wait),
            is_empty: true,
        })
    }

    /// Takes events into the batch: of so many, returns how many fit.
    pub(super) fn take(&mut self, events: u64) -> u64 {
        let taken = events.min(self.left);
        self.left -= taken;
        self.is_empty &= taken == 0;
        taken
    }

    /// Returns whether it has as many events as it may.
    pub(super) const fn is_full(&self) -> bool {
        self.left == 0
    }

    /// Returns whether it is over once its stream is live and everything is sent.
    pub(super) fn is_over_when_live(&self) -> bool {
        self.until
            .is_some_and(|until| !self.is_empty || until <= Instant::now())
    }

    /// The time until which the first event is waited for, if that is still to come.
    pub(super) fn end_of_wait(&self) -> Option<Instant> {
        self.until.filter(|until| *until > Instant::now())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_batch_ends_when_it_is_full_or_when_there_is_nothing_more() {
        assert_eq!(Batch::new(None, None), None);
        let mut counted = Batch::new(Some(3), None).unwrap();
        assert_eq!((counted.take(2), counted.is_full()), (2, false));
        assert!(!counted.is_over_when_live());
        assert_eq!((counted.take(2), counted.is_full()), (1, true));
        let mut timed = Batch::new(None, Some(Duration::from_secs(5))).unwrap();
        assert!(!timed.is_over_when_live());
        tokio::time::sleep_until(timed.end_of_wait().unwrap()).await;
        assert_eq!(timed.end_of_wait(), None);
        assert!(timed.is_over_when_live());
        let mut timed_with_events = Batch::new(None, Some(Duration::from_secs(5))).unwrap();
        timed_with_events.take(1);
        assert!(timed_with_events.is_over_when_live());
        timed.take(1);
    }
}
