//! Times at which events are due at a given rate.

use std::time::Duration;

use tokio::time::{Instant, sleep_until};

/// Interval at which a fast fleet is woken; what has become due in between is produced as one batch.
const TICK: Duration = Duration::from_millis(10);
/// Time that is caught up at most after a delay: after an outage the fleet resumes at its rate.
const CATCH_UP: Duration = Duration::from_millis(500);

/// Hands out events at a steady rate.
#[derive(Debug)]
pub(super) struct RateLimiter {
    rate: f64,
    /// The time at which `sent` was 0.
    start: Instant,
    sent: u64,
}

impl RateLimiter {
    /// `rate` events a second from now on; the first is due at once.
    pub(super) fn new(rate: f64) -> Self {
        Self {
            rate,
            start: Instant::now(),
            sent: 0,
        }
    }

    /// Waits until at least one event is due and says how many are, at least 1 and at most half a second's worth.
    pub(super) async fn due(&mut self) -> u64 {
        let next = self.start + Duration::from_secs_f64(self.sent as f64 / self.rate);
        let tick = if self.sent == 0 {
            next
        } else {
            next.max(Instant::now() + self.tick())
        };
        sleep_until(tick).await;
        if next.elapsed() > CATCH_UP {
            self.start = Instant::now() - CATCH_UP;
            self.sent = 0;
        }
        let total = (self.start.elapsed().as_secs_f64() * self.rate).floor() as u64 + 1;
        let due = total.saturating_sub(self.sent).max(1);
        self.sent += due;
        due
    }

    /// Waiting between batches makes sense only if several events are due in that time.
    fn tick(&self) -> Duration {
        if self.rate * TICK.as_secs_f64() > 1.0 {
            TICK
        } else {
            Duration::ZERO
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn count(rate: f64, time: Duration) -> u64 {
        let mut rate_limiter = RateLimiter::new(rate);
        let end = Instant::now() + time;
        let mut sent = 0;
        while let Ok(due) = tokio::time::timeout_at(end, rate_limiter.due()).await {
            sent += due;
        }
        sent
    }

    #[tokio::test(start_paused = true)]
    async fn slow_and_fast_rates_are_kept() {
        for (rate, expected) in [(0.5, 5), (20.0, 200), (333.0, 3_330), (50_000.0, 500_000)] {
            let sent = count(rate, Duration::from_secs(10)).await;
            let slack = (rate * 0.02) as u64 + 1;
            assert!(
                sent.abs_diff(expected) <= slack,
                "{rate}/s: {sent}, not {expected}"
            );
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_simulated_fleet_resumes_at_its_rate_after_an_outage() {
        let mut rate_limiter = RateLimiter::new(100.0);
        assert_eq!(rate_limiter.due().await, 1);
        tokio::time::advance(Duration::from_mins(1)).await;
        let due = rate_limiter.due().await;
        assert!((45..=55).contains(&due), "{due}");
        let due = rate_limiter.due().await;
        assert!(due <= 2, "{due}");
    }
}
