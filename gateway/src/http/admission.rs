//! How many handshakes a second are let in, so that a storm of reconnects cannot starve the streams that are open.

use std::sync::{Mutex, PoisonError};

use tokio::time::Instant;

use crate::stream::Refusal;

/// A token bucket that holds one second's worth.
#[derive(Debug)]
pub(crate) struct Admission {
    per_second: f64,
    /// Tokens, and when they were counted. Held for arithmetic only.
    bucket: Mutex<(f64, Instant)>,
}

impl Admission {
    /// Lets this many in a second, at most this many at once.
    pub(crate) fn new(per_second: u32) -> Self {
        let per_second = f64::from(per_second.max(1));
        Self {
            per_second,
            bucket: Mutex::new((per_second, Instant::now())),
        }
    }

    /// Lets one in, or says when to come back.
    pub(crate) fn admit(&self) -> Result<(), Refusal> {
        let now = Instant::now();
        let mut bucket = self.bucket.lock().unwrap_or_else(PoisonError::into_inner);
        let (tokens, counted) = *bucket;
        let grown = tokens + (now - counted).as_secs_f64() * self.per_second;
        let tokens = grown.min(self.per_second);
        let admitted = tokens >= 1.0;
        *bucket = (if admitted { tokens - 1.0 } else { tokens }, now);
        if admitted {
            Ok(())
        } else {
            Err(Refusal::busy("too many clients connect at once"))
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_burst_is_let_in_up_to_the_rate_and_the_rest_later() {
        let admission = Admission::new(100);
        let admitted = |n: usize| (0..n).filter(|_| admission.admit().is_ok()).count();
        assert_eq!(admitted(1000), 100);
        tokio::time::advance(Duration::from_millis(500)).await;
        assert_eq!(admitted(1000), 50);
        tokio::time::advance(Duration::from_hours(1)).await;
        assert_eq!(admitted(1000), 100);
        let Err(Refusal::Busy { retry_seconds, .. }) = admission.admit() else {
            panic!("admitted")
        };
        assert!((1..=10).contains(&retry_seconds));
    }
}
