//! Pauses between attempts.

use std::time::Duration;

use rand::RngExt as _;

/// Pauses that double from `first` to `limit`, each shortened by up to half at random, so that
/// clients that lost the same server do not come back in the same instant.
#[derive(Clone, Debug)]
pub struct Backoff {
    first: Duration,
    limit: Duration,
    failures: u32,
}

impl Backoff {
    /// Starts with `first` and never waits longer than `limit`.
    pub const fn new(first: Duration, limit: Duration) -> Self {
        Self {
            first,
            limit,
            failures: 0,
        }
    }

    /// Counts a failure and returns the pause after it.
    pub fn next_delay(&mut self) -> Duration {
        self.next_delay_within(self.limit)
    }

    /// Counts a failure and returns the pause after it, which has a limit of its own.
    pub fn next_delay_within(&mut self, limit: Duration) -> Duration {
        let doublings = self.failures.min(u32::BITS - 1);
        self.failures = self.failures.saturating_add(1);
        jittered(self.first.saturating_mul(1 << doublings).min(limit))
    }

    /// The number of failures in a row.
    pub const fn failures(&self) -> u32 {
        self.failures
    }

    /// Counts from the beginning after a success: the next pause is the first one again.
    pub const fn reset(&mut self) {
        self.failures = 0;
    }
}

/// Shortens a pause by up to half at random.
pub fn jittered(pause: Duration) -> Duration {
    pause.mul_f64(rand::rng().random_range(0.5..=1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_double_up_to_the_limit_and_reset_after_a_success() {
        let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_millis(350));
        for longest in [100, 200, 350, 350].map(Duration::from_millis) {
            let delay = backoff.next_delay();
            assert!(delay <= longest && delay >= longest / 2, "{delay:?}");
        }
        assert_eq!(backoff.failures(), 4);
        backoff.reset();
        assert!(backoff.next_delay() <= Duration::from_millis(100));
    }

    #[test]
    fn delays_stay_at_the_limit_however_many_failures_there_are() {
        let limit = Duration::from_secs(5);
        let mut backoff = Backoff::new(Duration::from_millis(100), limit);
        for _ in 0..100 {
            assert!(backoff.next_delay() <= limit);
        }
    }
}
