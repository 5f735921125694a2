//! A token bucket.

use tokio::time::Instant;

/// Tokens that come back at a rate.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bucket {
    per_second: f64,
    capacity: f64,
    tokens: f64,
    counted: Instant,
}

impl Bucket {
    /// A full one.
    pub(crate) fn new(per_second: f64, capacity: f64, now: Instant) -> Self {
        Self {
            per_second,
            capacity,
            tokens: capacity,
            counted: now,
        }
    }

    /// Tokens that are there now.
    pub(crate) fn tokens(&mut self, now: Instant) -> f64 {
        let grown = self.tokens + (now - self.counted).as_secs_f64() * self.per_second;
        (self.tokens, self.counted) = (grown.min(self.capacity), now);
        self.tokens
    }

    /// Takes a token, whether or not there is one.
    pub(crate) fn spend(&mut self) {
        self.tokens = (self.tokens - 1.0).max(0.0);
    }

    /// Takes a token, if there is one.
    pub(crate) fn take(&mut self, now: Instant) -> bool {
        let is_there = self.tokens(now) >= 1.0;
        if is_there {
            self.spend();
        }
        is_there
    }

    /// Returns whether all tokens are there.
    pub(crate) fn is_full(&mut self, now: Instant) -> bool {
        self.tokens(now) >= self.capacity
    }

    /// Returns whether less than half of the tokens are there.
    pub(crate) fn is_scarce(&mut self, now: Instant) -> bool {
        self.tokens(now) < self.capacity / 2.0
    }
}
