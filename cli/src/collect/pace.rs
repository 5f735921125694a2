//! When to try again after a stream ended.

use std::time::Duration;

use rand::RngExt as _;

use super::config::OnGap;
use crate::client::Failure;
use datastream_service::backoff::Backoff;

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
const GONE: u16 = 410;

/// What to do next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// Try again after this time. It passes by itself.
    Retry(Duration),
    /// Try again after this time, although somebody has to do something.
    Complain(Duration),
    /// Give the stream up.
    Stop,
}

/// The pace of one stream.
#[derive(Debug)]
pub(super) struct Pace {
    quick: Backoff,
    slow: Backoff,
}

impl Pace {
    /// A pace that starts quickly.
    pub(super) const fn new() -> Self {
        Self {
            quick: Backoff::new(FIRST_DELAY, LONGEST_DELAY),
            slow: Backoff::new(FIRST_SLOW_DELAY, LONGEST_SLOW_DELAY),
        }
    }

    /// Something arrived: a connection that only opens is no success, or a server that accepts and drops at once would
    /// be flooded.
    pub(super) const fn progress(&mut self) {
        self.quick.reset();
        self.slow.reset();
    }

    /// What to do after a failure, before or after anything arrived.
    pub(super) fn after(&mut self, failure: &Failure, arrived: bool, on_gap: OnGap) -> Next {
        match failure {
            Failure::Refused(refusal) if refusal.status == GONE && on_gap == OnGap::Stop => {
                Next::Stop
            }
            Failure::Refused(refusal) if !refusal.passes() => {
                Next::Complain(self.slow.next_delay().max(failure.retry_after()))
            }
            Failure::BadUrl(_) | Failure::Unreadable(_) => Next::Complain(self.slow.next_delay()),
            Failure::Closed { code, .. } if arrived && MOVING.contains(code) => {
                Next::Retry(SPREAD.mul_f64(rand::rng().random_range(0.0..=1.0)))
            }
            _ => Next::Retry(self.quick.next_delay().max(failure.retry_after())),
        }
    }

    /// What to do after a store lost what it had: fetch it again.
    pub(super) fn after_loss(&mut self) -> Next {
        Next::Retry(self.quick.next_delay())
    }

    /// What to do after the stream sent what makes no sense: it will do so again.
    pub(super) fn after_nonsense(&mut self) -> Next {
        Next::Complain(self.slow.next_delay())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::Refusal;

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
    fn what_passes_is_tried_again_when_the_server_says() {
        let mut pace = Pace::new();
        for status in [409, 429, 500, 503] {
            let next = pace.after(&refused(status, Some(45)), false, OnGap::Earliest);
            assert_eq!(next, Next::Retry(Duration::from_secs(45)), "{status}");
        }
    }

    #[test]
    fn a_refused_key_is_tried_slowly_for_ever() {
        let mut pace = Pace::new();
        for status in [401, 403, 400, 404] {
            let next = pace.after(&refused(status, None), false, OnGap::Earliest);
            assert!(
                matches!(next, Next::Complain(d) if d >= FIRST_SLOW_DELAY / 2),
                "{next:?}"
            );
        }
        for _ in 0..100 {
            let next = pace.after(&refused(401, None), false, OnGap::Earliest);
            assert!(
                matches!(next, Next::Complain(d) if d <= LONGEST_SLOW_DELAY),
                "{next:?}"
            );
        }
    }

    #[test]
    fn a_gap_stops_only_if_it_shall() {
        let mut pace = Pace::new();
        assert_eq!(
            pace.after(&refused(410, None), false, OnGap::Stop),
            Next::Stop
        );
        let next = pace.after(&refused(410, None), false, OnGap::Earliest);
        assert!(matches!(next, Next::Complain(_)), "{next:?}");
    }

    #[test]
    fn a_gateway_that_moves_is_followed_at_once_but_not_in_circles() {
        let mut pace = Pace::new();
        for code in MOVING {
            let next = pace.after(&closed(code), true, OnGap::Earliest);
            assert!(matches!(next, Next::Retry(d) if d <= SPREAD), "{next:?}");
        }
        let mut last = Duration::ZERO;
        for _ in 0..20 {
            match pace.after(&closed(1001), false, OnGap::Earliest) {
                Next::Retry(delay) => last = delay,
                other => panic!("{other:?}"),
            }
        }
        assert!(last >= LONGEST_DELAY / 2);
        pace.progress();
        let next = pace.after(&closed(1006), true, OnGap::Earliest);
        assert!(
            matches!(next, Next::Retry(d) if d <= FIRST_DELAY),
            "{next:?}"
        );
    }
}
