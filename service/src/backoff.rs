//! Waiting times before trying again.

use std::time::Duration;

use rand::RngExt as _;

/// Waiting times that double from `first` to `limit`, each shortened by up to half at random, so that
/// clients that lost the same server do not come back in the same instant.
#[derive(Clone, Debug)]
pub struct Backoff {
    first: Duration,
    limit: Duration,
    next: Duration,
}

impl Backoff {
    /// Starts with `first` and never waits longer than `limit`.
    pub const fn new(first: Duration, limit: Duration) -> Self {
        Self {
            first,
            limit,
            next: first,
        }
    }

    /// The next waiting time.
    pub fn next_delay(&mut self) -> Duration {
        let delay = self.next;
        self.next = self.limit.min(delay.saturating_mul(2));
        delay.mul_f64(rand::rng().random_range(0.5..=1.0))
    }

    /// To be called after a success: the next waiting time is the first again.
    pub const fn reset(&mut self) {
        self.next = self.first;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_double_up_to_the_limit_and_start_again_after_a_success() {
        let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_millis(350));
        for longest in [100, 200, 350, 350].map(Duration::from_millis) {
            let delay = backoff.next_delay();
            assert!(delay <= longest && delay >= longest / 2, "{delay:?}");
        }
        backoff.reset();
        assert!(backoff.next_delay() <= Duration::from_millis(100));
    }
}
