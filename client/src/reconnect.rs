//! The time to try again after a stream ended.

use std::time::Duration;

use datastream_service::backoff::Backoff;
use rand::RngExt as _;

use crate::connection::Failure;

/// Waiting times while the server cannot be reached, or has no room.
const FIRST_DELAY: Duration = Duration::from_millis(500);
const LONGEST_DELAY: Duration = Duration::from_secs(30);
/// Waiting times while the server refuses what is asked for: keys may be exchanged, and subscriptions resumed.
const FIRST_SLOW_DELAY: Duration = Duration::from_secs(5);
const LONGEST_SLOW_DELAY: Duration = Duration::from_mins(1);
/// Clients of a gateway that shuts down come back within this time, not all in one instant.
const SPREAD: Duration = Duration::from_millis(500);

/// Going away, and service restart.
const MOVING: [u16; 2] = [1001, 1012];

/// The next step after a failure.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Next {
    /// Try again after this time. It passes by itself.
    Retry(Duration),
    /// Try again after this time, although somebody has to do something.
    Complain(Duration),
}

/// The waiting times of one stream: short while what is wrong passes by itself, long while somebody has to do something, and
/// nearly none while a gateway moves its clients elsewhere.
#[derive(Debug)]
pub struct ReconnectPolicy {
    quick: Backoff,
    slow: Backoff,
}

impl Default for ReconnectPolicy {
    fn default() -> Self {
        Self::new()
    }
}

impl ReconnectPolicy {
    /// A policy that starts with the shortest times.
    pub const fn new() -> Self {
        Self {
            quick: Backoff::new(FIRST_DELAY, LONGEST_DELAY),
            slow: Backoff::new(FIRST_SLOW_DELAY, LONGEST_SLOW_DELAY),
        }
    }

    /// Notes that something arrived: a connection that only opens is no success, or a server that accepts and drops at once would
    /// be flooded.
    pub const fn progress(&mut self) {
        self.quick.reset();
        self.slow.reset();
    }

    /// The step after a failure; `arrived` says whether anything had come on the connection.
    pub fn after(&mut self, failure: &Failure, arrived: bool) -> Next {
        match failure {
            Failure::Refused(refusal) if !refusal.passes() => {
                Next::Complain(self.slow.next_delay().max(failure.retry_after()))
            }
            Failure::BadUrl(_) | Failure::BadToken(_) | Failure::Unreadable(_) => {
                Next::Complain(self.slow.next_delay())
            }
            Failure::Closed { code, .. } if arrived && MOVING.contains(code) => {
                Next::Retry(SPREAD.mul_f64(rand::rng().random_range(0.0..=1.0)))
            }
            _ => Next::Retry(self.quick.next_delay().max(failure.retry_after())),
        }
    }

    /// The step after what had come was lost here: it is to be fetched again.
    pub fn after_loss(&mut self) -> Next {
        Next::Retry(self.quick.next_delay())
    }

    /// The step after what makes no sense had come: it will come again.
    pub fn after_nonsense(&mut self) -> Next {
        Next::Complain(self.slow.next_delay())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::refusal::Refusal;

    fn refused(status: u16, retry_after: Option<u64>) -> Failure {
        Failure::Refused(Refusal::new(
            status,
            retry_after.map(Duration::from_secs),
            "no",
        ))
    }

    fn closed(code: u16) -> Failure {
        Failure::Closed {
            code,
            reason: String::new(),
        }
    }

    #[test]
    fn temporary_refusals_are_retried_after_retry_after() {
        let mut policy = ReconnectPolicy::new();
        for status in [409, 429, 500, 503] {
            let next = policy.after(&refused(status, Some(45)), false);
            assert_eq!(next, Next::Retry(Duration::from_secs(45)), "{status}");
        }
    }

    #[test]
    fn a_refused_key_is_retried_slowly_forever() {
        let mut policy = ReconnectPolicy::new();
        for status in [401, 403, 400, 404] {
            let next = policy.after(&refused(status, None), false);
            assert!(
                matches!(next, Next::Complain(d) if d >= FIRST_SLOW_DELAY / 2),
                "{next:?}"
            );
        }
        for _ in 0..100 {
            let next = policy.after(&refused(401, None), false);
            assert!(
                matches!(next, Next::Complain(d) if d <= LONGEST_SLOW_DELAY),
                "{next:?}"
            );
        }
    }

    #[test]
    fn a_moved_stream_reconnects_at_once_and_backs_off_when_repeated() {
        let mut policy = ReconnectPolicy::new();
        for code in MOVING {
            let next = policy.after(&closed(code), true);
            assert!(matches!(next, Next::Retry(d) if d <= SPREAD), "{next:?}");
        }
        let mut last = Duration::ZERO;
        for _ in 0..20 {
            match policy.after(&closed(1001), false) {
                Next::Retry(delay) => last = delay,
                next @ Next::Complain(_) => panic!("{next:?}"),
            }
        }
        assert!(last >= LONGEST_DELAY / 2);
        policy.progress();
        let next = policy.after(&closed(1006), true);
        assert!(
            matches!(next, Next::Retry(d) if d <= FIRST_DELAY),
            "{next:?}"
        );
    }
}
