//! Pauses between attempts to list or watch.

use std::time::Duration;

use kube::runtime::watcher;
use rand::RngExt as _;
use tokio::time::Instant;

/// Pauses between attempts: from 0.2 s, doubled each time, and shortened at random by up to a half, so that many watchers do not
/// ask in step.
///
/// An API server that cannot be reached is tried at least every 5 s, which costs it nothing and ends an outage soon. One that
/// answers with an error has done work for it, such as a list of everything: it is asked again after up to 30 s.
///
/// No single success resets it, because a list that succeeds may be followed by a watch that fails each time: only a minute
/// without errors does.
#[derive(Debug, Default)]
pub struct Backoff {
    errors: u32,
    /// The end of the last pause.
    resumed: Option<Instant>,
}

const FIRST: Duration = Duration::from_millis(200);
const LAST_UNREACHABLE: Duration = Duration::from_secs(5);
/// The longest pause after an error that the API server answered with.
pub(super) const LAST_ANSWERED: Duration = Duration::from_secs(30);
const STEADY: Duration = Duration::from_mins(1);

impl Backoff {
    /// The pause after this error.
    pub fn after(&mut self, error: &watcher::Error, now: Instant) -> Duration {
        if self.resumed.is_some_and(|resumed| resumed + STEADY <= now) {
            self.errors = 0;
        }
        let last = if was_answered(error) {
            LAST_ANSWERED
        } else {
            LAST_UNREACHABLE
        };
        let pause = FIRST.saturating_mul(1 << self.errors.min(10)).min(last);
        let pause = pause.mul_f64(rand::rng().random_range(0.5..=1.0));
        self.errors += 1;
        self.resumed = Some(now + pause);
        pause
    }
}

/// Returns whether the API server answered, though not with what was asked for.
fn was_answered(error: &watcher::Error) -> bool {
    match error {
        watcher::Error::InitialListFailed(error)
        | watcher::Error::WatchStartFailed(error)
        | watcher::Error::WatchFailed(error) => !matches!(
            error,
            kube::Error::HyperError(_) | kube::Error::Service(_) | kube::Error::ReadEvents(_)
        ),
        watcher::Error::WatchError(_) | watcher::Error::NoResourceVersion => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unreachable() -> watcher::Error {
        watcher::Error::WatchStartFailed(kube::Error::Service("connection refused".into()))
    }

    fn pauses(error: &watcher::Error, count: usize) -> Vec<Duration> {
        let mut backoff = Backoff::default();
        let mut now = Instant::now();
        let pause = |_| {
            let pause = backoff.after(error, now);
            now += pause;
            pause
        };
        (0..count).map(pause).collect()
    }

    #[test]
    fn an_api_server_that_is_away_is_tried_every_five_seconds_at_least() {
        let pauses = pauses(&unreachable(), 20);
        assert!(pauses[0] <= FIRST, "{pauses:?}");
        assert!(pauses[19] >= LAST_UNREACHABLE / 2, "{pauses:?}");
        assert!(pauses.iter().all(|p| *p <= LAST_UNREACHABLE), "{pauses:?}");
    }

    #[test]
    fn an_api_server_that_answers_with_errors_is_asked_every_thirty_seconds_at_most() {
        let pauses = pauses(&watcher::Error::NoResourceVersion, 20);
        assert!(pauses[19] >= LAST_ANSWERED / 2, "{pauses:?}");
        assert!(pauses.iter().all(|p| *p <= LAST_ANSWERED), "{pauses:?}");
    }

    #[test]
    fn a_minute_without_errors_begins_again_with_the_shortest_pause() {
        let mut backoff = Backoff::default();
        let mut now = Instant::now();
        for _ in 0..10 {
            now += backoff.after(&unreachable(), now);
        }
        assert!(backoff.after(&unreachable(), now) > FIRST);
        now += LAST_UNREACHABLE + STEADY;
        assert!(backoff.after(&unreachable(), now) <= FIRST);
    }
}
